from fractions import Fraction

import pytest

from dist_epochs.arithmetic.quantity import Quantity, QuantityError, Unit, parse, parse_count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1M", 10**6), ("1k", 1000), ("90K", 90_000), ("3.3B", 3_300_000_000), ("2T", 2 * 10**12), ("4Mi", 2**22),
        ("1Ki", 1024), ("2**16", 65536), ("256x512", 131072), ("256 × 512", 131072), ("256*512", 131072),
        ("1_000_000", 10**6), ("1,000,000", 10**6), ("1e6", 10**6), ("1.5e3", 1500), ("1/3", Fraction(1, 3)),
        ("90%", Fraction(9, 10)), (".5M", 500_000), ("3.3 billion", 3_300_000_000), (7, 7), (0.1, Fraction(1, 10)),
        ("1e-3", Fraction(1, 1000)), ("128000 tokens", 128_000),
    ],
)  # fmt: skip
def test_spellings(text, value):
    assert parse(text).value == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [("3.3B words", Unit.WORD), ("40 epochs", Unit.EPOCH), ("1 epoch", Unit.EPOCH), ("256 sequences", Unit.SAMPLE),
     ("5 rows", Unit.SAMPLE), ("5 examples", Unit.SAMPLE), ("9 images", Unit.SAMPLE), ("1M updates", Unit.STEP),
     ("64 GPUs", Unit.DEVICE), ("12", None)],
)  # fmt: skip
def test_units(text, unit):
    assert parse(text).unit is unit


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("3.3B words", 3_250_000_000, 3_350_000_000),  # half a unit of the last digit
        ("40", Fraction(79, 2), Fraction(81, 2)),
        ("~40", 39, 41),
        ("2**16", 65536, 65536),
        ("1/3", Fraction(1, 3), Fraction(1, 3)),
    ],
)
def test_play_of_the_spelling(text, low, high):
    quantity = parse(text)
    assert (quantity.low, quantity.high) == (low, high)
    assert quantity.exactly().low == quantity.exactly().high == quantity.value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a number"), ("T", "not a number"), ("-1", "below zero"), ("1,5", "not a number"),
        ("1,00", "not a number"), ("3m", "scales are written"), ("3G", "for 10⁹ write B"), ("5 bananas", "not a unit"),
        ("1/0", "divides by zero"), ("nan", "not a number"), ("inf", "not a number"), ("1e999999", "beyond anything"),
        ("2**99999", "beyond anything"), (True, "not a number"), ("1 2", "not a number"), ("300B T", "not a unit"),
    ],
)  # fmt: skip
def test_errors(text, part):
    with pytest.raises(QuantityError, match=r".") as caught:
        parse(text)
    assert part in str(caught.value)


def test_the_wrong_unit_names_both():
    with pytest.raises(QuantityError, match="counts words: it must count steps"):
        parse("1M words", unit=Unit.STEP, what="steps")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("4Mi tokens a batch", Unit.STEP), ("512 tokens/step", Unit.STEP), ("256 sequences per update", Unit.STEP),
        ("500 steps per epoch", Unit.EPOCH), ("8 an epoch", Unit.EPOCH), ("8 per GPU", Unit.DEVICE),
        ("1.24 tokens per word", Unit.WORD), ("512 per sequence", Unit.SAMPLE),
    ],
)  # fmt: skip
def test_what_a_number_is_for_is_kept_or_refused(text, part):
    assert parse(text, per=[part]).per is part
    for others in ([], [unit for unit in Unit if unit is not part]):
        for read in (parse, parse_count):
            with pytest.raises(QuantityError) as caught:
                read(text, per=others)
            assert caught.value.asked == f"number {text!r} is for one {part}"


def test_parts_that_are_not_counted():
    with pytest.raises(QuantityError, match="a number per hour is not read"):
        parse("5 steps per hour", per=tuple(Unit))


@pytest.mark.parametrize(
    ("text", "unit", "rule", "fix"),
    [
        ("256x512", Unit.SAMPLE, "131,072 is no number of samples: batches are written samples × length",
         "the samples, with the length apart (--sequence-length 512)"),
        ("8x4090", Unit.DEVICE, "32,720 is no number of devices", "a kind of device with its letters, as in 8xRTX4090"),
    ],
)  # fmt: skip
def test_products_where_one_number_is_asked(text, unit, rule, fix):
    with pytest.raises(QuantityError) as caught:
        parse(text, unit=unit)
    assert (caught.value.rule, caught.value.fixes[0]) == (rule, fix)
    assert parse(f"{text} {unit}s", unit=unit).value == parse(text).value, "who says what it counts means it"
    assert parse("1000x90", unit=Unit.STEP).value == 90_000


def test_counts_are_whole():
    assert parse_count("90k") == 90_000
    with pytest.raises(QuantityError, match="is 1/3: it must be a whole number"):
        parse_count("1/3")
    with pytest.raises(QuantityError, match="at least 1"):
        parse_count("0")


def test_division_by_what_may_be_zero():
    with pytest.raises(QuantityError, match="may be zero"):
        Quantity.exact(1) / parse("0")

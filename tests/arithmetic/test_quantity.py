from fractions import Fraction

import pytest

from dist_epochs.arithmetic.quantity import Quantity, QuantityError, Unit, parse, parse_count
from dist_epochs.settings.scalars import WrittenFloat


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
        ("1,00", "not a number"), ("3G", "for 10⁹ write B"), ("5 bananas", "not a unit"),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1m", 10**6), ("300b", 300 * 10**9), ("256X512", 131072), ("2^20", 2**20), ("1e6", 10**6), ("1E6", 10**6),
        ("2²⁰", 2**20), ("10⁶", 10**6), ("3×10⁸ tokens", 3 * 10**8), ("2.5x10^8", 250_000_000), ("1mi", 2**20),
        ("3 Billion", 3 * 10**9), ("3 millions", 3 * 10**6), ("5bn", 5 * 10**9), ("2t tokens", 2 * 10**12),
        ("100만", 10**6), ("100万", 10**6), ("100萬", 10**6), ("3억", 3 * 10**8), ("3亿", 3 * 10**8),
        ("3億", 3 * 10**8),
        ("5천", 5000), ("5千", 5000), ("1천만", 10**7), ("3千万", 3 * 10**7), ("2조", 2 * 10**12), ("1.5万亿", 1.5e12),
        ("５００", 500), ("２５６×５１２", 131072), ("１，０００", 1000), ("９０％", Fraction(9, 10)), ("٣٠", 30),
        ("1\u2009000\u202f000", 10**6), ("1\u00a0000 steps", 1000), ("12\u202f345.5", Fraction(24691, 2)),
        ("1_000_000", 10**6), ("\ufeff12", 12),
    ],
)  # fmt: skip
def test_what_people_type_elsewhere_and_can_mean_one_thing(text, value):
    assert parse(text).value == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [("100万步", Unit.STEP), ("1천 스텝", Unit.STEP), ("3亿 词元", Unit.TOKEN), ("100만 토큰", Unit.TOKEN),
     ("40 エポック", Unit.EPOCH), ("3轮", Unit.EPOCH), ("2000 サンプル", Unit.SAMPLE)],
)  # fmt: skip
def test_units_in_other_languages(text, unit):
    assert parse(text).unit is unit


def test_half_a_unit_of_the_last_digit_in_any_spelling():
    assert parse("3.3b words") == parse("3.3B words")
    assert (parse("100만").low, parse("2^20").half, parse("1mi").half) == (995_000, 0, 0)
    assert parse("約40").low == parse("≈40").low == parse("～40").low == 39
    assert parse("≈40").is_about


@pytest.mark.parametrize(
    ("text", "fixes"),
    [
        ("2t", ("2T", "'2 tokens'")), ("3G", ("3B", "3Gi")), ("4兆", ("4T", "4M")),
        ("1.000.000", ("1,000,000",)), ("1 000 000", ("1,000,000",)), ("1'000", ("1,000",)), ("1,5", ("1.5",)),
        ("1.234,5", ("1234.5",)), ("~1,5", ("~1.5",)), ("1,00,000", ("100,000",)), ("3억5000만", ("350,000,000",)),
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused_with_the_spelling_that_works(text, fixes):
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert caught.value.fixes == fixes
    for fix in fixes:
        assert parse(fix.strip("'")).value > 0


@pytest.mark.parametrize(
    "text", ["5 metres", "5 min", "30 minutes", "1mm", "3bananas", "一百万", "1 2", "12\u202f34", "x", "~"]
)
def test_nothing_is_made_of_what_is_no_number(text):
    with pytest.raises(QuantityError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "unit", "fixes"),
    [
        ("10.000", Unit.STEP, ("10,000", "10")), ("1.000 examples", None, ("'1,000 examples'", "'1 examples'")),
        ("~2.094", Unit.SAMPLE, ("~2,094",)), ("100.000", Unit.TOKEN, ("100,000", "100")),
        ("1.024x512 tokens", None, ("'1,024x512 tokens'",)), ("１.０００ steps", None, ("'1,000 steps'", "'1 steps'")),
        (WrittenFloat("10.000"), Unit.STEP, ("10,000", "10")),
    ],
)  # fmt: skip
def test_a_point_before_three_digits_may_stand_between_thousands(text, unit, fixes):
    with pytest.raises(QuantityError) as caught:
        parse(text, unit=unit)
    assert caught.value.fixes == fixes
    with pytest.raises(QuantityError):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1.280M images", None, 1_280_000), ("3.300 billion words", None, 3.3e9), ("1.000e6 steps", None, 10**6),
        ("38.788", Unit.EPOCH, Fraction(38788, 1000)), ("0.125", Unit.TOKEN, Fraction(1, 8)), ("1.250", None, 1.25),
        (1.125, Unit.TOKEN, 1.125), ("10.0000", Unit.STEP, 10), ("2.000%", None, Fraction(2, 100)),
    ],
)  # fmt: skip
def test_a_point_before_three_digits_that_can_only_be_before_decimals(text, unit, value):
    assert parse(text, unit=unit).value == value
    assert parse("1.250 tokens per word", per=[Unit.WORD]).value == Fraction(5, 4)


@pytest.mark.parametrize(
    ("text", "fixes"),
    [
        ("1.000.000 examples", ("'1,000,000 examples'",)), ("1,5M examples", ("'1.5M examples'",)),
        ("3,3B words", ("'3.3B words'",)), ("~1,5M", ("~1.5M",)), ("1'000'000 steps", ("'1,000,000 steps'",)),
        ("1 000 000 steps", ("'1,000,000 steps'",)), ("1.5 Mrd samples", ("'1.5B samples'",)), ("2 Mio", ("2M",)),
        ("1,5 Milliarden Tokens", ("'1.5B Tokens'",)), ("3 milliards", ("3B",)), ("8xA100", ("8",)),
        ("1-2k steps", ("one of its ends, '2k steps'",)), ("1\u20132k", ("one of its ends, 2k",)),
        ("100 exmaples", ("'100 examples'",)), ("3B wrods", ("'3B words'",)),
        ("10 GB", ("`dist-epochs tokenize`, which counts them", "the size in tokens, words or samples")),
    ],
)  # fmt: skip
def test_the_nearest_spelling_that_is_read_is_named(text, fixes):
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert caught.value.fixes == fixes

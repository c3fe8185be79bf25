from fractions import Fraction

import pytest

from dist_epochs.arithmetic.agreement import agreement
from dist_epochs.arithmetic.batch import BatchError
from dist_epochs.arithmetic.given import Given, SolveError
from dist_epochs.arithmetic.identity import solve
from dist_epochs.arithmetic.quantity import parse

BERT = {"steps": "1M", "batch": "256x512", "corpus": "3.3B words", "tokens_per_word": "1", "epochs": "40"}


def ask(**texts):
    return solve(Given(**{name: parse(text) for name, text in texts.items()}))


def without(*names, **more):
    return {name: text for name, text in BERT.items() if name not in names} | more


def test_the_blog_and_the_exact_batch():
    # Devlin et al. 2019 write 256 × 512 = 128,000 tokens; the blog's 38.78 is 38.7878… truncated.
    solution = ask(**without("epochs"))
    assert (solution.unknown, solution.value.value) == ("epochs", Fraction(32768, 825))
    assert ask(**without("epochs", batch="128000 tokens")).value.value == Fraction(1280, 33)
    assert solution.value.low == Fraction(131_072_000_000, 3_350_000_000)
    assert solution.value.high == Fraction(131_072_000_000, 3_250_000_000)


@pytest.mark.parametrize(
    ("unknown", "given", "value"),
    [
        ("steps", without("steps"), Fraction(132_000_000_000, 131_072)),
        ("corpus", without("corpus"), Fraction(131_072_000_000, 40)),
        ("batch", without("batch"), 132_000),
        ("tokens_per_word", without("tokens_per_word"), Fraction(4096, 4125)),
        ("global_batch", without("batch", sequence_length="512"), Fraction(132_000, 512)),
        ("sequence_length", without("batch", global_batch="256"), Fraction(132_000, 256)),
        ("per_device", without("batch", sequence_length="512", devices="8", gradient_accumulation="4"),
         Fraction(4125, 512)),
        ("devices", without("batch", sequence_length="512", per_device="8", gradient_accumulation="4"),
         Fraction(4125, 512)),
        ("gradient_accumulation", without("batch", sequence_length="512", per_device="8", devices="4"),
         Fraction(4125, 512)),
        ("tokens", {"steps": "1M", "batch": "256x512"}, 131_072_000_000),
    ],
)  # fmt: skip
def test_each_part_can_be_the_unknown(unknown, given, value):
    solution = ask(**given)
    assert (solution.unknown, solution.value.value) == (unknown, value)
    assert solution.agreement is None


def test_everything_known_is_a_check():
    solution = ask(**BERT)
    assert (solution.unknown, solution.agreement) == (None, "rounds")
    assert solution.ratio == Fraction(131_072, 132_000)
    assert ask(**BERT | {"epochs": "13"}).agreement == "contradicts"
    assert ask(**BERT | {"batch": "132000 tokens"}).agreement == "exact"
    assert ask(**BERT | {"batch": "128000 tokens", "epochs": "39.3"}).agreement == "overlaps"


def test_a_part_of_the_batch_is_not_solved_from_numbers_that_contradict():
    contradicting = BERT | {"epochs": "13", "devices": "8", "gradient_accumulation": "4"}
    found = ask(**contradicting)
    assert (found.unknown, found.agreement, found.ratio) == (None, "contradicts", None)
    assert "tokens 131,072,000,000 is drawn, but tokens = corpus" in found.formula
    assert ask(**contradicting | {"epochs": "40"}).unknown == "per_device"


def test_words_need_a_ratio():
    with pytest.raises(SolveError) as caught:
        ask(**without("epochs", "tokens_per_word"))
    message = str(caught.value)
    assert "at 1 (as papers count) epochs = 39.7188" in message
    assert "at 1.24 (BERT's pieces on WikiText-2) epochs = 32.0313" in message


def test_plain_samples():
    assert ask(corpus="2000 examples", batch="200", epochs="50").value.value == 500
    assert ask(
        corpus="4107 rows", per_device="8", gradient_accumulation="8", devices="1", epochs="2"
    ).value.value == Fraction(8214, 64)


def test_a_budget_of_tokens():
    solution = ask(tokens="300B", batch="4Mi tokens", sequence_length="4096", devices="64")
    assert (solution.unknown, solution.value.value) == ("steps", Fraction(300 * 10**9, 2**22))
    assert any("not a whole number" in line for line in solution.derivation)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"steps": "5"}, "cannot be solved from steps 5"),
        ({}, "from nothing"),
        ({"corpus": "100", "batch": "10x8", "epochs": "5"}, "Try '100 tokens', or '100 samples'"),
        ({"corpus": "300b", "batch": "4M tokens", "epochs": "5"}, "Try '300b tokens'."),
        ({"corpus": "100", "batch": "8", "sequence_length": "8", "epochs": "5"}, "has no unit"),
        ({"corpus": "100", "tokens_per_word": "1.2", "batch": "8", "epochs": "5"}, "Try '100 words'."),
        ({"corpus": "100 steps", "batch": "8", "epochs": "5"}, "counts steps"),
        ({"corpus": "100 documents", "batch": "10", "epochs": "5"}, "counts documents"),
        ({"steps": "1M", "batch": "256", "corpus": "3.3B tokens"}, "samples or tokens?"),
        ({"steps": "1", "batch": "512 tokens", "corpus": "10 samples"}, "the batch '512 tokens' counts tokens"),
        ({"steps": "0", "batch": "1x2", "corpus": "10 tokens"}, "above zero"),
        ({"tokens": "1M", "samples": "1M", "steps": "5"}, "both tokens and samples"),
        ({"steps": "1M", "batch": "256x512", "corpus": "3.3B tokens", "tokens_per_word": "1.24"},
         "the ratio is for a corpus in words"),
        ({"steps": "1M", "batch": "256x512", "corpus": "3.3B tokens", "samples": "5"}, "Try --tokens."),
        ({"steps": "5", "batch": "2", "corpus": "10 samples", "tokens": "5"}, "Try --samples."),
        ({"steps": "1.5", "batch": "256x512", "corpus": "1M tokens"}, "steps is 1.5: it must be a whole number"),
        ({"corpus": "10 samples", "batch": "2.5", "epochs": "1"}, "it must be a whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_solved_says_why(given, part):
    with pytest.raises(SolveError) as caught:
        ask(**given)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("given", "formula"),
    [
        ({"batch": "256x512", "sequence_length": "128", "steps": "1", "corpus": "1M tokens"},
         "batch '256x512' means sequence length 512, but sequence length 128 is given"),
        ({"batch": "256 samples", "global_batch": "512", "steps": "1"},
         "batch '256 samples' means global batch 256, but global batch 512 is given"),
        ({"global_batch": "48", "devices": "6", "per_device": "4", "gradient_accumulation": "3", "steps": "5"},
         "global batch 48 is given, but global batch = devices × per device × gradient accumulation = 6 × 4 × 3 = 72"),
        ({"global_batch": "64", "devices": "6", "per_device": "4", "gradient_accumulation": "3", "steps": "5"},
         "global batch 64 is given, but global batch = devices × per device × gradient accumulation = 6 × 4 × 3 = 72"),
        ({"steps": "1M", "batch": "256x512", "corpus": "3.3B tokens", "tokens": "100B"},
         "tokens 100,000,000,000 is given, but tokens = steps × batch = 1,000,000 × 131,072 = 131,072,000,000"),
    ],
)  # fmt: skip
def test_factors_that_contradict_each_other_are_an_answer(given, formula):
    found = ask(**given)
    assert (found.unknown, found.agreement, found.formula) == (None, "contradicts", formula)


@pytest.mark.parametrize(
    ("given", "unknown", "value"),
    [
        ({"corpus": "2000", "batch": "200", "epochs": "1"}, "steps", 10),
        ({"corpus": "2000", "batch": "200", "epochs": "90%"}, "steps", 9),
        ({"corpus": "2000", "batch": "200", "epochs": "1/3"}, "steps", Fraction(10, 3)),
        ({"corpus": "2000", "global_batch": "200", "epochs": "~1"}, "steps", 10),
        ({"corpus": "2000", "steps": "10", "epochs": "1"}, "global_batch", 200),
        ({"corpus": "2000", "steps": "10", "batch": "200"}, "epochs", 1),
        ({"steps": "10", "batch": "200", "epochs": "2"}, "corpus", 1000),
        ({"corpus": "100万", "batch": "200", "epochs": "1"}, "steps", 5000),
    ],
)
def test_without_any_unit_they_are_samples_and_the_derivation_says_so(given, unknown, value):
    found = ask(**given)
    assert (found.unknown, found.value.value) == (unknown, value)
    assert [line for line in found.derivation if "no unit: nothing here counts tokens, so samples" in line]
    assert found.numbers["corpus"].unit == "sample"


def test_an_impossible_batch_names_the_nearest():
    with pytest.raises(BatchError, match=r"24, 48, 72.*Try 48 \(accumulate 2\), or 72 \(accumulate 3\)"):
        ask(global_batch="64", devices="6", per_device="4")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"global_batch": "100", "devices": "8", "corpus": "1M samples", "epochs": "1"},
            r"Try 96 \(12 each\), or 104 \(13 each\)",
        ),
        ({"global_batch": "60", "devices": "6", "gradient_accumulation": "4"}, "multiple of 24. Try 48, or 72"),
    ],
)
def test_a_stated_batch_must_divide(given, message):
    with pytest.raises(BatchError, match=message):
        ask(**given)


def test_a_broken_number_of_steps_is_not_the_batch_s_fault():
    solution = ask(global_batch="256", devices="8", per_device="8", corpus="1M samples", epochs="3")
    assert (solution.unknown, solution.value.value) == ("steps", Fraction(46875, 4))
    broken = ask(tokens="300B", batch="4M tokens", sequence_length="4096", devices="64")
    assert any("global batch 976.5625 is not a whole number" in line for line in broken.derivation)


def test_agreement_of_intervals():
    assert agreement(parse("39.72").exactly().number, parse("40").number) == "rounds"
    assert agreement(parse("41.2").number, parse("~40").number) == "contradicts"


@pytest.mark.parametrize(
    ("given", "unknown", "value"),
    [
        ({"steps": "15000", "batch": "256x2048", "epochs": "1"}, "corpus", 7_864_320_000),
        ({"steps": "15000", "batch": "256x2048", "epochs": "3 epochs"}, "corpus", 2_621_440_000),
        ({"steps": "15000", "batch": "256x2048", "epochs": "3.0"}, "corpus", 2_621_440_000),
        ({"corpus": "1000 samples", "epochs": "4"}, "samples", 4000),
        ({"steps": "20", "batch": "8x512", "epochs": "2", "corpus": "32768 words"}, "tokens_per_word", Fraction(5, 4)),
        ({"tokens": "1T", "batch": "4Mi tokens", "sequence_length": "4096"}, "steps", Fraction(10**12, 2**22)),
        ({"samples": "256M", "batch": "256 samples"}, "steps", 1_000_000),
        ({"tokens": "1B", "steps": "1000", "sequence_length": "500", "devices": "8"}, "global_batch", 2000),
    ],
)
def test_whole_epochs_and_what_is_to_be_reached_are_exact(given, unknown, value):
    solution = ask(**given)
    assert (solution.unknown, solution.value.value) == (unknown, value)
    assert solution.value.number.is_exact


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        ({"steps": "15000", "batch": "256x2048", "epochs": "~3"}, Fraction(15_728_640_000, 7), 3_145_728_000),
        ({"steps": "100", "batch": "8 samples", "epochs": "1.6"}, Fraction(16000, 33), Fraction(16000, 31)),
        ({"steps": "1000", "batch": "1000 samples", "epochs": "~2.0"}, Fraction(10**7, 21), Fraction(10**7, 19)),
        ({"tokens": "~1T", "batch": "1M tokens"}, 500_000, 1_500_000),
    ],
)
def test_what_is_written_as_about_keeps_its_tolerance(given, low, high):
    number = ask(**given).value.number
    assert (number.low, number.high) == (low, high)


def test_epochs_that_are_checked_keep_the_tolerance_of_their_digits():
    assert ask(**BERT).agreement == "rounds"

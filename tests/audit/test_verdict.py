"""Verdicts by rule, on claims made for the purpose."""

import pytest

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import read_claim
from dist_epochs.errors import Origin
from dist_epochs.settings.document import RecipeError

BASE = """
title: x
facts: {steps: 100 steps, batch: 8 sequences, corpus: 800 samples, words: 3.3B words}
"""


def audit(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(BASE + text)
    return audit_claim("c", read_claim(path))


@pytest.mark.parametrize(
    ("checks", "verdict", "agreement"),
    [
        ("epochs: {formula: steps * batch / corpus, stated: 1}", "consistent", "exact"),
        ("epochs: {formula: steps * batch / 790, stated: 1.0}", "consistent", "rounds"),
        ("epochs: {formula: words / 1B, stated: 3.2}", "consistent-with-rounding", "overlaps"),
        ("epochs: {formula: steps * batch / corpus, stated: 2}", "inconsistent", "contradicts"),
        ("epochs: {formula: steps * batch / corpus}", "underdetermined", None),
        ("epochs: {formula: words / 1B, stated: ~3.4}", "consistent-with-rounding", "overlaps"),
        ("epochs: {formula: words / 1B, stated: ~4}", "inconsistent", "contradicts"),
        ("epochs: {formula: 38.80, stated: {number: '38.78', rounded: down}}", "inconsistent", "contradicts"),
        ("epochs: {formula: 38.7879, stated: {number: '38.78', rounded: down}}", "consistent", "rounds"),
    ],
)
def test_one_check(tmp_path, checks, verdict, agreement):
    found = audit(tmp_path, f"checks: {{{checks}}}")
    assert (str(found.verdict), found.readings[0].checks[0].agreement) == (verdict, agreement)


def test_a_reading_that_settles_it_is_the_condition(tmp_path):
    found = audit(
        tmp_path,
        """
assumes: {batch: the batch is 8, corpus: the corpus is 800}
checks: {epochs: {formula: steps * batch / corpus, stated: 2}}
readings:
  twice: {assumes: {batch: the batch is 16}, facts: {batch: 16 sequences}}
  thrice: {assumes: {batch: the batch is 24}, facts: {batch: 24 sequences}}
""",
    )
    assert (str(found.verdict), found.only_if) == ("consistent-only-if", "the batch is 16")


def test_a_reading_settles_nothing_by_leaving_out_what_it_breaks(tmp_path):
    text = """
checks:
  epochs: {{formula: steps * batch / corpus, stated: 2}}
  samples: {{formula: steps * batch, stated: {samples}}}
readings:
  twice: {{facts: {{batch: 16 sequences}}, only: true, checks: {{epochs: {{}}}}}}
"""
    assert str(audit(tmp_path, text.format(samples=800)).verdict) == "inconsistent"
    assert str(audit(tmp_path, text.format(samples=1600)).verdict) == "consistent-only-if"


def test_what_matters_most_leads_the_condition(tmp_path):
    found = audit(
        tmp_path,
        """
assumes: {small: a, large: b}
checks: {epochs: {formula: steps * batch / corpus, stated: 2.00}}
readings:
  right:
    assumes: {small: small as it should be, large: large as it should be}
    checks: {epochs: {formula: steps * batch / corpus * 2}}
  small wrong: {assumes: {large: large as it should be}, checks: {epochs: {formula: steps * batch / corpus * 1.5}}}
  large wrong: {assumes: {small: small as it should be}, checks: {epochs: {formula: steps * batch / corpus / 5}}}
""",
    )
    assert found.only_if == "large as it should be and small as it should be"


def test_a_recalled_number_never_makes_a_verdict_inconsistent(tmp_path):
    checks = "checks: {{epochs: {{formula: steps * {name} / corpus, stated: 2}}}}\n"
    assert str(audit(tmp_path, checks.format(name="batch")).verdict) == "inconsistent"
    path = tmp_path / "c.yaml"
    path.write_text(
        BASE.replace("batch: 8 sequences", "batch: {number: 8 sequences, recalled: true}") + checks.format(name="batch")
    )
    found = audit_claim("c", read_claim(path))
    assert str(found.verdict) == "underdetermined"
    assert "recalled or assumed, not read" in found.missing


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("checks: {a: {formula: steps * bacth}}", ["checks.a: there is no fact 'bacth'; did you mean 'batch'?"]),
        (
            "checks: {a: {formula: 'steps *'}}",
            ["checks.a.formula: the formula 'steps *' needs a number or a name at its end"],
        ),
        ("checks: {a: {stated: 5}}", ["checks.a: formula is missing"]),
        ("", ["checks are missing"]),
        ("checks: {a: {formula: steps}}\nreadings: {r: {assumes: {x: y}}}", ["the claim assumes nothing of that name"]),
        (
            "checks: {a: {formula: steps, stated: lots}, b: {formla: 2}}",
            ["c.yaml:4: checks.a.stated.number", "unknown key 'checks.b.formla'; did you mean 'formula'?"],
        ),
    ],
)
def test_malformed_claims_say_the_line_and_all_errors(tmp_path, text, messages):
    with pytest.raises(RecipeError) as caught:
        audit(tmp_path, text)
    for message in messages:
        assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_all_that_does_not_fit_is_told_at_once(tmp_path):
    with pytest.raises(RecipeError) as caught:
        audit(
            tmp_path,
            "checks: {a: {formula: steps * bacth}, b: {formula: 'steps *'}, c: {stated: 5}}\n"
            "readings: {as printed: {}}",
        )
    for part in (
        "c.yaml:4: checks.a: there is no fact 'bacth'",
        "checks.b.formula: the formula",
        "checks.c: formula is missing",
        "literal reading",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ("a: {formula: 4.4, stated: {number: 4, exact: true}}", "inconsistent"),
        ("a: {formula: corpus * 0 + steps, stated: 0}", "inconsistent"),
        ("a: {formula: 300B / 1B, stated: 300}", "consistent"),
    ],
)
def test_corners(tmp_path, checks, verdict):
    assert str(audit(tmp_path, f"checks: {{{checks}}}").verdict) == verdict


def test_numbers_beyond_counting_are_refused(tmp_path):
    with pytest.raises(ValueError, match="beyond anything that is counted"):
        audit(tmp_path, "checks: {a: {formula: words**150, stated: 7}}")


def test_a_rough_number_may_divide(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "title: x\nfacts: {tokens: 300B tokens, epochs: ~1}\n"
        "checks: {corpus: {formula: tokens / epochs, stated: 300B}}\n"
    )
    assert str(audit_claim("c", read_claim(path)).verdict) == "consistent"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hours", "60K hours", 60_000),
        ("corpus_bytes", "160GB", 160 * 10**9),
        ("bytes_in_all", "13B bytes", 13 * 10**9),
        ("pairs", "400M pairs", 4 * 10**8),
        ("images", "400M pairs", 4 * 10**8),
        ("parameters", "175B parameters", 175 * 10**9),
        ("model", "7B params", 7 * 10**9),
        ("flops", "3.1e23 FLOPs", 31 * 10**22),
        ("a", "≈40", 40),
        ("days", "approx. 40 days", 40),
        ("a", "approximately 40", 40),
        ("a", "approx 40", 40),
        ("gpu_hours", "1.3M GPU hours", 1_300_000),
        ("device_hours", "2.788M H800 GPU-hours", 2_788_000),
        ("tpu_days", "5 TPU-days", 5),
        ("chips", "512 TPUs", 512),
        # times are converted to that of the name
        ("hours", "3 days", 72),
        ("device_hours", "2.1 GPU years", 18_408.6),
        ("days", "36 hours", 1.5),
        ("hours_per_epoch", "90 minutes", 1.5),
        ("days_per_epoch", "1 week", 7),
        ("seconds", "2 hours", 7200),
        # what a number is for
        ("batch", "4M tokens per step", 4 * 10**6),
        ("steps_per_epoch", "500 steps per epoch", 500),
        ("tokens_a_sample", "512 tokens per sequence", 512),
        ("length", "512 tokens per sequence", 512),
        ("per_device", "8 sequences per GPU", 8),
        ("tokens_per_word", "1.24 tokens per word", 1.24),
    ],
)
def test_numbers_as_papers_print_them(tmp_path, name, text, value):
    path = tmp_path / "c.yaml"
    path.write_text(f"title: x\nfacts: {{{name}: {text}}}\nchecks: {{x: {{formula: {name}}}}}\n")
    assert float(read_claim(path).facts[name].number.value) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "field", "message"),
    [
        ("corpus", "16GB", "asked", "'16GB' counts bytes, and the name corpus does not say so"),
        ("tokens", "160 GB", "fixes", "the name tokens_bytes"),
        ("steps", "3 days", "asked", "'3 days' counts days, and the name steps does not say so"),
        ("cost", "1M GPU hours", "fixes", "the name cost_hours"),
        ("corpus", "175B parameters", "asked", "counts parameters"),
        ("steps", "500 steps per epoch", "asked", "is for one epoch, and the name steps does not say so"),
        ("tokens", "4M tokens per step", "fixes", "the name tokens_per_step"),
        ("global_batch", "256x512", "rule", "131,072 is no number of samples"),
        ("devices", "8x4090", "rule", "32,720 is no number of devices"),
    ],
)
def test_what_a_number_counts_is_never_dropped(tmp_path, name, text, field, message):
    path = tmp_path / "c.yaml"
    path.write_text(f"title: x\nfacts: {{{name}: {text}}}\nchecks: {{x: {{formula: {name}}}}}\n")
    with pytest.raises(RecipeError) as caught:
        read_claim(path)
    assert message in getattr(caught.value, field)
    assert caught.value.origin == Origin(str(path), 2)
    assert caught.value.asked.startswith(f"facts.{name}: ")


@pytest.mark.parametrize("name", ["hours", "device_hours", "days", "between"])
def test_stated_times_are_converted(tmp_path, name):
    """32 devices for 3 days, against what a claim states."""
    stated = {
        "hours": "hours: {formula: days * 24, stated: 3 days}",
        "device_hours": "device_hours: {formula: 32 * days * 24, stated: 96 GPU days}",
        "days": "days: {formula: days, stated: 72 hours}",
        "between": "hours: {formula: days * 24, stated: {number: 3 days, between: [2 days, 4 days]}}",
    }[name]
    path = tmp_path / "c.yaml"
    path.write_text(f"title: x\nfacts: {{days: {{number: 3, exact: true}}}}\nchecks: {{{stated}}}\n")
    found = audit_claim("c", read_claim(path))
    assert str(found.verdict) == "consistent"
    assert found.readings[0].checks[0].stated.number.text.count(" = ") == 1, "the rule is shown beside what was printed"


def test_a_reading_that_changes_facts_alone_is_named(tmp_path):
    found = audit(
        tmp_path,
        """
assumes: {length: every step has length 512}
checks: {a: {formula: steps * batch, stated: 1600}}
readings:
  the batch is 16: {facts: {batch: 16 sequences}}
  short: {assumes: {length: every step has length 128}, facts: {batch: 2 sequences}}
""",
    )
    assert found.only_if == "the batch is 16"


@pytest.mark.parametrize(
    "whose", ["GPU hours", "GPU-hours", "device hours", "device-hours", "TPU hours", "accelerator-hours"]
)
def test_hours_of_devices_are_as_precise_as_they_are_printed(tmp_path, whose):
    facts = "gpus: 2048 GPUs, days: {number: '20.8', exact: true}"
    path = tmp_path / "c.yaml"
    path.write_text(
        f"title: x\nfacts: {{{facts}}}\nchecks: {{device hours: {{formula: gpus * days * 24, stated: 1M {whose}}}}}\n"
    )
    found = audit_claim("c", read_claim(path))
    assert str(found.verdict) == "consistent"
    assert found.readings[0].checks[0].stated.number.unit is None


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ("{number: 0, digits: 2}", "c.yaml:2: facts.a: 0 has no significant digits; leave digits out"),
        ("{number: 5, digits: 100000000}", "facts.a.digits: digits must be from 1 to 50, not 100000000"),
        (
            "{number: 5, digits: 1, exact: true}",
            "exact: true says that it has no tolerance, and digits: 1 that it has some",
        ),
        ("{number: ~5, exact: true}", "exact: true says that it has no tolerance, and ~ that it has some"),
        ("{number: 5, rounded: down, exact: true}", "and rounded: down that it has some; keep one"),
        ("{number: 5, between: [4, 6], digits: 1}", "between says what it may be, and so does digits: 1; keep one"),
        ("{number: 5, between: [6, 7]}", "between 6 and 7 does not hold the number itself, 5"),
        ("{number: 5, between: [7, 4]}", "the lower end comes first, and 7 is above 4"),
        ("0x10", "the number '0x10' is not a number: it looks hexadecimal"),
    ],
)
def test_facts_that_contradict_themselves(tmp_path, fact, message):
    path = tmp_path / "c.yaml"
    path.write_text(f"title: x\nfacts: {{a: {fact}}}\nchecks: {{x: {{formula: a}}}}\n")
    with pytest.raises(RecipeError) as caught:
        read_claim(path)
    assert message in str(caught.value)


def test_what_a_number_may_be_can_be_said(tmp_path):
    checks = "checks: {x: {formula: a * 10, stated: {number: 5, between: [4, 6]}}}"
    path = tmp_path / "c.yaml"
    for between, agreement in (("[30%, 45%]", "overlaps"), ("[30%, 39%]", "contradicts")):
        path.write_text(f"title: x\nfacts: {{a: {{number: 36%, between: {between}}}}}\n{checks}\n")
        assert str(audit_claim("c", read_claim(path)).readings[0].checks[0].agreement) == agreement


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "checks: {a: {formula: steps / (batch - 8), stated: 1}}",
            "c.yaml:4: checks.a: the formula steps ÷ (batch − 8): a number cannot be divided by zero",
        ),
        (
            "checks: {a: {formula: steps**1000000000, stated: 1}}",
            "c.yaml:4: checks.a.formula: the formula 'steps**1000000000' has a power of",
        ),
        ("checks: {a: {formula: steps, stated: }}", "c.yaml:4: checks.a.stated: it is empty"),
        ("citation: {year: 2019.9}\nchecks: {a: {formula: steps}}", "c.yaml:4: citation.year: it must be a whole year"),
        (
            "checks: {tokens: {formula: steps * batch, stated: 1000 GPUs}}",
            "c.yaml:4: checks.tokens: 1000 GPUs counts devices, and the check is called tokens",
        ),
        ("checks: {hours: {formula: steps, stated: 5 epochs}}", "the check is called hours: it has no such unit"),
        (
            "checks: {a: {formula: 1 / steps}}\nreadings:\n  none: {facts: {steps: 0 steps}}",
            "c.yaml:6: readings.none: checks.a: the formula 1 ÷ steps: a number cannot be divided by zero",
        ),
        (
            "checks: {a: {formula: steps}}\nreadings:\n  none: {checks: {a: {formula: 1 / (8 - batch)}}}",
            "c.yaml:6: readings.none.checks.a: the formula 1 ÷ (8 − batch): a number cannot be divided by zero",
        ),
    ],
)
def test_what_only_computing_shows_is_told_at_its_line(tmp_path, text, message):
    with pytest.raises(RecipeError) as caught:
        audit(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

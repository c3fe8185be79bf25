"""A recipe with stated results is a claim."""

import pytest

from dist_epochs.audit.claim import read_claim
from dist_epochs.audit.verdict import audit_claim
from dist_epochs.plan.yaml_reader import RecipeError

CLAIM = """
title: a run
corpus: {words: 3.3B words, tokens_per_word: 1}
batch: {global_batch: 256}
phases: [{steps: 1M, sequence_length: 512}]
stated: {epochs: ~40, tokens: 131B}
assumes: {length: every step has length 512}
readings:
  short: {assumes: {length: every step has length 128}, set: {phases.0.sequence_length: 128}}
"""


def audit(tmp_path, text=CLAIM):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return audit_claim("c", read_claim(path))


def test_stated_results_of_a_plan(tmp_path):
    found = audit(tmp_path)
    literal, short = ({check.name: check for check in reading.checks} for reading in found.readings)
    assert str(found.verdict) == "consistent"
    assert float(literal["epochs"].derived.point) == pytest.approx(39.7188, abs=1e-4)
    assert float(short["epochs"].derived.point) == pytest.approx(9.9297, abs=1e-4)
    assert literal["epochs"].derived.low < literal["epochs"].derived.point < literal["epochs"].derived.high


def test_a_reading_s_recipe_may_settle_it(tmp_path):
    found = audit(tmp_path, CLAIM.replace("~40", "~10").replace(", tokens: 131B", ""))
    assert (str(found.verdict), found.only_if) == ("consistent-only-if", "every step has length 128")


def test_costs_may_be_stated(tmp_path):
    text = CLAIM.replace(
        "stated: {epochs: ~40, tokens: 131B}", "model: {config: bert-base}\nstated: {parameters: 110M, flops: 9.3e19}"
    )
    assert str(audit(tmp_path, text).verdict) == "consistent"


def test_without_a_corpus_epochs_are_underdetermined(tmp_path):
    found = audit(tmp_path, CLAIM.replace("corpus: {words: 3.3B words, tokens_per_word: 1}", "corpus: {}"))
    assert str(found.verdict) == "underdetermined"
    assert found.missing == "epochs cannot be derived without the size of the corpus"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tokens: 131B", "tokns: 131B", "stated.tokns: a plan does not know it; did you mean 'tokens'?"),
        ("steps: 1M", "stpes: 1M", "unknown key 'phases.0.stpes'; did you mean 'steps'?"),
        ("phases.0.sequence_length", "phases.3.sequence_length", "must be a number from 0 to 0"),
    ],
)
def test_malformed(tmp_path, old, new, message):
    with pytest.raises(RecipeError, match=message.replace("?", r"\?")):
        audit(tmp_path, CLAIM.replace(old, new))


MIXTURE = """
title: a mixture
corpus:
  sources:
    web: {tokens: 200B, weight: 60%}
    code: {tokens: 30B, weight: 25%}
    wiki: {tokens: 4B, weight: 10%}
    books: {tokens: 5B, weight: 5%}
batch: {global_batch: 1024}
budget: {tokens: 300B}
phases: [{sequence_length: 4096}]
stated: {sources: {web: 0.9, code: 2.5, wiki: 7.5, books: 3.0}}
"""


def test_a_mixture_s_rows(tmp_path):
    found = audit(tmp_path, MIXTURE)
    checks = {check.name: check for check in found.readings[0].checks}
    assert str(found.verdict) == "consistent"
    assert checks["sum of the weights"].derived.point == 1
    assert float(checks["sum of epochs × size ÷ what is drawn"].derived.point) == pytest.approx(1, abs=1e-4)
    wrong = audit(tmp_path, MIXTURE.replace("wiki: 7.5", "wiki: 2.5"))
    assert str(wrong.verdict) == "inconsistent"
    assert any(suspect.name == "stated epochs of wiki" for suspect in wrong.suspects)
    with pytest.raises(RecipeError, match="there is no source 'wikki'; did you mean 'wiki'"):
        audit(tmp_path, MIXTURE.replace("wiki: 7.5", "wikki: 7.5"))


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("facts: {steps: 5}\n", "facts.steps: the recipe's plan has 1000000 steps under this name"),
        ("checks: {epochs: {formula: steps}}\n", "checks.epochs and stated.epochs: keep one"),
        ("readings: {b: {set: [1]}}\n", "set: it must be keys and values"),
    ],
)
def test_nothing_is_overwritten(tmp_path, addition, message):
    text = CLAIM.partition("assumes")[0] + addition
    with pytest.raises(RecipeError, match=message):
        audit(tmp_path, text)


def test_a_global_batch_beside_its_factors_is_a_statement(tmp_path):
    layout = "batch: {global_batch: 2048, devices: 8, per_device: 8, gradient_accumulation: 4}"
    found = audit(tmp_path, CLAIM.partition("assumes")[0].replace("batch: {global_batch: 256}", layout))
    checks = {check.name: check for check in found.readings[0].checks}
    assert (checks["global_batch"].derived.point, str(checks["global_batch"].agreement)) == (256, "contradicts")
    assert (found.suspects[0].name, found.suspects[0].after) == ("stated global_batch", 256)


def test_a_batch_may_be_stated_in_tokens(tmp_path):
    found = audit(tmp_path, CLAIM.replace("tokens: 131B", "global_batch: 0.13M tokens"))
    assert found.readings[0].checks[1].derived.point == 131_072
    lengths = CLAIM.partition("assumes")[0].replace("tokens: 131B", "global_batch: 0.13M tokens")
    two = lengths.replace(
        "[{steps: 1M, sequence_length: 512}]",
        "[{steps: 900K, sequence_length: 128}, {steps: 100K, sequence_length: 512}]",
    )
    assert "global_batch cannot be derived" in audit(tmp_path, two).missing


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("tokens: 131B words", "c.yaml:6: stated.tokens: 131B words counts words; it counts tokens or positions"),
        ("flops: 3 epochs", "stated.flops: 3 epochs counts epochs; it has no such unit"),
        ("tokens: 131B", "stated: names and values"),
    ],
)
def test_stated_numbers_count_what_their_names_say(tmp_path, stated, message):
    text = (
        CLAIM.replace("tokens: 131B", stated)
        if "names and" not in message
        else CLAIM.replace("{epochs: ~40, tokens: 131B}", "[1]")
    )
    with pytest.raises(RecipeError, match=message):
        audit(tmp_path, text)


def test_a_fact_may_say_more_of_a_setting(tmp_path):
    """`31K steps` that are rounded: a recipe's numbers are exact, its claim may know better."""
    text = "title: x\nbatch: {global_batch: 8192}\nphases: [{steps: 31K}]\nstated: {samples: 256.0M}\n"
    assert str(audit(tmp_path, text).verdict) == "inconsistent"
    rounded = text + "facts: {steps: {number: 31K steps, exact: false, read_in: table 3}}\n"
    assert str(audit(tmp_path, rounded).verdict) == "consistent-with-rounding"


def test_all_errors_of_recipe_statements_and_claim_at_once(tmp_path):
    with pytest.raises(RecipeError) as caught:
        audit(tmp_path, CLAIM.replace("steps: 1M", "stpes: 1M").replace("tokens: 131B", "tokns: 131B") + "note: []\n")
    assert [line.split(": ")[0].rpartition(":")[2] for line in str(caught.value).splitlines()] == ["5", "6", "10"], str(
        caught.value
    )

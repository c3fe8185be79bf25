"""A recipe with stated results is a claim."""

import pytest

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import read_claim
from dist_epochs.errors import InputError
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import read_recipe
from dist_epochs.render.audit import audit_text
from dist_epochs.settings.document import RecipeError

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


@pytest.mark.parametrize(
    ("stated", "verdict"),
    [
        ("{epochs: ~40}", "underdetermined"),
        ("{epochs: ~40, tokens: 131B}", "consistent"),
        ("{epochs: ~40, tokens: 13B}", "inconsistent"),
    ],
)
def test_what_cannot_be_derived_is_told_beside_the_verdict_of_the_rest(tmp_path, stated, verdict):
    text = CLAIM.replace("corpus: {words: 3.3B words, tokens_per_word: 1}", "corpus: {}")
    found = audit(tmp_path, text.replace("{epochs: ~40, tokens: 131B}", stated))
    assert str(found.verdict) == verdict
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
    with pytest.raises(RecipeError, match=r"there is no source 'wikki' in corpus\.sources; did you mean 'wiki'"):
        audit(tmp_path, MIXTURE.replace("wiki: 7.5", "wikki: 7.5"))


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("facts: {steps: 5}\n", "facts.steps: the recipe's plan has 1,000,000 steps under this name"),
        ("checks: {epochs: {formula: steps}}\n", "checks.epochs and stated.epochs: keep one"),
        ("readings: {b: {set: [1]}}\n", "readings.b.set: it must be names and values"),
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
    assert "global batch cannot be derived" in audit(tmp_path, two).missing


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


PRICED = """
title: hours
batch: {devices: 512, per_device: 4}
phases: [{steps: 100000, sequence_length: 2048}]
model: {parameters: 13B}
hardware: {device: A100-80GB}
stated: {hours: "150"}
"""


def test_a_guessed_utilization_contradicts_nothing(tmp_path):
    inside = audit(tmp_path, PRICED)
    (check,) = inside.readings[0].checks
    assert (str(inside.verdict), str(check.agreement)) == ("consistent-with-rounding", "overlaps")
    assert float(check.derived.low) == pytest.approx(126.4 * 12.5 / 13, rel=0.001)  # 13B is 12.5 to 13.5
    assert float(check.derived.high) == pytest.approx(189.6 * 13.5 / 13, rel=0.001)
    outside = audit(tmp_path, PRICED.replace('"150"', '"500"'))
    assert (str(outside.verdict), outside.suspects) == ("underdetermined", ())
    stated = PRICED.replace("A100-80GB", "A100-80GB, mfu: 40%")
    assert str(audit(tmp_path, stated.replace('"150"', '"500"')).verdict) == "inconsistent"
    assert str(audit(tmp_path, stated.replace('"150"', '"142"')).verdict) == "consistent"


def test_a_budget_that_rests_on_a_guess_contradicts_nothing(tmp_path):
    text = PRICED.replace("phases: [{steps: 100000, ", "budget: {hours: 150}\nphases: [{").replace(
        'hours: "150"', "steps: 5000"
    )
    assert str(audit(tmp_path, text).verdict) == "underdetermined"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hardware": "{device: A100-80GB, mfu: 40%, price: 2}"},
        {"hardware": "{peak_tflops: 312, mfu: 35%-45%, price: 2}"},
        {"hardware": "{tokens_per_second: 2M, price: 2}"},
        {"hardware": "{device: A100-80GB, mfu: 40%, price: 2, restarts: 3, checkpoint_every: 5}"},
        {"hardware": "{tokens_per_second: 2M, price: 2, restarts: 3, checkpoint_every: 5}"},
        {"model": "{config: bert-base}", "phases": "[{steps: 1000, sequence_length: 512}]"},
        {"model": "{parameters: 13B, adapter: {parameters: 40M}, quantization: {bits: 4}}"},
        {"model": "{config: llama-7b, frozen: {layers: 24}}"},
        {"phases": "[{steps: 900, sequence_length: 128}, {steps: 100, sequence_length: 512}]"},
        {"phases": "[{tokens: 30B, sequence_length: 2048}]"},
        {"budget": "{tokens: 30B}", "phases": "[{sequence_length: 2048}]"},
        {"batch": "{devices: 512, global_batch: 2048, ramp: {stages: {0: 512, 5k steps: 1024, 9k steps: 2048}}}"},
        {"batch": "{devices: 512, global_batch: 2048, ramp: 512 512 6000000}"},
        {"batch": "{devices: 512, global_batch: 5120, ramp: 512 512 6000000}"},
        {"batch": "{devices: 512, per_device: 4, gradient_accumulation: 2, tensor_parallel: 4}"},
    ],
)
def test_the_audit_derives_what_the_plan_says(tmp_path, changes):
    """Every result that may be stated, from the facts and formulas, beside the plan's own number."""
    sections = {
        "batch": "{devices: 512, per_device: 4, gradient_accumulation: 2}",
        "phases": "[{steps: 10000, sequence_length: 2048}]",
        "model": "{parameters: 13B}",
        "hardware": "{device: A100-80GB, price: 2}",
        "corpus": "{tokens: 300B}",
        **changes,
    }
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("".join(f"{name}: {text}\n" for name, text in sections.items()))
    plan = make_plan(read_recipe(recipe))
    cost = plan.cost
    wanted = {
        "steps": plan.steps, "micro_steps": plan.micro_steps, "samples": plan.samples, "tokens": plan.positions,
        "epochs": plan.epochs["positions"], "flops": cost.flops, "hours": cost.wall_hours.point,
        "device_hours": cost.device_hours.point, "price": cost.price.point if cost.price else None,
    }  # fmt: skip
    stated = ", ".join(f"{name}: 1" for name, value in wanted.items() if value is not None)
    found = audit(tmp_path, f"title: x\n{recipe.read_text()}stated: {{{stated}}}\n")
    derived = {check.name: check.derived for check in found.readings[0].checks}
    for name in derived:
        assert float(derived[name].point) == pytest.approx(float(wanted[name]), rel=1e-9), name
    assert set(derived) == {name for name, value in wanted.items() if value is not None}
    text = audit_text(found)
    assert not [line for line in text.splitlines() if line.endswith(("= positions", "= device_hours"))]


def test_what_is_not_searched_for_slips_is_told(tmp_path):
    ramp = CLAIM.partition("assumes")[0].replace("256}", "256, ramp: {stages: {0: 128, 50k steps: 256}}}")
    found = audit(tmp_path, ramp.replace("131B", "1.31B"))
    assert found.unsearched == ("the plan: 2 stretches of the ramp",)
    assert "Not searched for slips: the plan: 2 stretches of the ramp." in audit_text(found)
    assert audit(tmp_path, CLAIM.replace("131B", "1.31B")).unsearched == ()


@pytest.mark.parametrize(
    ("sources", "mixed", "rows"),
    [
        ("web: {tokens: 200B tokens, weight: 3}, code: {tokens: 30B tokens, weight: 1}", "", "web: 1.12, code: 2.50"),
        ("web: {tokens: 200B tokens}, code: {tokens: 100B tokens}", "temperature: 1, ", "web: 1.00, code: 1.00"),
        (
            "web: {words: 200B words, tokens_per_word: 1.5, weight: 75%}, code: {tokens: 100B tokens, weight: 25%}",
            "",
            "web: 0.75, code: 0.75",
        ),
        ("web: {tokens: 300B tokens}", "", "web: 1.00"),
    ],
)
def test_mixtures_are_drawn_as_the_plan_draws_them(tmp_path, sources, mixed, rows):
    text = f"""
title: x
corpus: {{{mixed}sources: {{{sources}}}}}
batch: {{global_batch: 1024}}
phases: [{{steps: 71526, sequence_length: 4096}}]
stated: {{sources: {{{rows}}}}}
"""
    found = audit(tmp_path, text)
    assert str(found.verdict) in ("consistent", "consistent-with-rounding")
    names = {check.name for check in found.readings[0].checks}
    assert ("sum of the weights" in names) == ("%" in sources)


@pytest.mark.parametrize(("code", "verdict"), [("2.00", "consistent"), ("1.00", "inconsistent")])
@pytest.mark.parametrize("weight", ["", ", weight: 50%"])
def test_phases_with_sources_of_their_own(tmp_path, code, verdict, weight):
    """The weights of the corpus, which no phase uses, say nothing then."""
    text = f"""
title: x
corpus: {{sources: {{web: {{tokens: 200B{weight}}}, code: {{tokens: 50B{weight}}}}}}}
batch: {{global_batch: 1024}}
phases:
  - {{tokens: 200B, sequence_length: 4096, sources: {{web: 1}}}}
  - {{tokens: 100B, sequence_length: 2048, sources: {{code: 1}}}}
stated: {{epochs: 1.20, sources: {{web: 1.00, code: {code}}}}}
"""
    found = audit(tmp_path, text)
    assert str(found.verdict).startswith(verdict)
    checks = {check.name: check for check in found.readings[0].checks}
    assert float(checks["epochs of code"].derived.point) == pytest.approx(2, abs=1e-3)


def test_a_reading_s_set_has_its_own_formulas(tmp_path):
    two = "{phases: [{steps: 900K, sequence_length: 128}, {steps: 100K, sequence_length: 512}]}"
    found = audit(tmp_path, CLAIM.replace("{phases.0.sequence_length: 128}", two))
    short = {check.name: check for check in found.readings[1].checks}
    assert short["tokens"].derived.point == 256 * (900_000 * 128 + 100_000 * 512)


RECIPE = "title: t\nbatch: {global_batch: 4}\nphases: [{steps: 5}]\nstated: {samples: 20}\n"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            RECIPE.replace("4}", "10, devices: 4, per_device: 2}"),
            ["c.yaml:2: global batch 10 cannot be built on 4 devices"],
        ),
        (
            RECIPE
            + "readings:\n  a: {set: {phases.0.stepz: 4}}\n  b: {set: {phases.3.steps: 4}}\n  c: {set: {foo: 4}}\n"
            "  d: {set: {stated.samples: 25}}\n  e: {set: {seed: 25}}\n  f: {set: {batch.uneven: allow}}\n",
            [
                "c.yaml:6: unknown key 'phases.0.stepz'",
                "c.yaml:7: there is no phases.3: '3' must be a number from 0 to 0",
                "c.yaml:8: readings.c.set.foo: it is not a setting",
                "c.yaml:9: readings.d.set.stated.samples: it is not a setting that a claim's numbers follow from; "
                "say so in readings.d.checks",
                "c.yaml:10: readings.e.set.seed: it is not a setting",
                "c.yaml:11: readings.f.set: it changes nothing that is checked",
            ],
        ),
        (
            RECIPE + "checks: {samples: {formula: global_batch, stated: 4}}\n",
            ["c.yaml:5: checks.samples and stated.samples: keep one"],
        ),
        (
            RECIPE.replace("{samples: 20}", "{samples: , hours: abc, epochs: {foo: 1}}"),
            [
                "c.yaml:4: stated.samples: it is empty",
                "c.yaml:4: stated.hours.number: the number 'abc' is not a number",
                "c.yaml:4: unknown key 'stated.epochs.foo'",
                "c.yaml:4: missing key 'stated.epochs.number'",
            ],
        ),
        (
            RECIPE.replace("{samples: 20}", "{sources: {w: abc, v: 2}, epohcs: 5}")
            + "corpus: {sources: {w: {samples: 5B, weight: 1}}}\n",
            [
                "c.yaml:4: stated.sources.v: there is no source 'v'",
                "c.yaml:4: stated.sources.w.number: the number 'abc' is not a number",
                "c.yaml:4: stated.epohcs: a plan does not know it",
            ],
        ),
        (
            RECIPE.replace("{samples: 20}", "{}"),
            ["c.yaml:4: stated: names and values of what the work says comes out; it is empty"],
        ),
        (RECIPE + "note\x00s: []\n", ["c.yaml:5: a control character, which YAML does not have."]),
        (RECIPE + "facts: &f {a: *f}\n", ["c.yaml:5: an alias stands within its own anchor, so it has no end."]),
        (RECIPE + f"facts: {'[' * 5000}\n", ["c.yaml:5: keys or lists are nested more than 50 deep"]),
        (
            "title: t\nfacts: {a: 5}\nchecks: {x: {formula: a, stated: 1,022,362}}\n",
            ["c.yaml:3: stated is cut at a comma before '022': inside { } a comma begins another key."],
        ),
    ],
)
def test_every_problem_has_its_line_and_no_other_is_made_up(tmp_path, text, messages):
    with pytest.raises(InputError) as caught:
        audit(tmp_path, text)
    lines = str(caught.value).split("\n")
    assert [
        line.removeprefix(f"{tmp_path}/")[: len(start)] for line, start in zip(lines, messages, strict=True)
    ] == messages


def test_a_rounded_batch_in_tokens_is_refused_with_the_way_to_write_it(tmp_path):
    """A paper's 4M tokens are no whole number of sequences of 2048; facts and a formula take them as printed."""
    with pytest.raises(RecipeError) as caught:
        audit(tmp_path, CLAIM.replace("{global_batch: 256}", "{global_batch: 4M tokens}").replace("512}]", "2048}]"))
    assert caught.value.origin.line == 4
    assert caught.value.fixes[-1].startswith("a claim of facts and formulas, where the work prints a rounded number")
    text = """
title: printed
facts: {tokens: 1.4T tokens, batch: 4M tokens}
checks: {steps: {formula: tokens / batch, stated: 350K steps}}
readings: {binary: {facts: {batch: 4Mi tokens}}}
"""
    assert str(audit(tmp_path, text).verdict) == "consistent"

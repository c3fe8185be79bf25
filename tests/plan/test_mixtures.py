"""Phases with sources of their own, and mixing by temperature: numbers that were worked out by hand."""

from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts, PackingFacts, SourceFacts
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import Recipe
from dist_epochs.recipe.reading import make_recipe
from dist_epochs.settings.document import Document

STATED = {"sources": {"web": {"tokens": "80K"}, "code": {"tokens": "16K"}, "math": {"tokens": "8K"}}}
FACTS = CorpusFacts(
    sources=tuple(
        SourceFacts(name=name, documents=size, words=0, tokens=16 * size, packed={16: PackingFacts(size, 16 * size, 0)})
        for name, size in (("web", 400), ("code", 100), ("math", 20))
    ),
    fingerprint="content",
    store="store",
    packing="a rule of packing",
    order="a rule of order",
)


def recipe(phases, corpus=STATED, **sections) -> Recipe:
    document = Document("test")
    document.data = {"corpus": corpus, "batch": {"global_batch": 10}, "phases": phases, **sections}
    return make_recipe(document, Path("test.yaml"))


def plan(phases, corpus=STATED, facts=None, **sections):
    return make_plan(recipe(phases, corpus, **sections), facts=facts)


def counted(phases, **corpus):
    return plan(phases, {"store": "store", **corpus}, FACTS)


def phase(sources=None, steps=None, length=16, **settings):
    amount = {"steps": steps} if steps else {}
    return {"sequence_length": length, **amount, **({"sources": sources} if sources else {}), **settings}


def samples(made):
    return [{source.name: source.samples for source in sources} for sources in made.phase_sources]


def test_each_phase_draws_its_own_sources():
    made = counted(
        [phase(None, 8), phase({"code": 3, "math": 1}, 4), phase({"math": 1}, 2)], weights={"web": 3, "code": 1}
    )
    assert samples(made) == [{"web": 60, "code": 20}, {"code": 30, "math": 10}, {"math": 20}]
    assert {source.name: source.samples for source in made.sources} == {"web": 60, "code": 50, "math": 30}
    assert {source.name: source.epochs for source in made.sources} == {
        "web": Fraction(60, 400), "code": Fraction(1, 2), "math": Fraction(3, 2)
    }  # fmt: skip
    assert {source.name: source.share for source in made.sources} == {
        "web": Fraction(60, 140), "code": Fraction(50, 140), "math": Fraction(30, 140)
    }  # fmt: skip
    assert made.epochs["samples"] == Fraction(140, 520)
    shown = plan_json(made)["phases"]
    assert shown[1]["sources"] == [
        {"name": "code", "weight": 3, "share": 0.75, "samples": 30, "tokens": None, "epochs": 0.3},
        {"name": "math", "weight": 1, "share": 0.25, "samples": 10, "tokens": None, "epochs": 0.5},
    ]


def test_the_corpus_is_what_some_phase_draws():
    made = counted([phase({"code": 1}, 5), phase({"math": 1, "code": 1}, 2)])
    assert [source.name for source in made.sources] == ["code", "math"]
    assert made.epochs["samples"] == Fraction(70, 120)
    assert plan_json(counted([phase(None, 5)], weights={"web": 1}))["phases"][0]["sources"] is None


def test_epochs_of_a_phase_are_passes_over_its_sources():
    made = counted([phase({"web": 1}, epochs=1), phase({"code": 1, "math": 1}, epochs=Fraction(1, 2))])
    assert [each.samples for each in made.phases] == [400, 60]
    stated = plan([phase({"web": 1}, epochs=1), phase({"code": 1, "math": 1}, epochs=Fraction(1, 2))])
    assert [each.samples * 16 for each in stated.phases] == [80_000, 12_000]
    whole = plan([phase({"web": 1}, share=Fraction(1, 2)), phase({"code": 1, "math": 1})], budget={"epochs": 1})
    assert [each.samples * 16 for each in whole.phases] == [52_000, 52_000]


def test_what_a_phase_takes_beyond_its_epochs_is_not_taken_off_those_of_other_sources():
    made = counted([phase({"web": 1}, epochs=Fraction(201, 400)), phase({"math": 1}, epochs=1)])
    assert [each.samples for each in made.phases] == [210, 20]
    assert [(found.measure, found.amount) for found in made.excesses] == [("epochs of web", Fraction(9, 400))]


def test_lengths_have_cursors_of_their_own():
    made = plan(
        [phase({"math": 1}, 2), phase({"math": 1, "code": 1}, 2, 32), phase({"math": 1, "web": 1, "code": 2}, 2)]
    )
    assert samples(made) == [{"math": 20}, {"code": 10, "math": 10}, {"web": 5, "code": 10, "math": 5}]
    math = next(source for source in made.sources if source.name == "math")
    assert math.epochs_at == {16: Fraction(25 * 16, 8000), 32: Fraction(10 * 32, 8000)}


def test_a_fingerprint_is_another_only_where_other_samples_are_drawn():
    weights = {"web": 3, "code": 1}
    plain = counted([phase(None, 8), phase(None, 4)], weights=weights)
    stated = counted([phase({"web": "75%", "code": "25%"}, 8), phase(weights, 4)])
    other = counted([phase(None, 8), phase({"web": 1}, 4)], weights=weights)
    assert plain.fingerprint == stated.fingerprint != other.fingerprint
    assert plain.phase_sources == ()


@pytest.mark.parametrize("place", ["mixture", "corpus"])
def test_temperature_in_either_place(place):
    """√80000 : √16000 : √8000, rounded to ten-thousandths; α = 1/2."""
    stated = {"temperature": 2}
    made = recipe([phase(None, 8)], **({"corpus": STATED | stated} if place == "corpus" else {"mixture": stated}))
    assert (made.mixture, made.corpus.temperature) == (None, 2)
    roots = {"web": 80_000**0.5, "code": 16_000**0.5, "math": 8_000**0.5}
    counts = {name: round(root / sum(roots.values()) * 10_000) for name, root in roots.items()}
    shares = {source.name: source.share for source in make_plan(made).sources}
    assert shares == {name: Fraction(count, sum(counts.values())) for name, count in counts.items()}


def test_temperature_of_a_store_goes_by_its_tokens():
    shares = {source.name: source.share for source in counted([phase(None, 8)], temperature=2).sources}
    assert shares == {"web": Fraction(5802, 10_000), "code": Fraction(2901, 10_000), "math": Fraction(1297, 10_000)}


def test_temperature_counts_for_phases_without_sources_of_their_own():
    made = counted([phase({"math": 1}, 1), phase(None, 1000)], temperature=2)
    assert samples(made) == [{"math": 10}, {"web": 5802, "code": 2901, "math": 1297}]
    (told,) = (warning.message for warning in made.warnings if warning.rule == "temperature-rounded")
    assert "web 0.5802, code 0.2901, math 0.1297" in told


@pytest.mark.parametrize(
    ("phases", "corpus", "sections", "asked"),
    [
        ([phase({"law": 1}, 2)], STATED, {}, "phases.0.sources names 'law'"),
        ([phase(None, 2), phase({"web": 1}, 2)], {"tokens": "1M"}, {}, "phases.1.sources: the corpus has no sources"),
        ([phase({"web": 1}, 2)], STATED, {}, "corpus.sources: no phase draws code, math"),
        ([phase({"web": 1}, 2), phase(None, 2)], STATED, {}, "weight does not say how to mix them"),
        ([phase({"web": 1}, epochs=1), phase({"code": 1, "math": 1})], STATED, {"budget": {"epochs": 2}},
         "phases.0.epochs: a budget in epochs"),
        ([phase({"web": 0}, 2)], STATED, {}, "it must be above zero"),
        ([phase(None, 2)], STATED | {"temperature": 1}, {"mixture": {"temperature": 2}}, "are the same setting"),
        ([phase(None, 2)], {"tokens": "1M"}, {"mixture": {"temperature": 2}}, "this corpus has one"),
    ],
)  # fmt: skip
def test_what_cannot_be_mixed(phases, corpus, sections, asked):
    with pytest.raises(InputError) as caught:
        plan(phases, corpus, **sections)
    assert asked in str(caught.value)


def test_weights_of_a_phase_that_look_like_shares():
    made = counted([phase({"web": "60%", "code": "60%"}, 8), phase({"math": 1}, 1)])
    (told,) = (warning.message for warning in made.warnings if warning.rule == "weights-beyond-one")
    assert told == "the weights of phases.0 add up to 1.2, and are taken in proportion"


def test_the_cap_looks_at_all_phases_together():
    made = counted([phase({"web": 1}, 20), phase({"math": 1}, 6)], max_epochs=2)
    assert {source.name: source.fitting_share for source in made.sources}["math"] == Fraction(1538, 10_000)
    assert any(warning.rule == "over-the-cap" for warning in made.warnings)

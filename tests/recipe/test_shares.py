"""Shares, in all forms that mean one thing."""

from fractions import Fraction

import pytest

from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import read_recipe
from dist_epochs.settings.document import RecipeError

RECIPE = """
name: x
corpus: {sources: {web: {tokens: 200B, share: SHARE}}}
batch: {global_batch: 64, devices: 8}
budget: {steps: 1k}
phases: [{share: PHASE, sequence_length: 512}]
hardware: {device: H100, mfu: MFU}
model: {config: bert-base, mask_probability: MASK}
"""


def read(tmp_path, share="100%", phase="100%", mfu="40%", mask="15%"):
    path = tmp_path / "r.yaml"
    text = RECIPE.replace("SHARE", share).replace("PHASE", phase).replace("MFU", mfu).replace("MASK", mask)
    path.write_text(text)
    return read_recipe(path)


@pytest.mark.parametrize(
    "whole", ["100%", "100 %", "'100%'", "100.0%", "1", "1.0", "100 percent", "100 per cent", "100 pct", "2/2"]
)
def test_the_whole(tmp_path, whole):
    recipe = read(tmp_path, share=whole, phase=whole)
    assert recipe.phases[0].share == 1
    assert recipe.corpus.sources["web"].weight == 1
    found = make_plan(recipe)
    assert (found.steps, [source.share for source in found.sources]) == (1000, [1])


def test_a_mixture_with_shares(tmp_path):
    path = tmp_path / "r.yaml"
    sources = (
        "{web: {tokens: 200B, share: 60%}, code: {tokens: 30B, share: 0.3}, wiki: {tokens: 4B, weight: 10 percent}}"
    )
    path.write_text(RECIPE.replace("{web: {tokens: 200B, share: SHARE}}", sources).replace("PHASE", "100%")
                    .replace("MFU", "40 %").replace("MASK", "15 per cent"))  # fmt: skip
    recipe = read_recipe(path)
    assert [source.share for source in make_plan(recipe).sources] == [Fraction(3, 5), Fraction(3, 10), Fraction(1, 10)]
    assert recipe.model.mask_probability == Fraction(15, 100)


@pytest.mark.parametrize(
    ("place", "value", "asked", "fixes"),
    [
        ("phase", "110%", "phases.0.share: it must be above 0 and at most 1 (100%), not 110%", ()),
        ("phase", "90", "phases.0.share: it must be above 0 and at most 1 (100%), not 90", ("90%",)),
        ("phase", "100", "phases.0.share: it must be above 0 and at most 1 (100%), not 100", ("100%",)),
        ("phase", "0%", "phases.0.share: it must be above 0 and at most 1 (100%), not 0%", ()),
        ("share", "0%", "corpus.sources.web.share: it must be above zero, not 0%", ()),
        ("mfu", "101%", "hardware.mfu: it must be above 0 and at most 1 (100%), not 101%", ()),
        ("mask", "100%", "model.mask_probability: it must be a part, not all of it, and it is 100%", None),
    ],
)
def test_what_is_no_share(tmp_path, place, value, asked, fixes):
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, **{place: value})
    (error,) = caught.value.errors
    assert error.asked == asked
    assert fixes is None or error.fixes == fixes

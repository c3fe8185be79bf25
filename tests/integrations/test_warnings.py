"""Each rule for loops under way: when it speaks, what it says, and that it is silent otherwise."""

from fractions import Fraction

import pytest

from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.integrations.schedule import Schedule
from dist_epochs.integrations.warnings import RULES
from dist_epochs.rules import PAGES, rule_name

MAP = LoaderFacts(
    samples=101, per_device=8, uneven="pad", sampler="RandomSampler", splitters=("Accelerate's BatchSamplerShard",)
)
STREAM = LoaderFacts(per_device=8, is_stream=True)

SPEAKS = {
    "scheduler-times-processes": (
        {"processes": 4, "schedule": Schedule(8, 2, 100)},
        "advances 4 times per step (once per process): its 100 advances are over at step 25",
    ),
    "same-samples-on-ranks": (
        {"ranks": 4, "duplicate_ranks": (1, 3), "duplicate_steps": 9, "compared_steps": 10},
        "ranks 1 and 3 drew the same samples in 9 of 10 steps",
    ),
    "long-window": (
        {"accumulation": 4, "knows_windows": True, "windows": {4: 1, 6: 3}},
        "with 6 micro-batches, and the accumulation is 4",
    ),
    "short-window": (
        {"accumulation": 4, "knows_windows": True, "windows": {4: 1, 2: 3}},
        "was taken with 2 of 4 micro-batches",
    ),
    "padded-duplicates": (
        {"ranks": 4, "samples": 101, "pass_samples": 128, "loader": MAP},
        "27 duplicates from even_batches (4 devices × 8)",
    ),
    "dropped-data": ({"ranks": 2, "samples": 101, "pass_samples": 96}, "drew 96, 5 less"),
    "data-split-twice": (
        {"ranks": 4, "samples": 400, "pass_samples": 100, "loader": LoaderFacts(per_device=5)},
        "drew 100: 1/4, so it is split twice",
    ),
    "uneven-ranks": ({"ranks": 2, "is_uneven": True, "step": 9}, "the ranks differ at step 9"),
    "sampler-not-resumable": (
        {"from_step": 5, "in_pass": 20, "samples": 64, "loader": MAP},
        "about 14 samples are drawn twice in this pass",
    ),
    "shuffled-plan": (
        {"loader": LoaderFacts(sampler="RandomSampler", is_plan=True)},
        "RandomSampler shuffles the draws of a plan",
    ),
    "stream-restarted": (
        {"from_step": 25, "before": 250, "samples": 100, "loader": STREAM, "is_hf_trainer": True},
        "resumed after 2.500 passes",
    ),
    "skipped-steps": ({"skipped": 3}, "step 3 was skipped"),
    "tokens-assumed": ({"assumes_tokens": True}, "every position is taken for a token"),
    "samples-by-restarts": ({"counts_restarts": True}, "where position_ids begin again"),
    "learned-size": (
        {
            "ranks": 3, "samples": 54, "is_learned": True,
            "loader": LoaderFacts(per_device=6, uneven="pad", is_stream=True),
        },
        "a pass has 54 samples as the first one drew, up to 17 of them padding",
    ),
    "other-data": ({"samples": 8, "other_size": 6}, "a loader over 6 samples was watched besides that over 8"),
    "uncounted-steps": ({"from_step": 7, "gap": 2}, "steps 6 to 7 were taken and not recorded"),
    "uncounted-batches": (
        {"uncounted": 1, "why_uncounted": "no tensor\nat all"},
        "a batch cannot be counted: no tensor; steps are counted, samples and tokens are unknown",
    ),
    "interleaved-loaders": ({"is_interleaved": True}, "micro-steps and passes are unknown"),
    "hidden-labels": ({"hides_labels": True}, "loss tokens are unknown"),
    "steps-without-batches": ({"empty_steps": 1, "last_empty": 3}, "a step after step 3 had no batch"),
    "unstepped-batches": ({"unstepped": 2, "step": 9}, "2 micro-batches were drawn after step 9"),
    "counting-stopped": (
        {"lost": "Connection reset\nby peer", "step": 4},
        "after step 4, since another rank is gone (Connection",
    ),
    "reported-epoch": (
        {"reported": 2.3333, "epoch": Fraction(3), "loader": STREAM, "is_hf_trainer": True},
        "the HF Trainer says epoch 2.333, and 3 were trained: it does not know how long a pass of a stream is",
    ),
}  # fmt: skip


def said(**facts):
    return {rule_name(rule): message for rule in RULES if (message := rule(ObservedLoop(**facts)))}


def test_every_rule_is_here_and_has_a_page():
    assert {rule_name(rule) for rule in RULES} == set(SPEAKS)
    elsewhere = {"padded-duplicates", "dropped-data", "uneven-ranks", "scheduler-times-processes"}
    for name in (
        SPEAKS.keys()
        - elsewhere
        - {"samples-by-restarts", "unstepped-batches", "counting-stopped", "steps-without-batches", "uncounted-batches"}
    ):
        assert "What to do" in PAGES[name], name


@pytest.mark.parametrize("name", SPEAKS)
def test_a_rule_speaks(name):
    facts, message = SPEAKS[name]
    found = said(**facts)
    assert message in found[name]
    assert found.keys() - {"scheduler-times-processes"} <= {name, "reported-epoch"}, "one cause, one line"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {
            "ranks": 4,
            "processes": 4,
            "schedule": Schedule(3, 3, 100),
            "accumulation": 4,
            "knows_windows": True,
            "windows": {4: 1},
        },
        {"ranks": 4, "samples": 128, "pass_samples": 128, "loader": MAP, "reported": 1.0, "epoch": Fraction(1)},
        {"from_step": 5, "in_pass": 0, "samples": 64, "loader": MAP},
        {"from_step": 5, "in_pass": 20, "samples": 64, "loader": LoaderFacts(sampler="SeedableRandomSampler")},
        {"from_step": 5, "before": 50, "samples": 100, "loader": STREAM, "is_hf_trainer": True},
        {"schedule": Schedule(4, 1, 100), "processes": 4},
        {"ranks": 4, "duplicate_ranks": (0, 1), "duplicate_steps": 7, "compared_steps": 7, "loader": MAP},
        {"ranks": 4, "duplicate_ranks": (0, 1), "duplicate_steps": 20, "compared_steps": 40, "has_ended": True},
        {"ranks": 4, "processes": 4, "schedule": Schedule(8, 2, 26), "loader": MAP},
        {"ranks": 4, "processes": 4, "schedule": Schedule(8, 2, 6), "loader": MAP, "accumulation": 4, "step": 2},
        {"accumulation": 1, "windows": {4: 1}},
        {"samples": 110, "pass_samples": 110, "is_learned": True, "ranks": 4, "loader": STREAM},
        {"samples": 110, "pass_samples": 110, "is_learned": True, "loader": LoaderFacts(uneven="pad", is_stream=True)},
        {"samples": 55, "is_learned": True, "loader": LoaderFacts(per_device=1, uneven="drop", is_stream=True)},
    ],
)
def test_nothing_is_said_where_all_is_well(facts):
    assert not said(**facts)


@pytest.mark.parametrize(
    ("facts", "rest"),
    [
        ({"uneven": "pad", "workers": 2}, "up to 22 of them padding"),
        ({"uneven": "drop"}, "and drop_last left out up to 11 more"),
        ({"uneven": "pad", "pads_to_ranks": True}, "up to 2 of them padding"),
        ({"uneven": "pad", "pads_to_ranks": True, "workers": 2}, "and what was padded or left out is not known"),
        ({"is_stream": False}, "and what was padded or left out is not known"),
    ],
)
def test_what_a_learned_size_may_hold(facts, rest):
    loader = LoaderFacts(**{"per_device": 4, "is_stream": True, **facts})
    found = said(ranks=3, samples=48, is_learned=True, loader=loader)
    assert found == {"learned-size": f"a pass has 48 samples as the first one drew, {rest}; state samples="}


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        ({}, "full round of 3 × 4"),
        ({"pads_to_ranks": True}, "multiple of 3 ranks"),
        ({"pads_to_ranks": True, "drops_short_batch": True}, "full micro-batch of 4 on each of 3 ranks"),
    ],
)
def test_what_drop_last_leaves_out(facts, part):
    loader = LoaderFacts(per_device=4, uneven="drop", **facts)
    message = said(ranks=3, samples=38, pass_samples=36, loader=loader)["dropped-data"]
    assert message == f"a pass over 38 samples drew 36, 2 less: drop_last leaves out what is no {part}"


def test_a_gap_has_its_cause():
    padded = said(ranks=4, samples=101, pass_samples=128, loader=MAP, reported=1.0, epoch=Fraction(128, 101))
    assert padded["reported-epoch"].endswith("27 duplicates a pass from even_batches (4 devices × 8)")
    short = LoaderFacts(samples=37, per_device=4, uneven="pad")
    inside = said(samples=37, loader=short, reported=0.3, epoch=Fraction(12, 37), is_hf_trainer=True)
    assert inside["reported-epoch"].endswith("it counts micro-batches, and the last of a pass has 1 of 4 samples")
    changed = said(samples=80, from_step=10, changed=True, reported=2.0, epoch=Fraction(3, 2), is_hf_trainer=True)
    assert changed["reported-epoch"].endswith("it counts what was done before with today's devices and batch")

"""Every cause plays a part somewhere, has a page, and carries the name that `explain` knows."""

import pytest
from click.testing import CliRunner

from dist_epochs import rules
from dist_epochs.cli.main import main
from dist_epochs.frameworks.causes import CAUSES
from dist_epochs.frameworks.causes.effects import by_effect
from dist_epochs.frameworks.registry import FRAMEWORKS, find
from dist_epochs.rules import rule_name
from tests.frameworks.test_frameworks import run

SHOWN = {
    "even-batches": ("hf", (24, 1), {"devices": 5, "epochs": 1}, "1 duplicate a pass"),
    "sampler-padding": ("ddp", (1003, 8), {"devices": 4, "epochs": 1}, "up to a multiple of 4 devices"),
    "dispatcher-padding": ("accelerate-streaming", (280, 8), {"devices": 3, "epochs": 1}, "2 duplicates a pass"),
    "drop-last": ("lightning", (101, 8), {"devices": 2, "epochs": 1, "uneven": "drop"}, "5 of 101 samples a pass"),
    "drop-last-ignored": ("hf-streaming", (31, 4), {"steps": 9, "uneven": "drop"}, "has no effect on a stream"),
    "floored-plan": ("hf==4.48", (91, 10, 2), {"devices": 2, "epochs": 10},
                     "⌊5 ÷ 2⌋: its 20 steps for 10 epochs end at 6.8"),
    "carried-window": ("hf==4.44", (148, 2, 6), {"steps": 200}, "12.33 steps a pass"),
    "flushed-window": ("hf", (148, 2, 6), {"steps": 200}, "13 steps a pass, the last of 2 micro-steps instead of 6"),
    "leaked-window": ("ddp", (100, 10, 4), {"steps": 3}, "windows of 4, 4, 6"),
    "wrong-remainder": ("hf==4.48", (13, 2, 4), {"steps": 10},
                        "13 % 4 = 1 micro-step, which leaks into the next pass; 2 a pass are"),
    "short-pass": ("hf==4.44", (9, 2, 8), {"steps": 7}, "a pass of 5 micro-steps is shorter than a window of 8"),
    "unstepped-end": ("keras", (103, 10, 4), {"epochs": 3}, "the last 1 micro-step of the run"),
    "tail-weight": ("accelerate", (148, 2, 6), {"steps": 200}, "its gradient weighs 2/6"),
    "stream-epoch": ("hf-streaming", (100, 10), {"steps": 30}, "epoch = 2 + 10 ÷ 30"),
    "loop-counter": ("lightning", (100, 10), {"steps": 23}, "ends after 2.3 of them"),
    "short-batch": ("hf", (37, 4), {"steps": 15}, "ends after 1.541 passes by samples"),
    "index-epochs": ("megatron", (100, 10), {"steps": 11}, "2 for 1.1 that are drawn"),
    "no-epoch": ("tf1", (100, 10), {"steps": 23}, "23 × 10 ÷ 100 = 2.3 epochs"),
    "scheduler-times-processes": ("accelerate", (800, 2), {"devices": 4, "epochs": 1}, "is over at step 25"),
    "steps-by-hand": ("hf-streaming", (91, 10), {"epochs": 3}, "⌈3 × 91 ÷ 10⌉ = 28"),
    "rounded-down": ("tf1", (91, 10), {"epochs": 1}, "1 sample of the epochs is not drawn"),
    "multiplied-floats": ("hf", (50, 1), {"epochs": "1.1"}, "1.1 × 50 are 56 steps, not 55"),
}  # fmt: skip


PAGES = {rule_name(rule): rules.PAGES[rule_name(rule)] for rule in CAUSES}


@pytest.mark.parametrize("name", PAGES)
def test_a_run_in_which_it_plays_a_part(name):
    framework, sizes, more, message = SHOWN[name]
    rule = dict(zip(PAGES, CAUSES, strict=True))[name]
    assert message in rule(run(framework, *sizes, **more))
    assert any(rule in version.causes for each in FRAMEWORKS for version in each.versions)


@pytest.mark.parametrize("name", PAGES)
def test_its_page(name):
    assert "What to do" in PAGES[name]
    assert CliRunner().invoke(main, ["explain", name]).output.strip() == PAGES[name]


@pytest.mark.parametrize(
    ("name", "sizes", "more", "names"),
    [
        ("hf==4.48", (91, 10, 2), {"devices": 2, "epochs": 10}, ["floored-plan", "even-batches", "flushed-window"]),
        ("hf==4.44", (85, 10, 2), {"devices": 2, "epochs": 1}, ["floored-plan", "even-batches", "carried-window"]),
        ("ddp", (91, 10, 2), {"devices": 2, "steps": 9}, ["leaked-window", "loop-counter", "sampler-padding"]),
    ],
)
def test_the_largest_effect_comes_first(name, sizes, more, names):
    found = run(name, *sizes, **more)
    rules = tuple(rule for rule in find(name).version.causes if rule(found))
    assert [rule_name(rule) for rule in by_effect(rules, found)] == names


def test_divisible_runs_need_no_causes():
    for name in ("hf", "hf==4.44", "hf==4.48", "lightning", "ddp", "keras", "gpt-neox"):
        found = run(name, 96, 4, 3, devices=2, epochs=2)
        assert [rule(found) for rule in find(name).version.causes if rule(found)] == []
        assert found.reported.epoch == found.truth.epochs == 2

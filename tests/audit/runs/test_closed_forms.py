"""Random runs as the Trainer makes them, by the planner's closed forms: true claims are never contradicted."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from dist_epochs.audit.readers.trainer_state import read_trainer_state
from dist_epochs.audit.records.record import Number
from dist_epochs.audit.runs.claims import read_claims
from dist_epochs.audit.runs.run_audit import audit_run
from dist_epochs.errors import InputError
from dist_epochs.frameworks.setting import Setting
from dist_epochs.frameworks.transformers import TRANSFORMERS, TRANSFORMERS_STREAMING

SEEDS = range(150)


def made(seed, framework):
    """A setting, and what the Trainer makes of it."""
    draw = random.Random(seed)
    while True:
        by_steps = framework is TRANSFORMERS_STREAMING or draw.random() < 0.4
        setting = Setting(
            samples=draw.randint(3, 3000),
            per_device=draw.choice([1, 2, 4, 8, 10]),
            data_parallel_size=draw.choice([1, 1, 2, 3, 4, 8]),
            gradient_accumulation=draw.choice([1, 1, 2, 4, 7]),
            epochs=None
            if by_steps
            else draw.choice([Fraction(n) for n in (1, 2, 3, 5)] + [Fraction(110, 100), Fraction(235, 100)]),
            steps=draw.randint(1, 400) if by_steps else None,
            uneven=draw.choice(["pad", "drop"]),
        )
        try:
            return setting, framework.versions[-1].run(setting)
        except InputError:
            continue


def audited(seed, write_state, framework=TRANSFORMERS, **changes):
    """The verdict on a run with its true claims, or some of them changed."""
    setting, run = made(seed, framework)
    rows = []
    if run.loader is not None and framework is not TRANSFORMERS_STREAMING:
        every, per_pass = max(run.reported.steps // 7, 1), run.loader.micro_steps_per_pass
        for step in range(every, run.reported.steps + 1, every):
            rows.append({"step": step, "epoch": run.loader.after_steps(step).micro_steps / per_pass, "loss": 1.0})
    path = write_state(
        global_step=run.reported.steps,
        max_steps=run.reported.steps,
        epoch=float(run.reported.epoch),
        num_train_epochs=run.reported.num_epochs,
        train_batch_size=setting.per_device,
        log_history=rows,
    )
    claims = {
        "corpus": f"{setting.samples} samples", "epochs": f"{float(run.truth.epochs):.2f}", "steps": run.reported.steps,
        "samples": run.truth.samples, "devices": setting.data_parallel_size, "per_device": setting.per_device,
        "gradient_accumulation": setting.gradient_accumulation, "global_batch": setting.global_batch,
    }  # fmt: skip
    draw = random.Random(seed + 1)
    kept = {name for name in claims if draw.random() < 0.8} | set(changes)
    texts = {name: str(changes.get(name, lambda old: old)(claims[name])) for name in claims if name in kept}
    if float(claims["epochs"]) <= 0:
        texts.pop("epochs", None)
    return audit_run(read_trainer_state([path], "run"), read_claims(texts))


OLD = [replace(TRANSFORMERS, versions=(version,)) for version in TRANSFORMERS.versions[:-1]]


@pytest.mark.parametrize(
    "framework", [TRANSFORMERS, *OLD, TRANSFORMERS_STREAMING], ids=["map-style", "4.44", "4.48", "stream"]
)
def test_true_claims_are_never_contradicted(write_state, framework):
    wrong = {}
    for seed in SEEDS:
        audit = audited(seed, write_state, framework)
        if audit.verdict == "inconsistent":
            wrong[seed] = [
                (c.name, c.stated, str(c.derived)) for c in audit.readings[0].checks if c.agreement == "contradicts"
            ]
    assert not wrong


@pytest.mark.parametrize("name", ["devices", "gradient_accumulation", "steps"])
def test_wrong_claims_are_mostly_not_consistent(write_state, name):
    change = (lambda old: old + 1) if name == "steps" else (lambda old: 2 * old)
    verdicts = [audited(seed, write_state, **{name: change}).verdict for seed in SEEDS]
    refused = sum(not verdict.startswith("consistent") for verdict in verdicts)
    assert refused > 0.7 * len(verdicts), (refused, len(verdicts))


def test_a_run_that_was_asked_for_a_fraction(write_state):
    """What was asked for is right, too, though whole steps make a little more of it."""
    for seed in SEEDS:
        setting, run = made(seed, TRANSFORMERS)
        if setting.epochs is not None and run.dropped_per_pass == 0:
            asked = f"{float(setting.epochs):.2f}"
            audit = audited(seed, write_state, epochs=lambda old, asked=asked: asked)
            assert audit.verdict != "inconsistent", (seed, setting)


@pytest.mark.parametrize("framework", [TRANSFORMERS, *OLD], ids=["5", "4.44", "4.48"])
def test_corpus_and_batch_alone_hold_the_samples(write_state, framework):
    """The rest of the layout is not claimed: the logged epoch tells of it what it can, and never a wrong thing."""
    for seed in range(80):
        setting, run = made(seed, framework)
        path = write_state(
            global_step=run.reported.steps, max_steps=run.reported.steps, epoch=float(run.reported.epoch),
            num_train_epochs=run.reported.num_epochs,
        )  # fmt: skip
        claims = read_claims({"corpus": f"{setting.samples} samples", "global_batch": str(setting.global_batch)})
        audit = audit_run(read_trainer_state([path], "run"), claims)
        assert audit.verdict != "inconsistent", (seed, setting)
        agreeing = [reading for reading in audit.readings if not reading.is_contradicted]
        drawn = [check.derived for reading in agreeing for check in reading.checks if check.name == "samples"]
        assert any(one.holds(Fraction(run.truth.samples)) for one in drawn), (seed, setting)


def test_a_number_s_play():
    assert Number.read(350 / 150, "here").interval.holds(Fraction(7, 3))

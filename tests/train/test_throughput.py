"""Throughput by the ledger's counts, where a step's time goes, and the plan's prediction beside them."""

from __future__ import annotations

import json
import threading
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import HardwareRecipe, read_recipe
from dist_epochs.train import loop, signals
from dist_epochs.train import times as module
from dist_epochs.train.checkpoints import NotFinite
from dist_epochs.train.peak import Peak, peak_of
from dist_epochs.train.run import run_recipe
from dist_epochs.train.throughput import Throughput
from dist_epochs.train.times import PARTS, StepTimes

CPU = torch.device("cpu")
H100 = "NVIDIA H100 80GB HBM3"
BERT = read_architecture({"model_type": "bert"}, where="bert-base")
UNPRICED = SimpleNamespace(cost=SimpleNamespace(speed=None, flops_per_token=None, memory=None), phases=())


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only by hand."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now.seconds)
    return now


def test_the_parts_of_a_step_add_up_to_it(clock):
    waited = {"data": 0.0, "communication": 0.0}
    times = StepTimes(CPU, {part: lambda part=part: waited[part] for part in waited})
    clock.seconds += 100  # before training begins
    times.begin()
    for part, seconds, wait in [
        ("logging", 3, {"data": 1.0, "communication": 0.5}),
        ("compute", 10, {"data": 2.0}),
        ("optimizer", 1, {}),
        ("evaluation", 50, {}),
        ("checkpoint", 7, {}),
    ]:
        clock.seconds += seconds
        for name, more in wait.items():
            waited[name] += more
        times.lap(part)
    clock.seconds += 0.25
    first, empty = times.take()(), times.take()()
    assert first.seconds == {
        "data": 3.0, "communication": 0.5, "logging": 1.75, "compute": 8.0, "optimizer": 1.0, "evaluation": 50.0,
        "checkpoint": 7.0,
    }  # fmt: skip
    assert (first.total, first.of_steps) == (71.25, 14.25)
    assert sum(first.seconds[part] for part in PARTS) == first.of_steps
    assert empty.total == 0
    assert (first + first).of_steps == 2 * first.of_steps


def test_on_a_gpu_the_device_is_timed_and_its_events_are_read_late(clock, monkeypatch):
    """The host is a second ahead of a device that takes ten times as long for each part."""
    ready = SimpleNamespace(read=False)

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = 10 * clock.seconds

        def elapsed_time(self, later):
            assert ready.read, "this would wait for the device"
            return 1000 * (later.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    times = StepTimes(torch.device("cuda"), {"data": lambda: clock.seconds / 4})
    times.begin()
    for part, seconds in (("compute", 4), ("optimizer", 1), ("evaluation", 20)):
        clock.seconds += seconds
        times.lap(part)
    read, ready.read = times.take(), True
    interval = read()
    assert interval.seconds == {"compute": 40, "optimizer": 10, "evaluation": 200, "logging": 0, "data": 6.25}
    assert (interval.total, interval.of_steps) == (250, 50)


def throughput(peak=None, plan=UNPRICED, architecture=BERT):
    return Throughput(StepTimes(CPU, {}), plan, architecture=architecture, peak=peak, device=CPU)


def drawn(samples, length, tokens, loss_tokens):
    return {PassKey(0, "web", length, 0): Counts(samples, tokens, loss_tokens)}


def test_rates_count_what_was_applied_and_no_padding(clock):
    speed = throughput()
    for applied in (True, False, True, True):
        speed.count(drawn(8, 128, 1000, 150), applied=applied)
        clock.seconds += 0.5
    values = speed.take()()
    assert (values["rate/steps_per_second"], values["rate/samples_per_second"]) == (1.5, 12)
    assert values["rate/tokens_per_second"] == 1500
    assert values["time/step_seconds"] == 0.5  # of those that were taken
    assert values["memory/peak_bytes"] > 10**8
    assert not {"rate/utilization", "rate/mfu"} & values.keys()  # a CPU has no peak


def test_utilization_names_its_denominator_and_its_numerator(clock):
    """BERT-base at 128: 667,948,032 FLOPs a position with every output, of which 6 × (768² + 30,522 × 768) the head."""
    speed = throughput(peak=peak_of(H100, None, precision="bf16", devices=2))
    speed.count(drawn(1000, 128, 120_000, 19_000), applied=True)
    clock.seconds += 0.25
    values = speed.take()()
    peak, head = 2 * 989.4e12, 6 * (768**2 + 30522 * 768)
    assert values["rate/mfu"] == pytest.approx(667_948_032 * 128_000 / 0.25 / peak, rel=1e-3)
    needed = 667_948_032 * 128_000 - head * (128_000 - 19_000)
    assert values["rate/utilization"] == pytest.approx(needed / 0.25 / peak, rel=1e-3)
    _, line, _ = speed.lines()
    assert "of 2 × 989.4 TFLOP/s (dense bf16 peak of H100 SXM)" in line


@pytest.mark.parametrize(
    ("name", "hardware", "precision", "expected"),
    [
        (None, {"device": "H100"}, "bf16", None),  # a CPU, whatever is planned
        ("Nobody's GPU 9000", None, "bf16", None),
        ("Nobody's GPU 9000", {"device": "H100"}, "bf16", None),
        ("Nobody's GPU 9000", {"peak_tflops": Fraction(100)}, "bf16", (100, None, "bf16")),
        (H100, {"peak_tflops": Fraction(700), "device": "H100 SXM"}, "bf16", (700, None, "bf16")),
        (H100, {"peak_tflops": Fraction(7), "device": "A10"}, "bf16", (Fraction(9894, 10), "H100 SXM", "bf16")),
        (H100, None, "fp32", (Fraction(4947, 10), "H100 SXM", "tf32")),
        ("Tesla V100-SXM2-32GB", None, "bf16", None),  # it has no such mode
    ],
)  # fmt: skip
def test_the_peak_is_that_of_the_devices_that_train(name, hardware, precision, expected):
    recipe = None if hardware is None else HardwareRecipe(**hardware)
    peak = peak_of(name, recipe, precision=precision, devices=1)
    if expected is None:
        assert peak is None
    else:
        tflops, device, of = expected
        assert peak == Peak(per_device=tflops * 10**12, devices=1, device=device, precision=of)


def test_the_plan_predicts_each_phase(write_recipe, store, clock):
    """Steps at 32 positions have twice the positions of those at 16, and a little more than twice the FLOPs."""
    hardware = {"device": "H100", "mfu": 0.4}
    path = write_recipe(store.path, hardware=hardware, batch={"global_batch": 12, "per_device": 3, "devices": 2})
    plan = make_plan(read_recipe(path))
    written = plan_json(plan)["cost"]
    speed = throughput(plan=plan)
    for phase, length in ((0, 16), (1, 32)):
        speed.count({PassKey(phase, "web", length, 0): Counts(12, 12 * length, 24)}, applied=True)
        clock.seconds += 1
        values = speed.take()()
        flops = 12 * length * written["flops_per_token_at"][str(length)]
        assert values["time/planned_step_seconds"] == pytest.approx(flops / (2 * 0.4 * plan.cost.speed.peak))
        assert values["rate/planned_mfu"] == 0.4
        assert values["memory/planned_bytes"] == int(written["memory_bytes"])
    whole = 6 * float(speed._planned_seconds[0]) + 3 * float(speed._planned_seconds[1])
    assert whole == pytest.approx(written["wall_hours"] * 3600)


def rows(folder):
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return [line["values"] for line in lines if line["event"] == "metrics" and "train/loss" in line["values"]]


def test_a_run_logs_and_says_it(write_recipe, store, tmp_path):
    said = []
    recipe = write_recipe(store.path, hardware={"device": "H100"}, evaluation={"every": 4}, log_every=3)
    run_recipe(recipe, tmp_path / "run", say=said.append)
    logged = rows(tmp_path / "run")
    assert len(logged) == 3
    for values in logged:
        parts = [values[f"time/{part}_seconds"] for part in PARTS]
        assert sum(parts) == pytest.approx(values["time/step_seconds"])
        assert min(parts) >= 0
        assert values["rate/steps_per_second"] == pytest.approx(1 / values["time/step_seconds"])
        assert values["time/planned_step_seconds"] > 0
    assert [name for name in logged[1] if "evaluation" in name] == ["time/evaluation_seconds"]
    ours = [line for line in said if "tokens/s" in line or "peak memory" in line]
    assert len(ours) == 2
    assert "(planned" in ours[0]
    assert "data" in ours[0]
    assert read_run(tmp_path / "run").to_json()["time"]["data_steps"] == 9


@pytest.mark.parametrize("ends", ["not finite", "stopped"])
def test_no_thread_stays_after_a_run_that_ended_early(write_recipe, store, tmp_path, monkeypatch, ends):
    take_step = loop.take_step

    def step(run, drawn):
        loss, norm, applied = take_step(run, drawn)
        return loss * (float("nan") if ends == "not finite" and drawn.step == 4 else 1), norm, applied

    monkeypatch.setattr(loop, "take_step", step)
    if ends == "stopped":
        votes = iter([False] * 4 + [True] * 9)
        monkeypatch.setattr(signals.StopSignals, "stop", lambda self: next(votes))
        run_recipe(write_recipe(store.path), tmp_path / "run", say=lambda line: None)
    else:
        with pytest.raises(NotFinite, match="the run is back at step 2"):
            run_recipe(write_recipe(store.path, checkpoints={"steps": 2}), tmp_path / "run", say=lambda line: None)
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]

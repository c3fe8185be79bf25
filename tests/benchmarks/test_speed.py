"""Measurements, as ratios side by side in one run: `python -m pytest -m benchmark -s tests/benchmarks`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.run_ledger import RunLedger

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parent.parent.parent


def seconds(work, *arguments):
    began = time.process_time()
    work(*arguments)
    return time.process_time() - began


def paired(first, second, rounds=9):
    """Median CPU seconds of two pieces of work done in turn, and the median ratio of the pairs."""
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    medians = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
    return *medians, statistics.median(a / b for a, b in pairs)


def test_the_ledger_s_cost_of_a_step(tmp_path):
    def windows(steps):
        for step in range(steps):
            counts = {PassKey(0, "web", 512, 0): Counts(256, 131_000, 19_000, step)}
            yield SimpleNamespace(step=step, micro_batches=[None] * 4, counts=counts)

    def counted(steps=20_000):
        run = tmp_path / f"{time.monotonic_ns()}"
        run.mkdir()
        ledger = RunLedger(run)
        for drawn in ledger.watch(windows(steps)):
            ledger.book(drawn, applied=True)

    def bare(steps=20_000):
        for _ in windows(steps):
            pass

    ours, nothing, _ = paired(counted, bare, rounds=5)
    print(f"\nledger {(ours - nothing) / 20_000 * 1e6:.1f} µs of host time a step, on one rank")


def test_starting_beside_bare_python():
    programs = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "dist-epochs solve": [
            str(Path(sys.executable).with_name("dist-epochs")),
            "solve", "--steps", "1M", "--batch", "256x512", "--corpus", "3.3B tokens",
        ],
        "dist-epochs plan": [
            str(Path(sys.executable).with_name("dist-epochs")),
            "plan", str(ROOT / "configs" / "bert-base.yaml"), "--devices", "8xH100",
        ],
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(25):
        for name, command in programs.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("\n" + ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in medians.items()))
    bare = medians.pop("python -c pass")
    print("ratios: " + ", ".join(f"{name} {value / bare:.1f}" for name, value in medians.items()))


def test_plans_in_closed_form():
    """Steps, devices, phases and ramp levels should add next to nothing."""
    from dist_epochs.plan.planner import make_plan
    from dist_epochs.recipe import make_recipe
    from dist_epochs.recipe.flags import apply_flags
    from dist_epochs.settings.document import Document

    base = {"corpus": "1B tokens", "sequence_length": "512", "model": "bert-base"}
    runs = {
        "1,000 steps": {"steps": "1k", "global_batch": "256", "devices": "8xH100"},
        "10¹² steps on 65,536 devices": {"steps": "1T", "global_batch": "1Mi", "devices": "65536xH100"},
        "a ramp of 96 levels": {"samples": "100M", "global_batch": "1536", "ramp": "16 16 5859375"},
        "a million passes of a foreign loop":
            {"corpus": "148 samples", "epochs": "1M", "per_device": "2", "last_window": "flush"},
    }  # fmt: skip
    print()
    for name, flags in runs.items():
        document = Document("flags")
        apply_flags(document, base | flags)
        recipe = make_recipe(document, Path("flags"))
        times = []
        for _ in range(50):
            began = time.perf_counter()
            make_plan(recipe)
            times.append(time.perf_counter() - began)
        print(f"{name}: {1000 * statistics.median(times):.2f} ms")

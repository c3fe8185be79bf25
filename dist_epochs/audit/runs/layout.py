"""Global batch and devices of a finished run, from its own counters where they tell."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.interval import Interval
from dist_epochs.audit.runs.bench import Bench, Value, plain
from dist_epochs.audit.runs.check import RunCheck

__all__ = ["COUNTS_POSITIONS", "check_layout"]

COUNTS_POSITIONS = ("megatron", "gpt-neox", "olmo")
"""Trainers whose token counter is samples × length; the HF Trainer's may leave padding out."""

SPLITS = ("tensor_parallel", "pipeline_parallel", "context_parallel")


def check_layout(bench: Bench) -> None:
    """Samples of a step, and over how many devices they are laid."""
    _split(bench)
    _global_batch(bench)
    _devices(bench)


def _split(bench: Bench) -> None:
    """Over how many devices one copy of the model is spread."""
    known = [name for name in SPLITS if bench.has(name)]
    if "data_parallel_size" in bench.values and "devices" in bench.values and not known:
        derived, *_ = bench.work_out("devices / data_parallel_size")
    else:
        derived = Interval.exact(1)
        for name in known:
            derived *= bench.values[name].interval
    bench.values["split"] = Value(derived, "derived")


def _global_batch(bench: Bench) -> None:
    """From the log's own counters; from the layout only where nothing else tells."""
    if "global_batch" not in bench.values or "global_batch" in bench.claims.numbers:
        _batch_by_epochs(bench)
    logged = bench.run.numbers
    if bench.run.kind not in COUNTS_POSITIONS:
        _mean_batch(bench)
    elif "samples" in logged and "segment_batches" not in logged:
        _batch_by_counter(bench, "samples / steps")
    elif "tokens" in logged and "samples" not in bench.values:
        _batch_by_counter(bench, "tokens / (steps * sequence_length)")
    if "global_batch" not in bench.values:
        split = "" if bench.values["split"].count == 1 else " / split"
        bench.follow("global_batch", f"per_device * gradient_accumulation * devices{split}")


def _mean_batch(bench: Bench) -> None:
    """Where passes may end with a partial batch, samples ÷ steps is a mean, and contradicts no batch."""
    if "samples" in bench.run.numbers and bench.has("samples", "steps"):
        derived, how, names = bench.work_out("samples / steps")
        bench.inform("samples for a step", derived, how, uses=names)


def _batch_by_counter(bench: Bench, formula: str) -> None:
    """What the run itself counted goes before a claim, where it is a whole number of samples a step."""
    before = len(bench.checks)
    bench.follow("global_batch", formula)
    derived = bench.checks[-1].derived if len(bench.checks) > before else None
    if derived is not None and derived.is_exact and derived.point.denominator == 1:
        bench.values["global_batch"] = Value(derived, "derived")


def _batch_by_epochs(bench: Bench) -> None:
    """Samples of a pass ÷ steps of a pass.

    The HF Trainer's epoch counts micro-steps: with L of them in a pass, rounded up (or down, where the last is
    dropped), the quotient is within one part in L of the batch, and L is at least the steps of a pass.
    """
    corpus = bench.claims.numbers.get("corpus")
    if corpus is None or corpus.number.unit is not Unit.SAMPLE or not bench.has("steps_per_epoch"):
        return
    derived, how, names = bench.work_out("corpus / steps_per_epoch")
    micro_steps = bench.values["steps_per_epoch"].interval.low
    if bench.has("gradient_accumulation"):
        micro_steps *= bench.values["gradient_accumulation"].interval.low
    if micro_steps <= 1:
        return
    low, high = derived.low * micro_steps / (micro_steps + 1), derived.high * micro_steps / (micro_steps - 1)
    bench.hold("global_batch", Interval(derived.point, low, high), f"{how} steps a pass", uses=names)
    if bench.values["global_batch"].origin == "derived":
        _only_batch(bench, low, high)


def _only_batch(bench: Bench, low: Fraction, high: Fraction) -> None:
    """The batch is a multiple of what one device takes in a step; often only one fits."""
    unit = Fraction(1)
    for name in ("per_device", "gradient_accumulation"):
        if bench.has(name):
            unit *= bench.values[name].interval.point
    if ceil(low / unit) == floor(high / unit) > 0:
        bench.values["global_batch"] = Value(Interval.exact(floor(high / unit) * unit), "derived")


def _devices(bench: Bench) -> None:
    if not bench.has("global_batch", "per_device"):
        return
    if "gradient_accumulation" in bench.values:
        before = len(bench.checks)
        bench.follow("devices", "global_batch / (per_device * gradient_accumulation)" + _times_split(bench))
        _told_of_split(bench, bench.checks[before:])
        return
    if not bench.has("devices"):
        return
    copies = "devices" if bench.values["split"].count == 1 else "(devices / split)"
    derived, how, names = bench.work_out(f"global_batch / (per_device * {copies})")
    is_wrong = derived.is_exact and derived.point.denominator != 1
    bench.checks.append(
        RunCheck(
            name="gradient_accumulation", derived=derived, how=how, uses=names,
            stated="a whole number" if is_wrong else None, agreement=Agreement.CONTRADICTS if is_wrong else None,
        )
    )  # fmt: skip


def _times_split(bench: Bench) -> str:
    return "" if bench.values["split"].count == 1 else " * split"


def _told_of_split(bench: Bench, checks: list[RunCheck]) -> None:
    """More devices than the batch needs may share the model, which only somebody who was there can say."""
    for check in checks:
        if check.agreement is not Agreement.CONTRADICTS or check.against is None:
            continue
        copies = check.against / check.derived.point if check.derived.point else Fraction(0)
        if copies.denominator == 1 and copies > 1:
            bench.notes.append(
                f"{plain(check.against)} devices fit if {int(copies)} of them share one copy of the model (tensor, "
                "pipeline or context parallel), of which nothing was read: then say so with --tensor-parallel."
            )

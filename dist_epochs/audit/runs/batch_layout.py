"""Global batch and devices of a finished run, from its own counters where they tell."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.runs.check import RunCheck
from dist_epochs.audit.runs.evidence import Bench, Value, plain

__all__ = ["COUNTS_POSITIONS", "SPLITS", "check_layout"]

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
    if bench.run.changes_batch:
        _changing_batch(bench)
        return
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


def _changing_batch(bench: Bench) -> None:
    """A claim may mean the last batch or the largest one; no step count is multiplied with it."""
    numbers = bench.run.numbers
    if "global_batch" in bench.claims.numbers and "largest_batch" in numbers:
        last, most = numbers["last_batch"].value, numbers["largest_batch"].value
        bench.hold("global_batch", Interval(last, last, most), "the last batch, or the largest", uses=frozenset())
    elif "global_batch" in bench.claims.numbers:
        bench.open["global_batch"] = "the batch of each start, since it changes"
    bench.values.pop("global_batch", None)


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

    With x steps in a pass, its last micro-step or step may be short, or be left out: the batch is from N ÷ (x + 1) to
    N ÷ (x − 1). Inside a pass the Trainer counts micro-steps, so that 1 is one of them.
    """
    corpus = bench.claims.numbers.get("corpus")
    name = "steps_per_epoch" if bench.has("steps_per_epoch") else "whole_steps_per_epoch"
    if corpus is None or corpus.number.unit is not Unit.SAMPLE or not bench.has(name):
        return
    derived, how, names = bench.work_out(f"corpus / {name}")
    steps, last = bench.values[name].interval, Fraction(1)
    if name == "steps_per_epoch" and bench.ending == "flush" and bench.has("gradient_accumulation"):
        last /= bench.values["gradient_accumulation"].interval.point
    if steps.low <= last:
        return  # one step takes the whole corpus, however many samples it could take
    low, high = corpus.interval.low / (steps.high + last), corpus.interval.high / (steps.low - last)
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
        _devices_of_batch(bench)
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


def _devices_of_batch(bench: Bench) -> None:
    """Devices that the batch is laid over; one that is less than a device's share contradicts it instead."""
    one = bench.values["per_device"].interval * bench.values["gradient_accumulation"].interval
    if bench.values["global_batch"].interval.high < one.low:
        if "global_batch" in bench.claims.numbers:
            how = f"at least {plain(bench.values['per_device'].interval.point)} × "
            how += plain(bench.values["gradient_accumulation"].interval.point)
            bench.hold("global_batch", one, how, uses=frozenset({"per_device", "gradient_accumulation"}))
        return
    before = len(bench.checks)
    bench.follow("devices", "global_batch / (per_device * gradient_accumulation)" + _times_split(bench))
    _told_of_split(bench, bench.checks[before:])
    _settle_batch(bench)


def _settle_batch(bench: Bench) -> None:
    """Of the batches that passes allow, the one of the layout that is claimed."""
    batch = bench.values["global_batch"].interval
    if batch.is_exact or not bench.has("per_device", "gradient_accumulation", "devices", "split"):
        return
    layout, *_ = bench.work_out("per_device * gradient_accumulation * devices / split")
    if layout.is_exact and batch.holds(layout.point):
        bench.values["global_batch"] = Value(layout, "derived")


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

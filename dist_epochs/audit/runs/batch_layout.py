"""Global batch and devices of a finished run, from its own counters where they tell."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.check import Check
from dist_epochs.audit.expression import names_in
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.runs.evidence import KnownNumber, RunEvidence

__all__ = ["COUNTS_POSITIONS", "SPLITS", "check_layout"]

COUNTS_POSITIONS = ("megatron", "gpt-neox", "nemo", "olmo", "nanogpt", "torchtitan")
"""Trainers whose token counter is samples × length; the HF Trainer's may leave padding out."""

SPLITS = ("tensor_parallel", "pipeline_parallel", "context_parallel")


def check_layout(evidence: RunEvidence) -> None:
    """Samples of a step, and over how many devices they are laid."""
    _split(evidence)
    _global_batch(evidence)
    _devices(evidence)


def _split(evidence: RunEvidence) -> None:
    """Over how many devices one copy of the model is spread."""
    known = [name for name in SPLITS if evidence.has(name)]
    if "data_parallel_size" in evidence.values and "devices" in evidence.values and not known:
        derived, *_ = evidence.work_out("devices / data_parallel_size")
    else:
        derived = Interval.exact(1)
        for name in known:
            derived *= evidence.values[name].interval
    evidence.values["split"] = KnownNumber(derived, "derived")


def _global_batch(evidence: RunEvidence) -> None:
    """From the log's own counters; from the layout only where nothing else tells."""
    if evidence.run.changes_batch:
        _changing_batch(evidence)
        return
    if "global_batch" not in evidence.values or "global_batch" in evidence.claims.numbers:
        _batch_by_epochs(evidence)
    logged = evidence.run.numbers
    if evidence.run.kind not in COUNTS_POSITIONS:
        _mean_batch(evidence)
    elif "samples" in logged and "segment_batches" not in logged:
        _batch_by_counter(evidence, "samples / steps")
    elif "tokens" in logged and "samples" not in evidence.values:
        _batch_by_counter(evidence, "tokens / (steps * sequence_length)")
    if "global_batch" not in evidence.values:
        split = "" if evidence.values["split"].count == 1 else " / split"
        evidence.compare_formula("global_batch", f"per_device * gradient_accumulation * devices{split}")


def _changing_batch(evidence: RunEvidence) -> None:
    """A claim may mean the last batch or the largest one; no step count is multiplied with it."""
    numbers = evidence.run.numbers
    if "global_batch" in evidence.claims.numbers and "largest_batch" in numbers:
        last, most = numbers["last_batch"].value, numbers["largest_batch"].value
        evidence.compare("global_batch", Interval(last, last, most), "the last batch, or the largest", uses=frozenset())
    elif "global_batch" in evidence.claims.numbers:
        evidence.undecided["global_batch"] = "the batch of each start, since it changes"
    evidence.values.pop("global_batch", None)


def _mean_batch(evidence: RunEvidence) -> None:
    """Where passes may end with a partial batch, samples ÷ steps is a mean, and contradicts no batch."""
    if "samples" in evidence.run.numbers and evidence.has("samples", "steps"):
        derived, how, names = evidence.work_out("samples / steps")
        evidence.inform("samples for a step", derived, how, uses=names)


def _batch_by_counter(evidence: RunEvidence, formula: str) -> None:
    """What the run itself counted goes before a claim, where it is a whole number of samples a step.

    A log that begins in the middle gives the mean since the run began, which contradicts no batch after a ramp.
    """
    if not evidence.has(*names_in(parse_expression(formula))):
        return
    derived, how, names = evidence.work_out(formula)
    known = evidence.values.get("global_batch")
    if evidence.first_step > 1 and not (derived.point.denominator == 1 and known is None):
        if known is not None and derived.holds(known.interval.point):
            evidence.compare("global_batch", derived, how, uses=names)
        return
    evidence.compare("global_batch", derived, how, uses=names)
    if derived.is_exact and derived.point.denominator == 1:
        evidence.values["global_batch"] = KnownNumber(derived, "derived")


def _batch_by_epochs(evidence: RunEvidence) -> None:
    """Samples of a pass ÷ steps of a pass.

    With x steps in a pass, its last micro-step or step may be short, or be left out: the batch is from N ÷ (x + 1) to
    N ÷ (x − 1). Inside a pass the Trainer counts micro-steps, so that 1 is one of them.
    """
    corpus = evidence.corpus
    name = "steps_per_epoch" if evidence.has("steps_per_epoch") else "whole_steps_per_epoch"
    if corpus is None or corpus.number.unit is not Unit.SAMPLE or not evidence.has(name):
        return
    derived, how, names = evidence.work_out(f"corpus / {name}")
    steps, last = evidence.values[name].interval, Fraction(1)
    if name == "steps_per_epoch" and evidence.ending == "flush" and evidence.has("gradient_accumulation"):
        last /= evidence.values["gradient_accumulation"].interval.point
    if steps.low <= last:
        return  # one step takes the whole corpus, however many samples it could take
    low, high = corpus.interval.low / (steps.high + last), corpus.interval.high / (steps.low - last)
    evidence.compare("global_batch", Interval(derived.point, low, high), f"{how} steps a pass", uses=names)
    if evidence.values["global_batch"].origin == "derived":
        _only_batch(evidence, low, high)


def _only_batch(evidence: RunEvidence, low: Fraction, high: Fraction) -> None:
    """The batch is a multiple of what one device takes in a step; often only one fits."""
    unit = Fraction(1)
    for name in ("per_device", "gradient_accumulation"):
        if evidence.has(name):
            unit *= evidence.values[name].interval.point
    if ceil(low / unit) == floor(high / unit) > 0:
        evidence.values["global_batch"] = KnownNumber(Interval.exact(floor(high / unit) * unit), "derived")


def _devices(evidence: RunEvidence) -> None:
    if not evidence.has("global_batch", "per_device"):
        return
    if "gradient_accumulation" in evidence.values:
        _devices_of_batch(evidence)
        return
    if not evidence.has("devices"):
        return
    copies = "devices" if evidence.values["split"].count == 1 else "(devices / split)"
    derived, how, names = evidence.work_out(f"global_batch / (per_device * {copies})")
    is_wrong = derived.is_exact and derived.point.denominator != 1
    evidence.checks.append(
        Check(
            name="gradient_accumulation", derived=derived, how=how, uses=names,
            rule="a whole number" if is_wrong else "", agreement=Agreement.CONTRADICTS if is_wrong else None,
        )
    )  # fmt: skip


def _devices_of_batch(evidence: RunEvidence) -> None:
    """Devices that the batch is laid over; one that is less than a device's share contradicts it instead."""
    one = evidence.values["per_device"].interval * evidence.values["gradient_accumulation"].interval
    if evidence.values["global_batch"].interval.high < one.low:
        if "global_batch" in evidence.claims.numbers:
            how = f"at least {rounded(evidence.values['per_device'].interval.point)} × "
            how += rounded(evidence.values["gradient_accumulation"].interval.point)
            evidence.compare("global_batch", one, how, uses=frozenset({"per_device", "gradient_accumulation"}))
        return
    before = len(evidence.checks)
    evidence.compare_formula("devices", "global_batch / (per_device * gradient_accumulation)" + _times_split(evidence))
    _told_of_split(evidence, evidence.checks[before:])
    _settle_batch(evidence)


def _settle_batch(evidence: RunEvidence) -> None:
    """Of the batches that passes allow, the one of the layout that is claimed."""
    batch = evidence.values["global_batch"].interval
    if batch.is_exact or not evidence.has("per_device", "gradient_accumulation", "devices", "split"):
        return
    layout, *_ = evidence.work_out("per_device * gradient_accumulation * devices / split")
    if layout.is_exact and batch.holds(layout.point):
        evidence.values["global_batch"] = KnownNumber(layout, "derived")


def _times_split(evidence: RunEvidence) -> str:
    return "" if evidence.values["split"].count == 1 else " * split"


def _told_of_split(evidence: RunEvidence, checks: list[Check]) -> None:
    """More devices than the batch needs may share the model, which only somebody who was there can say."""
    for check in checks:
        if not check.contradicts or check.stated is None:
            continue
        stated = check.stated.number.value
        copies = stated / check.derived.point if check.derived.point else Fraction(0)
        if copies.denominator == 1 and copies > 1:
            evidence.notes.append(
                f"{rounded(stated)} devices fit if {int(copies)} of them share one copy of the model (tensor, "
                "pipeline or context parallel), of which nothing was read: then say so with --tensor-parallel."
            )

"""Throughput of a finished run, and the share of its devices' peak that it used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.runs.batch_layout import COUNTS_POSITIONS
from dist_epochs.audit.runs.evidence import KnownNumber, RunEvidence
from dist_epochs.errors import InputError
from dist_epochs.names import in_words
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.hardware import TERA, find_device
from dist_epochs.recipe.model_sizes import named_config

__all__ = ["check_speed", "missing_for_mfu"]

IMPOSSIBLE = "at most 100 %"
NEAREST_FACTOR = Fraction(1, 20)
"""How near a ratio must be to the devices to be taken for them."""


def check_speed(evidence: RunEvidence) -> None:
    """Tokens a second, and model FLOPs utilization with its denominator."""
    _hours(evidence)
    _throughput(evidence)
    _utilization(evidence)


def _hours(evidence: RunEvidence) -> None:
    """The logged seconds are of steps alone: more hours may hold evaluations and pauses, fewer hold not all steps."""
    claimed = evidence.claims.numbers.get("hours")
    if claimed is None or not evidence.has("seconds", "steps"):
        return
    timed = "timed_steps" if evidence.has("timed_steps") else "steps"
    derived, how, names = evidence.work_out(
        f"seconds * steps / {timed} / 3600" if timed != "steps" else "seconds / 3600"
    )
    derived = Interval(derived.point, derived.low, derived.high * (1 + NEAREST_FACTOR))
    if claimed.interval.low > derived.high:
        evidence.undecided["hours"] = "the pauses between steps: " + f"{how} is less"
        evidence.inform("hours of steps", derived, how, uses=names)
    else:
        evidence.compare("hours", derived, how, uses=names | {"hours"})


def _throughput(evidence: RunEvidence) -> None:
    if evidence.run.kind in COUNTS_POSITIONS and evidence.has("timed_samples", "seconds"):
        evidence.compare_formula("samples_per_second", "timed_samples / seconds")
    before = len(evidence.checks)
    if evidence.has("timed_tokens", "seconds"):
        evidence.compare_formula("tokens_per_second", "timed_tokens / seconds")
    elif evidence.has("timed_samples", "seconds", "sequence_length"):
        evidence.compare_formula("tokens_per_second", "timed_samples * sequence_length / seconds")
    elif evidence.run.counts_passes and evidence.has("tokens", "seconds"):  # of its only call
        evidence.compare_formula("tokens_per_second", "tokens / seconds")
    elif evidence.has("tokens", "hours"):
        evidence.compare_formula("tokens_per_second", "tokens / (hours * 3600)")
    if len(evidence.checks) > before:  # what was measured, not what is claimed, goes into the utilization
        evidence.values["tokens_per_second"] = KnownNumber(evidence.checks[-1].derived, "derived")


def _utilization(evidence: RunEvidence) -> None:
    if next(_unknown_of_peak(evidence), None) is not None:
        return
    claimed = "mfu" in evidence.claims.numbers
    try:
        peak, told = _peak(evidence)
    except InputError as error:
        if claimed:
            raise
        evidence.notes.append(f"No utilization is derived: {error}")  # nobody asked for one
        return
    if evidence.has("tflops_per_device"):
        derived = evidence.values["tflops_per_device"].interval / Interval.exact(peak / TERA)
        rate = rounded(evidence.values["tflops_per_device"].interval.point)
        how = f"{rate} TFLOP/s of a device, as the log counts FLOPs ÷ {told}"
        _hold_share(evidence, derived, how, frozenset({"peak_tflops"}))
    if next(_unknown_of_flops(evidence), None) is not None or (claimed and evidence.has("tflops_per_device")):
        return
    flops, formula = _flops_per_token(evidence)
    speed, devices = evidence.values["tokens_per_second"].interval, evidence.values["devices"].interval
    derived = flops * speed / (devices * Interval.exact(peak))
    how = f"{formula} FLOPs × {rounded(speed.point)} tokens/s ÷ ({rounded(devices.point)} × {told})"
    _hold_share(evidence, derived, how, frozenset({"peak_tflops", "devices", "tokens_per_second", "parameters"}))


def _hold_share(evidence: RunEvidence, derived: Interval, how: str, uses: frozenset[str]) -> None:
    evidence.compare("mfu", derived, how, uses=uses)
    check = evidence.checks[-1]
    if derived.low > 1:
        evidence.checks[-1] = replace(check, rule=IMPOSSIBLE, agreement=Agreement.CONTRADICTS)
        evidence.notes.append(
            f"A utilization of {float(derived.point):.1%} is impossible: no device makes more FLOPs than its peak. "
            "Look for tokens of all devices on the FLOPs of one, a micro-step counted as a step, or a model's size."
        )
    elif check.contradicts and check.stated is not None and check.stated.number.value and derived.point:
        _name_factor(evidence, check.stated.number.value / derived.point)


def _name_factor(evidence: RunEvidence, factor: Fraction) -> None:
    """A claim that is off by a number of the run."""
    names = {"devices": "the tokens of all on the FLOPs of one", "gradient_accumulation": "a micro-step for a step"}
    for name, slip in names.items():
        number = evidence.values.get(name)
        if number is None or number.interval.point <= 1:
            continue
        count = number.interval.point
        if abs(factor / count - 1) <= NEAREST_FACTOR:
            label = in_words(name)
            evidence.notes.append(f"The claim is {rounded(count)} × the derived share, as many as its {label}: {slip}?")
        elif abs(factor * count - 1) <= NEAREST_FACTOR:
            evidence.notes.append(
                f"The claim is 1/{rounded(count)} of the derived share: divided by its {name} once too often?"
            )


def _peak(evidence: RunEvidence) -> tuple[Fraction, str]:
    """Dense peak of one device in FLOP/s, and how to write it."""
    stated = evidence.claims.numbers.get("peak_tflops")
    if stated is not None:
        peak = stated.number.value
        return peak * TERA, f"{rounded(peak)} TFLOP/s"
    assert evidence.claims.device is not None
    precision = evidence.claims.precision or evidence.run.precision
    assert precision is not None
    device = find_device(evidence.claims.device)
    peak = device.peak_flops(precision)
    return peak, f"{rounded(peak / TERA)} TFLOP/s of {device.name} in {precision}"


def _flops_per_token(evidence: RunEvidence) -> tuple[Interval, str]:
    """Training FLOPs of one position, and their formula."""
    if evidence.claims.model is not None:
        length = int(evidence.values["sequence_length"].interval.point)
        model = read_architecture(named_config(evidence.claims.model), where=evidence.claims.model)
        flops = Fraction(model.flops_per_token(length))
        return Interval.exact(flops), f"{float(flops):.4g} ({evidence.claims.model} at length {length:,})"
    derived = Interval.exact(6) * evidence.values["parameters"].interval
    return derived, f"6 × {evidence.claims.numbers['parameters'].printed}"


def missing_for_mfu(evidence: RunEvidence) -> str:
    """What would have to be known for a utilization."""
    return ", ".join(
        [*_unknown_of_peak(evidence), *([] if evidence.has("tflops_per_device") else _unknown_of_flops(evidence))]
    )


def _unknown_of_peak(evidence: RunEvidence) -> Iterator[str]:
    if "peak_tflops" in evidence.claims.numbers:
        return
    if evidence.claims.device is None:
        yield "the kind of the devices (--devices 8xH100, or --peak-tflops)"
    if (evidence.claims.precision or evidence.run.precision) is None:
        yield "--precision"


def _unknown_of_flops(evidence: RunEvidence) -> Iterator[str]:
    if evidence.claims.model is None and not evidence.has("parameters"):
        yield "--parameters or --model"
    if evidence.claims.model is not None and not evidence.has("sequence_length"):
        yield "--sequence-length"
    if not evidence.has("tokens_per_second"):
        yield "tokens a second (--tokens-per-second, or --hours with tokens)"
    if not evidence.has("devices"):
        yield "--devices"

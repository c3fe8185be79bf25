"""What a record says by itself, where nothing is claimed: its counts, and of a Trainer what follows from its rate.

Rate × seconds are the samples of its plan: samples of the data × epochs if it was told its epochs, else steps × batch.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import number, rounded
from dist_epochs.audit.records.record import Number
from dist_epochs.audit.runs.evidence import RunEvidence
from dist_epochs.audit.runs.rate import BY_RATE
from dist_epochs.audit.runs.trainer_passes import MOST_WINDOWS

__all__ = ["tell_own_numbers"]

LEAST_WIDTH = Fraction(1, 100)
"""Of the interval of steps a pass: a narrower one is shown as its point."""

LARGEST_PASS, LEAST_DIGITS, NEAREST = 10**5, 12, Fraction(1, 10**12)
"""Micro-steps of a pass up to which an epoch of so many digits is taken for a fraction, and how near it must be."""
MOST_MULTIPLES = 4
"""Multiples of an epoch's denominator that are tried as micro-steps of a pass."""

LOGGED = (
    "steps",
    "planned_steps",
    "epochs",
    "planned_epochs",
    "corpus",
    "samples",
    "tokens",
    "global_batch",
    "per_device",
    "gradient_accumulation",
    "devices",
    "sequence_length",
)


def tell_own_numbers(evidence: RunEvidence) -> None:
    """Add what no check has told yet: logged numbers, then samples, steps a pass, batch, its layout and the corpus."""
    if evidence.claims.numbers:
        return
    found, evidence.checks = evidence.checks, []
    known = {check.name for check in found}
    for name in LOGGED:
        logged = evidence.run.numbers.get(name)
        if logged is not None and name not in known:
            evidence.inform(name, logged.interval, logged.where, uses=frozenset())
    evidence.checks += found
    if not (evidence.run.counts_passes or evidence.run.streams):
        _corpus_by_micro_steps(evidence, None)
        return
    per_pass = _steps_a_pass(evidence)
    samples = _samples(evidence, known)
    batch = _batch(evidence, samples)
    if samples is not None and batch is not None and per_pass is not None and "corpus" not in evidence.run.numbers:
        _corpus(evidence, samples, batch, per_pass)
    else:
        _corpus_by_micro_steps(evidence, per_pass)


def _tell(evidence: RunEvidence, name: str, derived: Interval, how: str) -> Interval:
    """A count with the ends of what it may be; where one whole number fits, it is that."""
    low, high = ceil(derived.low), floor(derived.high)
    if low == high:
        derived = Interval.exact(low)
    elif not derived.is_exact:
        how += f": {number(low)} to {number(high)}" if low < high else ""
    evidence.inform(name, derived, how, uses=frozenset())
    return derived


def _steps_a_pass(evidence: RunEvidence) -> Interval | None:
    """By the last epoch, or by a row inside the first pass, whichever has more digits."""
    steps, epochs = (evidence.run.numbers.get(name) for name in ("steps", "epochs"))
    found = []
    if steps is not None and epochs is not None and epochs.interval.low > 0:
        found.append((Interval.exact(steps.value) / epochs.interval, f"{steps.text} ÷ {epochs.text}"))
    for name in ("steps_per_epoch", "whole_steps_per_epoch"):
        if (logged := evidence.run.numbers.get(name)) is not None:
            found.append((logged.interval, logged.text))
    if not found:
        return None
    pace, how = min(found, key=lambda one: one[0].high - one[0].low)
    if pace.holds(whole := Fraction(round(pace.point))) and pace.high - pace.low <= LEAST_WIDTH:
        pace = Interval(whole, pace.low, pace.high)
    elif pace.high - pace.low > LEAST_WIDTH:
        how += f": {rounded(pace.low)} to {rounded(pace.high)}"
    evidence.inform("steps a pass", pace, how, uses=frozenset())
    if steps is not None and epochs is not None and (ratio := _micro_steps_by_accumulation(steps, epochs)) is not None:
        how = f"{number(ratio)} steps a pass = {ratio.numerator:,} ÷ {ratio.denominator:,}, micro-steps ÷ accumulation"
        evidence.inform("divisor of the accumulation", Interval.exact(ratio.denominator), how, uses=frozenset())
    return pace


def _micro_steps_by_accumulation(steps: Number, epochs: Number) -> Fraction | None:
    """Micro-steps of a pass ÷ accumulation in lowest terms, where windows went on over the ends of passes, or met none.

    The epoch is then steps × accumulation ÷ micro-steps. Nothing is told where stepping with the last window of each
    pass may have made that epoch, too.
    """
    epoch = epochs.value.limit_denominator(LARGEST_PASS)
    if sum(digit.isdigit() for digit in epochs.text) < LEAST_DIGITS or not steps.value:
        return None
    if abs(epoch - epochs.value) > epoch * NEAREST or epoch.denominator == 1:
        return None
    ratio = steps.value / epoch
    passes, inside = divmod(epoch, 1)
    for micro_steps in range(epoch.denominator, MOST_MULTIPLES * epoch.denominator + 1, epoch.denominator):
        for window in range(1, min(MOST_WINDOWS, micro_steps) + 1) if passes else ():
            if (steps.value - passes * -(-micro_steps // window)) * window == inside * micro_steps:
                return None
    return ratio if ratio.denominator > 1 else None


def _samples(evidence: RunEvidence, known: set[str]) -> Interval | None:
    timed = evidence.run.numbers.get("timed_samples")
    if timed is None:
        return None
    if "samples" in known:
        return timed.interval
    return _tell(evidence, "samples", timed.interval, f"{timed.text} samples/s")


def _batch(evidence: RunEvidence, samples: Interval | None) -> Interval | None:
    """As logged; else by the rate, a multiple of what a device takes, over passes that may end with a short step."""
    logged, one = (evidence.run.numbers.get(name) for name in ("global_batch", "per_device"))
    if logged is not None:
        return logged.interval
    rate = next((check for check in evidence.checks if check.name == BY_RATE[0]), None)
    if rate is None or samples is None:
        return None
    unit = one.value if one is not None else Fraction(1)
    evidence.checks.remove(rate)  # its number is told below
    units = rate.derived / Interval.exact(unit)
    low, high = ceil(units.low), floor(units.high)
    steps = evidence.run.numbers["rated_steps"]
    how = f"{rounded(samples.point)} ÷ {rounded(steps.value)}"
    if low > high:
        return None
    batch = Interval(rate.derived.point, low * unit, high * unit) if low < high else Interval.exact(low * unit)
    batch = _tell(evidence, "global_batch", batch, how)
    if one is not None:
        _tell(evidence, "devices × accumulation", batch / Interval.exact(unit), f"{rounded(batch.point)} ÷ {one.text}")
    return batch


def _corpus(evidence: RunEvidence, samples: Interval, batch: Interval, per_pass: Interval) -> None:
    """Samples ÷ epochs if it was told them; told its steps, batch × steps of a pass, the last of which may be short."""
    planned, told = (evidence.run.numbers.get(name) for name in ("planned_steps", "planned_epochs"))
    least = max((per_pass.low - 1) * batch.low + 1, Fraction(1))
    by_steps = Interval(batch.point * per_pass.point, least, per_pass.high * batch.high)
    how = f"{rounded(batch.point)} × {number(per_pass.point)} steps a pass"
    is_told = planned is not None and told is not None and told.value and planned.value % told.value == 0
    if not is_told:
        _tell(evidence, "corpus", by_steps, how)
        return
    assert told is not None
    by_epochs = samples / told.interval
    whole = _one_whole(by_epochs)
    most = Interval(whole.point, min(whole.low, by_steps.low), max(whole.high, by_steps.high))
    how = f"{rounded(samples.point)} ÷ {rounded(told.value)}, if it was told its epochs; told its steps"
    _tell(evidence, "corpus", most, how)


def _corpus_by_micro_steps(evidence: RunEvidence, per_pass: Interval | None) -> None:
    """Micro-steps of a pass × what all devices take in one, the last of which may be short."""
    if evidence.run.numbers.get("corpus") is not None or not evidence.has("per_device", "devices"):
        return
    logged = evidence.run.further.get("micro_steps_per_pass")
    one = evidence.values["per_device"].interval * evidence.values["devices"].interval
    if isinstance(logged, Number):
        micro_steps = logged.interval
    elif per_pass is not None and evidence.has("gradient_accumulation"):
        window = evidence.values["gradient_accumulation"].interval
        micro_steps = per_pass * window
        if "steps_per_epoch" not in evidence.run.numbers:  # its last window may be short
            micro_steps = Interval(micro_steps.point, micro_steps.low - window.high + 1, micro_steps.high)
        micro_steps = _tell(evidence, "micro_steps_per_pass", micro_steps, "steps a pass × accumulation")
    else:
        return
    if not one.is_exact or evidence.values["split"].count != 1:
        return
    low, high = ceil(micro_steps.low), floor(micro_steps.high)
    if 0 < low <= high:
        corpus = Interval(micro_steps.point * one.point, (low - 1) * one.point + 1, high * one.point)
        _tell(evidence, "corpus", corpus, f"{rounded(micro_steps.point)} micro-steps × {rounded(one.point)}")


def _one_whole(interval: Interval) -> Interval:
    low, high = ceil(interval.low), floor(interval.high)
    return Interval.exact(low) if low == high else interval

"""What the HF Trainer logs of passes and of its clock, in a state or through wandb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor, inf
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.record import FLOAT, FinishedRun, Number, Place, as_stream

__all__ = [
    "in_seconds",
    "is_as_long_as_planned",
    "is_unsized",
    "last_call",
    "logged_epoch",
    "steps_per_epoch",
    "with_passes",
]

HUNDREDTH = Fraction(1, 100)
LARGEST_CHANGE_OF_PACE = Fraction(5, 4)
"""Steps of passes differ by more than this only if the batch changed."""

UNSIZED = 2**62
"""From here on a number of epochs means that the data had no length (the Trainer writes 2⁶³ − 1)."""

CHANGED = "Passes go by at another pace later on: the batch changed at a restart, so no batch follows from them."


def is_unsized(numbers: Mapping[str, Number]) -> bool:
    """Whether the planned epochs say that the data had no length."""
    return "planned_epochs" in numbers and numbers["planned_epochs"].value >= UNSIZED


def logged_epoch(value: object, where: str) -> Number | None:
    """Version 4 rounds to two decimals, and 0.80 is written as 0.8: its tolerance is never more than half of 0.01.

    Examples:
        >>> logged_epoch(0.8, "here").interval.low
        Fraction(159, 200)
    """
    if isinstance(value, Number):
        return value
    number = Number.read(value, where)
    if number is None:
        return None
    half = min(HUNDREDTH / 2, number.interval.high - number.value)
    half = max(half, number.value * FLOAT)
    return Number(
        Interval(number.value, max(number.value - half, Fraction(0)), number.value + half), where, number.text
    )


def steps_per_epoch(
    rows: Sequence[tuple[int, object]], steps: Number | None, epochs: Number | None, where: str
) -> dict[str, Number]:
    """Steps ÷ passes at the last row inside the first pass, where nothing was flushed yet; else over whole passes.

    Args:
        rows: Step and epoch of each logged row, in order, the epoch as it was logged.
        steps: Where the run stands in the end.
        epochs: Its epoch there.
        where: Where they were read.
    """
    for step, logged in reversed(rows):
        if not step or not logged or (isinstance(logged, int | float) and logged >= 1):
            continue
        epoch = logged_epoch(logged, where)
        if epoch is not None and epoch.interval.low > 0 and epoch.interval.high < 1:
            text = f"{step} ÷ {epoch.text}"
            pace = Interval.exact(step) / epoch.interval
            place = where.at(f"step {step}") if isinstance(where, Place) else f"{where}, step {step}"
            return {"steps_per_epoch": Number(pace, place, text)}
    if steps is None or epochs is None or not epochs.value or epochs.value.denominator != 1:
        return {}
    if not steps.value or steps.value % epochs.value:
        return {}
    text = f"{steps.text} ÷ {epochs.text}"
    return {"whole_steps_per_epoch": Number.exact(steps.value / epochs.value, where, text)}


def with_passes(run: FinishedRun, rows: Sequence[tuple[int, object]], where: str) -> FinishedRun:
    """A run with the steps of its passes, or with the word that they change; of data without a length, without both.

    Args:
        run: The run.
        rows: Step and epoch of each logged row, in order, the epoch as it was logged.
        where: Where they were read.
    """
    if run.streams:
        return as_stream(run)
    steps, epochs = run.numbers.get("steps"), run.numbers.get("epochs")
    if changes_pace(rows, steps, epochs):
        return replace(run, changes_batch=True, notes=(*run.notes, CHANGED))
    return replace(run, numbers={**run.numbers, **steps_per_epoch(rows, steps, epochs, where)})


def is_as_long_as_planned(rows: Sequence[tuple[int, object]], planned: Number | None) -> bool:
    """Whether a pass seems to have all planned steps, as the Trainer has it of data without a length."""
    found = steps_per_epoch(rows, None, None, "").get("steps_per_epoch")
    return found is not None and planned is not None and found.interval.holds(planned.value)


def changes_pace(rows: Sequence[tuple[int, object]], steps: Number | None, epochs: Number | None) -> bool:
    """Whether passes go by faster or slower later on: the batch is another one since a restart.

    There may be millions of rows, so that they are compared as floats.

    Args:
        rows: Step and epoch of each logged row, in order, the epoch as it was logged.
        steps: Where the run stands in the end.
        epochs: Its epoch there.
    """
    fastest, slowest = 0.0, inf
    step_before, before, tolerance_before = 0, -1.0, 0.0
    for step, logged in rows:
        if isinstance(logged, float) and 0 <= logged < inf:
            epoch = logged
        elif (number := logged_epoch(logged, "")) is not None:
            epoch = float(number.value)
        else:
            continue
        tolerance = _tolerance(epoch)
        grown, either = epoch - before, tolerance + tolerance_before
        # the end of a pass may take a shorter step
        if step > step_before and grown > either and before >= 0 and floor(before) == floor(epoch):
            fastest = max(fastest, (grown - either) / (step - step_before))
            slowest = min(slowest, (grown + either) / (step - step_before))
        step_before, before, tolerance_before = step, epoch, tolerance
    if fastest > LARGEST_CHANGE_OF_PACE * slowest:
        return True
    first_pass = steps_per_epoch(rows, None, None, "").get("steps_per_epoch")
    if first_pass is None or steps is None or epochs is None:
        return False
    slowest_pass = epochs.interval.high * (first_pass.interval.high + 1) * LARGEST_CHANGE_OF_PACE
    return (
        not epochs.interval.low * first_pass.interval.low
        <= steps.value * LARGEST_CHANGE_OF_PACE
        <= slowest_pass * LARGEST_CHANGE_OF_PACE
    )


def _tolerance(epoch: float) -> float:
    """What `logged_epoch` allows a float, without its fractions."""
    text = repr(epoch)
    at = text.find(".")
    if at < 0 or "e" in text:
        number = logged_epoch(epoch, "")
        return float(number.interval.high - number.value) if number is not None else 0.0
    return max(min(0.005, 0.5 * 10.0 ** (at + 1 - len(text))), epoch * 1e-9)


def in_seconds(rate: Number, seconds: Number) -> Number:
    """A rate over its seconds."""
    return Number(rate.interval * seconds.interval, rate.where, f"{seconds.text} s × {rate.text}")


def last_call(logged: Mapping[str, Any], numbers: Mapping[str, Number], place: Place) -> Iterator[tuple[str, Number]]:
    """The summary that ends a call of `train`, if it was the only one: its seconds are those of the last call alone.

    Since 5.0 steps a second × seconds are the steps of that call; fewer than the run has mean that it was resumed.
    Version 4 divides all steps by the seconds of the last call, which nothing shows. Until 4.6 the samples a second are
    steps a second, and no steps a second stand beside them. A loss of 0.0 is that of a call that made no step.

    Args:
        logged: The summary.
        numbers: What is known of the run.
        place: Where it was read.
    """
    keys = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    seconds, rate, pace = (
        value if isinstance(value := logged.get(key), Number) else Number.read(value, place.at(key)) for key in keys
    )
    if seconds is None or seconds.interval.low <= 0 or logged.get("train_loss") in (0, "0", "0.0"):
        return
    steps = numbers.get("steps")
    timed = None
    if pace is not None and steps is not None:
        timed = pace.interval * seconds.interval
        if not timed.holds(steps.value):
            return
    yield "seconds", seconds
    if "tokens" in numbers:
        yield "timed_tokens", numbers["tokens"]
    if rate is not None and rate.value and timed is not None:
        yield "samples_per_second", rate
        yield "timed_samples", in_seconds(rate, seconds)
        if steps is not None and steps.value:
            planned = numbers.get("planned_steps")
            most = planned.value if planned is not None and timed.holds(planned.value) else steps.value
            whole = Interval(steps.value, min(steps.value, most), max(steps.value, most))
            yield "rated_steps", Number(whole, place, steps.text)
            paced = Interval(steps.value, max(timed.low, Fraction(1)), whole.high)
            yield "paced_steps", Number(paced, place, steps.text)

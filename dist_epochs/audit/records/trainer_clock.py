"""The clock of the HF Trainer: the summary that ends a call of `train`, and what its rates tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.record import Number, Place

__all__ = ["four_digits", "in_seconds", "last_call", "number_of", "other_steps"]

DIGITS = 4
"""Significant digits on the console of version 5."""


def four_digits(text: str, where: str) -> Number | str:
    """A number of four significant digits, whose last zeros are not written: `0.6` is 0.6000."""
    read = Number.read(text, where)
    if read is None or not read.value:
        return text
    return read.within(Fraction(Decimal(1).scaleb(Decimal(text).adjusted() - DIGITS + 1)) / 2)


def number_of(logged: Mapping[str, Any], key: str, where: str = "") -> Number | None:
    """A number of a row, read or as it was logged."""
    value = logged.get(key)
    return value if isinstance(value, Number) else Number.read(value, where)


def other_steps(logged: Mapping[str, Any], planned: int, begun: int) -> str | None:
    """The steps of a summary in words, if they can be none of this call; None if they can, or are not told.

    Its steps a second are of all planned steps, and since 5.19 of those of its call.

    Args:
        logged: The summary.
        planned: Planned steps.
        begun: Steps before the call.
    """
    seconds, pace, loss = (number_of(logged, key) for key in ("train_runtime", "train_steps_per_second", "train_loss"))
    if seconds is None or pace is None or (loss is not None and not loss.value):
        return None
    steps = pace.interval * seconds.interval
    if any(steps.holds(Fraction(planned - before)) for before in (0, begun)) or steps.low < planned:
        return None
    return f"{int(steps.point):,} steps ({pace.text} a second × {seconds.text} s)"


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
    seconds, rate, pace = (number_of(logged, key, place.at(key)) for key in keys)
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

"""What the HF Trainer logs of passes, in a state, on its console or through wandb: rows with a step and an epoch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from math import floor, inf

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.record import FLOAT, FinishedRun, Number, Place, as_stream

__all__ = ["FirstPass", "Passes", "is_unsized", "logged_epoch"]

HUNDREDTH = Fraction(1, 100)
LARGEST_CHANGE_OF_PACE = Fraction(5, 4)
"""Steps of passes differ by more than this only if the batch changed."""

UNSIZED = 2**62
"""From here on a number of epochs means that the data had no length (the Trainer writes 2⁶³ − 1)."""

CHANGED = "Passes go by at another pace later on: the batch changed at a restart, so no batch follows from them."

SURELY_INSIDE = 1e-39, 0.99
"""Between them an epoch is inside the first pass with any tolerance: half of 0.01 at most."""

_PLAIN = re.compile(r"\d{1,17}(?:\.\d{0,60})?")


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


class FirstPass:
    """The steps of a pass, by the last row inside the first one, where nothing was flushed yet.

    There may be millions of rows: none is kept but the last one inside.
    """

    def __init__(self) -> None:
        self._inside: tuple[int, object] | None = None

    def add(self, step: int, logged: object) -> None:
        """The next row.

        Args:
            step: Optimizer steps so far.
            logged: The epoch as it was logged.
        """
        if not step or not logged:
            return
        value = float(logged) if isinstance(logged, str) and _PLAIN.fullmatch(logged) else logged
        if isinstance(value, int | float):
            if not 0 < value < 1:
                return
            if SURELY_INSIDE[0] < value <= SURELY_INSIDE[1]:
                self._inside = step, logged
                return
        epoch = logged_epoch(logged, "")
        if epoch is not None and epoch.interval.low > 0 and epoch.interval.high < 1:
            self._inside = step, logged

    def steps_per_epoch(self, steps: Number | None, epochs: Number | None, where: str) -> dict[str, Number]:
        """Steps ÷ passes at the last row inside the first pass; else over whole passes.

        Args:
            steps: Where the run stands in the end.
            epochs: Its epoch there.
            where: Where the rows were read.
        """
        if self._inside is not None:
            step, epoch = self._inside[0], logged_epoch(self._inside[1], "")
            assert epoch is not None
            place = where.at(f"step {step}") if isinstance(where, Place) else f"{where}, step {step}"
            pace = Interval.exact(step) / epoch.interval
            return {"steps_per_epoch": Number(pace, place, f"{step} ÷ {epoch.text}")}
        if steps is None or epochs is None or not epochs.value or epochs.value.denominator != 1:
            return {}
        if not steps.value or steps.value % epochs.value:
            return {}
        text = f"{steps.text} ÷ {epochs.text}"
        return {"whole_steps_per_epoch": Number.exact(steps.value / epochs.value, where, text)}

    def is_as_long_as(self, planned: Number | None) -> bool:
        """Whether a pass seems to have all planned steps, as the Trainer has it of data without a length."""
        found = self.steps_per_epoch(None, None, "").get("steps_per_epoch")
        return found is not None and planned is not None and found.interval.holds(planned.value)


class Passes(FirstPass):
    """The same, and whether passes go by faster or slower later on. Rows are compared as floats.

    Args:
        rows: Step and epoch of each logged row, in order, the epoch as it was logged.
    """

    def __init__(self, rows: Iterable[tuple[int, object]] = ()) -> None:
        super().__init__()
        self._fastest, self._slowest = 0.0, inf
        self._before = 0, -1.0, 0.0
        for step, logged in rows:
            self.add(step, logged)

    def add(self, step: int, logged: object) -> None:
        """The next row, as above."""
        super().add(step, logged)
        if isinstance(logged, float) and 0 <= logged < inf:
            epoch = logged
        elif (number := logged_epoch(logged, "")) is not None:
            epoch = float(number.value)
        else:
            return
        tolerance = _tolerance(epoch)
        step_before, before, tolerance_before = self._before
        grown, either = epoch - before, tolerance + tolerance_before
        # the end of a pass may take a shorter step
        if step > step_before and grown > either and before >= 0 and floor(before) == floor(epoch):
            self._fastest = max(self._fastest, (grown - either) / (step - step_before))
            self._slowest = min(self._slowest, (grown + either) / (step - step_before))
        self._before = step, epoch, tolerance

    def told_of(self, run: FinishedRun, where: str) -> FinishedRun:
        """A run with the steps of its passes, or with the word that they change; of a stream, without both.

        Args:
            run: The run.
            where: Where the rows were read.
        """
        if run.streams:
            return as_stream(run)
        steps, epochs = run.numbers.get("steps"), run.numbers.get("epochs")
        if self.changes_pace(steps, epochs):
            return replace(run, changes_batch=True, notes=(*run.notes, CHANGED))
        return replace(run, numbers={**run.numbers, **self.steps_per_epoch(steps, epochs, where)})

    def changes_pace(self, steps: Number | None, epochs: Number | None) -> bool:
        """Whether passes go by faster or slower later on: the batch is another one since a restart.

        Args:
            steps: Where the run stands in the end.
            epochs: Its epoch there.
        """
        if self._fastest > LARGEST_CHANGE_OF_PACE * self._slowest:
            return True
        first_pass = self.steps_per_epoch(None, None, "").get("steps_per_epoch")
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

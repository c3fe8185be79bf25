"""From stretches of a run, measured in whatever their authors chose, to phases of whole steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Literal

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.errors import InputError

__all__ = ["Excess", "Layout", "Stretch", "lay_out"]

MOST_STEPS = 10**15
"""More steps than any run takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A part of the run with one sequence length.

    Attributes:
        measure: What its amount counts: steps, samples, tokens, epochs, FLOPs, …
        amount: How much of it.
        sequence_length: Positions per sample; 1 where samples have none.
        batch: Samples per step over all devices, or the ramp that they follow.
        per_step: How much of the measure every step takes, whatever its batch.
        per_sample: How much of it every sample takes.
    """

    measure: str
    amount: Fraction
    sequence_length: int
    batch: int | Ramp
    per_step: int = 0
    per_sample: Fraction | int = 0

    def taken_by(self, batch: int) -> Fraction:
        """How much of the measure a step of so many samples takes."""
        return Fraction(self.per_step + batch * self.per_sample)


@dataclass(frozen=True, slots=True)
class Excess:
    """What a run takes beyond an amount asked for.

    Attributes:
        measure: What the amount counts.
        amount: How much more is taken; negative: how much is left of it.
        stretch: The stretch after which it is known.
        asked: The amount asked for, over the stretches of this measure.
    """

    measure: str
    amount: Fraction
    stretch: int
    asked: Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The phases of a run, and what rounding to whole steps did.

    Attributes:
        phases: Stretches of steps with one length and one global batch.
        stretches: For each phase, the stretch it is a part of.
        excesses: Where amounts were missed: at the end, and where the measure changes on the way.
        partial: Whether the last phase is one partial step.
    """

    phases: tuple[Phase, ...]
    stretches: tuple[int, ...]
    excesses: tuple[Excess, ...]
    partial: bool = False

    def is_partial(self, index: int) -> bool:
        """Whether a phase is the last, partial step."""
        return self.partial and index == len(self.phases) - 1


def lay_out(stretches: Sequence[Stretch], *, last_step: Literal["whole", "partial", "within"] = "whole") -> Layout:
    """Turn stretches into phases of whole steps.

    A stretch ends with the first step that reaches its amount, and what this step took beyond is taken
    off the next stretch if that has the same measure. So rounding happens once, at the end, and a
    stretch cut in two gives the same run.

    Args:
        stretches: In order.
        last_step: What the very last step does where steps do not divide the amount: it is a `whole`
            one and takes more, a `partial` one that draws the samples that are left, or it is left
            out, so that the run stays `within` its amount.

    Raises:
        InputError: If a stretch gets no step, or there are more than anybody takes.

    Examples:
        >>> def part(samples):
        ...     return Stretch(measure="samples", amount=Fraction(samples), sequence_length=8, batch=64, per_sample=1)
        >>> layout = lay_out([part(300), part(700)])
        >>> [phase.steps for phase in layout.phases], layout.excesses
        ([5, 11], (Excess(measure='samples', amount=Fraction(24, 1), stretch=1, asked=Fraction(1000, 1)),))
        >>> layout = lay_out([part(300), part(700)], last_step="partial")
        >>> [(phase.steps, phase.global_batch) for phase in layout.phases]
        [(5, 64), (10, 64), (1, 40)]
    """
    writer = _Writer()
    excess, asked, measure = Fraction(0), Fraction(0), ""
    excesses: list[Excess] = []
    for index, stretch in enumerate(stretches):
        if stretch.measure != measure:
            excesses.append(Excess(measure, excess, index - 1, asked))
            excess = asked = Fraction(0)
        asked += stretch.amount
        amount = stretch.amount - excess
        if amount <= 0:
            raise InputError(
                f"phase {index + 1} gets no step",
                rule=f"its {float(stretch.amount):g} {stretch.measure} are already taken by the last step of the phase "
                "before, which ends beyond its own",
                fixes="making one phase of the two",
            )
        excess, measure = writer.write(index, stretch, amount), stretch.measure
    short = bool(excess) and last_step != "whole"
    if short:
        excess = writer.shorten(excess, stretches[-1], keep=last_step == "partial")
    for index, stretch in enumerate(stretches):
        if writer.phases and index not in writer.stretches:
            raise InputError(
                f"phase {index + 1} gets no step",
                rule=f"one takes more than its {float(stretch.amount):g} {stretch.measure}",
                fixes=("more of the budget", "a smaller batch"),
            )
    if not writer.phases:
        raise InputError("the budget does not pay for a single step", fixes=("a larger budget", "a smaller batch"))
    return Layout(
        phases=tuple(writer.phases),
        stretches=tuple(writer.stretches),
        excesses=tuple(
            found for found in (*excesses, Excess(measure, excess, len(stretches) - 1, asked)) if found.amount
        ),
        partial=short and last_step == "partial",
    )


class _Writer:
    """The phases so far, and how far the run has come in each unit that a ramp may follow."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.stretches: list[int] = []
        self.done = {Unit.STEP: 0, Unit.SAMPLE: 0, Unit.POSITION: 0}

    def write(self, index: int, stretch: Stretch, amount: Fraction) -> Fraction:
        """Add the steps that take `amount`; returns what they take beyond."""
        left = amount
        while left > 0:
            ramp = stretch.batch if isinstance(stretch.batch, Ramp) else None
            batch = ramp.batch_at(self.done[ramp.unit]) if ramp else stretch.batch
            assert isinstance(batch, int)
            steps = ceil(left / stretch.taken_by(batch))
            change = ramp.next_start(self.done[ramp.unit]) if ramp else None
            if ramp and change is not None:
                progress = {Unit.STEP: 1, Unit.SAMPLE: batch, Unit.POSITION: batch * stretch.sequence_length}
                steps = min(steps, ceil((change - self.done[ramp.unit]) / progress[ramp.unit]))
            self._add(index, Phase(steps=steps, sequence_length=stretch.sequence_length, global_batch=batch))
            left -= steps * stretch.taken_by(batch)
        return -left

    def shorten(self, excess: Fraction, last: Stretch, *, keep: bool) -> Fraction:
        """Take the last step back; with `keep`, put one in its place that draws what is left."""
        index, phase = self.stretches[-1], self.phases[-1]
        left = last.taken_by(phase.global_batch) - excess
        self._remove_step()
        if not keep:
            return -left
        samples = ceil(left / last.per_sample)
        self._add(index, replace(phase, steps=1, global_batch=samples))
        return samples * last.per_sample - left

    def _add(self, index: int, phase: Phase) -> None:
        self.phases.append(phase)
        self.stretches.append(index)
        self._advance(phase, 1)
        if self.done[Unit.STEP] > MOST_STEPS:
            raise InputError(
                f"phase {index + 1} takes the run to {self.done[Unit.STEP]:,} steps",
                rule="that is more than any run takes: the amount is far too large for this batch, or mistyped",
            )

    def _remove_step(self) -> None:
        phase = self.phases.pop()
        self._advance(phase, -1)
        if phase.steps > 1:
            self.phases.append(replace(phase, steps=phase.steps - 1))
            self._advance(self.phases[-1], 1)
        else:
            self.stretches.pop()

    def _advance(self, phase: Phase, sign: int) -> None:
        self.done[Unit.STEP] += sign * phase.steps
        self.done[Unit.SAMPLE] += sign * phase.samples
        self.done[Unit.POSITION] += sign * phase.positions

"""A global batch that grows with the run's progress, as a list of levels."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.errors import InputError

__all__ = ["MOST_LEVELS", "Ramp"]

MOST_LEVELS = 100_000
"""Levels kept in memory."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """From which point of the run on a step draws how many samples.

    A step draws the batch of the level that the run has reached when the step begins, so batches
    change between steps only.

    Attributes:
        unit: What progress is counted in: steps, samples or positions.
        starts: Progress at which each level begins; the first is 0.
        batches: Samples per step, over all devices, of each level.

    Examples:
        >>> ramp = Ramp.increments(start=16, increment=8, over=Fraction(100), unit=Unit.SAMPLE, global_batch=32)
        >>> [ramp.batch_at(done) for done in (0, 49, 50, 99, 100, 10**6)]
        [16, 16, 24, 24, 32, 32]
    """

    unit: Unit
    starts: tuple[Fraction, ...]
    batches: tuple[int, ...]

    @classmethod
    def increments(cls, *, start: int, increment: int, over: Fraction, unit: Unit, global_batch: int) -> Ramp:
        """Equal increments at equal distances, as Megatron-LM's `--rampup-batch-size start increment samples`.

        The batch is start + ⌊progress × n ÷ over⌋ × increment with n = (global batch − start) ÷ increment.
        With a small increment this is a linear ramp.

        Raises:
            InputError: If the increments do not lead from `start` to `global_batch`.
        """
        rise = global_batch - start
        if rise < 0 or rise % increment:
            fits = [start + rise // increment * increment, start + (rise // increment + 1) * increment]
            near = " or ".join(str(fit) for fit in fits if fit >= start)
            raise InputError(
                f"a ramp from {start} in increments of {increment} never reaches the global batch {global_batch}",
                rule=f"{rise} is not a multiple of {increment}",
                fixes=f"a global batch of {near}",
            )
        count = rise // increment
        if count >= MOST_LEVELS:
            raise InputError(
                f"the ramp has {count:,} increments",
                rule=f"at most {MOST_LEVELS:,} are kept",
                fixes="a larger increment",
            )
        levels = range(count + 1)
        return cls(
            unit,
            tuple(Fraction(level) * over / count if count else Fraction(0) for level in levels),
            tuple(start + level * increment for level in levels),
        )

    @classmethod
    def stages(cls, *, unit: Unit, levels: Mapping[Fraction, int]) -> Ramp:
        """Stated batches from stated points on, as PaLM's 512 → 1,024 → 2,048.

        Raises:
            InputError: If no stage begins at 0, or they are not in order.
        """
        starts = tuple(levels)
        if not starts or starts[0] != 0 or list(starts) != sorted(set(starts)):
            shown = ", ".join(f"{float(start):g}" for start in starts)
            raise InputError(
                f"the stages begin at {shown or 'no point'}", rule="they must begin at 0 and go up, each once"
            )
        return cls(unit, starts, tuple(levels.values()))

    def level_at(self, progress: Fraction | int) -> int:
        """Index of the level reached at `progress`."""
        return bisect_right(self.starts, progress) - 1

    def batch_at(self, progress: Fraction | int) -> int:
        """Samples of a step that begins at `progress`."""
        return self.batches[self.level_at(progress)]

    def next_start(self, progress: Fraction | int) -> Fraction | None:
        """Progress at which the next level begins; None on the last."""
        level = self.level_at(progress) + 1
        return self.starts[level] if level < len(self.starts) else None

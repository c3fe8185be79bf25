"""How the passes of a Trainer end: steps of so many passes, and what so many steps may have drawn."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Literal

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.audit.interval import Interval
from dist_epochs.plan.like.loops import float_product

__all__ = ["Ending", "Passes"]

Ending = Literal["flush", "carry", "drop", "drop_last"]


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes over a corpus, each of which may end with a partial batch.

    Attributes:
        corpus: Its samples.
        batch: Samples of a full step, over all devices.
        accumulation: Micro-steps of a step, where they are known.
        ending: What happens at the end of a pass.
    """

    corpus: int
    batch: int
    accumulation: int | None = None
    ending: Ending = "flush"

    @property
    def per_pass(self) -> int:
        """Steps that are planned for a pass."""
        micro_steps = self.corpus // self._round if self.ending == "drop_last" else -(-self.corpus // self._round)
        whole = self.ending in ("carry", "drop")
        if whole and self.accumulation is None:
            return max(self.corpus // self.batch, 1)
        return max(micro_steps // self._window if whole else -(-micro_steps // self._window), 1)

    def steps(self, epochs: Fraction) -> int:
        """Steps of so many epochs; the Trainer multiplies floats."""
        return ceil(float_product(epochs, self.per_pass))

    def samples(self, steps: int) -> Interval:
        """What so many steps drew: short of full batches where a pass ends, with duplicates at most full ones.

        Raises:
            InputError: If no step is ever made.
        """
        most = Fraction(steps * self.batch)
        drawn = min(Fraction(self._loader.after_steps(steps).samples), most)
        return Interval(drawn, min(drawn, self._least(steps)), most)

    def _least(self, steps: int) -> Fraction:
        """Without the last round of each pass, which `drop_last` leaves out."""
        passes, inside = divmod(steps, self.per_pass)
        one = self.per_pass * self.batch
        if self.accumulation is None:
            short = (self.per_pass - 1) * self.batch or 1
        else:
            short = self.corpus // self._round * self._round or self.corpus
        return Fraction(passes * min(one, short, self.corpus) + inside * self.batch)

    def epochs(self, steps: int) -> Interval:
        """What may be said of so many steps: samples ÷ corpus, micro-steps ÷ those of a pass, or what was asked for."""
        drawn = self.samples(steps) / Interval.exact(self.corpus)
        passes, inside = divmod(steps, self.per_pass)
        part = Fraction(inside, self.per_pass)
        more = Fraction(inside, self.per_pass - 1) if self.per_pass > 1 else part
        asked = Fraction(steps - 1, self.per_pass)
        logged = [passes + part, passes + min(more, Fraction(1))]
        if self.corpus % self.batch and self.per_pass > 1:  # drop_last may make a step less of each pass
            logged.append(Fraction(steps, self.per_pass - 1))
        return Interval(drawn.point, min(drawn.low, asked), max(drawn.high, *logged))

    @property
    def _window(self) -> int:
        known = self.accumulation
        return known if known and self.batch % known == 0 else 1

    @property
    def _round(self) -> int:
        return self.batch // self._window

    @property
    def _loader(self) -> Loader:
        return Loader(
            samples=self.corpus,
            per_device=self._round,
            gradient_accumulation=self._window,
            uneven="drop" if self.ending == "drop_last" else "keep",
            last_window="flush" if self.ending == "drop_last" else self.ending,
        )

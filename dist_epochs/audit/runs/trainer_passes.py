"""How the passes of a Trainer end: steps of so many passes, and what so many steps may have drawn."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil
from typing import Literal

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.loader import Loader, Uneven
from dist_epochs.errors import InputError
from dist_epochs.frameworks.loaders import float_product
from dist_epochs.frameworks.run import Run
from dist_epochs.frameworks.setting import Setting
from dist_epochs.frameworks.transformers import TRANSFORMERS

__all__ = ["Ending", "Passes"]

OLD = {"carry": "4.44", "drop": "4.48"}
"""Versions of Transformers that end passes so."""

LAST_ROUNDS: tuple[tuple[bool, Uneven], ...] = ((False, "pad"), (True, "pad"), (False, "drop"))
"""Whether several devices share it, and what becomes of it."""

MOST_WINDOWS = 64
"""Accumulations that are tried where none is known."""

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
        if self.ending in OLD:
            found = [Fraction(run.counts.samples) for run in self._runs(steps)]
            return Interval(found[0], min(found), max(*found, most))
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
        if self.ending in OLD:
            logged += [run.reported.epoch for run in self._runs(steps) if run.reported.epoch is not None]
        if self.corpus % self.batch and self.per_pass > 1:  # drop_last may make a step less of each pass
            logged.append(Fraction(steps, self.per_pass - 1))
        return Interval(drawn.point, min(drawn.low, asked), max(drawn.high, *logged))

    def _runs(self, steps: int) -> list[Run]:
        """What an older version makes of them, with its last round short, padded or dropped.

        Raises:
            InputError: If it makes no step of any.
        """
        version = next(one for one in TRANSFORMERS.versions if one.name == OLD[self.ending])
        found, refused = [], None
        for window, (shared, uneven) in product(self._windows, LAST_ROUNDS):
            try:
                found.append(version.run(self._setting(steps, window, shared, uneven)))
            except InputError as error:
                refused = error
        if refused is not None and not found:
            raise refused
        return found

    @property
    def _windows(self) -> list[int]:
        if self.accumulation is not None:
            return [self._window]
        return [window for window in range(1, MOST_WINDOWS + 1) if self.batch % window == 0]

    def _setting(self, steps: int, window: int, shared: bool, uneven: Uneven) -> Setting:
        devices = self.batch // window if shared else 1
        return Setting(
            samples=self.corpus,
            per_device=self.batch // window // devices,
            data_parallel_size=devices,
            gradient_accumulation=window,
            steps=steps,
            uneven=uneven,
        )

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
            last_window="flush",
        )

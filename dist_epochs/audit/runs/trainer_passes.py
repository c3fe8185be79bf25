"""What a Hugging Face Trainer drew: steps of so many passes, and the samples and epochs of so many steps."""

from __future__ import annotations

from collections.abc import Iterator
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
from dist_epochs.frameworks.transformers import TRANSFORMERS, TRANSFORMERS_STREAMING

__all__ = ["MOST_WINDOWS", "Ending", "Passes"]

CARRYING, DROPPING, FLUSHING = (
    next(one for one in TRANSFORMERS.versions if one.name == name) for name in ("4.44", "4.48", "5")
)
"""Versions of Transformers that carry a partial window into the next pass, that plan without it, and that step it."""

LAST_ROUNDS: tuple[tuple[bool, Uneven], ...] = ((False, "pad"), (True, "pad"), (False, "drop"))
"""Whether several devices share the last round of a pass, and what becomes of it."""

MOST_WINDOWS, MOST_STREAM_WINDOWS = 64, 1000
"""Accumulations that are tried where none is known, of data of known length and of a stream."""

Ending = Literal["flush", "carry", "drop", "drop_last", "stream"]
"""What happens at the end of a pass: the partial window is stepped, goes on into the next pass, or is dropped; the
partial micro-batch is not drawn; or the data has no length, so that the Trainer does not know where a pass ends."""


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes over a corpus, each of which may end with a partial batch.

    Attributes:
        corpus: Its samples.
        batch: Samples of a full step, over all devices.
        accumulation: Micro-steps of a step, where they are known.
        ending: What happens at the end of a pass.
        per_device: Samples of a micro-batch, where they are known.
        logged: The Trainer's own epoch, where it is known: of the layouts that fit, those that log it count.

    Examples:
        >>> Passes(corpus=100, batch=40, accumulation=4).samples(3).point  # the third step of a pass has 20 samples
        Fraction(100, 1)
        >>> Passes(corpus=100, batch=40, accumulation=4, ending="stream", per_device=10).samples(30).point
        Fraction(1480, 1)
    """

    corpus: int
    batch: int
    accumulation: int | None = None
    ending: Ending = "flush"
    per_device: int | None = None
    logged: Interval | None = None

    @property
    def per_pass(self) -> int:
        """Steps that are planned for a pass."""
        micro_steps = self.corpus // self._round if self.ending == "drop_last" else -(-self.corpus // self._round)
        whole = self.ending in ("carry", "drop")
        if whole and self.accumulation is None:
            return max(self.corpus // self.batch, 1)
        return max(micro_steps // self._window if whole else -(-micro_steps // self._window), 1)

    @property
    def least_per_pass(self) -> int:
        """The same, where whole windows may leave out a last round that is not full."""
        if self.ending not in ("carry", "drop"):
            return self.per_pass
        return min(self.per_pass, max(self.corpus // self._round // self._window, 1))

    def steps(self, epochs: Fraction) -> int:
        """Steps of so many epochs; the Trainer multiplies floats."""
        return ceil(float_product(epochs, self.per_pass))

    def least_steps(self, epochs: Fraction) -> int:
        """The same with the fewest steps a pass."""
        return ceil(float_product(epochs, self.least_per_pass))

    def samples(self, steps: int) -> Interval:
        """What so many steps drew: short of full batches where a pass ends, with duplicates at most full ones.

        Raises:
            InputError: If no step is ever made.
        """
        most = Fraction(steps * self.batch)
        if self.ending in ("carry", "drop", "stream"):
            found = [Fraction(run.counts.samples) for run in self._runs(steps)]
            return Interval(found[0], min(found), max(found) if self.ending == "stream" else max(*found, most))
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
        least = min(drawn.low, asked)
        if self.ending in ("carry", "drop"):
            reported = [run.reported.epoch for run in self._runs(steps) if run.reported.epoch is not None]
            logged += reported
            least = min(least, *reported)  # where ranks draw rows twice, fewer passes than samples ÷ corpus
        if self.corpus % self.batch and self.per_pass > 1:  # drop_last may make a step less of each pass
            logged.append(Fraction(steps, self.per_pass - 1))
        return Interval(drawn.point, least, max(drawn.high, *logged))

    def settings_that_log(self, steps: int) -> list[Setting]:
        """Layouts of the batch with which the Trainer logs the epoch that it logged, after so many steps."""
        try:
            return [run.setting for run in self._runs(steps) if self._is_logged_by(run)]
        except InputError:  # no layout can run
            return []

    def _is_logged_by(self, run: Run) -> bool:
        epoch = run.reported.epoch
        return self.logged is not None and epoch is not None and self.logged.holds(epoch)

    def _runs(self, steps: int) -> list[Run]:
        """What the Trainer's loop makes of every layout of the batch that fits, those it refuses left out.

        Raises:
            InputError: If it refuses all of them.
        """
        versions = {
            "flush": FLUSHING,
            "carry": CARRYING,
            "drop": DROPPING,
            "drop_last": FLUSHING,
            "stream": TRANSFORMERS_STREAMING.versions[-1],
        }
        found, refused = [], InputError(f"no layout of a batch of {self.batch:,} is known")
        for setting in self._stream_settings(steps) if self.ending == "stream" else self._settings(steps):
            try:
                found.append(versions[self.ending].run(setting))
            except InputError as error:
                refused = error
        if not found:
            raise refused
        return [run for run in found if self._is_logged_by(run)] or found

    def _settings(self, steps: int) -> Iterator[Setting]:
        """Layouts of the batch, with the last round of a pass short, padded or dropped."""
        windows = [self._window] if self.accumulation is not None else range(1, MOST_WINDOWS + 1)
        for window, (shared, uneven) in product(windows, LAST_ROUNDS):
            is_of_ending = self.ending in ("carry", "drop") or (uneven == "drop") == (self.ending == "drop_last")
            if self.batch % window == 0 and is_of_ending:
                devices = self.batch // window if shared else 1
                yield self._setting(steps, window, self.batch // window // devices, devices, uneven)

    def _stream_settings(self, steps: int) -> Iterator[Setting]:
        """Layouts of the batch with the micro-batch that is known, else with one device."""
        most = min(self.batch // (self.per_device or 1), MOST_STREAM_WINDOWS)
        for window in [self.accumulation] if self.accumulation else range(1, most + 1):
            if self.batch % (window * (self.per_device or 1)) == 0:
                devices = self.batch // (window * self.per_device) if self.per_device else 1
                yield self._setting(steps, window, self.per_device or self.batch // window, devices)

    def _setting(self, steps: int, window: int, per_device: int, devices: int, uneven: Uneven | None = None) -> Setting:
        return Setting(
            samples=self.corpus,
            per_device=per_device,
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

"""What becomes of the counts of somebody else's loop: they are booked, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.integrations.observation import Observed, Schedule, end_of
from dist_epochs.integrations.warnings import RULES
from dist_epochs.ledger.books import Books
from dist_epochs.ledger.counters import counters
from dist_epochs.rules import rule_name

__all__ = ["Observer"]

STEPS_ALWAYS_JUDGED = 10
"""First steps of a segment, which all rules look at; later they are asked where something is unlike before."""

THEIR_DATA = PassKey(0, "data", 0, 0)
"""Where samples of other people's data are booked: one source, lengths that vary."""


class Observer:
    """Books steps and passes, and says what is worth a line.

    Args:
        books: Of the run; only rank 0 writes.
        seen: What is known of the loop before it runs.
        say: Prints a line; called where the books are written.

    Attributes:
        seen: What is known of the loop by now.
    """

    def __init__(self, books: Books, seen: Observed, say: Callable[[str], None]) -> None:
        self.seen = seen
        self._books, self._say = books, say
        self._tokens: int | None = None
        self._schedule_began: tuple[int, int] | None = None
        self._size_before = 0
        self._said: set[str] = set()
        seen.step = seen.from_step

    @property
    def epoch(self) -> Fraction | None:
        """True epochs: samples applied ÷ samples of the data."""
        samples = self._books.totals.applied.counts.samples
        return Fraction(samples, self.seen.samples) if self.seen.samples else None

    def begin(self, facts: Mapping[str, Any]) -> None:
        """A start of the program."""
        self._books.segment(facts)

    def begin_step(self, step: int) -> None:
        """The first batch of a step is drawn."""
        self._books.begin(step)

    def know(self, samples: int | None, tokens: int | None, how: str) -> None:
        """Note how large one pass over the data is.

        Args:
            samples: Of it, None if not known.
            tokens: Of it, None if not known.
            how: `stated`, `dataset`, `store` or `learned`.
        """
        self.seen.samples, self.seen.is_learned, self._tokens = samples, how == "learned", tokens
        self._books.write("corpus", samples=samples, tokens=tokens, known=how)

    def book(
        self,
        micro_steps: int,
        counts: Counts,
        positions: int,
        *,
        applied: bool,
        scheduler: object,
        advanced: int | None,
        duplicate_ranks: tuple[int, int] | None,
    ) -> None:
        """A step was taken.

        Args:
            micro_steps: On this rank.
            counts: Over all ranks.
            positions: Over all ranks.
            applied: Whether the optimizer updated.
            scheduler: Of the learning rate, if there is one.
            advanced: How often it was advanced when the step was taken.
            duplicate_ranks: Two ranks that drew the same samples.
        """
        seen = self.seen
        seen.step += 1
        seen.windows.setdefault(micro_steps, seen.step)
        if not seen.knows_windows and micro_steps == self._size_before:  # two alike are the accumulation of the loop
            seen.accumulation, seen.knows_windows = micro_steps, True
        self._size_before = micro_steps
        if duplicate_ranks is not None:
            seen.duplicate_ranks, seen.duplicate_steps = duplicate_ranks, seen.duplicate_steps + 1
        if not applied and seen.skipped is None:
            seen.skipped = seen.step
        self._books.book(seen.step, micro_steps, {THEIR_DATA: counts}, applied=applied, positions=positions)
        self._follow(scheduler, advanced)
        if (
            seen.accumulation != micro_steps
            or duplicate_ranks
            or not applied
            or seen.is_uneven
            or seen.step - seen.from_step <= STEPS_ALWAYS_JUDGED
        ):
            self.judge()

    def end_pass(self, samples: int) -> None:
        """A round of the loaders is over on all ranks; they drew so many samples in it."""
        seen = self.seen
        seen.passes += 1
        whole = not seen.from_step or seen.passes > 1  # the first one of a run that goes on may begin in its middle
        drawn = self._books.totals.samples_drawn
        self._books.write("pass", number=seen.passes, samples=samples, step=seen.step, drawn=drawn, whole=whole)
        if whole:
            seen.pass_samples = samples
            if seen.samples is None and samples:
                self.know(samples, self._tokens, "learned")
        self.judge()

    def report(self, epoch: float) -> None:
        """What the loop itself says its epoch is, where everything before is booked."""
        self._books.write("reported", epoch=epoch, step=self.seen.step, by=self.seen.reporter)
        self.seen.reported = epoch
        self.judge()
        self.seen.reported = None  # true of this moment only

    def compare(self, loader: LoaderFacts) -> None:
        """Another loader is drawn from: is its data that of the first?"""
        first = self.seen.loader.samples
        if None not in (first, loader.samples) and first != loader.samples:
            self.seen.other_size = loader.samples
            self.judge()

    def stop(self, reason: str) -> None:
        """Other ranks can no longer be asked."""
        self.seen.lost = reason
        with suppress(OSError):
            self.judge()

    def finish(self, unstepped: int) -> None:
        """The run ends with so many batches that no step took."""
        self.seen.unstepped = unstepped
        self.judge()

    def counters(self) -> dict[str, float | int]:
        """The true counters so far, under `ledger/`."""
        return counters(self._books.totals, self.epoch)

    def judge(self) -> None:
        """Ask every rule that was silent so far."""
        if not self._books.writes:
            return
        self.seen.epoch = self.epoch
        for rule in RULES:
            name = rule_name(rule)
            if name not in self._said and (message := rule(self.seen)):
                self._said.add(name)
                self._say(f"dist_epochs: {name}: {message}")
                self._books.write("warning", rule=name, message=message, step=self.seen.step)

    def _follow(self, scheduler: object, now: int | None) -> None:
        """Lay the learning-rate schedule beside the steps."""
        step = self.seen.step
        if now is None or not self._books.writes:
            return
        if self._schedule_began is None:
            self._schedule_began = step, now
            return
        first, before = self._schedule_began
        ends_at = self.seen.schedule.ends_at if self.seen.schedule else end_of(scheduler)
        self.seen.schedule = Schedule(now - before, step - first, ends_at)

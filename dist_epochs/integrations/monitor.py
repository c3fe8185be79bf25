"""Records the counts of a user's own loop, and warns of what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.integrations.observation import ObservedLoop, Schedule, end_of
from dist_epochs.integrations.warnings import RULES
from dist_epochs.ledger.counters import counters
from dist_epochs.ledger.writer import LedgerWriter
from dist_epochs.rules import rule_name

__all__ = ["Monitor"]

STEPS_ALWAYS_CHECKED = 10
"""First steps of a segment, after each of which all rules are checked; later only after steps that differ."""

USER_DATA = PassKey(0, "data", 0, 0)
"""The pass that all samples of a user's loop are recorded under: one source, lengths that vary."""


class Monitor:
    """Records steps and passes, and prints each warning once.

    Args:
        writer: Of the run; only rank 0 writes.
        observed: What is known of the loop before it runs.
        say: Prints a line; called on the rank that writes.

    Attributes:
        observed: What is known of the loop by now.
    """

    def __init__(self, writer: LedgerWriter, observed: ObservedLoop, say: Callable[[str], None]) -> None:
        self.observed = observed
        self._writer, self._say = writer, say
        self._tokens: int | None = None
        self._schedule_began: tuple[int, int] | None = None
        self._size_before = 0
        self._said: set[str] = set()
        observed.step = observed.from_step

    @property
    def epoch(self) -> Fraction | None:
        """True epochs: samples applied ÷ samples of the data."""
        samples = self._writer.totals.applied.counts.samples
        return Fraction(samples, self.observed.samples) if self.observed.samples else None

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Record a start of the program."""
        self._writer.segment(facts)

    def begin_step(self, step: int) -> None:
        """Record that the first batch of a step is drawn."""
        self._writer.begin(step)

    def know(self, samples: int | None, tokens: int | None, how: str) -> None:
        """Record how large one pass over the data is.

        Args:
            samples: Samples of a pass; None if not known.
            tokens: Tokens of a pass; None if not known.
            how: How this is known: `stated`, `dataset`, `store` or `learned`.
        """
        self.observed.samples, self.observed.is_learned, self._tokens = samples, how == "learned", tokens
        self._writer.write("corpus", samples=samples, tokens=tokens, known=how)

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
        """Record a step that was taken.

        Args:
            micro_steps: Micro-steps on this rank.
            counts: Counts over all ranks.
            positions: Positions over all ranks.
            applied: Whether the optimizer updated.
            scheduler: The scheduler of the learning rate, if there is one.
            advanced: How often it had been advanced when the step was taken.
            duplicate_ranks: Two ranks that drew the same samples.
        """
        loop = self.observed
        loop.step += 1
        loop.windows.setdefault(micro_steps, loop.step)
        if not loop.knows_windows and micro_steps == self._size_before:  # two equal windows in a row are the loop's own
            loop.accumulation, loop.knows_windows = micro_steps, True
        self._size_before = micro_steps
        if duplicate_ranks is not None:
            loop.duplicate_ranks, loop.duplicate_steps = duplicate_ranks, loop.duplicate_steps + 1
        if not applied and loop.skipped is None:
            loop.skipped = loop.step
        self._writer.book(loop.step, micro_steps, {USER_DATA: counts}, applied=applied, positions=positions)
        self._compare_schedule(scheduler, advanced)
        if (
            loop.accumulation != micro_steps
            or duplicate_ranks
            or not applied
            or loop.is_uneven
            or loop.step - loop.from_step <= STEPS_ALWAYS_CHECKED
        ):
            self.check()

    def end_pass(self, samples: int) -> None:
        """Record that a pass of the loaders has ended on all ranks, and how many samples they drew in it."""
        loop = self.observed
        loop.passes += 1
        whole = not loop.from_step or loop.passes > 1  # the first one after a resume may begin in the middle
        drawn = self._writer.totals.samples_drawn
        self._writer.write("pass", number=loop.passes, samples=samples, step=loop.step, drawn=drawn, whole=whole)
        if whole:
            loop.pass_samples = samples
            if loop.samples is None and samples:
                self.know(samples, self._tokens, "learned")
        self.check()

    def report(self, epoch: float) -> None:
        """Record the epoch that the loop itself reports, when every step before is recorded."""
        self._writer.write("reported", epoch=epoch, step=self.observed.step, by=self.observed.reporter)
        self.observed.reported = epoch
        self.check()
        self.observed.reported = None  # only this moment can be compared

    def compare(self, loader: LoaderFacts) -> None:
        """Compare the data of another loader with that of the first."""
        first = self.observed.loader.samples
        if None not in (first, loader.samples) and first != loader.samples:
            self.observed.other_size = loader.samples
            self.check()

    def stop(self, reason: str) -> None:
        """Stop counting: the counts of other ranks can no longer be had."""
        self.observed.lost = reason
        with suppress(OSError):
            self.check()

    def finish(self, unstepped: int) -> None:
        """Record that the run ends, and how many batches were drawn after its last step."""
        self.observed.unstepped = unstepped
        self.check()

    def counters(self) -> dict[str, float | int]:
        """The counters of the ledger so far, under `ledger/`."""
        return counters(self._writer.totals, self.epoch)

    def check(self) -> None:
        """Check every rule that has not warned yet."""
        if not self._writer.writes:
            return
        self.observed.epoch = self.epoch
        for rule in RULES:
            name = rule_name(rule)
            if name not in self._said and (message := rule(self.observed)):
                self._said.add(name)
                self._say(f"dist_epochs: {name}: {message}")
                self._writer.write("warning", rule=name, message=message, step=self.observed.step)

    def _compare_schedule(self, scheduler: object, now: int | None) -> None:
        """Compare the learning-rate schedule with the steps."""
        step = self.observed.step
        if now is None or not self._writer.writes:
            return
        if self._schedule_began is None:
            self._schedule_began = step, now
            return
        first, before = self._schedule_began
        ends_at = self.observed.schedule.ends_at if self.observed.schedule else end_of(scheduler)
        self.observed.schedule = Schedule(now - before, step - first, ends_at)

"""Records the counts of a user's own loop, and warns of what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.integrations.schedule import Schedule, end_of
from dist_epochs.integrations.warnings import RULES
from dist_epochs.ledger.counters import counters
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LedgerWriter
from dist_epochs.rules import rule_name

__all__ = ["Monitor", "NewAttempt"]

STEPS_ALWAYS_CHECKED = 10
"""First steps of a segment, after each of which all rules are checked; later only after steps that differ."""

USER_DATA = PassKey(0, "data", 0, 0)
"""The pass that all samples of a user's loop are recorded under: one source, lengths that vary."""

COUNTED_IN_BATCHES = ("samples", "positions", "tokens", "loss_tokens")
"""Units that are not known any more when a batch could not be counted."""


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """Training began again from where this segment began, with a new optimizer.

    Attributes:
        reason: Why, as the ledger says it of the attempt before.
        loader: How the samples are shared among the ranks now.
    """

    reason: str
    loader: LoaderFacts


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
        self._how, self._knows_sources = "", False
        self._schedule_began: tuple[int, int] | None = None
        self._size_before = 0
        self._said: set[str] = set()
        self._unknown: set[str] = set()
        self._facts: Mapping[str, Any] = {}
        observed.step = observed.from_step
        self._at_start = replace(observed)

    @property
    def epoch(self) -> Fraction | None:
        """True epochs: samples applied ÷ samples of the data; None where one of them is not known."""
        if "samples" in self._unknown:
            return None
        samples = self._writer.totals.applied.counts.samples
        return Fraction(samples, self.observed.samples) if self.observed.samples else None

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Record a start of the program."""
        self._facts = facts
        self._writer.segment(facts)

    def pause(self, event: str, seconds: float) -> None:
        """Record that the loop was evaluated or saved, after the last step that is recorded."""
        self._writer.pause(event, self.observed.step, seconds)

    def begin_step(self, step: int) -> None:
        """Record that the first batch of a step is drawn."""
        self._writer.begin(step)

    def know(self, samples: int | None, tokens: int | None, how: str, sources: Mapping[str, int] | None = None) -> None:
        """Record how large one pass over the data is.

        Args:
            samples: Samples of a pass; None if not known.
            tokens: Tokens of a pass; None if not known.
            how: How this is known: `stated`, `dataset`, `store` or `learned`.
            sources: Samples of a pass over each source; None if not known.
        """
        self.observed.samples, self.observed.is_learned = samples, how == "learned"
        self._tokens, self._how = tokens, how
        self._knows_sources = bool(sources)
        by_source = {"sources": dict(sources)} if sources else {}
        self._writer.write("corpus", samples=samples, tokens=tokens, known=how, **by_source)

    def lose(self, units: Iterable[str]) -> None:
        """Record that units are not known any more: what was added up of them is too low, or of two kinds."""
        lost = [unit for unit in units if unit not in self._unknown]
        self._unknown.update(lost)
        if lost:
            self._writer.write("unknown", units=lost, step=self.observed.step)

    def interleave(self) -> None:
        """Note that batches of two loaders are drawn in turn: passes and micro-steps are not known any more."""
        if not self.observed.is_interleaved:
            self.observed.is_interleaved = True
            self.lose(["micro_steps"])
            if self.observed.samples is not None and self._how != "stated":
                self.know(None, None, "dataset")
            self.check()

    def begin_again(self, attempt: NewAttempt) -> None:
        """Record that the steps of this segment were for nothing, and begin another from where it began."""
        before = read_totals(self._writer.path, up_to=self._at_start.from_step) if self._writer.writes else Totals()
        self._writer.go_back(before, attempt.reason, {**self._facts, "per_device": attempt.loader.per_device})
        self.observed = replace(self._at_start, loader=attempt.loader, samples=self.observed.samples)
        self.observed.is_learned, self._schedule_began, self._size_before = self._how == "learned", None, 0

    def book(
        self,
        micro_steps: int,
        counts: Counts,
        positions: int,
        *,
        by_source: Mapping[str, Counts],
        uncounted: int,
        applied: bool,
        scheduler: object,
        advanced: int | None,
        duplicate_ranks: tuple[int, ...] | None,
        taken: float,
        data_wait: float | None,
    ) -> None:
        """Record a step that was taken.

        Args:
            micro_steps: Micro-steps on this rank.
            counts: Counts over all ranks.
            positions: Positions over all ranks.
            by_source: Counts of each source; empty where sources are not counted.
            uncounted: Batches that could not be counted.
            applied: Whether the optimizer updated.
            scheduler: The scheduler of the learning rate, if there is one.
            advanced: How often it had been advanced when the step was taken.
            duplicate_ranks: Two ranks that drew the same samples; empty if none did, None if that is not known.
            taken: When it was taken, in seconds since 1970.
            data_wait: Seconds that this rank waited for its batches; None where that is not seen.
        """
        loop = self.observed
        loop.step += 1
        loop.windows.setdefault(micro_steps, loop.step)
        if not loop.knows_windows and micro_steps == self._size_before:  # two equal windows in a row are the loop's own
            loop.accumulation, loop.knows_windows = micro_steps, True
        self._size_before = micro_steps
        loop.compared_steps += duplicate_ranks is not None
        if duplicate_ranks:
            loop.duplicate_ranks, loop.duplicate_steps = duplicate_ranks, loop.duplicate_steps + 1
        if uncounted:
            loop.uncounted += uncounted
            self.lose(COUNTED_IN_BATCHES)
        rows = micro_steps * loop.ranks * (loop.loader.per_device or counts.samples)
        if loop.counts_restarts and counts.samples > rows:
            self._find_packed_rows()
        if not applied and loop.skipped is None:
            loop.skipped = loop.step
        passes = {PassKey(0, name, 0, 0): each for name, each in by_source.items()} or {USER_DATA: counts}
        self._writer.book(
            loop.step, micro_steps, passes, applied=applied, positions=positions, data_wait=data_wait, taken=taken
        )
        self._compare_schedule(scheduler, advanced)
        if (
            loop.accumulation != micro_steps
            or duplicate_ranks
            or uncounted
            or not applied
            or loop.is_uneven
            or loop.step - loop.from_step <= STEPS_ALWAYS_CHECKED
        ):
            self.check()

    def end_pass(self, samples: int, by_source: Mapping[str, int], *, left: bool, whole: bool) -> None:
        """Record that a pass of the loaders has ended on all ranks.

        Args:
            samples: Samples that all ranks drew in it.
            by_source: Those of each source; empty where sources are not counted.
            left: Whether the loop left it before its end.
            whole: Whether it drew all that the loaders have.
        """
        loop = self.observed
        loop.passes += 1
        if loop.from_step and loop.passes == 1:  # the first one after a resume may begin in the middle
            whole &= loop.before > 0 and not loop.in_pass and not loop.gap
        whole &= not loop.uncounted and not loop.is_interleaved
        drawn = self._writer.totals.samples_drawn
        end = {"whole": whole} | ({"left": True} if left else {})
        self._writer.write("pass", number=loop.passes, samples=samples, step=loop.step, drawn=drawn, **end)
        if whole and loop.other_size is None:  # a pass over other data is no pass over these samples
            loop.pass_samples = samples
            if samples and (loop.samples is None or (by_source and not self._knows_sources)):
                how = "learned" if loop.samples is None else self._how
                self.know(loop.samples or samples, self._tokens, how, by_source)
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
        self.observed.unstepped, self.observed.has_ended = unstepped, True
        self.check()

    def counters(self) -> dict[str, float | int]:
        """The counters of the ledger so far, under `ledger/`: those that are known."""
        unknown = {f"ledger/{unit}" for unit in self._unknown}
        known = counters(self._writer.totals, self.epoch).items()
        return {name: value for name, value in known if name not in unknown}

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

    def _find_packed_rows(self) -> None:
        """Note that a row of the dataset holds several samples, so that its length is no number of samples."""
        if not self.observed.are_rows_packed:
            self.observed.are_rows_packed = True
            if self._how == "dataset":
                self.know(None, None, "dataset")

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

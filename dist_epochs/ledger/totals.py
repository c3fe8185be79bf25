"""What a ledger adds up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.clock import Clock, StepTime, group_key
from dist_epochs.ledger.file import drawn_from_json, drawn_to_json

__all__ = ["Segment", "Tally", "Totals"]


@dataclass(slots=True)
class Tally:
    """Steps of one kind, and what they drew.

    Attributes:
        steps: Optimizer steps.
        micro_steps: Forward and backward passes on each rank.
        passes: Counts by pass, over all ranks.
        counts: Their sum.
        positions: Samples × sequence length, summed; as stated, where lengths vary within a step.
        data_wait_us: Microseconds that rank 0 waited for data, as far as its steps recorded them.
        data_wait_steps: Steps that recorded them.
        time: What they took.
    """

    steps: int = 0
    micro_steps: int = 0
    passes: dict[PassKey, Counts] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    positions: int = 0
    data_wait_us: int = 0
    data_wait_steps: int = 0
    time: StepTime = field(default_factory=StepTime, compare=False)

    def add(
        self,
        micro_steps: int,
        drawn: Mapping[PassKey, Counts],
        positions: int | None = None,
        data_wait_us: int | None = None,
    ) -> None:
        """Add one step; its positions follow from the lengths, unless they are stated."""
        self.steps += 1
        if data_wait_us is not None:
            self.data_wait_us += data_wait_us
            self.data_wait_steps += 1
        self.micro_steps += micro_steps
        self.positions += positions or 0
        for key, counts in drawn.items():
            before = self.passes.get(key)
            self.passes[key] = counts if before is None else before + counts
            self.counts += counts
            self.positions += key.sequence_length * counts.samples if positions is None else 0

    def by_unit(self) -> dict[str, int]:
        """What the steps drew, by the name of the unit."""
        return {
            "micro_steps": self.micro_steps,
            "samples": self.counts.samples,
            "positions": self.positions,
            "tokens": self.counts.tokens,
            "loss_tokens": self.counts.loss_tokens,
        }

    def combined(self, other: Tally, sign: int) -> Tally:
        """The sum (sign 1) or the difference (−1) of two."""
        result = Tally(
            steps=self.steps + sign * other.steps,
            micro_steps=self.micro_steps + sign * other.micro_steps,
            positions=self.positions + sign * other.positions,
            data_wait_us=self.data_wait_us + sign * other.data_wait_us,
            data_wait_steps=self.data_wait_steps + sign * other.data_wait_steps,
            time=self.time.combined(other.time, sign),
        )
        for key in {**self.passes, **other.passes}:
            ours, theirs = self.passes.get(key, Counts()), other.passes.get(key, Counts())
            counts = ours + theirs if sign > 0 else ours - theirs
            if counts != Counts():
                result.passes[key] = counts
                result.counts += counts
        return result

    def to_json(self) -> dict[str, Any]:
        """For a totals line."""
        return {
            "steps": self.steps,
            "micro_steps": self.micro_steps,
            "positions": self.positions,
            "data_wait_us": self.data_wait_us,
            "data_wait_steps": self.data_wait_steps,
            "time": self.time.to_json(),
            "drawn": drawn_to_json(self.passes),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """From a totals line."""
        tally = cls()
        tally.add(data["micro_steps"], dict(drawn_from_json(data["drawn"])), data.get("positions"))
        tally.steps = data["steps"]
        tally.data_wait_us, tally.data_wait_steps = data.get("data_wait_us", 0), data.get("data_wait_steps", 0)
        tally.time = StepTime.from_json(data.get("time"))
        return tally


@dataclass(slots=True)
class Segment:
    """A part of the run with one topology and code, from a start of the program to its end.

    Attributes:
        first_step: The step it began with, from 1.
        last_step: The last step it drew, `first_step` − 1 if none.
        status: `finished`, `stopped`, `failed`, or `no end` (killed, or still running).
        reason: Why it stopped or failed.
        facts: Topology, versions and time, as written.
    """

    first_step: int
    last_step: int
    status: str = "no end"
    reason: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Everything a run did so far.

    Attributes:
        applied: Steps whose update was applied: what counts as trained.
        skipped: Steps drawn and not applied.
        replayed: Steps that a later segment drew again.
        unfinished: Steps begun and neither applied nor skipped.
        segments: Starts of the program.
        clock: The time that is in no step.
    """

    applied: Tally = field(default_factory=Tally)
    skipped: Tally = field(default_factory=Tally)
    replayed: Tally = field(default_factory=Tally)
    unfinished: int = 0
    segments: list[Segment] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock, compare=False)

    @property
    def is_of_users_loop(self) -> bool:
        """Whether no length is known of anything that was drawn, as the trainer of this package knows it."""
        passes = {**self.applied.passes, **self.skipped.passes}
        return bool(passes) and not any(key.sequence_length for key in passes)

    def take(
        self,
        kind: str,
        micro_steps: int,
        drawn: Mapping[PassKey, Counts],
        *,
        positions: int | None = None,
        data_wait_us: int | None = None,
        communication_us: int | None = None,
        time: float | None = None,
    ) -> None:
        """Add a step that was taken.

        Args:
            kind: `applied` or `skipped`.
            micro_steps: Micro-steps on each rank.
            drawn: What it drew from each pass.
            positions: Positions, where they do not follow from the lengths.
            data_wait_us: What rank 0 waited for data, where that is known.
            communication_us: What it waited for other ranks, where that is known.
            time: When it was taken, in seconds since 1970, where that is known.
        """
        tally: Tally = self.applied if kind == "applied" else self.skipped
        before = tally.counts.samples
        tally.add(micro_steps, drawn, positions, data_wait_us)
        key = group_key((key.sequence_length for key in drawn), tally.counts.samples - before, self.clock.world)
        self.clock.step(tally.time, key, time, communication_us or 0)

    @property
    def last_step(self) -> int:
        """The last step that was drawn and ended."""
        return self.applied.steps + self.skipped.steps

    @property
    def samples_drawn(self) -> int:
        """Samples of all steps up to the last one, skipped ones included."""
        return self.applied.counts.samples + self.skipped.counts.samples

    def to_json(self) -> dict[str, Any]:
        """For a totals line; segments have lines of their own."""
        return {
            "applied": self.applied.to_json(),
            "skipped": self.skipped.to_json(),
            "replayed": self.replayed.to_json(),
            "unfinished": self.unfinished,
            "clock": self.clock.to_json(),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Totals:
        """From a totals line."""
        applied, skipped, replayed = (Tally.from_json(entry[kind]) for kind in ("applied", "skipped", "replayed"))
        clock = Clock.from_json(entry["clock"]) if "clock" in entry else Clock()
        return cls(applied, skipped, replayed, entry["unfinished"], clock=clock)

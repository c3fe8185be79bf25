"""Where the time of a run went, added up line by line: by the one who writes a ledger, and by the one who reads it.

Everything is in whole microseconds, so that parts add up to the whole. A line's time ends the interval that the line
before it began, and each interval has one cause. Steps are timed beside their counts (`StepTime`), since a step that
was lost is drawn again; all other intervals are in the `Clock`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PAUSES", "Clock", "Group", "GroupKey", "StepTime", "group_key", "microseconds"]

PAUSES = ("evaluation", "checkpoint")
"""What training pauses for; such lines say how many seconds it took."""

GroupKey = tuple[int, int, int]
"""Sequence length, samples of the step, ranks: steps that are alike in these take about as long."""


def microseconds(seconds: float) -> int:
    """Seconds as whole microseconds."""
    return round(seconds * 10**6)


@dataclass(slots=True)
class Group:
    """The times of steps that are alike.

    Attributes:
        steps: Steps, without the first one of each segment, which compiles and warms up.
        us: Their microseconds.
        squares: The squares of these, added.
        first_steps: First steps.
        first_us: Their microseconds.
    """

    steps: int = 0
    us: int = 0
    squares: int = 0
    first_steps: int = 0
    first_us: int = 0

    def add(self, us: int, *, is_first: bool) -> None:
        """Add a step."""
        if is_first:
            self.first_steps += 1
            self.first_us += us
        else:
            self.steps += 1
            self.us += us
            self.squares += us * us

    def numbers(self) -> list[int]:
        """For a line."""
        return [self.steps, self.us, self.squares, self.first_steps, self.first_us]

    @property
    def first_excess_us(self) -> int:
        """What the first steps took beyond the mean of the others: compiling, and warming up; 0 without others."""
        return max(0, self.first_us - self.first_steps * self.us // self.steps) if self.steps else 0


@dataclass(slots=True)
class StepTime:
    """The time of steps of one kind, those of segments that record causes.

    Attributes:
        us: From the line before each of them to its own.
        communication_us: Of it, what rank 0 waited for the counts of other ranks.
        groups: The same time by length, batch and ranks.
    """

    us: int = 0
    communication_us: int = 0
    groups: dict[GroupKey, Group] = field(default_factory=dict)

    def combined(self, other: StepTime, sign: int) -> StepTime:
        """The sum (sign 1) or the difference (−1) of two."""
        groups = {}
        for key in {**self.groups, **other.groups}:
            ours, theirs = (each.groups.get(key, Group()).numbers() for each in (self, other))
            numbers = [max(0, a + sign * b) for a, b in zip(ours, theirs, strict=True)]
            if any(numbers):
                groups[key] = Group(*numbers)
        return StepTime(
            max(0, self.us + sign * other.us),
            max(0, self.communication_us + sign * other.communication_us),
            groups,
        )

    def to_json(self) -> dict[str, Any]:
        """For a totals line."""
        groups = [[*key, *group.numbers()] for key, group in self.groups.items()]
        return {"us": self.us, "communication_us": self.communication_us, "groups": groups}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> StepTime:
        """From a totals line; nothing where it has none."""
        if data is None:
            return cls()
        groups = {(length, samples, ranks): Group(*numbers) for length, samples, ranks, *numbers in data["groups"]}
        return cls(data["us"], data["communication_us"], groups)


@dataclass(slots=True)
class Clock:
    """The time of a run that is in no step, and the state that the next line is timed by.

    Attributes:
        last: Time of the last line, in microseconds since 1970; None before the first.
        spent: Microseconds by cause: `start-up`, `evaluation`, `checkpoint`, `idle` (between segments), `other`, and
            `unattributed`, which is the time of steps that say nothing of their own.
        events: How many there were of `segment`, `evaluation` and `checkpoint`.
        device_us: Microseconds of segments × their devices; None where a segment does not say how many it had.
        energy_mj: Energy that the devices measured, in millijoules, of the segments before this one; None where one
            of them measured none.
        back_us: How far the clock jumped back, in all.
        world: Devices of the segment under way; 0 where that is not known.
        timed: Causes that its steps tell apart; None where they say nothing of their time.
        begun: Whether it has begun a step.
        seen: Lengths of which it has taken a step.
        segment_energy_mj: Energy that it has measured so far.
    """

    last: int | None = None
    spent: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    device_us: int | None = 0
    energy_mj: int | None = 0
    back_us: int = 0
    world: int = 0
    timed: list[str] | None = None
    begun: bool = False
    seen: set[int] = field(default_factory=set)
    segment_energy_mj: int = 0

    def segment(self, entry: Mapping[str, Any]) -> None:
        """The program starts: from the line before to its start the run was idle."""
        self.world, time = 0, entry.get("time")
        if self.events.get("segment"):
            energy = self.segment_energy_mj
            self.energy_mj = self.energy_mj + energy if self.energy_mj is not None and energy else None
        self.events["segment"] = self.events.get("segment", 0) + 1
        self.segment_energy_mj = 0
        started = entry.get("started", time)
        if started is not None and time is not None:
            started = min(microseconds(started), microseconds(time))
            if self.last is not None and started < self.last <= microseconds(time):
                started = self.last  # the same process begins again, or another one while the first still ended
            self._spend("idle", self._until(started))
        self.world, self.timed = entry.get("world_size", 0), entry.get("timed")
        self.begun, self.seen = False, set()
        if not self.world:
            self.device_us = None
        if time is not None:
            self._spend("start-up", self._until(microseconds(time)))

    def begin(self, time: float | None) -> None:
        """A step begins; the first one of a segment says when."""
        if not self.begun and time is not None:
            self._spend("start-up", self._until(microseconds(time)))
        self.begun = True

    def step(self, into: StepTime, key: GroupKey, time: float | None, communication_us: int) -> None:
        """A step was taken.

        Args:
            into: The times of its kind.
            key: Its length, samples and ranks.
            time: Of its line.
            communication_us: What it waited for other ranks.
        """
        self.begun = True
        if time is None:
            return
        us = self._until(microseconds(time))
        if self.timed is None:
            self._spend("unattributed", us)
            return
        into.us += us
        into.communication_us += communication_us
        group = into.groups.get(key)
        if group is None:
            group = into.groups[key] = Group()
        length = key[0]
        group.add(us, is_first=length not in self.seen)
        self.seen.add(length)

    def pause(self, cause: str, seconds: float | None, time: float | None) -> None:
        """Training paused, and the pause ends here; what came before it since the line before is logging."""
        self.events[cause] = self.events.get(cause, 0) + 1
        if time is None:
            return
        us = self._until(microseconds(time))
        paused = us if seconds is None else min(us, microseconds(seconds))
        self._spend(cause, paused)
        self._spend("unattributed" if self.timed is None else "other", us - paused)

    def end(self, time: float | None) -> None:
        """The segment ends: since the line before the model was saved."""
        if time is not None:
            self._spend("other", self._until(microseconds(time)))

    def skip_to(self, time: float | None) -> None:
        """Steps that were not read end here."""
        self.begun = True
        if time is not None:
            self._spend("unattributed", self._until(microseconds(time)))

    @property
    def measured_energy_mj(self) -> int | None:
        """Energy of all segments; None where one of them measured none."""
        if self.energy_mj is None or not self.segment_energy_mj:
            return None
        return self.energy_mj + self.segment_energy_mj

    def _until(self, now: int) -> int:
        """Microseconds since the line before; none where the clock was set back, which is noted."""
        before, self.last = self.last, now
        if before is None:
            return 0
        if now < before:
            self.back_us += before - now
            return 0
        if self.world and self.device_us is not None:
            self.device_us += (now - before) * self.world
        return now - before

    def _spend(self, cause: str, us: int) -> None:
        if us:
            self.spent[cause] = self.spent.get(cause, 0) + us

    def to_json(self) -> dict[str, Any]:
        """For a totals line."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return state | {"spent": dict(self.spent), "events": dict(self.events), "seen": sorted(self.seen)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Clock:
        """From a totals line."""
        known = {name: data[name] for name in cls.__slots__ if name in data}
        return cls(**known | {"spent": dict(data["spent"]), "events": dict(data["events"]), "seen": set(data["seen"])})


def group_key(lengths: Iterable[int], samples: int, ranks: int) -> GroupKey:
    """How a step is grouped: one of varying lengths, as in a loop of the user's own, is like any other."""
    length = max(lengths, default=0)
    return (length, samples if length else 0, ranks)

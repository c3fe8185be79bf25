"""Where the time of a step goes, measured without waiting for the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

__all__ = ["PARTS", "PAUSES", "Elapsed", "StepTimes"]

PARTS = ("data", "compute", "optimizer", "communication", "logging")
"""What the time between two steps is spent on."""

PAUSES = ("evaluation", "checkpoint")
"""What training pauses for; in no step."""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time between two moments of a run.

    Attributes:
        total: Seconds, pauses included.
        seconds: Seconds by part and pause.
    """

    total: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def of_steps(self) -> float:
        """Seconds without the pauses."""
        return self.total - sum(self.seconds.get(pause, 0.0) for pause in PAUSES)

    def __add__(self, other: Elapsed) -> Elapsed:
        names = {*self.seconds, *other.seconds}
        added = {name: self.seconds.get(name, 0.0) + other.seconds.get(name, 0.0) for name in names}
        return Elapsed(self.total + other.total, added)


class StepTimes:
    """Splits the time of the loop into parts, each the time since the part before ended.

    On the CPU all parts are taken by the host's clock, without what the host waited for in them (`waits`), and add up
    to the whole. On CUDA events mark the same places in the device's work, and are read once they have passed: compute
    and optimizer are the time of the device, logging is what the device did or idled between two steps, and waits are
    those of the host, during which the device may have computed; so these need not add up. The all-reduce of the
    gradients runs during the backward pass, and is part of compute.

    Args:
        device: The device that computes.
        waits: By part, the seconds that the host has waited so far.
    """

    def __init__(self, device: torch.device, waits: Mapping[str, Callable[[], float]]) -> None:
        self._on_device = device.type == "cuda"
        self._waits = waits
        self._laps: list[tuple[str, Any]] = []
        self.begin()

    def begin(self) -> None:
        """Begin to measure here."""
        self._laps = [("", self._mark())]
        self._waited = {part: waited() for part, waited in self._waits.items()}
        self._seconds: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """What came since the last lap was this part."""
        self._laps.append((part, self._mark()))
        for wait, waited in self._waits.items():
            now = waited()
            if seconds := now - self._waited[wait]:
                self._waited[wait] = now
                self._add(wait, seconds)
                if not self._on_device:
                    self._add(part, -seconds)

    def take(self) -> Callable[[], Elapsed]:
        """End an interval here, and begin the next.

        Returns:
            Gives the interval; on CUDA, call it when the device has come as far.
        """
        self.lap("logging")
        laps, seconds = self._laps, self._seconds
        self._laps, self._seconds = laps[-1:], {}

        def read() -> Elapsed:
            for (_, before), (part, mark) in pairwise(laps):
                seconds[part] = seconds.get(part, 0.0) + self._between(before, mark)
            return Elapsed(self._between(laps[0][1], laps[-1][1]), seconds)

        return read

    def _add(self, part: str, seconds: float) -> None:
        self._seconds[part] = self._seconds.get(part, 0.0) + seconds

    def _mark(self) -> Any:
        """This moment: seconds, or an event in the device's work."""
        if not self._on_device:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _between(self, before: Any, after: Any) -> float:
        return float(before.elapsed_time(after)) / 1000 if self._on_device else after - before

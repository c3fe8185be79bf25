"""Why a run should stop: signals (the first asks for a clean end, a second one ends at once), or no launcher."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType, TracebackType

__all__ = ["StopSignals"]

SAME_REQUEST = 1.0
"""Seconds within which a repeated signal is the same request: Slurm sends SIGTERM twice."""


class StopSignals:
    """While entered, SIGINT and SIGTERM set `received` and the run stops at a step's end.

    Attributes:
        received: The first signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._first = 0.0
        self._before: dict[int, object] = {}
        self._parent = os.getppid()

    @property
    def orphaned(self) -> bool:
        """Whether the launcher is gone: its ranks live in sessions of their own and no signal would reach them."""
        return os.getppid() != self._parent

    def stop(self) -> bool:
        """Whether this rank wants to stop."""
        return self.received is not None or self.orphaned

    @property
    def reason(self) -> str:
        """For the ledger."""
        if self.received:
            return self.received.name
        return "the launcher is gone" if self.orphaned else "another rank was asked to stop"

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._first = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._first > SAME_REQUEST:
            os._exit(128 + number)

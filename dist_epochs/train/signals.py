"""When a run should stop: at a signal (a second one ends it at once), or if its launcher is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

__all__ = ["StopSignals"]

SAME_REQUEST = 1.0
"""Seconds within which a second signal is the same request: Slurm sends SIGTERM twice."""

WATCHED = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Inside its `with` block, SIGINT and SIGTERM set `received`, and the run stops at the end of a step.

    A thread receives them, so that a second one works even while the main thread waits in a collective.

    Args:
        leave: Called with the reason, from that thread, just before a second signal ends the process.

    Attributes:
        received: The first signal that was received, or None.
    """

    def __init__(self, leave: Callable[[str], None] = lambda reason: None) -> None:
        self.received: signal.Signals | None = None
        self._leave = leave
        self._first = 0.0
        self._before: dict[int, Any] = {}
        self._wakeup = -1
        self._pipe = (-1, -1)
        self._parent = os.getppid()

    @property
    def orphaned(self) -> bool:
        """Whether the launcher is gone. Its ranks have sessions of their own, so no signal reaches them.

        A process without a launcher may outlive the shell that started it.
        """
        return "LOCAL_RANK" in os.environ and os.getppid() != self._parent

    def stop(self) -> bool:
        """Whether this rank wants to stop."""
        return self.received is not None or self.orphaned

    @property
    def reason(self) -> str:
        """Why the run stops, for the ledger."""
        if self.received:
            return self.received.name
        return "the launcher is gone" if self.orphaned else "another rank was asked to stop"

    def __enter__(self) -> StopSignals:
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        for number in WATCHED:
            self._before[number] = signal.signal(number, lambda number, frame: None)
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="signals")
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._pipe[1])  # this ends the listener, which may hold the last reference to the model:
        self._listener.join()  # freed while Python ends, its tensors would abort the process

    def _listen(self) -> None:
        while numbers := os.read(self._pipe[0], 1):
            if numbers[0] not in WATCHED:
                continue
            received = signal.Signals(numbers[0])
            if self.received is None:
                self.received, self._first = received, time.monotonic()
            elif time.monotonic() - self._first > SAME_REQUEST:
                with suppress(Exception):  # the disk may be full
                    self._leave(f"{self.received.name}, then {received.name}: left at once")
                os._exit(128 + received)
        os.close(self._pipe[0])

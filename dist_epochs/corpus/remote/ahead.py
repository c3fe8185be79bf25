"""Fetches the shards of a store at an address before the stream needs them: which come next follows from the order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dist_epochs.corpus.remote.cache import Full
from dist_epochs.errors import InputError

if TYPE_CHECKING:
    from dist_epochs.corpus.remote.store import RemoteShards

__all__ = ["fetching_ahead"]

CONNECTIONS = 4
"""Shards that are fetched at once."""

STEPS_APART = 8
"""Steps of which one is looked at: a sample of a batch stays in its shard for some thousand steps."""

Shard = tuple[str, int]
"""The name of a source, and the number of a shard of it."""


@contextmanager
def fetching_ahead(
    remote: RemoteShards | None, shards: Callable[[int], Iterable[Shard]], steps: range
) -> Iterator[Callable[[int], None]]:
    """Fetch in the background what steps need, in their order, while the block runs.

    Args:
        remote: Where the shards are; None, if they are on this machine.
        shards: The shards that a step reads: each its source, and its number in it.
        steps: The steps.

    Returns:
        To be called with each step that begins.
    """
    if remote is None:
        yield lambda _: None
        return
    ahead = _Ahead(remote, shards, steps)
    for _ in range(CONNECTIONS):
        threading.Thread(target=ahead.work, daemon=True, name="shards").start()
    try:
        yield ahead.reach
    finally:
        ahead.close()


class _Ahead:
    """What the threads share."""

    def __init__(self, remote: RemoteShards, shards: Callable[[int], Iterable[Shard]], steps: range) -> None:
        self._remote, self._shards, self._steps = remote, shards, steps
        self._step = steps.start
        self._needed: deque[tuple[int, int]] = deque()  # steps to come, and the bytes that they need first
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._turn = threading.Lock()
        self._next = self._order()

    def reach(self, step: int) -> None:
        """Note that a step begins."""
        with self._changed:
            self._step = step
            self._changed.notify_all()

    def close(self) -> None:
        """Let the threads end, without waiting for them."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def work(self) -> None:
        """Fetch one shard after the other. What cannot be fetched is met again by the step that needs it."""
        while not self._closed.is_set():
            with self._turn:
                shard = next(self._next, None)
            if shard is None:
                return
            try:
                self._remote.open(*shard, "tokens", self._closed).close()
            except Full:  # others read all of it; there may be room later
                self._closed.wait(1.0)
            except (InputError, OSError):
                continue

    def _order(self) -> Iterator[Shard]:
        """Shards in the order in which they are needed, as far ahead as the cache has room for."""
        before: set[Shard] = set()
        for step in range(self._steps.start, self._steps.stop, STEPS_APART):
            needed = list(self._shards(step))
            for shard in needed:
                if shard not in before:
                    if not self._wait_for_room(step, shard):
                        return
                    yield shard
            before = set(needed)

    def _wait_for_room(self, step: int, shard: Shard) -> bool:
        """Wait until the run has come near enough; False, if it is over."""
        size = self._remote.bytes_of(*shard)
        with self._changed:
            while not self._closed.is_set():
                while self._needed and self._needed[0][0] <= self._step:
                    self._needed.popleft()
                if step <= self._step or sum(bytes_ for _, bytes_ in self._needed) + size <= self._remote.bytes_ahead:
                    self._needed.append((step, size))
                    return True
                self._changed.wait()
        return False

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

__all__ = ["APART", "Shard", "fetching_ahead"]

CONNECTIONS = 4
"""Shards that are fetched at once."""

APART = 8
"""Batches of which one is looked at: a sample of a batch stays in its shard for some thousand steps."""

Shard = tuple[str, int]
"""The name of a source, and the number of a shard of it."""

Needs = Iterable[tuple[int, Iterable[Shard]]]
"""Places of batches, of growing number, each with the shards that it reads."""


@contextmanager
def fetching_ahead(remote: RemoteShards | None, needs: Needs) -> Iterator[Callable[[int], None]]:
    """Fetch in the background what batches need, in their order, while the block runs.

    Args:
        remote: Where the shards are; None, if they are on this machine.
        needs: What batches read; of some of them, as neighbours read the same.

    Returns:
        To be called with the place of each batch that begins.
    """
    if remote is None:
        yield lambda _: None
        return
    ahead = _Ahead(remote, iter(needs))
    for _ in range(CONNECTIONS):
        threading.Thread(target=ahead.work, daemon=True, name="shards").start()
    try:
        yield ahead.reach
    finally:
        ahead.close()


class _Ahead:
    """What the threads share."""

    def __init__(self, remote: RemoteShards, needs: Iterator[tuple[int, Iterable[Shard]]]) -> None:
        self._remote, self._needs = remote, needs
        self._place = 0
        self._needed: deque[tuple[int, int]] = deque()  # places to come, and the bytes that they need first
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._turn = threading.Lock()
        self._next = self._order()

    def reach(self, place: int) -> None:
        """Note that a batch begins."""
        with self._changed:
            self._place = place
            self._changed.notify_all()

    def close(self) -> None:
        """Let the threads end, without waiting for them."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def work(self) -> None:
        """Fetch one shard after the other. What cannot be found or fetched is met again by the batch that needs it."""
        while not self._closed.is_set():
            try:
                with self._turn:
                    shard = next(self._next, None)
                if shard is None:
                    return
                self._remote.open(*shard, "tokens", self._closed).close()
            except Full:  # others read all of it; there may be room later
                self._closed.wait(1.0)
            except (InputError, OSError):
                continue

    def _order(self) -> Iterator[Shard]:
        """Shards in the order in which they are needed, as far ahead as the cache has room for."""
        before: set[Shard] = set()
        for place, shards in self._needs:
            needed = list(shards)
            for shard in needed:
                if shard not in before:
                    if not self._wait_for_room(place, shard):
                        return
                    yield shard
            before = set(needed)

    def _wait_for_room(self, place: int, shard: Shard) -> bool:
        """Wait until the batches have come near enough; False, if they are over."""
        size = self._remote.bytes_of(*shard)
        with self._changed:
            while not self._closed.is_set():
                while self._needed and self._needed[0][0] <= self._place:
                    self._needed.popleft()
                if place <= self._place or sum(bytes_ for _, bytes_ in self._needed) + size <= self._remote.bytes_ahead:
                    self._needed.append((place, size))
                    return True
                self._changed.wait()
        return False

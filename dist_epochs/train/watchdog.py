"""Notices a rank that is dead or frozen, names it, and ends the others.

A collective that waits for a frozen rank waits until its own timeout, and then does not name the rank. So every rank
has a thread that keeps writing a small file, its heartbeat. The first and the last rank are judges: they read all
heartbeats, and write a file with their verdict when a rank is lost, which every rank reads. The other ranks read only
the heartbeats of the judges.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dist_epochs.runtime.files import write_text
from dist_epochs.runtime.peers import Peers, RanksDiffer
from dist_epochs.terminal import show

__all__ = ["RankLost", "Watchdog"]

FOLDER, VERDICT = ".ranks", "verdict.json"
SPEAKING_TIME = 1.0
"""Seconds that ranks without a message stay: a launcher ends all ranks when the first exits."""


class RankLost(RuntimeError):
    """Another rank is dead or frozen.

    Args:
        message: Which rank is lost, and at which step.
        speaker: The rank that prints the message.
        rank: This rank.

    Attributes:
        speaks: Whether this rank prints the message.
    """

    def __init__(self, message: str, *, speaker: int, rank: int) -> None:
        super().__init__(message)
        self.speaker = speaker
        self.speaks = speaker == rank


@dataclass(slots=True)
class _Heartbeat:
    """The heartbeat of a rank.

    Attributes:
        beat: Counts up as long as the process runs.
        marks: Counts up as long as its training advances.
        left: The error that it ended with, empty without one; None while it runs.
    """

    beat: int = 0
    marks: int = 0
    left: str | None = None


class Watchdog:
    """Inside its `with` block, watches the other ranks.

    If the block ends with an error of a collective that another rank caused, the error becomes `RankLost`.

    Args:
        run: Run directory, in a file system that all ranks share.
        ranks: All ranks; a single one watches nothing.
        timeout: Seconds that a rank may be silent.
        on_lost: Called from the thread, with the message, just before this process ends.
    """

    def __init__(self, run: Path, ranks: Peers, timeout: float, on_lost: Callable[[str], None]) -> None:
        self._folder, self._ranks, self._rank, self._size = run / FOLDER, ranks, ranks.rank, ranks.size
        self._timeout, self._on_lost = timeout, on_lost
        self._judges = (0, self._size - 1)
        self._interval = min(max(1.0, ranks.size / 100), timeout / 20)
        self._mine, self._step = _Heartbeat(), 0
        self._known: dict[int, tuple[float, float, _Heartbeat]] = {}
        self._writing = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def mark(self, step: int) -> None:
        """Note that the training of this rank advances, and at which step it is."""
        self._step = step
        self._mine.marks += 1

    def __enter__(self) -> Watchdog:
        if self._size > 1:
            if self._rank == 0:
                self.clear()
                self._folder.mkdir(exist_ok=True)
            self._ranks.share("")  # a rank that has not come here yet is not silent
            self._write()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._size == 1:
            return
        # RanksDiffer is raised on every rank and names the rank that failed; the error of a collective does not
        broken = isinstance(error, RuntimeError) and not isinstance(error, RanksDiffer)
        lost = self.blame() if broken else None
        ended = lost or error
        self._done.set()
        self._thread.join()
        self._mine.left = "" if ended is None else f"{type(ended).__name__}: {ended}"[:500]
        self._write()
        if lost is not None:
            raise lost from error

    def clear(self) -> None:
        """Remove the heartbeats, when all ranks have ended."""
        if self._rank == 0:
            shutil.rmtree(self._folder, ignore_errors=True)

    def blame(self) -> RankLost | None:
        """After an error of this rank: the rank that caused it, if it is another one."""
        if self._size == 1:
            return None
        before = {other: self._read(other) for other in self._others()}
        time.sleep(3 * self._interval)
        after = {other: self._read(other) for other in self._others()}
        silent = [other for other in before if after[other].left is None and after[other].beat == before[other].beat]
        failed = [other for other in before if after[other].left]
        if not silent and not failed:
            return None
        self._done.set()  # this rank ends by this error, not by a verdict
        if silent:
            return self._announce(self._error(silent, f"{_names(silent)} {'is' if len(silent) == 1 else 'are'} gone"))
        return self._announce(self._error(failed, f"rank {failed[0]} failed: {after[failed[0]].left}"))

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._done.wait(self._interval):
            now = time.monotonic()
            if now - last > 5 * self._interval + 1:
                self._known.clear()  # this process was frozen itself, so it cannot tell how long others were silent
            last = now
            self._mine.beat += 1
            self._write()
            self._read_all(now)
            lost = self._verdict() or self._judge(now)
            if lost is not None and not self._done.is_set():
                self._end(self._announce(lost))

    def _read_all(self, now: float) -> None:
        """Read the heartbeats: the judges read all, the others only those of the judges."""
        for rank in range(self._size) if self._rank in self._judges else self._judges:
            heartbeat = self._mine if rank == self._rank else self._read(rank)
            last_beat, last_mark, before = self._known.get(rank, (now, now, _Heartbeat()))
            self._known[rank] = (
                last_beat if heartbeat.beat == before.beat and rank in self._known else now,
                last_mark if heartbeat.marks == before.marks and rank in self._known else now,
                _Heartbeat(**asdict(heartbeat)),
            )

    def _judge(self, now: float) -> RankLost | None:
        """The ranks that were silent for too long, or failed, or hold up the others."""
        patience = self._timeout - 3 * self._interval
        quiet = [rank for rank, (last_beat, _, _) in self._known.items() if now - last_beat > patience]
        silent = [rank for rank in quiet if self._known[rank][2].left is None]
        failed = [rank for rank in quiet if self._known[rank][2].left]
        judges = [rank for rank in self._judges if rank not in quiet]
        if self._rank not in self._judges and judges:
            return None  # the judges read all heartbeats
        speaker = judges[0] if judges else None
        if silent:
            return self._error(silent, f"{_names(silent)} said nothing for {self._timeout:g} s", speaker)
        if failed:
            return self._error(failed, f"rank {failed[0]} failed: {self._known[failed[0]][2].left}", speaker)
        running = {rank: known for rank, known in self._known.items() if known[2].left is None}
        if len(running) > 1 and all(now - last_mark > patience for _, last_mark, _ in running.values()):
            least = min(heartbeat.marks for _, _, heartbeat in running.values())
            behind = [rank for rank, (_, _, heartbeat) in running.items() if heartbeat.marks == least]
            verb = "is" if len(behind) == 1 else "are"
            who = f"{_names(behind)} {verb} furthest behind" if len(behind) < len(running) else "all are equally far"
            return self._error(behind, f"no rank made progress for {self._timeout:g} s, and {who}", speaker)
        return None

    def _error(self, ranks: list[int], what: str, speaker: int | None = None) -> RankLost:
        """The error for ranks that are lost, printed by one rank: by default the lowest of the others."""
        if speaker is None:
            speaker = next(rank for rank in range(self._size) if rank not in ranks)
        return RankLost(
            f"{what}; the run was at step {self._step}, on {self._size} ranks. Start it again with --resume.",
            speaker=speaker,
            rank=self._rank,
        )

    def _announce(self, lost: RankLost) -> RankLost:
        """Write the verdict for every rank, also for those that still wait in a collective."""
        if not (self._folder / VERDICT).exists():
            self._replace(self._folder / VERDICT, {"message": str(lost), "speaker": lost.speaker})
        return lost

    def _verdict(self) -> RankLost | None:
        """The verdict of another rank, if there is one."""
        try:
            verdict = json.loads((self._folder / VERDICT).read_bytes())
        except (OSError, ValueError):
            return None
        return RankLost(verdict["message"], speaker=verdict["speaker"], rank=self._rank)

    def _end(self, lost: RankLost) -> None:
        with suppress(Exception):  # the disk may be full
            self._on_lost(str(lost))
        if lost.speaks:
            show(f"error: {lost}", err=True)
        else:
            time.sleep(SPEAKING_TIME)
        os._exit(1)

    def _others(self) -> list[int]:
        return [rank for rank in range(self._size) if rank != self._rank]

    def _path(self, rank: int) -> Path:
        return self._folder / f"{rank:05d}.json"

    def _write(self) -> None:
        with self._writing:
            self._replace(self._path(self._rank), asdict(self._mine))

    def _replace(self, path: Path, content: dict[str, Any]) -> None:
        with suppress(OSError):  # on a full disk the run ends elsewhere, with a reason
            write_text(path, json.dumps(content), beside=f".{self._rank}.new", durable=False)

    def _read(self, rank: int) -> _Heartbeat:
        try:
            return _Heartbeat(**json.loads(self._path(rank).read_bytes()))
        except (OSError, ValueError, TypeError):
            return _Heartbeat()


def _names(ranks: list[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"

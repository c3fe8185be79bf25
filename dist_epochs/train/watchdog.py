"""Notices a rank that is dead or frozen, names it, and ends the others.

A collective that waits for a frozen rank waits until its own timeout, and then does not say for whom.
So every rank has a thread that writes a small file again and again. The first and the last rank read
all of them, and write their verdict into another, which every rank reads; the others judge these two.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
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

__all__ = ["RankLost", "Watchdog"]

FOLDER, VERDICT = ".ranks", "verdict.json"
SPEAKING_TIME = 1.0
"""Seconds that silent ranks stay: a launcher ends all of them when the first exits."""


class RankLost(RuntimeError):
    """Another rank is dead or frozen.

    Args:
        message: Who, and at which step.
        speaker: The rank that says it.
        rank: This rank.

    Attributes:
        speaks: Whether this rank is the one to say it.
    """

    def __init__(self, message: str, *, speaker: int, rank: int) -> None:
        super().__init__(message)
        self.speaker = speaker
        self.speaks = speaker == rank


@dataclass(slots=True)
class _Sign:
    """What a rank says of itself.

    Attributes:
        beat: Counts up as long as the process runs.
        marks: Counts up as long as its training moves.
        left: How it ended; None while it runs.
    """

    beat: int = 0
    marks: int = 0
    left: str | None = None


class Watchdog:
    """While entered, watches the other ranks.

    Where the block ends with an error of a collective and another rank is to blame for it, the error is `RankLost`.

    Args:
        run: Run directory, seen by all ranks.
        ranks: All of them; alone, nothing is watched.
        timeout: Seconds that a rank may be silent.
        on_lost: Called from the thread, with the message, just before this process ends.
    """

    def __init__(self, run: Path, ranks: Peers, timeout: float, on_lost: Callable[[str], None]) -> None:
        self._folder, self._ranks, self._rank, self._size = run / FOLDER, ranks, ranks.rank, ranks.size
        self._timeout, self._on_lost = timeout, on_lost
        self._judges = (0, self._size - 1)
        self._interval = min(max(1.0, ranks.size / 100), timeout / 20)
        self._mine, self._step = _Sign(), 0
        self._seen: dict[int, tuple[float, float, _Sign]] = {}
        self._writing = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def mark(self, step: int) -> None:
        """This rank's training moves; it is at this step."""
        self._step = step
        self._mine.marks += 1

    def __enter__(self) -> Watchdog:
        if self._size > 1:
            if self._rank == 0:
                self.clear()
                self._folder.mkdir(exist_ok=True)
            self._ranks.share("")  # a rank that is still on its way is not silent
            self._write()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._size == 1:
            return
        # RanksDiffer is the same on every rank and says itself what failed where; a broken collective does not
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
        """Take the signs away, when all ranks have ended."""
        if self._rank == 0:
            shutil.rmtree(self._folder, ignore_errors=True)

    def blame(self) -> RankLost | None:
        """After an error: the rank that is to blame for it, if it is not this one."""
        if self._size == 1:
            return None
        before = {other: self._read(other) for other in self._others()}
        time.sleep(3 * self._interval)
        after = {other: self._read(other) for other in self._others()}
        silent = [other for other in before if after[other].left is None and after[other].beat == before[other].beat]
        failed = [other for other in before if after[other].left]
        if not silent and not failed:
            return None
        self._done.set()  # this rank ends by its own error, not by the verdict
        if silent:
            return self._tell(self._lost(silent, f"{_names(silent)} {'is' if len(silent) == 1 else 'are'} gone"))
        return self._tell(self._lost(failed, f"rank {failed[0]} failed: {after[failed[0]].left}"))

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._done.wait(self._interval):
            now = time.monotonic()
            if now - last > 5 * self._interval + 1:
                self._seen.clear()  # this process was frozen itself, and may not judge
            last = now
            self._mine.beat += 1
            self._write()
            self._look(now)
            lost = self._told() or self._judge(now)
            if lost is not None and not self._done.is_set():
                self._end(self._tell(lost))

    def _look(self, now: float) -> None:
        """Read the signs: the judges read all, the others only those of the judges."""
        for rank in range(self._size) if self._rank in self._judges else self._judges:
            sign = self._mine if rank == self._rank else self._read(rank)
            beaten, moved, before = self._seen.get(rank, (now, now, _Sign()))
            self._seen[rank] = (
                beaten if sign.beat == before.beat and rank in self._seen else now,
                moved if sign.marks == before.marks and rank in self._seen else now,
                _Sign(**asdict(sign)),
            )

    def _judge(self, now: float) -> RankLost | None:
        """Ranks that were silent for too long, or failed, or hold the others up."""
        patience = self._timeout - 3 * self._interval
        quiet = [rank for rank, (beaten, _, _) in self._seen.items() if now - beaten > patience]
        silent = [rank for rank in quiet if self._seen[rank][2].left is None]
        failed = [rank for rank in quiet if self._seen[rank][2].left]
        judges = [rank for rank in self._judges if rank not in quiet]
        if self._rank not in self._judges and judges:
            return None  # they see more
        speaker = judges[0] if judges else None
        if silent:
            return self._lost(silent, f"{_names(silent)} said nothing for {self._timeout:g} s", speaker)
        if failed:
            return self._lost(failed, f"rank {failed[0]} failed: {self._seen[failed[0]][2].left}", speaker)
        running = {rank: seen for rank, seen in self._seen.items() if seen[2].left is None}
        if len(running) > 1 and all(now - moved > patience for _, moved, _ in running.values()):
            least = min(sign.marks for _, _, sign in running.values())
            behind = [rank for rank, (_, _, sign) in running.items() if sign.marks == least]
            who = f"{_names(behind)} came least far" if len(behind) < len(running) else "all came equally far"
            return self._lost(behind, f"no rank moved for {self._timeout:g} s, and {who}", speaker)
        return None

    def _lost(self, ranks: list[int], what: str, speaker: int | None = None) -> RankLost:
        """The error for ranks that are lost, said by one rank: by default the lowest of the others."""
        if speaker is None:
            speaker = next(rank for rank in range(self._size) if rank not in ranks)
        return RankLost(
            f"{what}; the run was at step {self._step}, on {self._size} ranks. Go on with --resume.",
            speaker=speaker,
            rank=self._rank,
        )

    def _tell(self, lost: RankLost) -> RankLost:
        """Let every rank know, those too whose connections go on waiting."""
        if not (self._folder / VERDICT).exists():
            self._replace(self._folder / VERDICT, {"message": str(lost), "speaker": lost.speaker})
        return lost

    def _told(self) -> RankLost | None:
        """What another rank found out."""
        try:
            verdict = json.loads((self._folder / VERDICT).read_bytes())
        except (OSError, ValueError):
            return None
        return RankLost(verdict["message"], speaker=verdict["speaker"], rank=self._rank)

    def _end(self, lost: RankLost) -> None:
        with suppress(Exception):  # a full disk takes this line too
            self._on_lost(str(lost))
        if lost.speaks:
            print(f"error: {lost}", file=sys.stderr, flush=True)
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
        with suppress(OSError):  # a full disk ends the run elsewhere, with its reason
            write_text(path, json.dumps(content), beside=f".{self._rank}.new", durable=False)

    def _read(self, rank: int) -> _Sign:
        try:
            return _Sign(**json.loads(self._path(rank).read_bytes()))
        except (OSError, ValueError, TypeError):
            return _Sign()


def _names(ranks: list[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"

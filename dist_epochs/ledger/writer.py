"""Writes the ledger of a run, and keeps its totals."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dist_epochs import __version__
from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.file import LedgerFile, drawn_to_json
from dist_epochs.ledger.totals import Totals

__all__ = ["LEDGER_FILE", "LedgerWriter", "ledger_of", "now", "versions"]

LEDGER_FILE = "ledger.jsonl"
"""The file in a run directory."""

TOTALS_EVERY = 1000
"""Steps between totals lines (more where a run makes very many passes)."""


def ledger_of(run: Path) -> Path:
    """The ledger of a run directory; a file is a ledger itself."""
    return run / LEDGER_FILE if run.is_dir() else run


class LedgerWriter:
    """Adds lines to the ledger of a run on rank 0, and keeps the totals on every rank.

    Args:
        run: Run directory.
        totals: What earlier segments recorded, from `read_totals(path, up_to=…)`; later steps in the file are replaced
            by those that follow.
        writes: Whether this rank writes the file.

    Attributes:
        totals: What was recorded so far.
        writes: Whether this rank writes the file.
        path: The file.
    """

    def __init__(self, run: Path, totals: Totals, *, writes: bool) -> None:
        self.totals, self.writes, self.path = totals, writes, run / LEDGER_FILE
        self._file = LedgerFile(self.path) if writes else None
        self._since_totals = 0

    def segment(self, facts: Mapping[str, Any]) -> None:
        """Write the line of a start of the program: topology and versions."""
        entry = {"from_step": self.totals.last_step, "time": now(), **facts}
        self.totals.clock.segment(entry)
        self.write("segment", **entry)

    def go_back(self, totals: Totals, reason: str, facts: Mapping[str, Any]) -> None:
        """End a segment that failed, and begin one whose steps replace those of it that `totals` do not have."""
        self._end("failed", reason)
        totals.clock = self.totals.clock  # time does not go back
        self.totals = totals
        self.segment(facts)

    def begin(self, step: int) -> None:
        """Write that a step is about to be taken; the first one of a segment says when."""
        clock = self.totals.clock
        if clock.begun:
            self.write("begin", step=step)
        else:
            time = now()
            clock.begin(time)
            self.write("begin", step=step, time=time)

    def pause(self, event: str, step: int, seconds: float, **fields: Any) -> None:
        """Write that training paused after a step, for an `evaluation` or a `checkpoint` that ends now."""
        entry = {"seconds": round(seconds, 6), "time": now()}
        self.totals.clock.pause(event, entry["seconds"], entry["time"])
        self.write(event, step=step, **fields, **entry)

    def book(
        self,
        step: int,
        micro_steps: int,
        passes: Mapping[PassKey, Counts],
        *,
        applied: bool,
        positions: int | None = None,
        data_wait: float | None = None,
        communication: float | None = None,
        energy_mj: int | None = None,
        taken: float | None = None,
    ) -> None:
        """Record a step that was taken.

        Args:
            step: Its number, from 1.
            micro_steps: Micro-steps on each rank.
            passes: What was drawn from each pass, over all ranks.
            applied: Whether the optimizer updated.
            positions: Positions over all ranks, where the lengths of the samples vary.
            data_wait: Seconds that the writing rank waited for data since the step before; None if it is not known.
            communication: Seconds that it waited for other ranks; None if it is not known.
            energy_mj: Millijoules that all devices have measured in this segment, where that was read anew.
            taken: When it was taken, in seconds since 1970; now, if that is not stated.
        """
        kind, at = "applied" if applied else "skipped", now() if taken is None else self._not_before(taken)
        known = {
            "positions": positions,
            "data_wait_us": None if data_wait is None else round(data_wait * 10**6),
            "communication_us": None if communication is None else round(communication * 10**6),
        }
        self.totals.take(kind, micro_steps, passes, **known, time=at)
        known["energy_mj"] = energy_mj
        known = {name: value for name, value in known.items() if value is not None}
        self.write(kind, step=step, micro_steps=micro_steps, **known, drawn=drawn_to_json(passes), time=at)
        if energy_mj is not None:
            self.totals.clock.segment_energy_mj = energy_mj
        self._since_totals += 1
        if self._since_totals >= max(TOTALS_EVERY, len(self.totals.applied.passes)):
            self._since_totals = 0
            self.write("totals", step=step, **self.totals.to_json())
            self.make_durable()

    def write(self, event: str, **fields: Any) -> None:
        """Add a line."""
        if self._file:
            self._file.append(event, **fields)

    def make_durable(self) -> None:
        """Wait until everything written so far is on the disk."""
        if self._file:
            self._file.make_durable()

    def close(self, status: str, reason: str | None = None) -> None:
        """Write how the segment ended: `finished`, `stopped` or `failed`."""
        if self._file:
            self._end(status, reason)
            file, self._file = self._file, None
            file.close()

    def _end(self, status: str, reason: str | None) -> None:
        time = now()
        self.totals.clock.end(time)
        self.write("end", status=status, time=time, **({"reason": reason} if reason else {}))

    def _not_before(self, time: float) -> float:
        """A moment, not before the line before it: steps may be recorded late."""
        last = self.totals.clock.last
        return time if last is None else max(time, last / 10**6)


def now() -> float:
    """Seconds since 1970, to the microsecond."""
    return round(time.time(), 6)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of this package, of Python and of others, for the line of a segment."""
    own = {"dist-epochs": __version__, "python": platform.python_version()}
    return own | {package: version(package) for package in packages}

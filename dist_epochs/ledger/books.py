"""The books of a run: what is added to the file, and what it adds up to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.file import LedgerFile, drawn_to_json
from dist_epochs.ledger.totals import Totals

__all__ = ["LEDGER_FILE", "Books", "now"]

LEDGER_FILE = "ledger.jsonl"
"""The file in a run directory."""

TOTALS_EVERY = 1000
"""Steps between totals lines (more where a run makes very many passes)."""


class Books:
    """Adds to the ledger of a run, on rank 0; elsewhere only the totals are kept.

    Args:
        run: Run directory.
        totals: What is behind it, from `read_totals(path, up_to=…)`; what the file has beyond is replaced by whatever
            follows.
        writes: Whether this rank keeps the file.

    Attributes:
        totals: What happened so far.
        writes: Whether this rank keeps the file.
    """

    def __init__(self, run: Path, totals: Totals, *, writes: bool) -> None:
        self.totals, self.writes = totals, writes
        self._file = LedgerFile(run / LEDGER_FILE) if writes else None
        self._since_totals = 0

    def segment(self, facts: Mapping[str, Any]) -> None:
        """A start of the program: topology and versions."""
        self.write("segment", from_step=self.totals.last_step, time=now(), **facts)

    def begin(self, step: int) -> None:
        """A step is about to be taken."""
        self.write("begin", step=step)

    def book(
        self,
        step: int,
        micro_steps: int,
        passes: Mapping[PassKey, Counts],
        *,
        applied: bool,
        positions: int | None = None,
    ) -> None:
        """A step was taken.

        Args:
            step: Its number, from 1.
            micro_steps: On each rank.
            passes: What was drawn, over all ranks.
            applied: Whether the optimizer updated.
            positions: Over all ranks, where the lengths of the samples vary.
        """
        kind = "applied" if applied else "skipped"
        tally = self.totals.applied if applied else self.totals.skipped
        tally.add(micro_steps, passes, positions)
        length = {} if positions is None else {"positions": positions}
        self.write(kind, step=step, micro_steps=micro_steps, **length, drawn=drawn_to_json(passes), time=now())
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
        file, self._file = self._file, None
        if file:
            file.append("end", status=status, time=now(), **({"reason": reason} if reason else {}))
            file.close()


def now() -> float:
    """Seconds since 1970."""
    return round(time.time(), 3)

"""The open ledgers of this process: a second one for the same run takes over from the first."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["OpenLedgers"]


class Closable(Protocol):
    """A ledger, as far as another one needs it."""

    def close(self, status: str, reason: str) -> None:
        """Record how the segment ended."""


class OpenLedgers:
    """The open ledgers of one kind, by run directory.

    One that was interrupted, as in a notebook, does not know that it ended.
    """

    def __init__(self) -> None:
        self._ledgers: dict[Path, tuple[Closable, int]] = {}

    def take_over(self, run: Path, from_step: int | None) -> int | None:
        """Close the ledger that is open for a run, if there is one.

        Args:
            run: The run directory, from the root.
            from_step: Steps of the checkpoint that the new ledger resumes from, if they are stated.

        Returns:
            The steps that it begins from: if they are not stated, those that the other ledger began from.
        """
        if run not in self._ledgers:
            return from_step
        ledger, began = self._ledgers[run]
        ledger.close("failed", "training began again in this process")
        return began if from_step is None else from_step

    def add(self, run: Path, ledger: Closable, from_step: int) -> None:
        """Note that a ledger is open."""
        self._ledgers[run] = ledger, from_step

    def remove(self, run: Path, ledger: Closable) -> None:
        """Note that a ledger is closed; another one that took over stays."""
        if run in self._ledgers and self._ledgers[run][0] is ledger:
            del self._ledgers[run]

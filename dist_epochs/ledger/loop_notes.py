"""What the ledger of a user's own loop holds besides its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.ledger.index import LedgerLines

__all__ = ["LoopNotes", "loop_notes_of", "read_loop_notes"]

NOTES = ("corpus", "pass", "warning", "reported", "unknown")
"""Events of the lines that are collected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopNotes:
    """Lines that are not steps; where a kind of line occurs several times, the last one counts.

    Attributes:
        corpus: `samples` and `tokens` of one pass over the data, and how they are `known`; `sources`, where known, are
            the samples of each.
        passes: What each pass of the loaders drew over all ranks, in order: `number`, `samples`, `step`, whether it
            drew the `whole` data, and whether the loop `left` it; passes that a later segment drew again, or went on
            with, are left out.
        warnings: `rule`, `message`, `step`, each rule once.
        reported: The epoch that the loop itself reports: `epoch`, `step`, `by`.
        unknown: Units that were added up and are not known all the same.
    """

    corpus: dict[str, Any] | None = None
    passes: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    reported: dict[str, Any] | None = None
    unknown: frozenset[str] = frozenset()

    @property
    def sizes(self) -> dict[str, Any] | None:
        """The size of the data by source, in the form of `corpus` in a plan; all of it is the source `data`."""
        if self.corpus is None:
            return None
        whole = {} if self.corpus["samples"] is None else {"data": self.corpus["samples"]}
        sources = {name: {"0": samples} for name, samples in (self.corpus.get("sources") or whole).items()}
        return {"samples": sources, "tokens": self.corpus["tokens"]}


def read_loop_notes(path: Path) -> LoopNotes:
    """Collect them from a ledger.

    Raises:
        InputError: If the file is missing, or such a line is damaged (with its number).
    """
    return loop_notes_of(LedgerLines(path))


def loop_notes_of(lines: LedgerLines) -> LoopNotes:
    """As `read_loop_notes`, from a ledger that is open already."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in NOTES}
    for at, event in lines.of("segment", *NOTES):
        entry = lines.entry(at)
        if event == "segment":
            from_step = entry["from_step"]
            found["pass"] = [entry for entry in found["pass"] if entry["step"] + entry.get("left", False) <= from_step]
        else:
            found[entry.pop("event")].append(entry)
    warnings = {entry["rule"]: entry for entry in found["warning"]}
    return LoopNotes(
        corpus=found["corpus"][-1] if found["corpus"] else None,
        passes=found["pass"],
        warnings=list(warnings.values()),
        reported=found["reported"][-1] if found["reported"] else None,
        unknown=frozenset(unit for entry in found["unknown"] for unit in entry["units"]),
    )

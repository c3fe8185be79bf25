"""How far a part of an unfinished store is complete: a file of its own, so that each worker writes its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import Unit
from dist_epochs.corpus.stores.damage import damaged, read_object
from dist_epochs.corpus.stores.manifest import sealed
from dist_epochs.corpus.tokenizing.parts import Part
from dist_epochs.corpus.tokenizing.writer import Draft
from dist_epochs.runtime.files import write_json

__all__ = ["PARTS", "Reached", "recall", "record_of", "remember", "shards_in"]

PARTS = "parts"
"""Folder of an unfinished store with the records of its parts."""
RECORD_VERSION = 1
"""Of what a record holds; parts whose record has another are made again."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the complete shards of a part go.

    Attributes:
        units: Input files (or stretches) that are in them completely.
        documents: Documents of the next one that are in them too, empty and unreadable ones included.
        texts: SHA-256 of these documents.
        drafts: The counts and shards so far.
        digests: SHA-256 of the documents of each of the complete input files.
    """

    units: int = 0
    documents: int = 0
    texts: str = ""
    drafts: Sequence[Draft] = field(default_factory=list)
    digests: Sequence[str] = ()

    @property
    def shards(self) -> int:
        """How many shards are complete."""
        return sum(len(draft.shards) for draft in self.drafts)


def record_of(folder: Path, part: Part) -> Path:
    """The file with the record of a part."""
    return folder / PARTS / f"{part.number:05d}.json"


def remember(folder: Path, part: Part, reached: Reached) -> None:
    """Note what the complete shards of a part hold."""
    record = {
        "part": _digest(part),
        "states": _states(part.units[: reached.units]),
        "units": reached.units,
        "documents": reached.documents,
        "texts": reached.texts,
        "drafts": [asdict(draft) for draft in reached.drafts],
        "digests": list(reached.digests),
    }
    path = record_of(folder, part)
    path.parent.mkdir(exist_ok=True)
    write_json(path, sealed(record))


def recall(folder: Path, part: Part) -> Reached:
    """What the complete shards of a part hold, as it was noted last.

    Nothing, if the part is another now: its files were renamed, or those that are in complete shards were changed.

    Raises:
        InputError: If the record is damaged.
    """
    path = record_of(folder, part)
    if not path.is_file():
        return Reached()
    record = _read(path)
    done = record["units"]
    if record["part"] != _digest(part) or record["states"] != _states(part.units[:done]):
        return Reached()
    drafts = [Draft(**draft) for draft in record["drafts"]]
    return Reached(done, record["documents"], record["texts"], drafts, record["digests"])


def shards_in(folder: Path) -> int:
    """How many shards of an unfinished store are complete."""
    records = (_read(path) for path in (folder / PARTS).glob("*.json"))
    return sum(len(draft["shards"]) for record in records for draft in record["drafts"])


def _read(path: Path) -> dict[str, Any]:
    record = read_object(path)
    if sealed({name: value for name, value in record.items() if name != "digest"})["digest"] != record.get("digest"):
        raise damaged(path, "its digest is not that of its content")
    return record


def _digest(part: Part) -> str:
    names = [RECORD_VERSION, part.source.name, *([unit.name, unit.kind, unit.start, unit.stop] for unit in part.units)]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _states(units: Sequence[Unit]) -> list[list[int]]:
    return [[unit.size, unit.modified] for unit in units]

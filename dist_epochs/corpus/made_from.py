"""What a store is made from: the command, and how far its input files were read.

It stands in a file of the store from the beginning, and stays in the finished one: so the same command finds its own
work, finished or not, and continues or says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dist_epochs.corpus.damage import check_keys, damaged, read_object
from dist_epochs.corpus.manifest import sealed
from dist_epochs.corpus.sources import Source, Unit
from dist_epochs.corpus.writer import Draft
from dist_epochs.runtime.files import write_json

__all__ = [
    "RECORD",
    "Command",
    "Reached",
    "differences",
    "has_record",
    "is_complete",
    "read_record",
    "recall",
    "remember",
]

RECORD = "made-from.json"
"""File of a store with the command that writes it, and how far it has read."""
RECORD_KEYS = ("command", "files", "read", "documents", "texts", "drafts", "digest")


@dataclass(frozen=True, slots=True)
class Command:
    """What decides a store.

    Attributes:
        sources: Where the documents come from, in order.
        parts: What else decides it (how documents are read, tokenizer, options) by name, as text.
    """

    sources: tuple[Source, ...]
    parts: Mapping[str, str]

    @property
    def units(self) -> list[tuple[Source, Unit]]:
        """All input files, in order."""
        return [(source, unit) for source in self.sources for unit in source.units]

    def digest(self, files: int) -> str:
        """SHA-256 of names, sizes and times of the first input files."""
        first = [(source.name, asdict(unit)) for source, unit in self.units[:files]]
        return hashlib.sha256(json.dumps(first).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the complete shards go.

    Attributes:
        files: Input files that are in them completely.
        documents: Documents of the next input file that are in them too, empty and unreadable ones included.
        texts: SHA-256 of these documents.
        drafts: The sources so far.
    """

    files: int = 0
    documents: int = 0
    texts: str = ""
    drafts: Sequence[Draft] = ()


def differences(folder: Path, command: Command) -> str:
    """How a command differs from the one whose store, finished or not, is in a folder; empty if it does not.

    More input files than were read are no difference.

    Raises:
        InputError: If the record of the folder is damaged.
    """
    record = read_record(folder)
    parts = record["command"]
    other = [name for name in sorted({*parts, *command.parts}) if parts.get(name) != command.parts.get(name)]
    if other:
        return f"another {', another '.join(other)}"
    if record["read"] != command.digest(record["files"]):
        return "its input files were changed, moved or removed since they were read"
    return ""


def is_complete(folder: Path, command: Command) -> bool:
    """Whether the store in a folder holds all input files of its command."""
    return bool(read_record(folder)["files"] == len(command.units))


def has_record(folder: Path) -> bool:
    """Whether a folder holds a store, finished or not, that says which command made it."""
    return (folder / RECORD).is_file()


def remember(folder: Path, command: Command, reached: Reached) -> None:
    """Note what the complete shards hold."""
    record = {
        "command": dict(command.parts),
        "files": reached.files,
        "read": command.digest(reached.files),
        "documents": reached.documents,
        "texts": reached.texts,
        "drafts": [asdict(draft) for draft in reached.drafts],
    }
    write_json(folder / RECORD, sealed(record))


def recall(folder: Path) -> Reached:
    """What the complete shards hold, as `remember` noted it last."""
    record = read_record(folder)
    drafts = [Draft(**draft) for draft in record["drafts"]]
    return Reached(record["files"], record["documents"], record["texts"], drafts)


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a store.

    Raises:
        InputError: If it is damaged.
    """
    path = folder / RECORD
    record = read_object(path)
    check_keys(record, RECORD_KEYS, path)
    content = {name: record[name] for name in RECORD_KEYS if name != "digest"}
    if sealed(content)["digest"] != record["digest"]:
        raise damaged(path, "its digest is not that of its content")
    return record

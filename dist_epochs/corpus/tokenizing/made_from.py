"""What a store is made from: the command and its input files.

It stands in a file of the store from the beginning, and stays in the finished one: so the same command finds its own
work, finished or not, and continues or says so. How far an unfinished one is stands in the records of its parts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import Source, Unit
from dist_epochs.corpus.stores.damage import check_keys, damaged, read_object
from dist_epochs.corpus.stores.manifest import sealed
from dist_epochs.corpus.tokenizing.store_parts import StorePart, digest_of_parts, write_parts
from dist_epochs.runtime.files import write_json

__all__ = [
    "RECORD",
    "Command",
    "differences",
    "has_record",
    "is_complete",
    "is_earlier",
    "read_record",
    "remember",
]

RECORD = "made-from.json"
"""File of a store with the command that writes it, and how many of its input files are in it."""
RECORD_KEYS = ("command", "files", "read", "documents", "texts", "drafts", "digest")
"""The last but one, and `documents` and `texts`, say how far an unfinished store of an earlier version was."""
KEYS_SINCE_2 = ("sources", "parts")
"""Name, way of reading and number of files of each source; SHA-256 of what the parts were made from."""


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
        first = [
            (source.name, {"name": unit.name, "kind": unit.kind, "size": unit.size, "modified": unit.modified})
            for source, unit in self.units[:files]
        ]
        return hashlib.sha256(json.dumps(first).encode()).hexdigest()


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


def is_earlier(folder: Path, command: Command) -> bool:
    """Whether an unfinished store in a folder is of a version that kept in this record how far it was."""
    return bool(read_record(folder)["drafts"]) and not is_complete(folder, command)


def has_record(folder: Path) -> bool:
    """Whether a folder holds a store, finished or not, that says which command made it."""
    return (folder / RECORD).is_file()


def remember(folder: Path, command: Command, parts: Sequence[StorePart] | None = None) -> None:
    """Note which command makes a store; and its parts, when they are all in it, in a file of their own before."""
    files = len(command.units) if parts is not None else 0
    if parts is not None:
        write_parts(folder, parts)
    record = {
        "command": dict(command.parts),
        "files": files,
        "read": command.digest(files),
        "documents": 0,
        "texts": "",
        "drafts": [],
        "sources": [
            [source.name, source.document, source.text_column, source.held_out, len(source.units)]
            for source in command.sources
        ],
        "parts": digest_of_parts(parts or ()),
    }
    write_json(folder / RECORD, sealed(record))


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a store.

    Raises:
        InputError: If it is damaged.
    """
    path = folder / RECORD
    record = read_object(path)
    check_keys(record, RECORD_KEYS, path, may=KEYS_SINCE_2)
    content = {name: value for name, value in record.items() if name != "digest"}
    if sealed(content)["digest"] != record["digest"]:
        raise damaged(path, "its digest is not that of its content")
    return record

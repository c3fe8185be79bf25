"""What each part of a store was made from: STORE/parts.jsonl, one line for each part, in order.

So stores can be put together as if one command had read all their input, and a file that is in a store already is
known. The digest of the file stands in the record of the store (see `made_from`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import Unit
from dist_epochs.corpus.stores.damage import check_keys, damaged
from dist_epochs.runtime.files import write_bytes

__all__ = ["STORE_PARTS", "StorePart", "digest_of_parts", "files_of", "read_parts", "write_parts"]

STORE_PARTS = "parts.jsonl"


@dataclass(frozen=True, slots=True)
class StorePart:
    """A part of the corpus that is in a store.

    Attributes:
        number: Which part of the corpus it is; its shards are named by it.
        source: The source that it was read for.
        units: Its input files, or a stretch of one.
        digests: SHA-256 of the documents of each of these, empty and unreadable ones included.
        counts: What it adds to each source of the store: documents, words, bytes, tokens and so on.
    """

    number: int
    source: str
    units: tuple[Unit, ...]
    digests: tuple[str, ...]
    counts: Mapping[str, Mapping[str, Any]]

    @property
    def stretches(self) -> Iterable[tuple[str, int, int, str]]:
        """Name, begin, end and digest of each of its files or stretches: what makes it the same as another."""
        pairs = zip(self.units, self.digests, strict=True)
        return ((unit.name, unit.start, unit.stop, digest) for unit, digest in pairs)


def files_of(parts: Iterable[StorePart]) -> list[Unit]:
    """The whole input files of parts, in order."""
    units = (unit for part in parts for unit in part.units)
    return [replace(unit, stop=0, about=0) for unit in units if not unit.start]


def write_parts(folder: Path, parts: Sequence[StorePart]) -> None:
    """Write what the parts of a store were made from."""
    write_bytes(folder / STORE_PARTS, _lines(parts))


def digest_of_parts(parts: Sequence[StorePart]) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(_lines(parts)).hexdigest()


def read_parts(folder: Path, digest: str) -> list[StorePart]:
    """What the parts of a store were made from.

    Raises:
        InputError: If the file is missing, or not the one with that SHA-256.
    """
    path = folder / STORE_PARTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from None
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise damaged(path, f"its SHA-256 is {found} and must be {digest}")
    return [_part(json.loads(line), path) for line in data.splitlines()]


def _lines(parts: Iterable[StorePart]) -> bytes:
    return b"".join(json.dumps(_line(part)).encode() + b"\n" for part in parts)


def _line(part: StorePart) -> dict[str, Any]:
    pairs = zip(part.units, part.digests, strict=True)
    files = [{**asdict(unit), "sha256": digest} for unit, digest in pairs]
    return {"part": part.number, "source": part.source, "files": files, "counts": part.counts}


def _part(line: dict[str, Any], path: Path) -> StorePart:
    check_keys(line, ("part", "source", "files", "counts"), path)
    digests = tuple(file.pop("sha256") for file in line["files"])
    units = tuple(Unit(**file) for file in line["files"])
    return StorePart(line["part"], line["source"], units, digests, line["counts"])

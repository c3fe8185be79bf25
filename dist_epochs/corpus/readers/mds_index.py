"""The `index.json` of an MDS data set, checked: its shards, and how their tokens are encoded.

Source: streaming streaming/base/format/mds/writer.py.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.input.token_files import DTYPES, unreadable
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import read_utf8
from dist_epochs.settings.json_text import load_json

__all__ = ["NAME", "Shard", "check_files", "files_of", "is_index", "shards_of"]

NAME = "an MDS data set (index.json and .mds shards)"
COLUMNS = ("tokens", "input_ids")
DESCRIBED = (
    "column_encodings", "column_names", "column_sizes", "compression", "format", "hashes", "size_limit", "version",
)  # fmt: skip
"""What the JSON in a shard repeats from the index."""
LARGEST_INDEX, LARGEST_SHARD = 64 * 2**20, 2**32
ENCODING = re.compile(r"ndarray(?::(?P<dtype>[a-z]+\d+)(?::(?P<shape>\d+(?:,\d+)*))?)?", re.ASCII)
BYTES = "int64"
"""Type of the ids in a column of bytes: what llm-foundry wrote."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the index describes it."""

    index: Path
    entry: Mapping[str, Any]
    column: int
    dtype: str | None
    fixed: int | None

    @property
    def samples(self) -> int:
        """Its samples."""
        return int(self.entry["samples"])

    @property
    def size(self) -> int:
        """Its bytes, unpacked."""
        return int(self.entry["raw_data"]["bytes"])

    @property
    def head(self) -> int:
        """Bytes before the first sample."""
        described = json.dumps({name: self.entry[name] for name in DESCRIBED}, sort_keys=True)
        return 4 + 4 * (self.samples + 1) + len(described.encode())


def _index(path: Path) -> Any:
    return load_json(read_utf8(path, LARGEST_INDEX, "the index of an MDS data set"), Origin(str(path)))


def is_index(path: Path) -> bool:
    """Whether an index.json is that of MDS."""
    try:
        data = _index(path)
    except InputError:
        return False
    return isinstance(data, dict) and "version" in data and isinstance(data.get("shards"), list)


def shards_of(path: Path, dtype: str | None = None) -> list[Shard]:
    """The shards that an index names.

    Args:
        path: The index.
        dtype: Type of the ids in a column of bytes, if it is not the usual one.

    Raises:
        InputError: If it is damaged, or has no column of tokens that can be read.
    """
    data = _index(path)
    entries = data.get("shards") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries or data.get("version") != 2:
        raise unreadable(NAME, path, "no index of version 2 with shards")
    return [_shard(path, entry, number, dtype or BYTES) for number, entry in enumerate(entries)]


def _shard(path: Path, entry: Any, number: int, of_bytes: str) -> Shard:
    where = f"shard {number}: "
    try:
        names, encodings, sizes = (entry[f"column_{part}"] for part in ("names", "encodings", "sizes"))
        ok = entry["format"] == "mds" and len(names) == len(encodings) == len(sizes)
        ok = ok and all(type(size) is int or size is None for size in sizes)
        ok = ok and all(type(value) is int and 0 <= value < LARGEST_SHARD
                        for value in (entry["samples"], entry["raw_data"]["bytes"]))  # fmt: skip
        for data in (entry["raw_data"], entry.get("zip_data")):
            place = Path(data["basename"]) if data else Path("none")
            ok = ok and not place.is_absolute() and ".." not in place.parts
        missing = [name for name in DESCRIBED if name not in entry]
    except (KeyError, TypeError, AttributeError):
        ok, missing = False, []
    if not ok or missing:
        raise unreadable(NAME, path, f"{where}no entry of an MDS shard" + (f": no {missing[0]}" if missing else ""))
    found = [name for name in COLUMNS if name in names]
    if not found:
        raise unreadable(NAME, path, f"{where}no column of tokens", f"there are {', '.join(map(ascii, names))}")
    column = names.index(found[0])
    encoding, others = encodings[column], [*sizes[:column], *sizes[column + 1 :]]
    if encoding == "bytes":  # its type stands nowhere
        shard = Shard(path, entry, column, of_bytes, None)
        if None in others or not shard.samples:
            return shard
        each, rest = divmod(shard.size - shard.head - 4 * shard.samples, shard.samples)
        tokens, part = divmod(each - sum(others), np.dtype(of_bytes).itemsize)
        return shard if rest or part or tokens < 0 else replace(shard, fixed=tokens)
    match = ENCODING.fullmatch(str(encoding))
    if match is None or (match["dtype"] and match["dtype"] not in DTYPES):
        rule = "ndarray of whole numbers and bytes are read"
        raise unreadable(NAME, path, f"{where}column {found[0]} is encoded as {encoding!a}", rule)
    fixed = math.prod(map(int, match["shape"].split(","))) if match["shape"] else None
    return Shard(path, entry, column, match["dtype"], fixed)


def files_of(shard: Shard) -> list[Path]:
    """Where a shard may lie: as it is, or packed."""
    found = (shard.entry[name] for name in ("raw_data", "zip_data") if shard.entry.get(name))
    return [shard.index.parent / data["basename"] for data in found]


def check_files(shard: Shard) -> None:
    """Check that a shard is there, as it is or packed, with the size that its index says.

    Raises:
        InputError: If it is not.
    """
    names = [name for name in ("raw_data", "zip_data") if shard.entry.get(name)]
    there = [(file, name) for file, name in zip(files_of(shard), names, strict=True) if file.is_file()]
    if not there:
        raise unreadable(NAME, files_of(shard)[0], "this shard of its index is missing")
    file, name = there[0]
    if (found := file.stat().st_size) != (size := shard.entry[name].get("bytes")):
        raise unreadable(NAME, file, f"{found:,} bytes, and its index says {size}")

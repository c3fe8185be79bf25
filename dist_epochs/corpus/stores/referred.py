"""Shards whose ids stay in the files of another tool: what the manifest says, and whether it is still true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.input.token_files import DTYPES, Flat, Ids
from dist_epochs.corpus.stores.damage import damaged, shown, whole_number
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.mapped_files import MappedFiles

__all__ = ["REFERRING", "changed", "check_referring", "file_of", "ids_of", "refer_to"]

REFERRING = ("file", "file_bytes", "offset", "dtype")
"""Keys of a shard that refers: the file, its size, the byte at which the ids begin, and their type."""


def refer_to(flat: Flat, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys of a shard that goes on in a file where the shards before it end."""
    path = str(flat.path.resolve())
    tokens = sum(shard["tokens"] for shard in before if shard.get("file") == path)
    return {
        "file": path,
        "file_bytes": flat.path.stat().st_size,
        "offset": flat.offset + tokens * np.dtype(flat.dtype).itemsize,
        "dtype": flat.dtype,
    }


def check_referring(shard: Mapping[str, Any], path: Path, where: str) -> None:
    """Check what a manifest says of a shard that refers.

    Raises:
        InputError: If keys are missing, or the ids cannot stand there.
    """
    if missing := [name for name in REFERRING if name not in shard]:
        raise damaged(path, f"{where}{' and '.join(missing)} missing")
    file = shard["file"]
    if not isinstance(file, str) or not Path(file).is_absolute() or "\0" in file:
        raise damaged(path, f"{where}file is {shown(file)} and must be the whole path of a file")
    if shard["dtype"] not in DTYPES:
        raise damaged(path, f"{where}dtype is {shown(shard['dtype'])} and must be one of {', '.join(DTYPES)}")
    for name in ("file_bytes", "offset"):
        whole_number(shard, name, path, 0, where)
    end = shard["offset"] + shard["tokens"] * np.dtype(shard["dtype"]).itemsize
    if end > shard["file_bytes"]:
        raise damaged(path, f"{where}its ids end at byte {end:,} of {shard['file_bytes']:,}")


def file_of(shard: Mapping[str, Any]) -> Path:
    """The file that a shard refers to.

    Raises:
        InputError: If it is not there, or has another size.
    """
    path = Path(shard["file"])
    found = path.stat().st_size if path.is_file() else None
    if found != shard["file_bytes"]:
        raise changed(path, "is missing" if found is None else f"has {found:,} bytes and had {shard['file_bytes']:,}")
    return path


def ids_of(shard: Mapping[str, Any], files: MappedFiles) -> Ids:
    """The ids of a shard, read from the disk when they are used."""
    return Flat(file_of(shard), shard["offset"], shard["dtype"]).ids(files, shard["tokens"])


def changed(path: Path, found: str) -> InputError:
    """The error for a file that is not as it was when a store began to refer to it."""
    return InputError(
        found,
        rule="a store refers to this file and has no copy of its tokens",
        consequence="the store cannot be used",
        fixes=("to put the file back as it was", "to make the store again with `dist-epochs tokenize`"),
        origin=Origin(str(path)),
    )

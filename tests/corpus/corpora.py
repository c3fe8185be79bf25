"""Corpora as other tools write them, made on the spot by what their formats say."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CODES = {"uint8": 1, "int16": 3, "int32": 4, "int64": 5, "uint16": 8}


def megatron(prefix: Path, documents: Sequence[Sequence[Sequence[int]]], dtype: str = "uint16") -> Path:
    """Documents as lists of sequences; returns the index."""
    sequences = [sequence for document in documents for sequence in document]
    lengths = np.array([len(sequence) for sequence in sequences], "<i4")
    ends = np.cumsum(lengths, dtype=np.int64)
    pointers = ((ends - lengths) * np.dtype(dtype).itemsize).astype("<i8")
    entries = np.cumsum([0, *map(len, documents)]).astype("<i8")
    head = struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, CODES[dtype], len(sequences), len(entries))
    index = prefix.with_suffix(".idx")
    index.write_bytes(head + lengths.tobytes() + pointers.tobytes() + entries.tobytes())
    ids = [np.asarray(sequence, dtype) for sequence in sequences]
    prefix.with_suffix(".bin").write_bytes(b"".join(each.tobytes() for each in ids))
    return index


def llmc(path: Path, ids: Sequence[int], mark: int = 20240520, version: int = 1) -> Path:
    """A shard of llm.c."""
    head = struct.pack("<3i", mark, version, len(ids)).ljust(1024, b"\0")
    path.write_bytes(head + np.asarray(ids, "<u2" if version == 1 else "<u4").tobytes())
    return path


def mds(folder: Path, documents: Sequence[Sequence[int]]) -> Path:
    """Documents of up to 255 ids in one shard of an MDS data set; returns the index."""
    described = {
        "column_encodings": ["ndarray:uint16"], "column_names": ["tokens"], "column_sizes": [None], "compression": None,
        "format": "mds", "hashes": [], "size_limit": 2**26, "version": 2,
    }  # fmt: skip
    rows = [bytes([4, len(ids)]) + np.asarray(ids, "<u2").tobytes() for ids in documents]  # of one axis, in one byte
    samples = [struct.pack("<I", len(row)) + row for row in rows]
    text = json.dumps(described, sort_keys=True).encode()
    offsets = np.cumsum([4 * (len(samples) + 2) + len(text), *map(len, samples)]).astype("<u4")
    data = struct.pack("<I", len(samples)) + offsets.tobytes() + text + b"".join(samples)
    folder.mkdir(parents=True)
    (folder / "shard.00000.mds").write_bytes(data)
    raw = {"basename": "shard.00000.mds", "bytes": len(data), "hashes": {}}
    index = folder / "index.json"
    shard = {**described, "raw_data": raw, "samples": len(samples), "zip_data": None}
    index.write_text(json.dumps({"shards": [shard], "version": 2}))
    return index


def sparse_megatron(prefix: Path, documents: int, tokens: int) -> Path:
    """An index of that many documents whose first ones have no tokens; it takes no room on the disk."""
    index = prefix.with_suffix(".idx")
    with index.open("wb") as file:
        file.write(struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, CODES["uint16"], documents, documents + 1))
        file.seek(34 + 4 * (documents - 1))
        file.write(struct.pack("<i", 1000))
        file.seek(34 + 4 * documents + 8 * (documents - 1))
        file.write(struct.pack("<q", 2 * (tokens - 1000)))
        file.seek(34 + 12 * documents + 8 * documents)
        file.write(struct.pack("<q", documents))
    with prefix.with_suffix(".bin").open("wb") as file:
        file.truncate(2 * tokens)
    return index

"""The samples of a shard of an MDS data set, checked.

A shard has the number n of its samples, n + 1 offsets (uint32 all), JSON that describes its columns, and the samples:
the sizes of the columns of variable size, then the columns. Source: streaming streaming/base/format/mds/writer.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dist_epochs.corpus.input.token_files import Ids, unreadable
from dist_epochs.corpus.readers.mds_index import NAME, Shard, check_files, files_of

__all__ = ["samples_of"]

CODES = {8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 32: "uint32", 33: "int32", 64: "uint64", 65: "int64"}
"""Types of an `ndarray` that says its own: as its first byte numbers them."""


def samples_of(shard: Shard) -> Iterator[Ids]:
    """The tokens of each sample of a shard."""
    path, data = _content(shard)
    count = shard.samples
    if len(data) != shard.size or len(data) < 4 * (count + 2):
        raise unreadable(NAME, path, f"{len(data):,} bytes, and its index says {shard.size:,} with {count:,} samples")
    if (said := struct.unpack_from("<I", data)[0]) != count:
        raise unreadable(NAME, path, f"it says that it has {said:,} samples, and its index {count:,}")
    offsets = np.frombuffer(data, "<u4", count + 1, 4).astype(np.int64)
    if offsets[0] < 4 * (count + 2) or offsets[-1] != len(data) or (np.diff(offsets) < 0).any():
        raise unreadable(NAME, path, "its samples lie outside the shard, or over each other")
    sizes = shard.entry["column_sizes"]
    variable = [at for at, size in enumerate(sizes) if size is None]
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if stop - start < 4 * len(variable):
            raise unreadable(NAME, path, f"the sample at byte {start:,} is cut")
        told = dict(zip(variable, struct.unpack_from(f"<{len(variable)}I", data, start), strict=True))
        each = [told[at] if size is None else size for at, size in enumerate(sizes)]
        begin = start + 4 * len(variable) + sum(each[: shard.column])
        if start + 4 * len(variable) + sum(each) != stop:
            raise unreadable(NAME, path, f"the sample at byte {start:,} is not of the size that its columns say")
        yield _ids(shard, data[begin : begin + each[shard.column]], path, start)


def _ids(shard: Shard, value: memoryview, path: Path, start: int) -> Ids:
    """The ids of one value, after what it says of itself."""
    at, dtype = 0, shard.dtype
    try:
        if dtype is None:
            dtype, at = CODES[value[0]], 1
        if shard.entry["column_encodings"][shard.column] != "bytes" and shard.fixed is None:
            axes, width = value[at] >> 2, 2 ** (value[at] % 4)
            at += 1 + axes * width
        ids: Ids = np.frombuffer(value[at:], np.dtype(dtype).newbyteorder("<"))
    except (IndexError, KeyError, ValueError):
        raise unreadable(NAME, path, f"the sample at byte {start:,} holds no ids of type {dtype}") from None
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < 2**32:
        found = f"the sample at byte {start:,} holds {int(ids.max()):,}, which is no id of type {dtype}"
        raise unreadable(NAME, path, found, fixes="--dtype, if it is another type")
    return ids


def _content(shard: Shard) -> tuple[Path, memoryview]:
    """A shard, unpacked."""
    check_files(shard)
    plain, *packed = files_of(shard)
    if plain.is_file():
        return plain, np.memmap(plain, np.uint8, "r").data if shard.size else memoryview(b"")
    compression = str(shard.entry["compression"]).partition(":")[0]
    if compression not in ("zstd", "gz"):
        raise unreadable(NAME, packed[0], f"packed by {compression!a}", "zstd and gz are unpacked")
    import pyarrow

    try:
        with pyarrow.input_stream(str(packed[0]), compression={"gz": "gzip"}.get(compression, compression)) as file:
            return packed[0], memoryview(file.read(shard.size + 1))
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(NAME, packed[0], f"damaged or cut: {error}") from None

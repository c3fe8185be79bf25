"""Files of named tensors in the safetensors format, whose digest is computed while they are written.

A file is read through a mapping: comparing its digest brings it into memory once, and its tensors are then taken from
the same mapping. So what is loaded is what was compared, whatever has got the file's name since. Nothing is executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from dist_epochs.errors import InputError, Origin

__all__ = ["Damaged", "Piece", "TensorFile", "write_tensors"]

TYPES = {
    "F64": torch.float64, "I64": torch.int64, "F32": torch.float32, "I32": torch.int32, "F16": torch.float16,
    "BF16": torch.bfloat16, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Names of the format for the types of tensors."""

NAMES = {kind: name for name, kind in TYPES.items()}

FAST = "xxh3-128:"
"""What a digest begins with that is not SHA-256, which earlier versions computed and wrote without a name."""

PIECE = 2**22
"""Bytes that are digested and written at once, so that a processor's cache holds them in between."""

FLUSH = 32
"""Pieces after which the disk begins to take what was written, while more is written."""

SMALL = 2**16
"""Bytes below which tensors are collected before they are written: biases and norms are many."""

LENGTH_BYTES = 8
"""Bytes of the number that the file begins with: the length of its header."""


SHARDS, OFFSETS = "DCP_SHARDING_INFO", "saved_offsets"
"""Keys of a header under which torch.distributed.checkpoint looks for the place of a shard in its tensor."""


class Damaged(InputError):
    """A checkpoint is not as it was written."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor, or the part of it that one rank held.

    Attributes:
        name: Name of the whole tensor.
        offsets: First row, column, … of the part in the whole.
        tensor: The part.
    """

    name: str
    offsets: tuple[int, ...]
    tensor: Tensor


def write_tensors(path: Path, pieces: Iterable[Piece]) -> str:
    """Write a file of tensors and wait until it is on the disk.

    Args:
        path: The file.
        pieces: Contiguous tensors on the host, each with a name of its own.

    Returns:
        Its digest, computed from what was written without reading it again.
    """
    # large elements first, so that each tensor is aligned to its elements
    ordered = sorted(pieces, key=lambda piece: (-piece.tensor.element_size(), piece.name))
    places = {piece.name: {OFFSETS: list(piece.offsets)} for piece in ordered}
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", SHARDS: json.dumps(places)}}
    end = 0
    for piece in ordered:
        tensor = piece.tensor
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[piece.name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % LENGTH_BYTES)
    digest = xxhash.xxh3_128()
    flushes: list[Future[None]] = []
    with path.open("wb", buffering=SMALL) as file, ThreadPoolExecutor(1) as flusher:
        for number, content in enumerate(_bytes_of(header, [piece.tensor for piece in ordered])):
            digest.update(content)
            file.write(content)
            if number % FLUSH == FLUSH - 1 and all(flush.done() for flush in flushes):
                flushes.append(flusher.submit(os.fsync, file.fileno()))
        for flush in flushes:
            flush.result()  # an error of the disk is told once, perhaps to this one
        file.flush()
        os.fsync(file.fileno())
    return FAST + digest.hexdigest()


def _bytes_of(header: bytes, tensors: Sequence[Tensor]) -> Iterator[bytes | memoryview]:
    """What a file consists of, in pieces."""
    yield len(header).to_bytes(LENGTH_BYTES, "little")
    yield header
    for tensor in tensors:
        content = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]


class TensorFile:
    """A file of tensors that is open for reading.

    Args:
        path: The file.

    Raises:
        Damaged: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                # a private mapping is never written to; torch warns of tensors over a read-only one
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError:  # an empty file cannot be mapped
            raise self._not_as_written() from None
        except OSError as error:
            raise Damaged(error.strerror or str(error), origin=Origin(str(path))) from None

    def check(self, digest: str) -> None:
        """Compare all bytes of the file with a digest.

        Raises:
            Damaged: If they are not those that were written.
        """
        if digest.startswith(FAST):
            found = FAST + xxhash.xxh3_128(self._bytes).hexdigest()
        else:
            found = hashlib.sha256(self._bytes).hexdigest()
        if found != digest:
            raise self._not_as_written()

    def pieces(self) -> Iterator[Piece]:
        """What it holds. The memory of the tensors is the mapping of the file: copy what is to outlive it.

        Raises:
            Damaged: If it is no file of tensors.
        """
        begin = LENGTH_BYTES + int.from_bytes(self._bytes[:LENGTH_BYTES], "little")
        try:
            entries = json.loads(self._bytes[LENGTH_BYTES:begin])
            places = json.loads(entries.pop("__metadata__", {}).get(SHARDS, "{}"))  # earlier versions wrote none
            for name, entry in entries.items():
                kind, shape, start = TYPES[entry["dtype"]], entry["shape"], begin + entry["data_offsets"][0]
                count = math.prod(shape)
                tensor = (
                    torch.frombuffer(self._bytes, dtype=kind, count=count, offset=start)
                    if count
                    else torch.empty(0, dtype=kind)
                )
                offsets = places[name][OFFSETS] if places else [0] * len(shape)
                yield Piece(name, tuple(offsets), tensor.reshape(shape))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"not a file of tensors: {error}", origin=Origin(str(self.path))) from None

    def close(self) -> None:
        """Let go of the file. No tensor of it may be in use."""
        self._bytes.close()

    def _not_as_written(self) -> Damaged:
        return Damaged("its bytes are not those that were written", origin=Origin(str(self.path)))

"""Cuts a corpus into parts that are tokenized apart from each other, by any worker on any machine.

The cut follows from the input files alone, so that the store is the same whoever makes which part. Small files of a
source make one part together; a large file of text, JSON lines or Parquet is cut at its documents or row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dist_epochs.corpus.sources import Source, Unit

__all__ = ["PART_BYTES", "Part", "parts_of", "scale_of"]

PART_BYTES = 2**25
"""Bytes of input of a part, about, of a corpus of up to `MOST_PARTS` parts: some 8 million tokens of text."""

MOST_PARTS = 2**13
"""Parts of about that size; of a larger corpus parts are larger, as each is a file that is opened."""


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring input of one source.

    Attributes:
        number: Which part of the corpus it is.
        source: The source.
        units: Its input files, or a stretch of one.
    """

    number: int
    source: Source
    units: tuple[Unit, ...]

    @property
    def bytes(self) -> int:
        """Bytes of its input, about."""
        return sum(unit.bytes for unit in self.units)


def scale_of(sources: Sequence[Source]) -> int:
    """How many times as large as usual parts and shards are: a power of two."""
    parts = sum(unit.size for source in sources for unit in source.units) // PART_BYTES // MOST_PARTS
    return 1 << parts.bit_length()


def parts_of(sources: Sequence[Source]) -> list[Part]:
    """The parts of a corpus, in its order.

    Raises:
        OSError: If an input file cannot be read.
    """
    size = PART_BYTES * scale_of(sources)
    parts: list[Part] = []
    for source in sources:
        for units in _grouped(source, size):
            parts.append(Part(len(parts), source, units))
    return parts


def _grouped(source: Source, size: int) -> Iterator[tuple[Unit, ...]]:
    together: list[Unit] = []
    for unit in source.units:
        pieces = -(-unit.size // size)
        cuts = _cuts(source, unit, pieces) if pieces > 1 else []
        if len(cuts) > 2:
            if together:
                yield tuple(together)
            yield from ((replace(unit, start=start, stop=stop),) for start, stop in pairwise(cuts))
            together = []
            continue
        together.append(unit)
        if sum(each.size for each in together) >= size:
            yield tuple(together)
            together = []
    if together:
        yield tuple(together)


def _cuts(source: Source, unit: Unit, pieces: int) -> list[int]:
    """Where a file is cut: at bytes, after which the next document begins a stretch, or at groups of rows."""
    is_lines = unit.kind == ".jsonl" or (unit.kind == ".txt" and source.document != "file")
    if is_lines and not unit.is_packed:
        return [unit.size * number // pieces for number in range(pieces + 1)]
    if unit.kind == ".parquet":
        return _groups(unit, pieces)
    return []


def _groups(unit: Unit, pieces: int) -> list[int]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(unit.name) as file:
            metadata = file.metadata
            sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    except (pyarrow.ArrowException, OSError):
        return []  # its reader says what is wrong
    cuts, before, total = [0], 0, sum(sizes)
    for number, size in enumerate(sizes, 1):
        before += size
        if before * pieces >= total * len(cuts):
            cuts.append(number)
    return cuts

"""Cuts a corpus into parts that are tokenized apart from each other, by any worker on any machine.

The cut follows from the input files alone, so that the store is the same whoever makes which part. Small files of a
source make one part together; a large file of text, JSON lines or Parquet is cut at its documents or row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dist_epochs.corpus.input.sources import Source, Unit

__all__ = ["PART_BYTES", "Part", "Share", "parts_of"]

PART_BYTES = 2**25
"""Bytes of input of a part, about, of a source of up to `MOST_PARTS` parts: some 8 million tokens of text."""

MOST_PARTS = 2**13
"""Parts of about that size; of a larger source parts are larger, as each is a file that is opened."""


@dataclass(frozen=True, slots=True)
class Share:
    """Every so many of the parts of a corpus, for one of several machines.

    Attributes:
        number: Which of the shares it is, from 1.
        shares: How many there are.

    Examples:
        >>> str(Share(2, 8)), [part for part in range(20) if Share(2, 8).has(part)]
        ('2/8', [1, 9, 17])
    """

    number: int
    shares: int

    def __str__(self) -> str:
        return f"{self.number}/{self.shares}"

    def has(self, part: int) -> bool:
        """Whether the part of that number is in it."""
        return part % self.shares == self.number - 1


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring input of one source.

    Attributes:
        number: Which part of the corpus it is.
        source: The source.
        units: Its input files, or a stretch of one.
        scale: How many times as large as usual the parts and shards of the source are: a power of two.
    """

    number: int
    source: Source
    units: tuple[Unit, ...]
    scale: int = 1

    @property
    def bytes(self) -> int:
        """Bytes of its input, about."""
        return sum(unit.bytes for unit in self.units)


def _scale(source: Source) -> int:
    parts = sum(unit.size for unit in source.units) // PART_BYTES // MOST_PARTS
    return 1 << parts.bit_length()


def parts_of(sources: Sequence[Source]) -> list[Part]:
    """The parts of a corpus, in its order.

    Raises:
        OSError: If an input file cannot be read.
    """
    parts: list[Part] = []
    for source in sources:
        scale = _scale(source)
        for units in _grouped(source, PART_BYTES * scale):
            parts.append(Part(len(parts), source, units, scale))
    return parts


def _grouped(source: Source, size: int) -> Iterator[tuple[Unit, ...]]:
    together: list[Unit] = []
    for unit in source.units:
        pieces = -(-unit.size // size)
        cuts = _cuts(source, unit, pieces) if pieces > 1 else []
        if len(cuts) > 2:
            if together:
                yield tuple(together)
            about = [unit.size * number // (len(cuts) - 1) for number in range(len(cuts))]
            for (start, stop), (before, after) in zip(pairwise(cuts), pairwise(about), strict=True):
                yield (replace(unit, start=start, stop=stop, about=after - before),)
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

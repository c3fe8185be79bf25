"""What reads the lines of one trainer's log, and what is said of them in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from dist_epochs.audit.records.record import FinishedRun, Number, Place, whole
from dist_epochs.audit.records.timeline import MOST_KEPT, Track

__all__ = ["LineReader", "run_of_track", "samples_of", "unlogged_steps", "whole_of"]


MOST_TOLD = 10
"""Values of an argument that a note names."""


class LineReader:
    """What reads the lines of one kind of log, and keeps what they say.

    Attributes:
        KIND: One of `KINDS`.
        MARKS: What stands in each line that it reads.
        path: The file.
        track: The steps.
        numbers: What else was found, by our names.
        further: What no check uses.
        is_over: Whether the log says that the run ended, so that no step follows its last line.
    """

    KIND: str
    MARKS: tuple[bytes, ...]

    def __init__(self, path: str) -> None:
        self.path = path
        self.track = Track(self.place)
        self.numbers: dict[str, Number] = {}
        self.further: dict[str, Number | bool] = {}
        self.is_over = False
        self._stated: dict[str, list[str]] = {}

    def place(self, at: int | None, key: str = "") -> Place:
        """A place in the file."""
        return Place(self.path, at, key)

    def tell(self, name: str, value: int | Fraction | bytes, at: int | None, key: str = "") -> None:
        """A number by our name, if it is above 0: a count, or its digits; and the line and the key it stands at."""
        count = whole_of(value) if isinstance(value, bytes) else value
        if count > 0:
            self.numbers[name] = Number.exact(count, self.place(at, key))

    def state(self, name: str, digits: bytes, where: Place) -> None:
        """An argument that each start of the program prints, if it is a count. The last one is used."""
        number = whole(digits.decode("ascii", errors="replace"), where)
        if number is None:
            return
        old = self.numbers.get(name)
        if old is not None and old.value != number.value:
            values = self._stated.setdefault(name, [old.text])
            if len(values) < MOST_TOLD:
                values.append(number.text)
        self.numbers[name] = number

    def changes(self) -> Iterator[str]:
        """What is worth knowing of arguments that are others at a later start."""
        for name, values in self._stated.items():
            told = ", then ".join(values)
            yield f"{name.replace('_', ' ')} changes between starts: {told}. The last one is used."

    def plan_steps(self, steps: int, at: int) -> None:
        """The steps that the run was to make, as the first line says it."""
        if "planned_steps" not in self.numbers:
            self.tell("planned_steps", steps, at)

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        raise NotImplementedError

    def finished(self) -> FinishedRun | None:
        """What was found; None if nothing counts steps."""
        return self.run() if self.track.last is not None else None

    def run(self, notes: Sequence[str] = (), **more: Any) -> FinishedRun:
        """What was found, with the fields of a run that only this kind of log has."""
        return run_of_track(
            self.KIND,
            self.path,
            self.track,
            self.numbers,
            further=self.further,
            is_over=self.is_over,
            notes=notes,
            **more,
        )


def whole_of(digits: bytes) -> int:
    """A whole number whose digits may have commas between them."""
    return int(digits.replace(b",", b"") or b"0")


def samples_of(tokens: object, length: Number | None) -> int | None:
    """Samples of so many tokens, where they are whole."""
    if not isinstance(tokens, Number) or length is None or tokens.value % length.value:
        return None
    return int(tokens.value / length.value)


def run_of_track(
    kind: str,
    path: str,
    track: Track,
    numbers: Mapping[str, Number],
    *,
    is_over: bool = False,
    notes: Sequence[str] = (),
    **more: Any,
) -> FinishedRun:
    """A log as a finished run.

    Args:
        kind: One of `KINDS`.
        path: The file.
        track: Its lines.
        numbers: What was found beside their steps and sums.
        is_over: Whether the log says that the run ended, so that no step follows its last line.
        notes: What else is worth knowing.
        more: Other fields of the run.
    """
    changes = len(track.batches) > 1  # a batch that stands elsewhere is where a ramp ends, and no step's mean
    merged = {name: number for name, number in numbers.items() if name != "global_batch" or not changes}
    merged |= track.numbers(Place(path))
    return FinishedRun(
        kind=kind,
        path=path,
        numbers=merged,
        changes_batch=changes,
        unlogged=0 if is_over else unlogged_steps(track, merged),
        segments=track.segments,
        overlaps=track.overlaps,
        gaps=track.gaps,
        notes=(*notes, *_notes(track)),
        **more,
    )


def unlogged_steps(track: Track, numbers: Mapping[str, Number]) -> int:
    """Steps that may have followed the last line, up to those that were planned."""
    planned = numbers.get("planned_steps")
    if track.last is None:
        return 0
    left = int(planned.value) - track.last.step if planned else track.stride - 1
    return max(min(track.stride - 1, left), 0)


def _notes(track: Track) -> Iterator[str]:
    """What is worth knowing of the lines."""
    if len(track.batches) > 1:
        smallest, largest = min(track.batches), max(track.batches)
        yield f"The batch changes: {smallest:,} to {largest:,} samples, so steps × batch is taken line by line."
    if track.repeated:
        yield f"Lines that repeat the step before them: {track.repeated:,}. Several ranks print; each step counts once."
    if track.is_ragged:
        yield f"More than {MOST_KEPT:,} segments: the log is garbled, or holds several runs."
    if track.stride > 1 and len(track.segments) > 1:
        yield f"A line every {track.stride:,} steps: where segments begin is known to {track.stride:,} steps."

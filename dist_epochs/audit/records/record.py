"""A finished run: every number that its files hold, as written and with its place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.written_number import LARGEST
from dist_epochs.audit.records.names import FURTHER, KINDS, NAMES
from dist_epochs.errors import InputError, Origin

__all__ = [
    "FLOAT",
    "Comparison",
    "FinishedRun",
    "Number",
    "Place",
    "Segment",
    "Span",
    "as_stream",
    "made_again",
    "several_runs",
    "whole",
]

FLOAT = Fraction(1, 10**9)
"""Relative tolerance of a float that was calculated: the last of its digits are no measurement."""

_SMALLEST = Fraction(1, LARGEST)
"""Above 0; what is divided by less is no count."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE][-+]?\d{1,3})?")


class Place(str):
    """Where something was read, as text (`run.log:12: world_size`), with its file and line as fields.

    Attributes:
        file: The path of the file; None for what is in no file.
        line: The line, from 1; None where lines tell nothing.
    """

    file: str | None
    line: int | None

    def __new__(cls, file: str, line: int | None = None, key: str = "") -> Place:
        """A place in a file: its line, and the key or a few words."""
        parts = (PurePath(file).name or file, f":{line}" if line is not None else "", f": {key}" if key else "")
        made = super().__new__(cls, "".join(parts))
        made.file, made.line = file, line
        return made

    def at(self, key: str) -> Place:
        """A key in the same line."""
        return Place(self.file or str(self), self.line, key)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was read.

    Attributes:
        interval: The number, with the tolerance of its spelling; whole numbers have none.
        where: File, line or key; a `Place` where the file is known.
        text: Its spelling.
    """

    interval: Interval
    where: str
    text: str

    @classmethod
    def exact(cls, value: int | Fraction, where: str, text: str | None = None) -> Number:
        """An exact number."""
        return cls(Interval.exact(value), where, text or (f"{value:,}" if isinstance(value, int) else str(value)))

    @classmethod
    def read(cls, value: object, where: str) -> Number | None:
        """A JSON number, or its spelling; None for text, NaN, what is below 0, beyond 10⁴⁰ or within 10⁻⁴⁰ of 0.

        Examples:
            >>> Number.read(0.25, "here").interval.high
            Fraction(51, 200)
            >>> Number.read("nan", "here"), Number.read(True, "here")
            (None, None)
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, int) and not 0 <= value <= LARGEST:  # before its digits are written out
            return None
        text = str(value).strip()
        if not _NUMBER.fullmatch(text):
            return None
        decimal = Decimal(text)
        point = Fraction(decimal)
        if point and not _SMALLEST <= point <= LARGEST:
            return None
        exponent = decimal.as_tuple().exponent
        assert isinstance(exponent, int)
        half = Fraction(10) ** exponent / 2 if exponent < 0 else Fraction(0)
        if isinstance(value, float):
            half = max(half, point * FLOAT)
        return cls(Interval(point, max(point - half, Fraction(0)), point + half), where, text)

    @property
    def value(self) -> Fraction:
        """The number as written."""
        return self.interval.point

    def within(self, tolerance: Fraction) -> Number:
        """The same with another tolerance, to either side; never below 0."""
        ends = Interval(self.value, max(self.value - tolerance, Fraction(0)), self.value + tolerance)
        return replace(self, interval=ends)


def whole(value: object, where: str, *, least: int = 1) -> Number | None:
    """A count: a whole number from `least` on, also as `5.0`; None for anything else."""
    number = Number.read(value, where)
    if number is None or number.value.denominator != 1 or number.value < least:
        return None
    return Number.exact(int(number.value), where)


@dataclass(frozen=True, slots=True)
class Span:
    """Steps from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many."""
        return self.last - self.first + 1

    def to_json(self) -> dict[str, int]:
        """As in `dist-epochs audit --json`."""
        return {"first_step": self.first, "last_step": self.last}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch between two starts of the program.

    Attributes:
        steps: The steps it made, as far as its lines tell.
        where: Where it begins.
    """

    steps: Span
    where: str

    def to_json(self) -> dict[str, int | str]:
        """As in `dist-epochs audit --json`."""
        return {**self.steps.to_json(), "where": self.where}


def made_again(segments: Iterable[Segment]) -> tuple[Span, ...]:
    """Steps that a later segment made again."""
    found, reached = [], 0
    for segment in segments:
        first, last = segment.steps.first, segment.steps.last
        if reached and first <= min(reached, last):
            found.append(Span(first, min(reached, last)))
        reached = max(reached, last)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number that two files of a run have.

    Attributes:
        name: What it is.
        mine: In the file that is audited.
        theirs: In the other one.
        path: The other file.
    """

    name: str
    mine: Number
    theirs: Number
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """What the files of a run say.

    Attributes:
        kind: One of `KINDS`.
        path: Where it was read.
        numbers: What was found, by the names of `NAMES`.
        counts_passes: Whether the trainer ends a partial accumulation window at the end of a pass, as the HF
            Trainer does on data of known size; others draw on across passes.
        streams: Whether its data had no length, so that the Trainer's epoch counts none; None if it cannot be told.
        changes_batch: Whether steps have several sizes, so that no batch × steps is their samples.
        unlogged: Steps that may have followed the last logged line.
        is_cut: Whether the files may end before the run did, so that its totals are lower bounds.
        precision: `bf16` or `fp16`, where it is written.
        segments: Starts of the program, in order.
        overlaps: Steps that were made twice.
        gaps: Steps inside a segment of which no line tells.
        balances: Planned and recorded numbers with every difference that has a cause, of our own runs.
        comparisons: Numbers that other files of the same run have, too.
        further: What else was found, by the names of `FURTHER`.
        notes: What else is worth knowing, as sentences.
    """

    kind: str
    path: str
    numbers: Mapping[str, Number]
    counts_passes: bool = False
    streams: bool | None = False
    changes_batch: bool = False
    unlogged: int = 0
    is_cut: bool = False
    precision: str | None = None
    segments: tuple[Segment, ...] = ()
    overlaps: tuple[Span, ...] = ()
    gaps: tuple[Span, ...] = ()
    balances: tuple[Balance, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    further: Mapping[str, Number | bool] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        assert set(self.further) <= set(FURTHER), set(self.further) - set(FURTHER)
        assert set(self.numbers) <= set(NAMES), set(self.numbers) - set(NAMES)

    @property
    def heading(self) -> str:
        """Where it was read, and what wrote it."""
        return f"{self.path}: {KINDS[self.kind]}"

    def to_json(self) -> dict[str, object]:
        """What was read of it, as in `dist-epochs audit --json`."""
        return {
            "read": {name: {"value": number.text, "where": number.where} for name, number in self.numbers.items()},
            "segments": [segment.to_json() for segment in self.segments],
            "overlaps": [span.to_json() for span in self.overlaps],
            "gaps": [span.to_json() for span in self.gaps],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """A unit of our own books.

    Attributes:
        unit: What is counted.
        planned: By the plan.
        recorded: By the ledger, applied steps only.
        explained: Amounts of the difference with a known cause, by cause.
    """

    unit: str
    planned: int
    recorded: int
    explained: Mapping[str, int]


def several_runs(what: str, names: Sequence[str], path: str, fixes: Sequence[str] = ()) -> InputError:
    """The error for a place with several runs of one kind, and what they are."""
    return InputError(
        f"here are {what}: {', '.join(names[:5])}",
        rule="an audit reads one run, since their steps do not add up",
        fixes=("one of the folders", *fixes),
        origin=Origin(path),
    )


def as_stream(run: FinishedRun) -> FinishedRun:
    """A Trainer's run whose data had no length: its epoch counts none, and neither do steps ÷ epoch."""
    unused = ("epochs", "planned_epochs", "steps_per_epoch", "whole_steps_per_epoch")
    numbers = {name: number for name, number in run.numbers.items() if name not in unused}
    if "epochs" in run.numbers:
        numbers["stream_epoch"] = run.numbers["epochs"]
    return replace(run, numbers=numbers, counts_passes=False, streams=True)

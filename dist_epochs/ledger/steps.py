"""The steps of a ledger one by one, as they count in the end, in constant memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.file import drawn_from_json, parse_line
from dist_epochs.ledger.index import STEPS, LedgerLines

__all__ = ["LinesOfRun", "LoggedRow", "RecordedStep", "lines_of_run", "logged_rows", "recorded_steps"]

SEGMENT, METRICS = b'{"event":"segment"', b'{"event":"metrics"'
STEP_AT = len(STEPS[0] + b',"step":')
"""Where the number of a step stands in its line; both kinds have names of one length."""
DRAWN_AT = len(b'"drawn":')
MOST_DIGITS = 19
ROW = [int, str, int, int, int, int, int, str]
DIGEST = re.compile("[0-9a-f]{32}")
LOSSES = ("train/loss", "loss")
RATES = ("train/learning_rate", "learning_rate")
"""Names of a logged loss and learning rate: our trainer's, the HF Trainer's."""
EVALUATION = ("evaluation/loss",)


@dataclass(slots=True)
class RecordedStep:
    """A step that was taken, unparsed: two runs that drew the same have the same text.

    Attributes:
        number: The step, from 1.
        is_applied: Whether its update was applied.
        line: Its line in the file, from 1.
        text: The line.
        drawn: What it drew, as text; None where only parsing tells.
        path: The file, for messages.
    """

    number: int
    is_applied: bool
    line: int
    text: bytes
    drawn: bytes | None
    path: Path

    def rows(self) -> list[list[Any]]:
        """What it drew from each pass, as it stands in the line: see `file`.

        Raises:
            InputError: If the line is damaged.
        """
        rows = None if self.drawn is None else _rows(self.drawn)
        if rows is None:
            rows = parse_line(self.path, self.line, self.text)["drawn"]
            assert isinstance(rows, list)
        return rows

    def passes(self) -> dict[PassKey, Counts]:
        """What it drew from each pass.

        Raises:
            InputError: If the line is damaged.
        """
        return dict(drawn_from_json(self.rows()))


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """What was logged at a step; None is what was not.

    Attributes:
        step: Optimizer steps drawn so far.
        loss: Of training; not a number where it was none.
        learning_rate: Of that step.
        tokens: Applied so far, over all devices.
        epoch: As the run itself counts it.
        evaluation_loss: On held-out documents; evaluations have rows of their own.
    """

    step: int
    loss: float | None = None
    learning_rate: float | None = None
    tokens: int | None = None
    epoch: float | None = None
    evaluation_loss: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LinesOfRun:
    """Where a ledger says what a report quotes, as numbers of lines, from 1.

    Attributes:
        segments: The line of each start of the program.
        last_step: The last step that was taken; None before the first.
        last: The last line.
    """

    segments: tuple[int, ...]
    last_step: int | None
    last: int


def lines_of_run(path: Path) -> LinesOfRun:
    """Find them.

    Args:
        path: The ledger file.

    Raises:
        InputError: If it cannot be read.
    """
    segments, last_step, last = [], None, 0
    for number, (_, line) in enumerate(LedgerLines(path).between(0), 1):
        last = number
        if line.startswith(STEPS):
            last_step = number
        elif line.startswith(SEGMENT):
            segments.append(number)
    return LinesOfRun(segments=tuple(segments), last_step=last_step, last=last)


def recorded_steps(path: Path) -> Iterator[RecordedStep]:
    """The steps that count, in order: those that a later segment took again are left out.

    Args:
        path: The ledger file.

    Raises:
        InputError: If a line is damaged, or steps are out of order (with its number).
    """
    before = 0
    for number, line in _counting(path, STEPS):
        step = _step_of(path, number, line, STEP_AT)
        if step <= before:
            raise InputError(f"step {step} where step {before + 1} must follow", origin=Origin(str(path), number))
        before = step
        yield RecordedStep(step, line.startswith(STEPS[0]), number, line, _drawn_text(line), path)


def logged_rows(path: Path) -> Iterator[LoggedRow]:
    """The rows of training and of evaluations that count, in order.

    Args:
        path: The ledger file.

    Raises:
        InputError: If a line is damaged.
    """
    for number, line in _counting(path, (METRICS,)):
        entry = parse_line(path, number, line)
        values = entry["values"]
        loss, rate, held_out = (_first(values, names) for names in (LOSSES, RATES, EVALUATION))
        if (loss, rate, held_out) != (None, None, None):
            tokens, epoch = values.get("ledger/tokens"), values.get("ledger/epoch")
            yield LoggedRow(entry["step"], loss, rate, tokens, epoch, held_out)


def _first(values: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """The value that has one of the names."""
    value = next((values[name] for name in names if name in values), None)
    return None if value is None else float(value)


def _rows(drawn: bytes) -> list[list[Any]] | None:
    """What was drawn, from its own text, which is faster than the whole line; None for what is not as we write it."""
    try:
        rows: list[list[Any]] = json.loads((drawn[DRAWN_AT:] + b"]]").decode())
    except ValueError:
        return None
    return rows if all(map(_is_usual, rows)) else None


def _is_usual(row: list[Any]) -> bool:
    """Whether a row is one of ours, undamaged."""
    return list(map(type, row)) == ROW and min(row[0], *row[2:-1]) >= 0 and DIGEST.fullmatch(row[-1]) is not None


def _drawn_text(line: bytes) -> bytes | None:
    """What a step drew, as text: it ends where a quote follows, which inside a name would have a backslash."""
    start = line.find(b'"drawn":')
    end = line.find(b']],"', start)
    return line[start:end] if 0 <= start < end else None


def _counting(path: Path, kinds: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """Lines of some kinds, with their numbers, of steps that no later segment took again."""
    lines = LedgerLines(path)
    kept = {segment.start: segment.kept for segment in lines.segments()}
    last: int | None = None
    for number, (at, line) in enumerate(lines.between(0), 1):
        if at in kept:
            last = kept[at]
        elif line.startswith(kinds) and (last is None or _step_of(path, number, line) <= last):
            yield number, line


def _step_of(path: Path, number: int, line: bytes, start: int | None = None) -> int:
    """The step of a line, parsed where it is written in another way than ours."""
    if start is None:
        start = line.find(b'"step":') + len(b'"step":')
    text = line[start : line.find(b",", start)]
    if text.isdigit() and len(text) < MOST_DIGITS:
        return int(text)
    step: int = parse_line(path, number, line)["step"]
    return step

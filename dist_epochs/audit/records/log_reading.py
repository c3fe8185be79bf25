"""What the lines of a text log have said so far, and what is said of them in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.record import FinishedRun, Number, Place
from dist_epochs.audit.records.timeline import MOST_KEPT, Track

__all__ = ["LineReader", "LogReading", "notes_of_track", "run_of_track", "unlogged_steps"]


@dataclass(slots=True)
class LogReading:
    """What the lines of a text log have said so far.

    Attributes:
        path: The file, for places.
        kind: The trainer that wrote it: `megatron`, `gpt-neox`, `nemo` or `olmo`; None while nothing tells.
        track: The steps.
        numbers: Arguments that are known here, by our names.
        changed: Values of arguments that changed between starts, in order.
        precision: `bf16` or `fp16`, where an argument says so.
        ramps: Whether the arguments ramp the batch up.
        skipped: Iterations skipped, without an update.
        nan: Iterations whose loss was no number.
        lengths: Sequence lengths of steps, where they are logged.
        open_step: An OLMo step whose tokens have not come yet, and its line.
        tokens_per_second: Those of one device that OLMo-core logged last.
        last_tokens: The tokens that OLMo logged last.
        further: What no check uses.
    """

    path: str
    kind: str | None = None
    track: Track = field(init=False)
    numbers: dict[str, Number] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    precision: str | None = None
    ramps: bool = False
    skipped: int = 0
    nan: int = 0
    lengths: set[int] = field(default_factory=set)
    open_step: tuple[int, int] | None = None
    tokens_per_second: Interval | None = None
    last_tokens: Number | None = None
    further: dict[str, Number | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.track = Track(self.place)

    def place(self, at: int, key: str = "") -> Place:
        """A place in the file."""
        return Place(self.path, at, key)

    def plan_steps(self, steps: int, at: int) -> None:
        """The steps that the run was to make, as the first line says it."""
        if steps > 0 and "planned_steps" not in self.numbers:
            self.numbers["planned_steps"] = Number.exact(steps, self.place(at))


class LineReader:
    """What reads the lines of one kind of log, and keeps what they say.

    Attributes:
        MARKS: What stands in each line that it reads.
        path: The file.
        track: The steps.
        numbers: What else was found, by our names.
        further: What no check uses.
    """

    MARKS: tuple[bytes, ...]

    def __init__(self, path: str) -> None:
        self.path = path
        self.track = Track(self.place)
        self.numbers: dict[str, Number] = {}
        self.further: dict[str, Number | bool] = {}

    def place(self, at: int, key: str = "") -> Place:
        """A place in the file."""
        return Place(self.path, at, key)

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        raise NotImplementedError

    def finished(self) -> FinishedRun | None:
        """What was found; None if nothing counts steps."""
        raise NotImplementedError


def run_of_track(
    kind: str,
    path: str,
    track: Track,
    numbers: Mapping[str, Number],
    *,
    further: Mapping[str, Number | bool],
    is_over: bool = False,
    is_cut: bool = False,
    notes: Sequence[str] = (),
) -> FinishedRun:
    """A log as a finished run.

    Args:
        kind: One of `KINDS`.
        path: The file.
        track: Its lines.
        numbers: What was found beside their steps and sums.
        further: What else was found, that no check uses.
        is_over: Whether the log says that the run ended, so that no step follows its last line.
        is_cut: Whether the run may have gone on after the log ends.
        notes: What else is worth knowing.
    """
    merged = {**numbers, **track.numbers(Place(path))}
    return FinishedRun(
        kind=kind,
        path=path,
        numbers=merged,
        unlogged=0 if is_over else unlogged_steps(track, merged),
        is_cut=is_cut,
        segments=track.segments,
        overlaps=track.overlaps,
        gaps=track.gaps,
        further=further,
        notes=(*notes, *notes_of_track(track)),
    )


def unlogged_steps(track: Track, numbers: Mapping[str, Number]) -> int:
    """Steps that may have followed the last line, up to those that were planned."""
    planned = numbers.get("planned_steps")
    if track.last is None:
        return 0
    left = int(planned.value) - track.last.step if planned else track.stride - 1
    return max(min(track.stride - 1, left), 0)


def notes_of_track(track: Track) -> Iterator[str]:
    """What is worth knowing of the lines."""
    if track.repeated:
        yield f"Lines that repeat the step before them: {track.repeated:,}. Several ranks print; each step counts once."
    if track.is_ragged:
        yield f"More than {MOST_KEPT:,} segments: the log is garbled, or holds several runs."
    if track.stride > 1 and len(track.segments) > 1:
        yield f"A line every {track.stride:,} steps: where segments begin is known to {track.stride:,} steps."

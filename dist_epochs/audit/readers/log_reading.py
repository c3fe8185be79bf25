"""What the lines of a text log have said so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from dist_epochs.audit.readers.record import Number, Place
from dist_epochs.audit.readers.timeline import Track

__all__ = ["LogReading"]


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

    def __post_init__(self) -> None:
        self.track = Track(self.place)

    def place(self, at: int, key: str = "") -> Place:
        """A place in the file."""
        return Place(self.path, at, key)

    def plan_steps(self, steps: int, at: int) -> None:
        """The steps that the run was to make, as the first line says it."""
        if steps > 0 and "planned_steps" not in self.numbers:
            self.numbers["planned_steps"] = Number.exact(steps, self.place(at))

"""What is known of a run when it is compared with another: settings by the cause that they would be, and its steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.ledger.steps import LoggedRow, logged_rows

__all__ = ["CAUSES", "Cause", "ComparedRun", "Setting", "Stretch"]

Cause = Literal[
    "corpus", "tokenizer", "packing", "mixture", "seed", "masks", "world", "global batch", "duplicates", "order",
    "skipped", "learning rate", "precision", "versions",
]  # fmt: skip
"""Why two runs may part; what is none of these is another setting."""

CAUSES: tuple[Cause, ...] = get_args(Cause)
"""All of them, the causes before their effects."""

Value = int | float | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Something that a run was told, or that it did, and that another run may have otherwise.

    Attributes:
        cause: What it would be, if it differs; None for a setting that is none of the causes.
        name: What it is.
        value: The number or text.
        interval: Where the number stands in a file with a tolerance, as an interval.
        follows: Whether the run arrived at it, so that it may be the effect of another setting.
        is_stated: Whether it is from a recipe, which states everything: what it does not have is not set.
    """

    cause: Cause | None
    name: str
    value: Value
    interval: Interval | None = None
    follows: bool = False
    is_stated: bool = False

    def differs(self, other: Setting) -> bool:
        """Whether the other run has it otherwise, beyond the tolerance of what was written."""
        if self.interval is not None and other.interval is not None:
            return not self.interval.overlaps(other.interval)
        return self.value != other.value


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps of one batch and length, as they were planned."""

    steps: int
    global_batch: int
    sequence_length: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRun:
    """A run, as far as its files tell.

    Attributes:
        path: Where it was read.
        kind: One of `record.KINDS`.
        settings: What may differ, each name once.
        ledger: The file that has its steps; None where no step tells what it drew.
        stretches: The steps that were planned, where there was a plan.
        derives_batch: Whether the global batch follows from the devices, and is not stated by itself.
        pass_ends: Steps at which a whole pass over the data ended, of a loop whose passes are not in its steps.
        whole_passes: Source, length and number of the passes that it drew in whole.
        rows: What it logged, where there is no ledger.
        reached: `steps`, `samples`, `tokens` and `epochs`, as far as they are known.
        notes: What limits the comparison, as sentences.
    """

    path: str
    kind: str
    settings: tuple[Setting, ...] = ()
    ledger: Path | None = None
    stretches: tuple[Stretch, ...] = ()
    derives_batch: bool = False
    pass_ends: frozenset[int] = frozenset()
    whole_passes: frozenset[tuple[str, int, int]] = frozenset()
    rows: tuple[LoggedRow, ...] = ()
    reached: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def by_name(self) -> dict[str, Setting]:
        """Its settings by their names."""
        return {setting.name: setting for setting in self.settings}

    def logged(self) -> Iterator[LoggedRow]:
        """The rows of training that count, in order.

        Raises:
            InputError: If a line of its ledger is damaged.
        """
        rows: Iterable[LoggedRow] = self.rows if self.ledger is None else logged_rows(self.ledger)
        yield from (row for row in rows if row.loss is not None or row.learning_rate is not None)

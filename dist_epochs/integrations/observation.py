"""What rank 0 has seen of somebody else's loop so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from dist_epochs.integrations.loader_facts import LoaderFacts

__all__ = ["Observed", "Schedule", "advanced", "end_of"]

SCHEDULE_ENDS = {"OneCycleLR": ("total_steps",), "CosineAnnealingLR": ("T_max",), "PolynomialLR": ("total_iters",)}
"""Where torch's schedules say their end; of others that have such a number it is the end of a warm-up."""

LAST_ADVANCE = 2**40
"""Advances beyond which no schedule is looked at."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning-rate schedule beside the steps that were taken.

    Attributes:
        advanced: How often it was advanced since the first step seen.
        steps: Optimizer steps in that time.
        ends_at: Advances after which it has reached its end, where that can be told.
    """

    advanced: int
    steps: int
    ends_at: int | None

    @property
    def factor(self) -> Fraction:
        """Advances for one step."""
        return Fraction(self.advanced, self.steps)


@dataclass(slots=True)
class Observed:
    """Facts for the rules that warn in flight.

    Attributes:
        ranks: That see different data.
        processes: All of them.
        accumulation: Micro-steps of a window, as the loop was told; None where nothing told it.
        loader: How samples are dealt out.
        samples: Samples of one pass over the data; None until they are known.
        is_learned: Whether that is what the first pass drew.
        from_step: Steps behind this segment.
        before: Samples drawn before it.
        in_pass: Samples drawn before it in the pass that goes on.
        gap: Steps before it that were taken and not booked.
        changed: Whether it runs on another number of ranks, or another batch, than the one before.
        step: The last step that was booked, from 1.
        windows: Sizes of windows on rank 0, in micro-steps, and the first step of each.
        knows_windows: Whether `accumulation` can be relied on: told to be above 1, or seen twice in a row.
        is_uneven: Whether the ranks differ in micro-steps.
        duplicate_ranks: Two ranks that drew the same samples, last.
        duplicate_steps: Steps in which there were any.
        schedule: The learning rate.
        passes: Passes that ended.
        pass_samples: What the last of them drew, over all ranks.
        skipped: The first step that was skipped in this segment.
        assumes_tokens: Whether every position is taken for a token.
        counts_restarts: Whether samples are told by where `position_ids` begin again.
        epoch: True epochs.
        reported: What the loop itself says.
        is_hf_trainer: Whether it is the HF Trainer's loop, which draws, resumes and reports in its own way.
        unstepped: Micro-batches that were drawn and never stepped, at the end.
        uncounted: What was wrong with a batch that could not be counted.
        empty_steps: Steps that were said to be taken without a batch.
        other_size: Samples of other data that was watched too.
        lost: Why other ranks can no longer be asked what they drew.
    """

    ranks: int = 1
    processes: int = 1
    accumulation: int | None = None
    loader: LoaderFacts = field(default_factory=LoaderFacts)
    samples: int | None = None
    is_learned: bool = False
    from_step: int = 0
    before: int = 0
    in_pass: int = 0
    gap: int = 0
    changed: bool = False
    step: int = 0
    windows: dict[int, int] = field(default_factory=dict)
    knows_windows: bool = False
    is_uneven: bool = False
    duplicate_ranks: tuple[int, int] | None = None
    duplicate_steps: int = 0
    schedule: Schedule | None = None
    passes: int = 0
    pass_samples: int = 0
    skipped: int | None = None
    assumes_tokens: bool = False
    counts_restarts: bool = False
    epoch: Fraction | None = None
    reported: float | None = None
    is_hf_trainer: bool = False
    unstepped: int = 0
    uncounted: str | None = None
    empty_steps: int = 0
    other_size: int | None = None
    lost: str | None = None

    @property
    def reporter(self) -> str:
        """Who says an epoch of its own, in words."""
        return "the HF Trainer" if self.is_hf_trainer else "the loop"


def advanced(scheduler: object) -> int | None:
    """How often a scheduler was advanced; None if it does not say.

    Args:
        scheduler: torch's, or Accelerate's around it.
    """
    count = getattr(getattr(scheduler, "scheduler", scheduler), "last_epoch", None)
    return count if isinstance(count, int) else None


def end_of(scheduler: object) -> int | None:
    """The advance at which a schedule has reached its end, from what it was told, or where its factor becomes 0."""
    inner = getattr(scheduler, "scheduler", scheduler)
    for name in SCHEDULE_ENDS.get(type(inner).__name__, ()):
        told = getattr(inner, name, None)
        if isinstance(told, int):
            return told
    functions = getattr(inner, "lr_lambdas", None)
    if not functions:
        return None
    told = getattr(functions[0], "keywords", {}).get("num_training_steps")
    return told if isinstance(told, int) else _first_zero(functions[0])


def _first_zero(factor: Any) -> int | None:
    """Where a falling factor becomes 0, by doubling and halving."""
    try:
        above, below = 1, 2
        while factor(below) > 0:
            above, below = below, 2 * below
            if below > LAST_ADVANCE:
                return None
        while below - above > 1:
            middle = (above + below) // 2
            above, below = (middle, below) if factor(middle) > 0 else (above, middle)
    except Exception:  # somebody else's function, asked about steps it may not know
        return None
    return below

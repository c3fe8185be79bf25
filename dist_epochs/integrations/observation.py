"""What is known of a user's own loop so far: the facts that warnings rest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.integrations.schedule import Schedule

__all__ = ["ObservedLoop"]


@dataclass(slots=True)
class ObservedLoop:
    """What rank 0 knows of the loop: the facts that the rules look at.

    Attributes:
        ranks: Ranks that see different data.
        processes: All ranks.
        accumulation: Micro-steps of a window, as the loop's settings state it; None where they do not.
        loader: How samples are shared among the ranks.
        samples: Samples of one pass over the data; None until they are known.
        is_learned: Whether that number is what the first pass drew.
        from_step: Steps taken before this segment.
        before: Samples drawn before this segment.
        in_pass: Those of them that belong to the pass in which this segment resumes.
        gap: Steps taken before this segment that the ledger does not have.
        changed: Whether the number of ranks or the batch differs from the segment before.
        step: The last step that was recorded, from 1.
        windows: Sizes of windows on rank 0, in micro-steps, and the first step of each.
        knows_windows: Whether `accumulation` can be relied on: stated above 1, or two windows in a row had that size.
        is_uneven: Whether the ranks differ in micro-steps.
        duplicate_ranks: The last two ranks that drew the same samples in a step.
        duplicate_steps: Steps in which two ranks did.
        compared_steps: Steps in which what the ranks drew was compared.
        schedule: The schedule of the learning rate.
        passes: Passes that ended.
        pass_samples: Samples that the last whole one of them drew, over all ranks.
        skipped: The first step that was skipped in this segment.
        assumes_tokens: Whether every position is counted as a token.
        counts_restarts: Whether samples are counted by where `position_ids` begin again.
        epoch: Epochs by the ledger.
        reported: The epoch that the loop itself reports.
        is_hf_trainer: Whether it is the HF Trainer's loop, which draws, resumes and reports in its own way.
        has_ended: Whether the run has ended.
        unstepped: Micro-batches that were drawn after the last step, when the run ended.
        left_over: Micro-batches that were drawn and not trained, when the loop left a pass.
        uncounted: Batches that could not be counted, over all ranks.
        why_uncounted: Why the last one of this rank could not be counted.
        is_interleaved: Whether batches of two loaders were drawn in turn.
        are_rows_packed: Whether a row of the dataset holds several of the samples that are counted.
        hides_labels: Whether the loss is computed outside of the model, so that labels do not reach it.
        empty_steps: Steps that were reported without a batch.
        last_empty: The step that the last of them followed, which need not be recorded yet.
        other_size: Samples of another data set that was watched too.
        lost: Why the counts of other ranks can no longer be had.
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
    duplicate_ranks: tuple[int, ...] | None = None
    duplicate_steps: int = 0
    compared_steps: int = 0
    schedule: Schedule | None = None
    passes: int = 0
    pass_samples: int = 0
    skipped: int | None = None
    assumes_tokens: bool = False
    counts_restarts: bool = False
    epoch: Fraction | None = None
    reported: float | None = None
    is_hf_trainer: bool = False
    has_ended: bool = False
    unstepped: int = 0
    left_over: int = 0
    uncounted: int = 0
    why_uncounted: str | None = None
    is_interleaved: bool = False
    are_rows_packed: bool = False
    hides_labels: bool = False
    empty_steps: int = 0
    last_empty: int = 0
    other_size: int | None = None
    lost: str | None = None

    @property
    def reporter(self) -> str:
        """Who reports an epoch of its own, in words."""
        return "the HF Trainer" if self.is_hf_trainer else "the loop"

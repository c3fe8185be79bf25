"""What is not counted, or not as it seems."""

from __future__ import annotations

from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.rules import rule

__all__ = [
    "counting_stopped",
    "hidden_labels",
    "interleaved_loaders",
    "samples_by_restarts",
    "tokens_assumed",
    "uncounted_batches",
]


@rule
def tokens_assumed(loop: ObservedLoop) -> str | None:
    """The batches have no attention mask of samples × positions, so every position is taken for a token.

    That is right for text that is cut into blocks. Where samples are padded, tokens are counted too high.

    What to do: let the collator give `attention_mask`.
    """
    return "no attention_mask in the batches: every position is taken for a token" if loop.assumes_tokens else None


@rule
def samples_by_restarts(loop: ObservedLoop) -> str | None:
    """A batch is one long row without a mask, so its samples are counted by where `position_ids` begin again.

    That is what padding-free collators give. If several documents were packed into each row of the dataset before,
    documents are counted, and the number of rows is no size of a pass: it is what the first pass drew, or `samples=` in
    documents.
    """
    if not loop.counts_restarts:
        return None
    packed = ": documents, of which a row of the dataset holds several" if loop.are_rows_packed else ""
    return f"samples are counted by where position_ids begin again{packed}"


@rule
def uncounted_batches(loop: ObservedLoop) -> str | None:
    """A batch could not be counted: its step is recorded, and what the run has drawn is not known any more.

    It is an object of the user's own, such as a dataclass, or holds numpy arrays instead of tensors, or several batches
    at once. Samples, tokens and epochs are then left out everywhere.

    What to do: a loader that gives a mapping, a tuple or a list of tensors.
    """
    if not loop.uncounted:
        return None
    why = f": {loop.why_uncounted.splitlines()[0][:200]}" if loop.why_uncounted else " on another rank"
    return f"a batch cannot be counted{why}; steps are counted, samples and tokens are unknown"


@rule
def interleaved_loaders(loop: ObservedLoop) -> str | None:
    """Batches of two watched loaders are drawn in turn, as by `zip`, or for an evaluation within a pass.

    Samples of both are counted together. Which of their passes makes an epoch of the run, and which batches are one
    micro-step, is not known.

    What to do: watch the loader whose passes are the run's, and that one alone; or state `samples=`.
    """
    if not loop.is_interleaved:
        return None
    return "two watched loaders are drawn in turn: samples of both are counted, micro-steps and passes are unknown"


@rule
def hidden_labels(loop: ObservedLoop) -> str | None:
    """The loss is computed outside of the model, so its labels are not among what the model is given.

    The HF Trainer takes them out of the batch for label smoothing, and for a `compute_loss_func`.

    What to do: nothing; every other unit is counted.
    """
    return "labels do not reach the model: loss tokens are unknown" if loop.hides_labels else None


@rule
def counting_stopped(loop: ObservedLoop) -> str | None:
    """A rank is gone, so what all of them drew is not known any more.

    The ledger ends with the last step that every rank has reported. A rank that comes to the end of its data before
    others leaves in this way too.
    """
    if loop.lost is None:
        return None
    return f"nothing is recorded after step {loop.step}, since another rank is gone ({loop.lost.splitlines()[0][:200]})"

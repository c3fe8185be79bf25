"""What a run misses or draws again that goes on from a checkpoint."""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.rules import rule

__all__ = [
    "sampler_not_resumable",
    "stream_restarted",
    "uncounted_steps",
]


@rule
def sampler_not_resumable(loop: ObservedLoop) -> str | None:
    """The run resumes in the middle of a pass, and its loader cannot: the rest of the pass is another permutation.

    torch's `RandomSampler` draws a new order whenever it is asked. After skipping the batches that were done, the rest
    of the new order holds samples that were drawn already, and misses as many. Of 64 samples, resumed at 20,
    some 14 are drawn twice in that pass and as many never.

    What to do: `DataLoaderConfiguration(use_seedable_sampler=True, data_seed=…)`, and `set_epoch` with the number of
    the pass that is resumed.
    """
    if not loop.from_step or not loop.samples or loop.loader.is_stream or loop.loader.sampler != "RandomSampler":
        return None
    done = loop.in_pass
    if not 0 < done < loop.samples:
        return None
    lost = Fraction(done * (loop.samples - done), loop.samples)
    return (
        f"resumed at sample {done:,} of {loop.samples:,} with a sampler that draws a new order: about {round(lost):,} "
        "samples are drawn twice in this pass, and as many never"
    )


@rule
def stream_restarted(loop: ObservedLoop) -> str | None:
    """A stream is resumed after its first pass, and the HF Trainer finds its place within one pass only.

    It takes all steps so far for steps of one pass, and skips as many batches. If that is more than the stream has,
    the pass begins at its first sample again, whatever was drawn of it before, and `epoch` falls back.

    What to do: a loader that keeps its own place (`state_dict`), or `ignore_data_skip=True` and a stream that begins
    where the run stopped.
    """
    if not loop.from_step or not loop.loader.is_stream or not loop.samples or not loop.is_hf_trainer:
        return None
    if loop.before < loop.samples:
        return None
    passes = Fraction(loop.before, loop.samples)
    return (
        f"resumed after {float(passes):.3f} passes of a stream: the Trainer begins the pass at its first sample again"
    )


@rule
def uncounted_steps(loop: ObservedLoop) -> str | None:
    """The run resumes after steps that the ledger does not have.

    They were taken without a ledger, or it ends before the checkpoint: a program was killed before they were recorded.
    Their samples are in no count, and epochs are too low by them.

    What to do: `ledger.settle()` before a checkpoint is saved.
    """
    if not loop.gap:
        return None
    first, last = loop.from_step - loop.gap + 1, loop.from_step
    return f"steps {first:,} to {last:,} were taken and not recorded: their samples are in no count"

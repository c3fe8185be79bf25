"""What a step is made of: its micro-batches, its update, and the advances of the schedule."""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.arithmetic.text import rounded
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.rules import rule

__all__ = [
    "long_window",
    "scheduler_times_processes",
    "short_window",
    "skipped_steps",
    "steps_without_batches",
    "unstepped_batches",
]

ENOUGH_STEPS = 2
"""Steps that show how often a scheduler advances in one."""


def scheduler_times_processes(loop: ObservedLoop) -> str | None:
    """See the rule of the same name for frameworks."""
    schedule = loop.schedule
    if schedule is None or schedule.steps < ENOUGH_STEPS or schedule.factor <= 1:
        return None
    factor, passes = schedule.factor, _passes_planned_before_split(loop)
    if passes is not None and factor == loop.processes:
        if loop.step <= passes * _steps_of_pass(loop):
            return None
        return (
            f"the scheduler advances {rounded(factor)} times per step (once per process): its {schedule.ends_at:,} "
            f"advances were over after {passes} pass{'es' * (passes > 1)}, and training goes on"
        )
    causes = {loop.accumulation or 0: "once per micro-batch", loop.processes: "once per process"}
    why = f" ({causes[int(factor)]})" if factor.denominator == 1 and int(factor) in causes else ""
    pace = f"the scheduler advances {rounded(factor)} times per step{why}"
    if schedule.ends_at is None:
        return f"{pace}: its schedule passes {rounded(factor)} times too fast, unless it was planned for that"
    last = Fraction(schedule.ends_at) / factor
    return f"{pace}: its {schedule.ends_at:,} advances are over at step {rounded(last)}, unless it was planned for that"


def _passes_planned_before_split(loop: ObservedLoop) -> int | None:
    """Passes that a schedule was planned for, if by the length of a loader that the ranks do not share yet.

    Accelerate advances a scheduler once per process and step, which is right for such a schedule.
    """
    batches, ends_at = loop.loader.batches_before_split, loop.schedule and loop.schedule.ends_at
    if not batches or not ends_at:
        return None
    window = loop.accumulation or 1
    passes = round(Fraction(ends_at * window, batches))
    steps = {batches * passes // window, batches // window * passes, -(-batches // window) * passes}
    return passes if passes and ends_at in steps else None


def _steps_of_pass(loop: ObservedLoop) -> int:
    """Steps of a pass on each rank, the last one of a partial window included."""
    batches = -(-(loop.loader.batches_before_split or 0) // loop.ranks)
    return -(-batches // (loop.accumulation or 1))


@rule
def long_window(loop: ObservedLoop) -> str | None:
    """A step was taken with more micro-batches than the accumulation says.

    At the end of a stream the HF Trainer leaves a partial window without a step; its gradients stay, and the first step
    of the next pass is taken with them on top: 6 micro-batches in a window of 4. The loss is scaled as if there were 4.
    The same happens where a loop is left in the middle of a window. Or batches were drawn and not trained (skipped
    to resume in the middle of a pass, or left out with `continue`), and the ledger takes them for a part of the step.

    What to do: a number of micro-batches per pass that the accumulation divides, or map-style data;
    `ledger.discard()` after batches that are not trained, or `skip_first_batches` outside of `ledger.watch`.
    """
    longer = [(step, size) for size, step in loop.windows.items() if loop.accumulation and size > loop.accumulation]
    if not loop.knows_windows or not longer:
        return None
    step, size = min(longer)
    why = "the ones left over from the pass before came on top"
    if not loop.is_hf_trainer:
        why = "some were left over from before, or drawn and not trained (ledger.discard() says that)"
    return f"step {step} was taken with {size} micro-batches, and the accumulation is {loop.accumulation}: {why}"


@rule
def short_window(loop: ObservedLoop) -> str | None:
    """A step was taken with fewer micro-batches than the accumulation says.

    The last window of a pass is flushed. Accelerate still divides its gradient by the full accumulation, so a window
    of 1 of 2 counts half. Steps per pass are then ⌈micro-batches ÷ accumulation⌉.

    What to do: nothing where passes are long; else a number of micro-batches per pass that the accumulation divides.
    """
    shorter = [(step, size) for size, step in loop.windows.items() if loop.accumulation and size < loop.accumulation]
    if not loop.knows_windows or not shorter:
        return None
    step, size = min(shorter)
    return f"step {step} was taken with {size} of {loop.accumulation} micro-batches"


@rule
def skipped_steps(loop: ObservedLoop) -> str | None:
    """A step was drawn and not applied, since its gradients overflowed in fp16.

    It trained nothing, and counts for no epoch. The HF Trainer's `global_step` counts it all the same. A few at the
    start are normal, while the loss scale is being found.

    What to do: nothing, if they stay few; bf16 has no overflows.
    """
    return None if loop.skipped is None else f"step {loop.skipped} was skipped: its batch is drawn and trained nothing"


@rule
def steps_without_batches(loop: ObservedLoop) -> str | None:
    """A step was reported, and no batch was drawn since the one before. It is not recorded.

    Two optimizers of one loop (a GAN's) step after the same batches: one of them is the loop's, and its `step` is
    enough. Otherwise the loop draws from a loader that is not watched.
    """
    if not loop.empty_steps:
        return None
    return f"a step after step {loop.last_empty} had no batch of its own, so it is not recorded"


@rule
def unstepped_batches(loop: ObservedLoop) -> str | None:
    """Batches were drawn and computed after the last step, and the run ended before they were stepped.

    They are in no epoch of the ledger: a loop that fetches ahead has one when it ends, and so has one that draws a
    batch and leaves. Where there was no step at all, `ledger.step()` was forgotten.
    """
    if not loop.unstepped and not loop.left_over:
        return None
    drawn = loop.unstepped or loop.left_over
    what = f"{drawn} micro-batch was" if drawn == 1 else f"{drawn} micro-batches were"
    if loop.step == loop.from_step and loop.has_ended and not loop.is_hf_trainer:
        return f"{what} drawn, and ledger.step() was never called: nothing is recorded"
    return f"{what} drawn after step {loop.step}, and never stepped"

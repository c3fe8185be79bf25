"""The last, partial accumulation window of a pass, and what the frameworks do with it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from dist_epochs.arithmetic.text import rounded
from dist_epochs.frameworks.run import Run
from dist_epochs.rules import rule

__all__ = [
    "carried_window",
    "floored_plan",
    "flushed_window",
    "leaked_window",
    "short_pass",
    "tail_weight",
    "unstepped_end",
    "wrong_remainder",
]

SHOWN_WINDOWS = 5


@rule
def floored_plan(run: Run) -> str | None:
    """The plan takes whole windows of a pass only, and so too few steps for the epochs that were asked for.

    The HF Trainer 4 planned ⌊micro-steps a pass ÷ accumulation⌋ steps a pass. 9 samples, 2 at a time, accumulation 2: a
    pass is 5 micro-steps, the plan takes 2 steps for it, and 3 epochs end at 2.4 (4.44) or at 2.0 (4.48).

    What to do: 5.x, an accumulation that divides the pass, or `max_steps` by hand.
    """
    loader, epochs = run.loader, run.setting.epochs
    if loader is None or epochs is None or run.planned_per_pass is None:
        return None
    per_pass, window = loader.micro_steps_per_pass, loader.gradient_accumulation
    if per_pass % window == 0 or per_pass < window:
        return None
    ends = run.reported.epoch
    assert ends is not None
    return (
        f"the plan takes {rounded(run.planned_per_pass)} steps a pass, ⌊{per_pass:,} ÷ {window}⌋: its "
        f"{run.counts.steps:,} steps for {rounded(epochs)} epochs end at {rounded(ends)}"
    )


@rule
def carried_window(run: Run) -> str | None:
    """Windows run on across passes: steps a pass are a fraction, and a step may hold the end of one and the next start.

    The HF Trainer 4.44 and Keras count micro-batches over the whole run. Nothing is lost but what is left at the end
    of the run. 148 samples, 2 at a time, accumulation 6: 12.33 steps a pass, and 200 steps are 16.22 epochs.

    What to do: nothing, but do not count epochs as steps ÷ whole steps a pass.
    """
    loader = run.loader
    if loader is None or loader.last_window != "carry":
        return None
    per_pass, window = loader.micro_steps_per_pass, loader.gradient_accumulation
    if per_pass % window == 0 or per_pass < window:
        return None
    steps = rounded(loader.steps_per_pass)
    return f"a pass is {per_pass:,} micro-steps, and windows of {window} run on into the next: {steps} steps a pass"


@rule
def flushed_window(run: Run) -> str | None:
    """The last window of a pass is stepped as it is: one step more a pass, with fewer samples.

    Accelerate (`sync_with_dataloader`), the HF Trainer since 4.48 on data with a length, and Lightning. 148 samples, 2
    at a time, accumulation 6: 13 steps a pass, and 200 steps are 15.41 epochs, not 200 × 12 ÷ 148 = 16.22.

    What to do: an accumulation that divides the pass, or count samples instead of steps × batch.
    """
    rest = _rest(run)
    if run.loader is None or run.loader.last_window != "flush" or not rest:
        return None
    steps = ceil(run.loader.steps_per_pass)
    return (
        f"{steps:,} step{'s' * (steps > 1)} a pass, the last of {rest} micro-step{'s' * (rest > 1)} instead of "
        f"{run.loader.gradient_accumulation}"
    )


@rule
def leaked_window(run: Run) -> str | None:
    """What a pass leaves over makes no step, and its gradients leak into the first step of the next pass.

    The HF Trainer 5 on a stream, and plain loops with `(i + 1) % accumulation == 0`. 100 samples, 10 at a time,
    accumulation 4: windows of 4, 4, 6, 4, 6, …, so 30 steps are 148 micro-steps and 14.8 epochs, not 12. The Trainer
    scales what is left over as a window of its own, so the longer windows have twice the gradient (5.23).

    What to do: an accumulation that divides the pass, data with a length, or a stream that repeats inside the dataset.
    """
    loader, rest = run.loader, _rest(run)
    if loader is None or loader.last_window != "leak" or not rest:
        return None
    window, per_pass = loader.gradient_accumulation, int(loader.steps_per_pass)
    sizes = [
        window + (rest if index and index % per_pass == 0 else 0)
        for index in range(min(SHOWN_WINDOWS, run.counts.steps))
    ]
    return (
        f"{rest} of {loader.micro_steps_per_pass:,} micro-steps a pass make no step and leak into the next pass: "
        f"windows of {', '.join(map(str, sizes))}{', …' * (run.counts.steps > SHOWN_WINDOWS)}"
    )


@rule
def wrong_remainder(run: Run) -> str | None:
    """The last window of a pass asks for samples % accumulation micro-batches, and fewer than are left are drawn.

    The HF Trainer 4.48 takes the remainder of the samples where it needs that of the micro-batches. 13 samples, 2 at a
    time, accumulation 4: a pass has 7 micro-batches, of which 3 are left, and it asks for 13 % 4 = 1. So 2 of each
    pass are never drawn, and the one makes no step, but leaks into the next pass's first.

    What to do: 5.x, or an accumulation that divides the pass.
    """
    loader, window = run.loader, run.setting.gradient_accumulation
    if loader is None or loader.last_window != "leak":
        return None
    whole = replace(loader, samples=run.setting.samples, last_window="flush")
    never, asked = whole.micro_steps_per_pass - loader.micro_steps_per_pass, _rest(run)
    leaks = "micro-step, which leaks" if asked == 1 else "micro-steps, which leak"
    return (
        f"for the last window of a pass it asks for {run.setting.samples:,} % {window} = {asked} {leaks} into the next "
        f"pass; {never} a pass {'is' if never == 1 else 'are'} never drawn"
    )


@rule
def short_pass(run: Run) -> str | None:
    """A pass that is shorter than a window ends one, and so does every full window over passes: steps of uneven size.

    The HF Trainer 4.44 steps at the end of such a pass and at each multiple of the accumulation. 9 samples, 2 at a
    time, accumulation 8: windows of 5, 3, 2, 5, 1, 4, 4 micro-steps.

    What to do: an accumulation of at most the micro-steps of a pass.
    """
    loader = run.loader
    if loader is None or loader.micro_steps_per_pass >= loader.gradient_accumulation:
        return None
    return (
        f"a pass of {loader.micro_steps_per_pass} micro-steps is shorter than a window of "
        f"{loader.gradient_accumulation}: a step ends each of both, so a pass has more than one"
    )


@rule
def unstepped_end(run: Run) -> str | None:
    """The last micro-steps of the run fill no window: they are drawn and computed, and no step is made with them.

    What to do: an accumulation that divides the micro-steps of the run.
    """
    left = run.counts.unstepped_micro_steps
    if not left:
        return None
    return f"the last {left:,} micro-step{'s' * (left > 1)} of the run fill no window, and are never stepped"


@rule
def tail_weight(run: Run) -> str | None:
    """A partial window is divided by the whole accumulation: its step has a smaller gradient than the others.

    Accelerate's `backward` and Lightning divide each loss by the accumulation, also in a window of 2 out of 4, whose
    gradient is then half of what its samples would give.

    What to do: an accumulation that divides the pass, or divide by the real window.
    """
    rest = _rest(run)
    if not rest or run.loader is None:
        return None
    window = run.loader.gradient_accumulation
    return f"the last window of a pass is still divided by {window}: its gradient weighs {rest}/{window}"


def _rest(run: Run) -> int:
    """Micro-steps of the last window of a pass; 0 where it is full."""
    return run.loader.micro_steps_per_pass % run.loader.gradient_accumulation if run.loader else 0

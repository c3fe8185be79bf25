"""Epochs and steps that are counted by something else than samples."""

from __future__ import annotations

from math import ceil

from dist_epochs.arithmetic.text import rounded
from dist_epochs.frameworks.run import Run
from dist_epochs.rules import rule

__all__ = [
    "index_epochs",
    "loop_counter",
    "multiplied_floats",
    "no_epoch",
    "rounded_down",
    "scheduler_times_processes",
    "short_batch",
    "steps_by_hand",
    "stream_epoch",
]


@rule
def stream_epoch(run: Run) -> str | None:
    """A stream has no length, so the Trainer takes max_steps × accumulation micro-steps for the length of a pass.

    Its epoch is the number of the pass plus micro-steps of this pass ÷ (max_steps × accumulation). The whole part is
    right, the fraction has nothing to do with the data: 3 passes of 10 micro-steps in 30 steps are reported as 2.3333.
    `Num Epochs = 9,223,372,036,854,775,807` is `sys.maxsize`.

    What to do: count samples; `state.epoch` of a stream is not an epoch.
    """
    loader, steps = run.loader, run.reported.steps
    if loader is None or run.reported.epoch == run.truth.epochs:
        return None
    passes, in_pass = divmod(run.counts.micro_steps - 1, loader.micro_steps_per_pass)
    length = steps * loader.gradient_accumulation
    return (
        f"epoch = {passes:,} + {in_pass + 1:,} ÷ {length:,} (max_steps × accumulation), where a pass is "
        f"{loader.micro_steps_per_pass:,} micro-steps"
    )


@rule
def loop_counter(run: Run) -> str | None:
    """The epoch is the counter of a loop over passes: whole numbers, whatever a pass has drawn of the corpus.

    A run that stops inside its third pass says 3, or 2 if the counter starts at 0 (here from 1 on).

    What to do: samples ÷ samples of the corpus.
    """
    passes = run.counts.passes_drawn
    if passes.denominator == 1:
        return None
    return f"its epoch counts passes that were begun: the run ends after {rounded(passes)} of them"


@rule
def short_batch(run: Run) -> str | None:
    """The epoch counts micro-batches, of which the last one of a pass is shorter than the others.

    The HF Trainer's epoch is passes + micro-batches of this pass ÷ micro-batches of a pass. At the end of a pass that
    is right. Inside one it is too low: 37 samples are 10 micro-batches of 4, and 5 of them, half of a pass, are 20
    samples.

    What to do: samples ÷ samples of the corpus.
    """
    loader, epoch, passes = run.loader, run.reported.epoch, run.counts.passes_drawn
    if loader is None or epoch in (None, passes):
        return None
    last = loader.drawn_per_pass % loader.samples_per_round
    if not last:
        return None
    return (
        f"its epoch counts micro-batches, and the last of a pass has {last:,} of {loader.samples_per_round:,} samples: "
        f"the run ends after {rounded(passes)} passes by samples"
    )


@rule
def index_epochs(run: Run) -> str | None:
    """The epochs of Megatron and GPT-NeoX are rounds in the index of samples: as many as the run needs, rounded up.

    The index of samples is built over e rounds of the tokens, with ⌊(e × tokens − 1) ÷ length⌋ samples, e as small as
    it can be. A run that needs 1.01 rounds says 2. With `train_epochs`, GPT-NeoX reports the stated number.

    What to do: iterations × global batch ÷ samples of the corpus.
    """
    epoch, samples = run.reported.epoch, run.counts.drawn
    true = run.counts.epochs(run.setting.samples)
    if epoch is None or epoch in (true, run.setting.epochs):
        return None
    if run.setting.tokens is None or run.setting.sequence_length is None:
        return f"its epochs are rounds of the index, whole ones: {rounded(epoch)} for {rounded(true)} that are drawn"
    positions = f"{samples:,} × {run.setting.sequence_length:,}"
    return f"its epochs are rounds of the index, whole ones: {rounded(epoch)} for {positions} positions + 1"


@rule
def no_epoch(run: Run) -> str | None:
    """The loop has no epochs: the data repeats without end, full batches run on, and only steps are counted.

    TensorFlow 1's estimators, with `dataset.repeat()`. Epochs follow by arithmetic: steps × batch ÷ samples.

    What to do: use the global batch in it, over all towers or cores.
    """
    setting = run.setting
    batches = f"{run.counts.steps:,} × {setting.global_batch:,} ÷ {setting.samples:,}"
    return f"it counts steps only; {batches} = {rounded(run.counts.epochs(setting.samples))} epochs"


@rule
def scheduler_times_processes(run: Run) -> str | None:
    """The learning-rate scheduler advances several times for each optimizer step, so its schedule is over too early.

    Accelerate advances a scheduler that went through `prepare` once per process, since it takes the schedule to be
    planned on the loader before it was split. A schedule of 100 steps on 4 processes is over at step 25, and the
    model learns nothing more (accelerate issues 2926, 2142, 1398). The same happens by hand where `scheduler.step()`
    runs once per micro-batch.

    What to do: plan it for steps × processes; or leave the scheduler out of `prepare` and step it once per step; or
    `Accelerator(step_scheduler_with_optimizer=False)`; or `split_batches=True`. If it was planned on the loader before
    it was split, with as many steps as that has batches, it is right: it ends where the run does.
    """
    ends = run.reported.schedule_ends
    if ends is None or ends == run.counts.steps:
        return None
    return (
        f"a prepared scheduler moves {run.setting.devices} times a step: planned for {run.counts.steps:,} steps, it is "
        f"over at step {ends:,}"
    )


@rule
def steps_by_hand(run: Run) -> str | None:
    """It takes a number of steps and no epochs, so the steps are worked out by hand, from full batches.

    The HF Trainer on a stream (`max_steps`), and Megatron (`--train-iters`). Here they are ⌈epochs × samples ÷ global
    batch⌉, as users compute it; where passes end with partial windows, that is not what the loop will draw.

    What to do: give --steps as in your own command.
    """
    setting = run.setting
    if setting.epochs is None:
        return None
    product = f"{rounded(setting.epochs)} × {setting.samples:,} ÷ {setting.global_batch:,}"
    return f"it takes steps and no epochs: ⌈{product}⌉ = {run.counts.steps:,}"


@rule
def rounded_down(run: Run) -> str | None:
    """The number of steps is rounded down to full batches, so the end of the last epoch is not drawn.

    `int(examples / batch × epochs)` in BERT's scripts; ⌊micro-batches × epochs ÷ accumulation⌋ in GPT-NeoX.

    What to do: nothing, if it is less than a batch of a long run.
    """
    epochs, drawn = run.setting.epochs, run.counts.drawn
    if epochs is None or drawn >= epochs * run.setting.samples:
        return None
    left = epochs * run.setting.samples - drawn
    samples = "1 sample of the epochs is" if left == 1 else f"{rounded(left)} samples of the epochs are"
    return f"full batches only: {samples} not drawn"


@rule
def multiplied_floats(run: Run) -> str | None:
    """Epochs × steps a pass is multiplied in floats, and rounding makes another whole number of it.

    1.1 epochs of 50 steps are 55.000000000000007 there, and the HF Trainer rounds up: 56 steps.

    What to do: give steps, or epochs that floats hold exactly.
    """
    epochs, per_pass = run.setting.epochs, run.planned_per_pass
    if epochs is None or per_pass is None or abs(run.counts.steps - epochs * per_pass) < 1:
        return None
    exact = ceil(epochs * per_pass)
    return (
        f"it multiplies floats: {rounded(epochs)} × {rounded(per_pass)} are {run.counts.steps:,} steps, not {exact:,}"
    )

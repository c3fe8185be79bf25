"""Warnings about a user's own loop while it runs: each rule by name, printed once.

A rule is a function of what rank 0 knows of the loop. A rule that finds the same as one for plans or frameworks has
that name, and its page is there.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from dist_epochs.arithmetic.text import rounded, scaled
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.rules import rule

__all__ = ["RULES", "Rule"]

Rule = Callable[[ObservedLoop], str | None]

ENOUGH_STEPS = 2
"""Steps that a finding must rest on, where one may be a coincidence."""

ENOUGH_ALIKE, NEARLY_ALL = 8, Fraction(9, 10)
"""Steps in which two ranks drew the same samples, and their share of all steps, that show data which is not split."""

EPOCH_TOLERANCE = Fraction(1, 100)
"""Relative difference between two epoch counts from which on a warning is given."""


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
def same_samples_on_ranks(loop: ObservedLoop) -> str | None:
    """Two ranks drew the same samples in nearly every step: the data is not split among the ranks.

    Each rank then computes what another computes too. The loop assumes a batch that is as many times larger as it has
    ranks, its "epoch" draws every sample on every rank, and more devices make nothing faster. Ranks compare
    fingerprints of what they drew in every step; where each shuffles for itself, it shows at the end of the pass. A few
    equal steps are no evidence: the last one of a pass may be padded, and samples may repeat in the data.

    What to do: `accelerator.prepare(loader)`, or a `DistributedSampler`, or `split_dataset_by_node` for a stream, one
    of them and only one. Data whose samples are all alike looks the same; then nothing is wrong.
    """
    enough = ENOUGH_STEPS if loop.passes or loop.has_ended else ENOUGH_ALIKE
    alike = loop.duplicate_steps >= enough and loop.duplicate_steps >= loop.compared_steps * NEARLY_ALL
    if not loop.duplicate_ranks or not alike:
        if loop.ranks > 1 and loop.samples and loop.pass_samples == loop.samples * loop.ranks and not loop.is_learned:
            return f"a pass over {loop.samples:,} samples drew {loop.pass_samples:,}: each of them on every rank"
        return None
    first, second = loop.duplicate_ranks
    return (
        f"ranks {first} and {second} drew the same samples in {loop.duplicate_steps:,} of {loop.compared_steps:,} "
        f"steps: the loader is not split over the {loop.ranks} ranks"
    )


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
    longer = [step for size, step in loop.windows.items() if loop.accumulation and size > loop.accumulation]
    if not loop.knows_windows or not longer:
        return None
    size = next(size for size, step in loop.windows.items() if step == min(longer))
    why = "the ones left over from the pass before came on top"
    if not loop.is_hf_trainer:
        why = "some were left over from before, or drawn and not trained (ledger.discard() says that)"
    return f"step {min(longer)} was taken with {size} micro-batches, and the accumulation is {loop.accumulation}: {why}"


@rule
def short_window(loop: ObservedLoop) -> str | None:
    """A step was taken with fewer micro-batches than the accumulation says.

    The last window of a pass is flushed. Accelerate still divides its gradient by the full accumulation, so a window
    of 1 of 2 counts half. Steps per pass are then ⌈micro-batches ÷ accumulation⌉.

    What to do: nothing where passes are long; else a number of micro-batches per pass that the accumulation divides.
    """
    shorter = [step for size, step in loop.windows.items() if loop.accumulation and size < loop.accumulation]
    if not loop.knows_windows or not shorter:
        return None
    size = next(size for size, step in loop.windows.items() if step == min(shorter))
    return f"step {min(shorter)} was taken with {size} of {loop.accumulation} micro-batches"


def padded_duplicates(loop: ObservedLoop) -> str | None:
    """See the rule of the same name for plans."""
    if (
        loop.loader.is_plan
        or loop.samples is None
        or loop.is_learned
        or not loop.pass_samples
        or loop.pass_samples <= loop.samples
    ):
        return None
    more = loop.pass_samples - loop.samples
    if loop.pass_samples == loop.samples * loop.ranks > loop.samples:
        return None  # the data is not split, which is another rule's
    return f"{more:,} duplicates {_padding(loop)}: a pass over {loop.samples:,} samples drew {loop.pass_samples:,}"


def _padding(loop: ObservedLoop) -> str:
    """What padded the last round of a pass, if it is known."""
    loader = loop.loader
    drawn = None if loop.samples is None else loader.drawn_per_pass(loop.samples, loop.ranks)
    if drawn is None or loop.pass_samples not in (0, drawn):
        return "of unknown cause"
    if loader.pads_to_ranks:
        return f"from {loader.splitters[-1]}, which pads to a multiple of {loop.ranks} ranks"
    return f"from even_batches ({loop.ranks} devices × {loader.per_device})"


def dropped_data(loop: ObservedLoop) -> str | None:
    """See the rule of the same name for plans."""
    if (
        loop.loader.is_plan
        or loop.samples is None
        or not 0 < loop.pass_samples < loop.samples
        or data_split_twice(loop)
    ):
        return None
    lost = loop.samples - loop.pass_samples
    drops = loop.loader.uneven == "drop" or loop.loader.drops_short_batch
    known = drops and loop.loader.drawn_per_pass(loop.samples, loop.ranks) == loop.pass_samples
    part = f"no full round of {loop.ranks} × {loop.loader.per_device}"
    if loop.loader.drops_short_batch:
        part = f"no full micro-batch of {loop.loader.per_device} on each of {loop.ranks} ranks"
    elif loop.loader.pads_to_ranks:
        part = f"no multiple of {loop.ranks} ranks"
    why = f"drop_last leaves out what is {part}" if known else ""
    return f"a pass over {loop.samples:,} samples drew {loop.pass_samples:,}, {lost:,} less{': ' + why if why else ''}"


@rule
def data_split_twice(loop: ObservedLoop) -> str | None:
    """The data is split among the ranks twice, so that most of it is never drawn.

    A stream that went through `split_dataset_by_node` and then through `prepare`, or a loader with a
    `DistributedSampler` that is prepared as well, gives every rank a share of its share: 1/2 of the data is
    lost on 2 ranks, 3/4 on 4. The loop's epochs are shorter by as much.

    What to do: keep one of the two.
    """
    if len(loop.loader.splitters) > 1:
        return f"{' and '.join(loop.loader.splitters)} both split the data: a pass draws 1/{loop.ranks} of it"
    if (
        loop.loader.is_plan
        or loop.samples is None
        or loop.ranks == 1
        or not loop.pass_samples
        or not loop.loader.per_device
    ):
        return None
    expected, round_ = Fraction(loop.samples, loop.ranks), loop.loader.per_device * loop.ranks
    if abs(loop.pass_samples - expected) >= round_ or loop.pass_samples > loop.samples - round_:
        return None
    return f"a pass over {loop.samples:,} samples drew {loop.pass_samples:,}: 1/{loop.ranks}, so it is split twice"


def uneven_ranks(loop: ObservedLoop) -> str | None:
    """See the rule of the same name for plans."""
    loader = loop.loader
    if loop.is_uneven:
        return f"the ranks differ at step {loop.step}: one has drawn, or stepped, more than another"
    if (
        loader.is_plan
        or loop.ranks == 1
        or loader.uneven != "keep"
        or loop.samples is None
        or loader.per_device is None
    ):
        return None
    rest = loop.samples % (loader.per_device * loop.ranks)
    idle = loop.ranks - -(-rest // loader.per_device) if rest else 0
    if not idle:
        return None
    return f"the last round of a pass has {rest} samples: {idle} of {loop.ranks} ranks have none, and wait or hang"


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
def shuffled_plan(loop: ObservedLoop) -> str | None:
    """The samples of a plan are drawn in another order than the plan's.

    A `TokenDataset.from_recipe` holds the draws of the plan in their order, already mixed. A sampler that shuffles them
    draws each once all the same, in other batches than planned; and two draws of one sample, which the plan has in
    different epochs, may come side by side.

    What to do: `train_sampling_strategy="sequential"` in the HF Trainer; `shuffle=False`, elsewhere.
    """
    if not loop.loader.is_plan or "Random" not in loop.loader.sampler:
        return None
    return f"{loop.loader.sampler} shuffles the draws of a plan, so no batch is the planned one"


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
def skipped_steps(loop: ObservedLoop) -> str | None:
    """A step was drawn and not applied, since its gradients overflowed in fp16.

    It trained nothing, and counts for no epoch. The HF Trainer's `global_step` counts it all the same. A few at the
    start are normal, while the loss scale is being found.

    What to do: nothing, if they stay few; bf16 has no overflows.
    """
    return None if loop.skipped is None else f"step {loop.skipped} was skipped: its batch is drawn and trained nothing"


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


@rule
def learned_size(loop: ObservedLoop) -> str | None:
    """The size of a pass is what the first one drew, which need not be all of the data, or once each.

    A stream on several ranks is padded at its end, so that all ranks have as much; with `drop_last` its end is left
    out, on one rank too. Each worker process of a loader has such an end of its own. What was padded or left out is not
    known; nor is it where the ledger watches something around the loader that tells nothing of it.

    What to do: `samples=` with the size of the data.
    """
    loader, ranks = loop.loader, loop.ranks
    if not loop.is_learned or not loop.samples or (ranks == 1 and loader.uneven != "drop"):
        return None
    if loader.uneven is None and loader.is_stream:  # a plain loader, which neither pads nor drops
        return None
    ends = loader.workers if loader.is_stream else 1
    most = ranks - 1 if loader.pads_to_ranks else ends * (ranks * (loader.per_device or 1) - 1)
    is_known = loader.uneven is not None and (ends == 1 or not loader.pads_to_ranks)  # else its rounds mix all ends
    if is_known and not most:
        return None
    rest = "and what was padded or left out is not known"
    if is_known:
        drops = loader.uneven == "drop"
        rest = f"and drop_last left out up to {most:,} more" if drops else f"up to {most:,} of them padding"
    return f"a pass has {loop.samples:,} samples as the first one drew, {rest}; state samples="


@rule
def other_data(loop: ObservedLoop) -> str | None:
    """Data of another size was watched too: an evaluation, or a second training set. All of it is counted together.

    What to do: watch the loader of the training alone.
    """
    if loop.other_size is None:
        return None
    other, own = loop.other_size, loop.samples or 0
    return f"a loader over {other:,} samples was watched besides that over {own:,}: both are counted"


@rule
def counting_stopped(loop: ObservedLoop) -> str | None:
    """A rank is gone, so what all of them drew is not known any more.

    The ledger ends with the last step that every rank has reported. A rank that comes to the end of its data before
    others leaves in this way too.
    """
    if loop.lost is None:
        return None
    return f"nothing is recorded after step {loop.step}, since another rank is gone ({loop.lost.splitlines()[0][:200]})"


@rule
def reported_epoch(loop: ObservedLoop) -> str | None:
    """What the loop calls its epoch is not samples ÷ samples of the data.

    For a stream the HF Trainer does not know the length of a pass: its epoch is passes plus batches of this pass ÷
    all batches of the run. For other data it divides by the batches of the loader, duplicates of padding
    included, by today's number of devices, whatever the run began with.

    What to do: read `ledger/epoch`.
    """
    if (
        loop.reported is None
        or loop.epoch is None
        or abs(Fraction(loop.reported) - loop.epoch) <= EPOCH_TOLERANCE * loop.epoch
    ):
        return None
    trained = f"{scaled(loop.epoch)} were trained{_cause_of_gap(loop)}"
    return f"{loop.reporter} says epoch {scaled(loop.reported)}, and {trained}"


def _cause_of_gap(loop: ObservedLoop) -> str:
    """Why the loop reports another epoch, if that is known."""
    if loop.loader.is_plan:
        return ": what it takes for one epoch is the whole plan"
    if loop.loader.is_stream:
        return ": it does not know how long a pass of a stream is"
    if loop.changed:
        return ": it counts what was done before with today's devices and batch"
    pass_samples = loop.pass_samples or (loop.samples and loop.loader.drawn_per_pass(loop.samples, loop.ranks)) or 0
    if loop.samples and pass_samples > loop.samples:
        return f": {pass_samples - loop.samples:,} duplicates a pass {_padding(loop)}"
    if loop.samples and 0 < pass_samples < loop.samples:
        return f": a pass leaves out {loop.samples - pass_samples:,} samples"
    if loop.samples and loop.loader.per_device and loop.reported is not None and loop.epoch is not None:
        batch = loop.ranks * loop.loader.per_device
        if loop.samples % batch and abs(Fraction(loop.reported) - loop.epoch) * loop.samples < batch:
            return f": it counts micro-batches, and the last of a pass has {loop.samples % batch} of {batch} samples"
    return ""


RULES: tuple[Rule, ...] = (
    data_split_twice,
    uneven_ranks,
    sampler_not_resumable,
    shuffled_plan,
    stream_restarted,
    tokens_assumed,
    samples_by_restarts,
    same_samples_on_ranks,
    scheduler_times_processes,
    long_window,
    short_window,
    skipped_steps,
    padded_duplicates,
    dropped_data,
    learned_size,
    other_data,
    uncounted_steps,
    uncounted_batches,
    interleaved_loaders,
    hidden_labels,
    steps_without_batches,
    unstepped_batches,
    counting_stopped,
    reported_epoch,
)
"""In the order they are asked."""

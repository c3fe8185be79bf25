"""What a pass over the data draws, over all ranks, and in which order."""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.arithmetic.text import scaled
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.rules import rule

__all__ = [
    "data_split_twice",
    "dropped_data",
    "learned_size",
    "other_data",
    "padded_duplicates",
    "reported_epoch",
    "same_samples_on_ranks",
    "shuffled_plan",
    "uneven_ranks",
]

ENOUGH_STEPS, ENOUGH_ALIKE, NEARLY_ALL = 2, 8, Fraction(9, 10)
"""Steps in which two ranks drew the same samples, after a pass and within one, and their share of all steps, that show
data which is not split."""

EPOCH_TOLERANCE = Fraction(1, 100)
"""Relative difference between two epoch counts from which on a warning is given."""


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
    compared = _compared(loop)
    if compared is None or loop.ranks == 1 or not loop.loader.per_device:
        return None
    (samples, drawn), round_ = compared, loop.loader.per_device * loop.ranks
    if abs(drawn - Fraction(samples, loop.ranks)) >= round_ or drawn > samples - round_:
        return None
    return f"a pass over {samples:,} samples drew {drawn:,}: 1/{loop.ranks}, so it is split twice"


def _compared(loop: ObservedLoop) -> tuple[int, int] | None:
    """Samples of the data, and what a pass drew; None where they are not known, or a pass is of several epochs."""
    if loop.loader.is_plan or loop.samples is None or not loop.pass_samples:
        return None
    return loop.samples, loop.pass_samples


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
    if loop.duplicate_ranks and alike:
        first, second = loop.duplicate_ranks
        return (
            f"ranks {first} and {second} drew the same samples in {loop.duplicate_steps:,} of {loop.compared_steps:,} "
            f"steps: the loader is not split over the {loop.ranks} ranks"
        )
    if _draws_all_on_every_rank(loop):
        return f"a pass over {loop.samples:,} samples drew {loop.pass_samples:,}: each of them on every rank"
    return None


def _draws_all_on_every_rank(loop: ObservedLoop) -> bool:
    if loop.ranks == 1 or not loop.samples or loop.is_learned:
        return False
    return loop.pass_samples == loop.samples * loop.ranks


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


def padded_duplicates(loop: ObservedLoop) -> str | None:
    """See the rule of the same name for plans."""
    compared = _compared(loop)
    if compared is None or loop.is_learned or _draws_all_on_every_rank(loop):
        return None
    samples, drawn = compared
    if drawn <= samples:
        return None
    return f"{drawn - samples:,} duplicates {_padding(loop)}: a pass over {samples:,} samples drew {drawn:,}"


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

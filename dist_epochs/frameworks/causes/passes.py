"""Passes that draw more or less than the corpus, and count as one all the same."""

from __future__ import annotations

from dist_epochs.frameworks.run import Run
from dist_epochs.rules import rule

__all__ = ["dispatcher_padding", "drop_last", "drop_last_ignored", "even_batches", "sampler_padding"]


@rule
def even_batches(run: Run) -> str | None:
    """Accelerate fills the last round of a pass with samples from its start, and the pass still counts as one.

    `even_batches` (the default, in the HF Trainer too) gives every device the same number of full micro-batches: 101
    samples on 4 devices with 8 each are 128 draws, 1.267 epochs, reported as 1.

    What to do: a corpus that is a multiple of devices × per device, `--uneven drop`, or count samples and not passes.
    """
    if not run.duplicates_per_pass:
        return None
    return f"{_duplicates(run)} from even_batches ({_round(run)})"


@rule
def sampler_padding(run: Run) -> str | None:
    """The `DistributedSampler` of torch repeats samples up to a multiple of the ranks; the pass counts as one.

    It is less than Accelerate adds, at most ranks − 1 samples a pass, and it is not the same: 1,003 samples on 4 ranks
    are 1,004 draws here, and 1,024 with `even_batches` and 8 a device.

    What to do: usually nothing; `drop_last` of the sampler leaves them out instead.
    """
    if not run.duplicates_per_pass:
        return None
    return f"{_duplicates(run)}: the sampler fills up to a multiple of {run.setting.data_parallel_size} devices"


@rule
def dispatcher_padding(run: Run) -> str | None:
    """A stream's last round is filled with its first samples: the same ones in each pass.

    `DataLoaderDispatcher`, Accelerate's default for an `IterableDataset`, shares each round out evenly and takes what
    is missing from the first batch of the stream. Without a shuffle that is always sample 0 and its neighbours, which
    are then drawn twice as often as the others.

    What to do: a stream that is a multiple of the devices, or shuffle it anew each pass.
    """
    if not run.duplicates_per_pass:
        return None
    return f"{_duplicates(run)}: the last round is filled with the stream's first samples, the same in each pass"


@rule
def drop_last(run: Run) -> str | None:
    """`drop_last` leaves out what does not fill a round on all devices, and the pass still counts as one.

    It drops up to devices × per device − 1 samples a pass, whole micro-batches among them: 100 samples, 8 at a time,
    are 96 draws, and 3 epochs are 2.88. With a new shuffle each pass it is another part each time.

    What to do: a corpus or a batch that divides, or pad.
    """
    if run.setting.uneven != "drop" or run.loader is None:
        return None
    samples, full = run.setting.samples, run.loader.samples_per_round
    dropped = samples - max(samples, run.loader.samples) // full * full  # a sampler may have filled up before
    if dropped <= 0:
        return None
    return f"{dropped:,} of {samples:,} samples a pass are dropped: full rounds only ({_round(run)})"


@rule
def drop_last_ignored(run: Run) -> str | None:
    """The HF Trainer does not pass `dataloader_drop_last` on for a stream: the last, short micro-batch is drawn.

    `get_train_dataloader` sets it for data with a length alone (5.23).

    What to do: nothing, or drop the rest inside the stream.
    """
    if run.setting.uneven != "drop":
        return None
    return "dataloader_drop_last has no effect on a stream: the last round of a pass is drawn"


def _duplicates(run: Run) -> str:
    many = run.duplicates_per_pass
    return f"{many:,} duplicate{'s' * (many > 1)} a pass"


def _round(run: Run) -> str:
    size = run.setting.data_parallel_size
    return f"{size} device{'s' * (size > 1)} × {run.setting.per_device}"

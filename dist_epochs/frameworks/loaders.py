"""What the frameworks' loops have in common: their loaders, and how far a run of them goes."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.loader import LastWindow, Loader, LoaderCounts, Uneven
from dist_epochs.arithmetic.text import scaled
from dist_epochs.errors import InputError
from dist_epochs.frameworks.run import Reported, Run
from dist_epochs.frameworks.setting import Setting

__all__ = [
    "dispatched", "endless", "float_product", "last_pass", "loader_of", "prepared", "run_of_passes", "sampled",
]  # fmt: skip


def loader_of(setting: Setting, samples: int, uneven: Uneven, last_window: LastWindow) -> Loader:
    """A loader of so many samples, with the batch of a run.

    Raises:
        InputError: As `Loader`.
    """
    return Loader(
        samples=samples,
        per_device=setting.per_device,
        data_parallel_size=setting.data_parallel_size,
        gradient_accumulation=setting.gradient_accumulation,
        uneven=uneven,
        last_window=last_window,
    )


def prepared(setting: Setting, last_window: LastWindow) -> Loader:
    """The map-style loader that Accelerate prepares (`BatchSamplerShard`), which the HF Trainer uses too.

    Raises:
        InputError: As `Loader`.
    """
    return loader_of(setting, setting.samples, setting.uneven or "pad", last_window)


def dispatched(setting: Setting, last_window: LastWindow) -> Loader:
    """The loader that Accelerate prepares of a stream (`DataLoaderDispatcher`, accelerate 1.15).

    Rank 0 reads a round and shares it out evenly; the last one is filled to a multiple of the ranks with the first
    samples of the stream, or left out with `drop_last`.

    Raises:
        InputError: As `Loader`, or if the stream cannot fill one round of one sample for each rank.
    """
    size = setting.data_parallel_size
    if setting.uneven != "drop" and 2 * setting.samples < size:
        raise InputError(
            f"a stream of {setting.samples} samples on {size} devices",
            rule=f"the dispatcher fills the last round with the first {setting.samples} again",
            consequence="some devices get an empty micro-batch, which may give NaN or fail",
            fixes=f"at most {2 * setting.samples} devices",
        )
    return sampled(setting, last_window, sampler_drops=True)  # which draws as many


def sampled(setting: Setting, last_window: LastWindow, *, sampler_drops: bool) -> Loader:
    """A loader over torch's `DistributedSampler`, which fills up to a multiple of the ranks.

    Args:
        setting: The run.
        last_window: What the loop does with the last window of a pass.
        sampler_drops: Whether `drop_last` is told to the sampler too, so that it drops instead of filling up.

    Raises:
        InputError: As `Loader`.
    """
    size, drops = setting.data_parallel_size, setting.uneven == "drop"
    filled = -(-setting.samples // size) * size
    samples = setting.samples if drops and sampler_drops else filled
    return loader_of(setting, samples, "drop" if drops else "keep", last_window)


def run_of_passes(
    setting: Setting,
    loader: Loader,
    framework: str,
    *,
    schedule_per_step: int | None = None,
    reads_in_order: bool = False,
) -> Run:
    """A loop `for epoch in range(epochs)` that also ends after a number of steps, and reports its loop counter.

    Args:
        setting: The run.
        loader: How it cuts passes.
        framework: Its name, for errors.
        schedule_per_step: How often the learning-rate scheduler advances in a step; None where the user decides.
        reads_in_order: Whether samples come in the same order in each pass.

    Raises:
        InputError: If a fraction of a pass is asked for, or no step is made.
    """
    if setting.steps is not None:
        counts = loader.after_steps(setting.steps)
    else:
        counts = loader.after_passes(setting.whole_epochs(framework))
    if not counts.steps:
        raise InputError(
            f"--epochs {setting.epochs_text} like {framework} makes no step",
            rule=f"{counts.micro_steps} micro-steps in all are less than a window of {setting.gradient_accumulation}",
            fixes=(f"a gradient accumulation of {counts.micro_steps} or less", "--steps 1"),
        )
    reported = Reported(
        steps=counts.steps,
        epoch=Fraction(ceil(counts.passes_drawn)),
        schedule_ends=None if schedule_per_step is None else -(-counts.steps // schedule_per_step),
    )
    return Run(setting=setting, counts=counts, reported=reported, loader=loader, reads_in_order=reads_in_order)


def endless(setting: Setting, steps: int, framework: str) -> LoaderCounts:
    """The counts of full batches that run on across passes.

    Raises:
        InputError: If no step is made.
    """
    if not steps:
        raise InputError(
            f"--epochs {setting.epochs_text} like {framework} makes no step",
            rule=f"{setting.samples} samples are less than one step of {setting.global_batch}, and round to 0 steps",
            fixes=("--steps 1", "a smaller batch"),
        )
    drawn = steps * setting.global_batch
    return LoaderCounts(
        steps=steps,
        micro_steps=steps * setting.gradient_accumulation,
        samples=drawn,
        drawn=drawn,
        passes_drawn=Fraction(drawn, setting.samples),
        unstepped_micro_steps=0,
    )


def last_pass(micro_steps: int, per_pass: int) -> tuple[int, int]:
    """Passes before the one that is drawn last, and its micro-steps: a pass that has just ended is still the last.

    Examples:
        >>> last_pass(10, 5), last_pass(11, 5), last_pass(0, 5)
        ((1, 5), (2, 1), (0, 0))
    """
    if not micro_steps:
        return 0, 0
    passes, before = divmod(micro_steps - 1, per_pass)
    return passes, before + 1


def float_product(epochs: Fraction, count: int) -> float:
    """Epochs × a count in floats, as frameworks multiply.

    Raises:
        InputError: If a float does not hold it.

    Examples:
        >>> from math import ceil
        >>> ceil(float_product(Fraction(11, 10), 50))
        56
    """
    try:
        return float(epochs) * count
    except OverflowError:
        raise InputError(
            f"epochs × {scaled(count)} overflow",
            rule="frameworks multiply floats, and none is that large",
            fixes="fewer epochs",
        ) from None

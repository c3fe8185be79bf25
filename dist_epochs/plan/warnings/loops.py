"""How somebody else"s loop ends its passes."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.arithmetic.text import rounded
from dist_epochs.rules import rule

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan

__all__ = ["dropped_data", "global_batch_not_reached", "padded_duplicates", "partial_window", "uneven_ranks"]


LARGEST_REST = Fraction(1, 100)
"""Share of what is drawn that may be left without a step at the end of the run."""


@rule
def partial_window(plan: Plan) -> str | None:
    """A pass does not divide into whole accumulation windows, and libraries disagree on what then happens.

    With 74 micro-batches a pass and an accumulation of 6, the last window of a pass has 2. A loop may
    *flush* it (step with what there is: a smaller batch, and more steps a pass), *carry* it (go on into the next
    pass: as many steps as fit into all micro-batches), or *drop* it (draw it, compute it, and never step).
    200 steps over 148 samples, 2 at a time, are then 15.41, 16.22, or 16.22 epochs over 16.65 drawn passes. The HF
    Trainer carried until 4.44, floored its plan in 4.48 and flushes map-style data in 5.x; Lightning flushes; plain
    loops carry.

    What to do: name what your loop does with `--last-window flush|carry|drop`, or choose batches that divide the
    pass. This package's own batches run on across passes, so they have no partial window.
    """
    if plan.loop is None or plan.loop.loader.last_window == "carry":
        return None
    loader = plan.loop.loader
    rest = loader.micro_steps_per_pass % loader.gradient_accumulation
    if not rest:
        return None
    return (
        f"a pass is {loader.micro_steps_per_pass:,} micro-steps, which end with a window of {rest} instead of "
        f"{loader.gradient_accumulation}: {loader.last_window} makes {rounded(loader.steps_per_pass)} steps a pass, "
        f"{_other_windows(loader)}"
    )


def _other_windows(loader: Loader) -> str:
    windows = Fraction(loader.micro_steps_per_pass, loader.gradient_accumulation)
    steps = {
        "flush": Fraction(-(-windows.numerator // windows.denominator)),
        "carry": windows,
        "drop": Fraction(int(windows)),
    }
    return ", ".join(f"{name} {rounded(count)}" for name, count in steps.items() if name != loader.last_window)


@rule
def padded_duplicates(plan: Plan) -> str | None:
    """The last round of a pass is filled with samples from its start, which are trained twice in that pass.

    Accelerate's `even_batches` (on by default, also in the HF Trainer) gives every device the same number of full
    micro-batches. 101 samples on 4 devices with 8 each are 128 draws a pass, 27 of them duplicates; progress bars
    still say one epoch. Small corpora on many devices suffer most.

    What to do: nothing, if the share is small; else `--uneven drop`, a smaller `per_device`, or fewer devices.
    """
    if plan.loop is None or not plan.loop.loader.duplicates_per_pass:
        return None
    loader = plan.loop.loader
    return (
        f"each pass over {loader.samples:,} samples draws {loader.drawn_per_pass:,}: {loader.duplicates_per_pass:,} "
        f"duplicates (+{loader.duplicates_per_pass / loader.samples:.1%}) fill the last round"
    )


@rule
def dropped_data(plan: Plan) -> str | None:
    """A part of every pass is never trained: dropped by the loader, or drawn and left without a step.

    `drop_last` leaves out what does not fill a round on all devices; dropping the last accumulation window leaves
    out what does not fill a window. With 10,000 samples and a global batch of 4,096, 18.08 % of each pass is lost.
    With a new shuffle each pass it is another part each time, so after a few passes most samples have been seen, but
    an epoch stays shorter than it looks.

    What to do: a global batch that divides the corpus, a smaller one, or `--last-window flush --uneven pad`.
    """
    if plan.loop is None:
        return None
    loader = plan.loop.loader
    lost = loader.samples - min(loader.trained_per_pass, loader.samples)
    left = plan.loop.counts.drawn - plan.loop.counts.samples
    if loader.last_window == "carry" and left > LARGEST_REST * plan.loop.counts.drawn:
        return f"{left:,} of {plan.loop.counts.drawn:,} samples are drawn, and the run ends before they are stepped"
    if not lost:
        return None
    return f"{lost:,} of {loader.samples:,} samples ({lost / loader.samples:.2%}) of each pass are never trained"


@rule
def uneven_ranks(plan: Plan) -> str | None:
    """Devices do not get the same number of samples.

    In another trainer's loop (`even_batches=False`) one device runs out of micro-batches first. With DDP the others
    then wait in the gradient reduction without end, or the loop ends early on all, unless it joins uneven inputs.
    (`batch.uneven: allow` of this package is another thing: slices differ by at most one sample, micro-steps are equal
    on all devices, and nobody waits.)

    What to do: in other loops pad or drop, or use torch's `Join`; here nothing.
    """
    if plan.loop is not None:
        loader = plan.loop.loader
        rest = loader.drawn_per_pass % loader.samples_per_round
        if loader.uneven != "keep" or not rest or loader.data_parallel_size == 1:
            return None
        idle = loader.data_parallel_size - -(-rest // loader.per_device)
        if not idle:
            return None  # the last micro-batch is short on one device, and nobody waits
        return (
            f"the last round of a pass has {rest} of {loader.samples_per_round} samples: {idle} of "
            f"{loader.data_parallel_size} devices have none, and wait, hang or end the pass early"
        )
    return None


@rule
def global_batch_not_reached(plan: Plan) -> str | None:
    """No step is as large as the global batch that the settings promise.

    A pass is shorter than one accumulation window and each pass ends its window, so every step is taken with less
    than devices × per device × accumulation samples. The learning rate was probably chosen for more.

    What to do: a smaller accumulation, or `--last-window carry`.
    """
    if plan.loop is None or plan.loop.loader.last_window != "flush":
        return None
    loader, promised = plan.loop.loader, plan.batches[0].samples
    if loader.drawn_per_pass >= promised:
        return None
    return (
        f"the global batch is {loader.data_parallel_size} × {loader.per_device} × {loader.gradient_accumulation} = "
        f"{promised:,}, and every step is taken at the end of a pass with {loader.drawn_per_pass:,} samples"
    )

"""Keras 3: `fit` over batches of all replicas together, and an optimizer that accumulates by its own counter."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.frameworks.causes import carried_window, drop_last, loop_counter, unstepped_end
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import counts_of
from dist_epochs.frameworks.run import Reported, Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["KERAS"]


def _run(setting: Setting) -> Run:
    """`steps_per_epoch` = ⌈samples ÷ batch⌉, and `optimizer.iterations` = ⌊batches of the run ÷ accumulation⌋."""
    loader = Loader(
        samples=setting.samples,
        per_device=setting.per_device,
        data_parallel_size=setting.data_parallel_size,
        gradient_accumulation=setting.gradient_accumulation,
        uneven="drop" if setting.uneven == "drop" else "keep",
        last_window="carry",
    )
    counts = counts_of(setting, loader, "keras")
    reported = Reported(steps=counts.steps, epoch=Fraction(ceil(counts.passes_drawn)))
    return Run(setting=setting, counts=counts, reported=reported, loader=loader)


KERAS = Framework(
    name="keras",
    aliases=("tf-keras", "tensorflow2", "tf2"),
    versions=(
        Version(
            name="3",
            basis="as documented; not run here",
            run=_run,
            causes=(drop_last, loop_counter, carried_window, unstepped_end),
            unevens=("keep", "drop"),
            last_windows=("carry",),
        ),
    ),
)

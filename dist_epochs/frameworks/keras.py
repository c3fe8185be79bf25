"""Keras 3: `fit` over batches of all replicas together, and an optimizer that accumulates by its own counter."""

from __future__ import annotations

from dist_epochs.arithmetic.loader import Uneven
from dist_epochs.frameworks.causes import carried_window, drop_last, loop_counter, unstepped_end
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import loader_of, run_of_passes
from dist_epochs.frameworks.run import Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["KERAS"]


def _run(setting: Setting) -> Run:
    """`steps_per_epoch` = ⌈samples ÷ batch⌉, and `optimizer.iterations` = ⌊batches of the run ÷ accumulation⌋."""
    uneven: Uneven = "drop" if setting.uneven == "drop" else "keep"
    return run_of_passes(setting, loader_of(setting, setting.samples, uneven, "carry"), "keras")


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

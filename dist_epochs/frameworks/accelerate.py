"""A plain loop under Accelerate: loader, optimizer and scheduler prepared, `accumulate` around the micro-step."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.frameworks.causes import (
    dispatcher_padding,
    drop_last,
    even_batches,
    flushed_window,
    loop_counter,
    scheduler_times_processes,
    tail_weight,
)
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import counts_of, dispatched, prepared
from dist_epochs.frameworks.run import Reported, Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["ACCELERATE", "ACCELERATE_STREAMING"]

MEASURED = "measured on 1.15.0"


def _map_style(setting: Setting) -> Run:
    return _run(setting, prepared(setting, "flush"), "accelerate")


def _streaming(setting: Setting) -> Run:
    return _run(setting, dispatched(setting, "flush"), "accelerate-streaming")


def _run(setting: Setting, loader: Loader, name: str) -> Run:
    """`sync_with_dataloader` steps with the last window; a prepared scheduler moves once per process and step."""
    counts = counts_of(setting, loader, name)
    reported = Reported(
        steps=counts.steps,
        epoch=Fraction(ceil(counts.passes_drawn)),
        schedule_ends=-(-counts.steps // setting.devices),
    )
    return Run(
        setting=setting,
        counts=counts,
        reported=reported,
        loader=loader,
        reads_in_order=name == "accelerate-streaming",
    )


ACCELERATE = Framework(
    name="accelerate",
    versions=(
        Version(
            name="1",
            basis=MEASURED,
            measured="1.15",
            run=_map_style,
            causes=(even_batches, drop_last, loop_counter, flushed_window, tail_weight, scheduler_times_processes),
            unevens=("pad", "drop", "keep"),
            last_windows=("flush",),
        ),
    ),
)

ACCELERATE_STREAMING = Framework(
    name="accelerate-streaming",
    aliases=("accelerate-stream",),
    versions=(
        Version(
            name="1",
            basis=MEASURED,
            measured="1.15",
            run=_streaming,
            causes=(
                dispatcher_padding, drop_last, loop_counter, flushed_window, tail_weight, scheduler_times_processes,
            ),
            unevens=("pad", "drop"),
            last_windows=("flush",),
        ),
    ),
)  # fmt: skip

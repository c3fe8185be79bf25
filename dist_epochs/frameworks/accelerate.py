"""A plain loop under Accelerate: loader, optimizer and scheduler prepared, `accumulate` around the micro-step."""

from __future__ import annotations

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
from dist_epochs.frameworks.loaders import dispatched, prepared, run_of_passes
from dist_epochs.frameworks.run import Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["ACCELERATE", "ACCELERATE_STREAMING"]

MEASURED = "measured on 1.15.0"


def _map_style(setting: Setting) -> Run:
    """`sync_with_dataloader` steps with the last window; a prepared scheduler advances once per process and step."""
    return run_of_passes(setting, prepared(setting, "flush"), "accelerate", schedule_per_step=setting.devices)


def _streaming(setting: Setting) -> Run:
    """The same over a stream, whose samples come in order."""
    loader, per_step = dispatched(setting, "flush"), setting.devices
    return run_of_passes(setting, loader, "accelerate-streaming", schedule_per_step=per_step, reads_in_order=True)


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

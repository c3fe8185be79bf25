"""A plain DDP loop: torch's `DistributedSampler`, and `if (i + 1) % accumulation == 0: optimizer.step()`."""

from __future__ import annotations

from dist_epochs.frameworks.causes import (
    carried_window,
    drop_last,
    flushed_window,
    leaked_window,
    loop_counter,
    sampler_padding,
    unstepped_end,
)
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import run_of_passes, sampled
from dist_epochs.frameworks.run import Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["DISTRIBUTED_SAMPLER"]


def _run(setting: Setting) -> Run:
    """The window is the user's own code; as PyTorch's AMP examples write it, with `i` of the pass, it leaks."""
    loader = sampled(setting, setting.last_window or "leak", sampler_drops=True)
    return run_of_passes(setting, loader, "distributed-sampler")


DISTRIBUTED_SAMPLER = Framework(
    name="distributed-sampler",
    aliases=("ddp", "torch", "pytorch"),
    versions=(
        Version(
            basis="its sampler measured on torch 2.13; the loop as PyTorch's examples write it",
            run=_run,
            causes=(
                leaked_window, sampler_padding, drop_last, loop_counter, carried_window, flushed_window, unstepped_end,
            ),
            unevens=("pad", "drop"),
            last_windows=("leak", "flush", "carry", "drop"),
        ),
    ),
)  # fmt: skip

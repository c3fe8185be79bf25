"""Lightning's Trainer: whole passes by a `DistributedSampler` that it inserts, windows that end with them."""

from __future__ import annotations

from dist_epochs.frameworks.causes import drop_last, flushed_window, loop_counter, sampler_padding, tail_weight
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import run_of_passes, sampled
from dist_epochs.frameworks.run import Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["LIGHTNING"]


def _run(setting: Setting) -> Run:
    """`max_epochs` or `max_steps`; `drop_last` stays the loader's own, so the sampler still fills up."""
    return run_of_passes(setting, sampled(setting, "flush", sampler_drops=False), "lightning")


LIGHTNING = Framework(
    name="lightning",
    aliases=("pytorch-lightning", "pl"),
    versions=(
        Version(
            name="2",
            basis="windows and sampler measured on 2.6.6, one and two processes",
            measured="2.6",
            run=_run,
            causes=(sampler_padding, drop_last, loop_counter, flushed_window, tail_weight),
            unevens=("pad", "drop"),
            last_windows=("flush",),
        ),
    ),
)

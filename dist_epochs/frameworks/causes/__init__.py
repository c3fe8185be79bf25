"""Why a reported number differs from the true one. Each cause is a function; its docstring is the page of `explain`."""

from __future__ import annotations

from dist_epochs.frameworks.causes.counters import (
    index_epochs,
    loop_counter,
    multiplied_floats,
    no_epoch,
    rounded_down,
    scheduler_times_processes,
    short_batch,
    steps_by_hand,
    stream_epoch,
)
from dist_epochs.frameworks.causes.passes import (
    dispatcher_padding,
    drop_last,
    drop_last_ignored,
    even_batches,
    sampler_padding,
)
from dist_epochs.frameworks.causes.windows import (
    carried_window,
    floored_plan,
    flushed_window,
    leaked_window,
    short_pass,
    tail_weight,
    unstepped_end,
    wrong_remainder,
)
from dist_epochs.frameworks.run import Rule

__all__ = [
    "CAUSES", "carried_window", "dispatcher_padding", "drop_last", "drop_last_ignored",
    "even_batches", "floored_plan", "flushed_window", "index_epochs", "leaked_window", "loop_counter",
    "multiplied_floats", "no_epoch", "rounded_down", "sampler_padding", "scheduler_times_processes", "short_batch",
    "short_pass", "steps_by_hand", "stream_epoch", "tail_weight", "unstepped_end", "wrong_remainder",
]  # fmt: skip

CAUSES: tuple[Rule, ...] = (
    even_batches,
    sampler_padding,
    dispatcher_padding,
    drop_last,
    drop_last_ignored,
    floored_plan,
    carried_window,
    flushed_window,
    leaked_window,
    wrong_remainder,
    short_pass,
    unstepped_end,
    tail_weight,
    stream_epoch,
    loop_counter,
    short_batch,
    index_epochs,
    no_epoch,
    scheduler_times_processes,
    steps_by_hand,
    rounded_down,
    multiplied_floats,
)

"""Warnings about a user's own loop while it runs: each rule by name, printed once.

A rule is a function of what rank 0 knows of the loop. A rule that finds the same as one for plans or frameworks has
that name, and its page is there.
"""

from __future__ import annotations

from collections.abc import Callable

from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.integrations.warnings.counting import (
    counting_stopped,
    hidden_labels,
    interleaved_loaders,
    samples_by_restarts,
    tokens_assumed,
    uncounted_batches,
)
from dist_epochs.integrations.warnings.passes import (
    data_split_twice,
    dropped_data,
    learned_size,
    other_data,
    padded_duplicates,
    reported_epoch,
    same_samples_on_ranks,
    shuffled_plan,
    uneven_ranks,
)
from dist_epochs.integrations.warnings.resuming import (
    sampler_not_resumable,
    stream_restarted,
    uncounted_steps,
)
from dist_epochs.integrations.warnings.steps import (
    long_window,
    scheduler_times_processes,
    short_window,
    skipped_steps,
    steps_without_batches,
    unstepped_batches,
)

__all__ = ["RULES"]

RULES: tuple[Callable[[ObservedLoop], str | None], ...] = (
    data_split_twice,
    uneven_ranks,
    sampler_not_resumable,
    shuffled_plan,
    stream_restarted,
    tokens_assumed,
    samples_by_restarts,
    same_samples_on_ranks,
    scheduler_times_processes,
    long_window,
    short_window,
    skipped_steps,
    padded_duplicates,
    dropped_data,
    learned_size,
    other_data,
    uncounted_steps,
    uncounted_batches,
    interleaved_loaders,
    hidden_labels,
    steps_without_batches,
    unstepped_batches,
    counting_stopped,
    reported_epoch,
)
"""In the order they are asked."""

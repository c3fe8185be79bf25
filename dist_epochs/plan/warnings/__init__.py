"""What to know about a plan. Each rule is a function; its docstring is the page that `dist-epochs explain` shows.

A rule looks at a finished plan and returns a message with its numbers, or None. Warnings make `--strict` fail,
notes only inform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dist_epochs.plan.warnings.corpus import (
    corpus_not_stated,
    mixture_average,
    no_model,
    not_counted,
    not_packed,
    over_the_cap,
    repeated_data,
    temperature_rounded,
    weights_beyond_one,
    with_replacement,
    words_as_tokens,
)
from dist_epochs.plan.warnings.costs import (
    assumed_precision,
    fp32_peak,
    guessed_mfu,
    memory_too_small,
    not_priced,
    optimistic_mfu,
    partly_trained_not_counted,
    rate_of_one_device,
    six_per_parameter,
    sparse_peak,
    tokens_per_parameter,
)
from dist_epochs.plan.warnings.loops import (
    dropped_data,
    global_batch_not_reached,
    padded_duplicates,
    partial_window,
    uneven_ranks,
)
from dist_epochs.plan.warnings.steps import (
    batch_of_samples,
    budget_missed,
    budget_rounded,
    checkpoints_too_rare,
    devices_not_stated,
    per_device_not_stated,
    ramp_off_the_micro_batch,
    sequence_phases,
    shares_of_the_budget,
    warmup_beyond_the_run,
)
from dist_epochs.plan.warnings.thresholds import eu_compute_threshold
from dist_epochs.plan.warnings.warning import Warning
from dist_epochs.rules import rule_name

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan

__all__ = ["NOTES", "WARNINGS", "check"]

Rule = Callable[["Plan"], str | None]

WARNINGS: tuple[Rule, ...] = (
    batch_of_samples,
    words_as_tokens,
    partial_window,
    padded_duplicates,
    dropped_data,
    uneven_ranks,
    global_batch_not_reached,
    repeated_data,
    over_the_cap,
    sparse_peak,
    optimistic_mfu,
    rate_of_one_device,
    fp32_peak,
    memory_too_small,
    warmup_beyond_the_run,
    budget_missed,
    checkpoints_too_rare,
    weights_beyond_one,
)
"""Rules that make `--strict` fail."""

NOTES: tuple[Rule, ...] = (
    corpus_not_stated,
    not_counted,
    not_packed,
    devices_not_stated,
    per_device_not_stated,
    no_model,
    sequence_phases,
    shares_of_the_budget,
    ramp_off_the_micro_batch,
    budget_rounded,
    mixture_average,
    temperature_rounded,
    with_replacement,
    guessed_mfu,
    assumed_precision,
    six_per_parameter,
    not_priced,
    partly_trained_not_counted,
    tokens_per_parameter,
    eu_compute_threshold,
)
"""Rules that only inform."""


def check(plan: Plan) -> tuple[Warning, ...]:
    """All that is to be known about a plan, warnings first."""
    found = [
        Warning(rule_name(rule), message, is_note)
        for rules, is_note in ((WARNINGS, False), (NOTES, True))
        for rule in rules
        if (message := rule(plan))
    ]
    return tuple(found)

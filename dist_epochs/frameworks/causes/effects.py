"""How many epochs of the difference between what is asked for, reported and true are due to a cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from dist_epochs.frameworks.causes.counters import index_epochs, loop_counter, short_batch, stream_epoch
from dist_epochs.frameworks.causes.passes import dispatcher_padding, drop_last, even_batches, sampler_padding
from dist_epochs.frameworks.causes.windows import floored_plan
from dist_epochs.frameworks.run import Rule, Run

__all__ = ["by_effect"]


def by_effect(causes: Sequence[Rule], run: Run) -> tuple[Rule, ...]:
    """Causes with the largest effect first; one whose effect is no number of epochs keeps its place.

    Args:
        causes: Those that apply to the run.
        run: The run.
    """
    told = iter(sorted((cause for cause in causes if cause in EFFECTS), key=lambda each: -EFFECTS[each](run)))
    return tuple(next(told) if cause in EFFECTS else cause for cause in causes)


def _drawn_again(run: Run) -> Fraction:
    return run.counts.passes_drawn * run.duplicates_per_pass / run.setting.samples


def _dropped(run: Run) -> Fraction:
    return run.counts.passes_drawn * run.dropped_per_pass / run.setting.samples


def _cut_short(run: Run) -> Fraction:
    asked, reported = run.setting.epochs, run.reported.epoch
    return Fraction(0) if asked is None or reported is None else abs(asked - reported)


def _miscounted(run: Run) -> Fraction:
    """By how much its counter differs from the passes, whatever they draw."""
    reported = run.reported.epoch
    return Fraction(0) if reported is None else abs(reported - run.counts.passes_drawn)


EFFECTS: Mapping[Rule, Callable[[Run], Fraction]] = {
    even_batches: _drawn_again,
    sampler_padding: _drawn_again,
    dispatcher_padding: _drawn_again,
    drop_last: _dropped,
    floored_plan: _cut_short,
    loop_counter: _miscounted,
    stream_epoch: _miscounted,
    index_epochs: _miscounted,
    short_batch: _miscounted,
}
"""In epochs, for the causes whose effect is a number of epochs."""

"""The counters of the ledger, under the names they have in wandb."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from dist_epochs.ledger.totals import Totals

__all__ = ["AXES", "counters", "define_axes"]

AXES = ("ledger/steps", "ledger/tokens", "ledger/epoch")
"""Counters that any chart can have as its horizontal axis; the first is the default."""


def define_axes(run: Any, groups: Iterable[str]) -> None:
    """Declare the axes in a wandb run, and draw groups of its metrics over the default one."""
    for axis in AXES:
        run.define_metric(axis)
    for group in groups:
        run.define_metric(group, step_metric=AXES[0])


def counters(totals: Totals, epoch: Fraction | None) -> dict[str, float | int]:
    """What was trained so far, over all ranks: only applied steps count, unless the name says otherwise.

    Args:
        totals: What the ledger has recorded.
        epoch: Epochs by samples; left out where the corpus is not known.
    """
    applied = totals.applied
    values: dict[str, float | int] = {
        "ledger/steps": applied.steps,
        "ledger/skipped_steps": totals.skipped.steps,
        "ledger/micro_steps": applied.micro_steps,
        "ledger/samples": applied.counts.samples,
        "ledger/positions": applied.positions,
        "ledger/tokens": applied.counts.tokens,
        "ledger/loss_tokens": applied.counts.loss_tokens,
    }
    return values if epoch is None else values | {"ledger/epoch": float(epoch)}

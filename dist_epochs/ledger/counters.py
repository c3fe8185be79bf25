"""The counters of the ledger and of the plan, under the names they have in wandb and in other logs."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from dist_epochs.ledger.totals import Totals

__all__ = ["AXES", "NAMES", "counters", "planned_counters"]

AXES = ("ledger/steps", "ledger/tokens", "ledger/epoch")
"""Counters that any chart can have as its horizontal axis; the first is the default."""

PLANNED = {
    "steps": "ledger/planned_steps", "samples": "ledger/planned_samples", "tokens": "ledger/planned_tokens",
    "epoch": "ledger/planned_epoch",
}  # fmt: skip
"""What is planned for the whole run, by unit: the level that the counter of the same unit reaches at the end."""

SPENDING = tuple(
    f"ledger/{kind}{name}"
    for kind in ("", "planned_", "expected_")
    for name in ("wall_hours", "device_hours", "price", "energy_kwh")
)
"""What a run has taken so far, was planned to take, and is expected to have taken at its end."""

NAMES = (
    *AXES, "ledger/skipped_steps", "ledger/micro_steps", "ledger/samples", "ledger/positions", "ledger/loss_tokens",
    "ledger/epoch_reported", *PLANNED.values(), *SPENDING,
)  # fmt: skip
"""Everything that is logged under `ledger/`."""


def counters(totals: Totals, epoch: Fraction | None) -> dict[str, float | int]:
    """What was trained so far, over all ranks: only applied steps count, unless the name says otherwise.

    Args:
        totals: What the ledger has recorded. Positions, tokens and loss tokens of which there are none in the samples
            are left out: images have no tokens, which is not the same as 0.
        epoch: Epochs by samples; left out where the corpus is not known.
    """
    applied = totals.applied
    samples = applied.counts.samples
    values: dict[str, float | int] = {
        "ledger/steps": applied.steps,
        "ledger/skipped_steps": totals.skipped.steps,
        "ledger/micro_steps": applied.micro_steps,
        "ledger/samples": samples,
    }
    by_position = {
        "ledger/positions": applied.positions,
        "ledger/tokens": applied.counts.tokens,
        "ledger/loss_tokens": applied.counts.loss_tokens,
    }
    values |= {name: count for name, count in by_position.items() if count or not samples}
    return values if epoch is None else values | {"ledger/epoch": float(epoch)}


def planned_counters(plan: Mapping[str, Any]) -> dict[str, float | int]:
    """What is planned for the whole run; units that the plan does not know are left out.

    Args:
        plan: The content of a `plan.json`, or those of its keys that are known.

    Examples:
        >>> planned_counters({"steps": 4, "samples": 32, "tokens": None, "epochs": {"samples": 2}})
        {'ledger/planned_steps': 4, 'ledger/planned_samples': 32, 'ledger/planned_epoch': 2}
    """
    known = {unit: plan.get(unit) for unit in PLANNED} | {"epoch": (plan.get("epochs") or {}).get("samples")}
    return {name: value for unit, name in PLANNED.items() if (value := known[unit]) is not None}

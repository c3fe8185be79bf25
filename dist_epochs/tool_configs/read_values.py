"""What other tools' files state, each value with the file and the line that state it: `read` of `plan --json`.

Values that follow from several keys, or are a tool's own where the file is silent, have no line; what they follow from
is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.errors import Origin
from dist_epochs.settings.value import DerivedOrigin, KeyOrigin, Stated
from dist_epochs.tool_configs.stated import LaunchSettings

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan

__all__ = ["read_json", "read_values"]

Read = Mapping[str, Stated[Any]]
"""Values by the names of settings, and by names of their own where no plan is made of them."""


def read_values(settings: LaunchSettings, given: LaunchSettings) -> Read:
    """What files state and what follows from them, without what flags and recipe state.

    Args:
        settings: Files, flags and recipe together, solved.
        given: Flags and recipe alone.
    """
    known = given.stated()
    found = {
        name: stated
        for name, stated in settings.stated().items()
        if name not in known or stated.where != known[name].where
    }
    if "counted_steps" in found:
        found["steps"] = found.pop("counted_steps")
    return {**found, **settings.told}


def read_json(read: Read, plan: Plan) -> dict[str, Any]:
    """The same as JSON, with the totals that the plan makes of it.

    Args:
        read: What files state; empty where no file was read.
        plan: The plan.
    """
    if not read:
        return {}
    everything = {**_of_plan(plan), **read}
    return {name: _entry(stated) for name, stated in sorted(everything.items())}


def _of_plan(plan: Plan) -> dict[str, Stated[Any]]:
    """Totals of a plan by the names that files' values have."""
    where = Origin("the plan")
    totals: dict[str, Any] = {"steps": plan.steps, "samples": plan.samples, "tokens": plan.positions}
    totals["data_parallel"] = plan.batches[0].data_parallel_size
    if plan.loop is not None:
        totals["micro_steps_per_pass"] = plan.loop.loader.micro_steps_per_pass
        totals["steps_per_pass"] = plan.loop.loader.steps_per_pass
    return {name: Stated(value, where) for name, value in totals.items() if value is not None}


def _entry(stated: Stated[Any]) -> dict[str, Any]:
    value, where = stated.value, stated.where
    is_of_file = where.line is not None
    rule = where.rule if isinstance(where, DerivedOrigin) else None
    return {
        "value": json_number(value) if isinstance(value, Fraction) else value,
        "file": where.name if is_of_file else None,
        "line": where.line,
        "key": where.key if isinstance(where, KeyOrigin) else None,
        "follows": rule if is_of_file else str(where),
    }

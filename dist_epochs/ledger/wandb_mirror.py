"""The ledger in a wandb run: one way for our trainer, for a loop with `Ledger`, and for the callbacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dist_epochs.ledger.counters import AXES, NAMES
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.reconcile import Reconciliation

__all__ = ["CURVES", "TABLE", "WandbMirror"]

CURVES = {"over_tokens": "ledger/tokens", "over_epochs": "ledger/epoch"}
"""Each loss is logged once more under these, each with its axis, so that wandb draws a chart of its own over it."""
LOSS = re.compile(r"(^|[/_ .-])loss(_step|_epoch)?($|/)", re.IGNORECASE)
"""Names of losses, of training and of evaluation; `loss_scale` and `loss_tokens` are none."""
TABLE = "ledger/reconciliation"
"""The name of the table that lays the plan beside the ledger."""
COLUMNS = ["unit", "planned", "recorded", "difference", "cause"]


class WandbMirror:
    """A wandb run that shows what the ledger holds; wandb itself is not imported here.

    Steps, tokens and epochs are declared as axes, so that any chart can be drawn over any of them. `step=` is never
    passed: wandb drops rows whose step goes back, as it does after a resume. Losses have charts over tokens and over
    epochs too, and the reconciliation is a table.

    Args:
        run: The run, which somebody else started and will end.
        planned: What is planned for the whole run, from `planned_counters`; it stands in every row.
        table: `wandb.Table`.
        groups: Patterns of other metrics of this run that are drawn over the default axis too.
    """

    def __init__(
        self, run: Any, planned: Mapping[str, float | int], table: Callable[..., Any], groups: Iterable[str] = ()
    ) -> None:
        self._run, self._planned, self._table = run, dict(planned), table
        self._curves: set[str] = set()
        for axis in AXES:
            run.define_metric(axis)
        # by name too: a pattern of the loop's own, as "*" of the HF Trainer, gives way to a name and not to a pattern
        for name in (*(name for name in NAMES if name not in AXES), "ledger/*", *groups):
            self._draw(name, AXES[0])

    def row(self, counters: Mapping[str, float | int], logged: Mapping[str, Any]) -> dict[str, Any]:
        """What is logged, with the counters recorded and planned, and with its losses once more for each further axis.

        Args:
            counters: The counters of the moment.
            logged: What the loop logs; it keeps its values where both have a name.
        """
        row = {**counters, **self._planned, **logged}
        losses = [name for name in logged if LOSS.search(name) and hasattr(logged[name], "__float__")]
        curves = {
            self._curve(kind, name, axis): logged[name]
            for kind, axis in CURVES.items()
            if axis in row
            for name in losses
        }
        return {**curves, **row}

    def _curve(self, kind: str, name: str, axis: str) -> str:
        """The name of a loss over an axis, which is declared when it is first met."""
        curve = f"{kind}/{name}"
        if curve not in self._curves:
            self._curves.add(curve)
            self._draw(curve, axis)
        return curve

    def _draw(self, name: str, axis: str) -> None:
        """Declare the axis of a metric; every row of counters has it, so wandb need not add it to others."""
        self._run.define_metric(name, step_metric=axis, step_sync=False)

    def log(self, values: Mapping[str, float | int]) -> None:
        """Log a row of counters, and of what else belongs to it."""
        self._run.log(self.row({}, values))

    def summarize(self, result: Reconciliation, values: Mapping[str, float | int]) -> None:
        """Write the last counters, and plan, ledger and reconciliation, into the summary of the run, and log the table.

        The table joins the row that is open (`commit=False`), so that no step of wandb's own is taken from the loop.

        Args:
            result: The ledger, compared with its plan if there is one.
            values: The counters at the end.
        """
        differences = [difference.to_json() for difference in result.differences]
        verdict = {"agrees": result.agrees, "differences": differences}
        whole = {"plan": result.plan, "ledger": result.to_json(), "reconciliation": verdict}
        self._run.summary.update({**self.row(values, {}), **result.spending.values(), **whole})
        table = self._table(columns=COLUMNS, data=_rows(result), allow_mixed_types=True)  # digests beside numbers
        self._run.log({TABLE: table}, commit=False)


def _rows(result: Reconciliation) -> list[list[Any]]:
    """Units that are equal, or were not planned; then every difference with its cause."""
    recorded = {"steps": result.totals.applied.steps, **result.recorded()}
    differing = {difference.unit for difference in result.differences}
    plan = result.plan or {}
    equal = [
        [unit, plan.get(unit), recorded[unit], None if plan.get(unit) is None else 0, ""]
        for unit in UNITS
        if unit not in differing
    ]
    return equal + [[each.unit, each.planned, each.recorded, each.amount, each.cause] for each in result.differences]

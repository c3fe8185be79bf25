"""Writes the ledger into a wandb run: one way for our trainer, for a loop with `Ledger` and for `LedgerCallback`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dist_epochs.ledger.counters import AXES, NAMES
from dist_epochs.ledger.reconcile import Reconciliation

__all__ = ["WandbMirror"]


class WandbMirror:
    """A wandb run that shows what the ledger holds; wandb itself is not imported here.

    Steps, tokens and epochs are declared as axes, so that any chart can be drawn over any of them. `step=` is never
    passed: wandb drops rows whose step goes back, as it does after a resume.

    Args:
        run: The run, which somebody else started and will end.
        planned: What is planned for the whole run, from `planned_counters`; added to every row.
        groups: Patterns of other metrics of this run that are drawn over the default axis too.
    """

    def __init__(self, run: Any, planned: Mapping[str, float | int], groups: Iterable[str] = ()) -> None:
        self.run, self._planned = run, dict(planned)
        for axis in AXES:
            run.define_metric(axis)
        # by name: a pattern of the loop's own, as "*" of the HF Trainer, gives way to a name and not to a pattern
        for name in (*(name for name in NAMES if name not in AXES), "ledger/*", *groups):
            run.define_metric(name, step_metric=AXES[0])

    def log(self, values: Mapping[str, float | int], *, commit: bool = True) -> None:
        """Log one row.

        Args:
            values: Counters, and what belongs to them.
            commit: Whether the row is complete; else its values wait for the row that the loop logs next.
        """
        self.run.log({**values, **self._planned}, commit=commit)

    def summarize(self, result: Reconciliation) -> None:
        """Write plan, ledger and reconciliation into the summary of the run.

        Args:
            result: The ledger, compared with its plan if there is one.
        """
        differences = [difference.to_json() for difference in result.differences]
        verdict = {"agrees": result.agrees, "differences": differences}
        self.run.summary.update({"plan": result.plan, "ledger": result.to_json(), "reconciliation": verdict})

"""The ledger in a wandb run: one way for our trainer, for a loop with `Ledger`, and for the callbacks."""

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
        planned: What is planned for the whole run, from `planned_counters`; it stands in every row.
        groups: Patterns of other metrics of this run that are drawn over the default axis too.
    """

    def __init__(self, run: Any, planned: Mapping[str, float | int], groups: Iterable[str] = ()) -> None:
        self._run, self._planned = run, dict(planned)
        for axis in AXES:
            run.define_metric(axis)
        # by name too: a pattern of the loop's own, as "*" of the HF Trainer, gives way to a name and not to a pattern
        for name in (*(name for name in NAMES if name not in AXES), "ledger/*", *groups):
            run.define_metric(name, step_metric=AXES[0])

    def row(self, values: Mapping[str, float | int]) -> dict[str, float | int]:
        """Recorded counters with the planned ones."""
        return {**values, **self._planned}

    def log(self, values: Mapping[str, float | int]) -> None:
        """Log a row of counters, and of what else belongs to it."""
        self._run.log(self.row(values))

    def summarize(self, result: Reconciliation, values: Mapping[str, float | int]) -> None:
        """Write the last counters, and plan, ledger and reconciliation, into the summary of the run.

        Args:
            result: The ledger, compared with its plan if there is one.
            values: The counters at the end.
        """
        differences = [difference.to_json() for difference in result.differences]
        verdict = {"agrees": result.agrees, "differences": differences}
        whole = {"plan": result.plan, "ledger": result.to_json(), "reconciliation": verdict}
        self._run.summary.update({**self.row(values), **result.spending.values(), **whole})

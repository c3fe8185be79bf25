"""The counters in the wandb run that the user's own loop has open, if it has one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.ledger.counters import planned_counters
from dist_epochs.ledger.plan_file import read_plan
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.ledger.spending import spending_of
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.wandb_mirror import WandbMirror

__all__ = ["LoopMirror"]

SPENDING_EVERY = 5.0
"""Seconds between two rows with time, price and energy."""

Counters = Mapping[str, float | int]


class LoopMirror:
    """Adds the counters of the moment to every row that the loop logs; only rank 0 may use it.

    No run is ever started: wandb is not even imported, and if the loop has not imported it, there is no run. Nothing
    that goes wrong here stops the training, or keeps a row of the loop from wandb.

    wandb's steps belong to the loop: one that logs with `step=` would lose rows if a row of ours moved them. So none is
    added, and the run's `log` is replaced by one that adds the counters to each row. `commit=False` would not do: wandb
    keeps a row that has a `step=` open until the next one, so the counters would go into the row before.

    Args:
        out: Run directory of the ledger; a `plan.json` in it is what was planned.
        counters: Makes the counters of the moment.
        say: Prints a line.
        accelerator: An Accelerator, whose wandb tracker is taken before the run that wandb itself has open.
        totals: Gives what is recorded by now, of which time, price and energy follow; None where they are not wanted.

    Attributes:
        planned: What is planned for the whole run, where the loop knows it by itself.
    """

    def __init__(
        self,
        out: Path,
        counters: Callable[[], Counters],
        say: Callable[[str], None],
        *,
        accelerator: Any = None,
        totals: Callable[[], Totals] | None = None,
    ) -> None:
        self._out, self._counters, self._say, self._accelerator = out, counters, say, accelerator
        self._run: Any = None
        self._mirror: WandbMirror | None = None
        self._totals, self._spent_at = totals, -SPENDING_EVERY
        self._plan: Mapping[str, Any] | None = None
        self._rows = 0
        self._failed = False
        self.planned: Counters = {}

    def join(self) -> None:
        """Join the run that is open by now, if there is one. Called in every step."""
        run = self._open_run()
        if run is not None and run is not self._run and not self._failed:
            self._safely(lambda: self._join(run))

    def leave(self) -> None:
        """Write plan, ledger and reconciliation into the summary: the ledger is at its end, or the run is."""
        self.join()
        mirror, self._mirror = self._mirror, None
        if mirror is not None and self._open_run() is self._run:
            self._safely(lambda: self._end(mirror))

    def _join(self, run: Any) -> None:
        """Replace the run's `log` and `finish` by functions that know the ledger, until it leaves."""
        self._run, self._rows = run, 0
        wandb: Any = sys.modules["wandb"]
        self._mirror = WandbMirror(run, self.planned or self._stated_plan(), wandb.Table)
        log, finish = run.log, run.finish

        def log_with_counters(data: Any, *rest: Any, **named: Any) -> Any:
            return log(self._row(data) if isinstance(data, Mapping) else data, *rest, **named)

        def finish_with_summary(*rest: Any, **named: Any) -> Any:
            if run is self._run:
                self.leave()
            return finish(*rest, **named)

        run.log, run.finish = log_with_counters, finish_with_summary
        if getattr(wandb, "log", None) == log:
            wandb.log = log_with_counters

    def _row(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the loop logs, with the counters of the moment."""
        row = data

        def make() -> None:
            nonlocal row
            if self._mirror is not None:
                row = self._mirror.row({**self._counters(), **self._spending()}, data)

        self._safely(make)
        self._rows += 1
        return row

    def _spending(self) -> Counters:
        """Hours, price and energy, from time to time: an estimate takes longer than a row may."""
        if self._totals is None or monotonic() - self._spent_at < SPENDING_EVERY:
            return {}
        self._spent_at = monotonic()
        facts = {"steps": self.planned.get("ledger/planned_steps")}
        return spending_of(self._totals(), self._plan, facts).values()

    def _end(self, mirror: WandbMirror) -> None:
        values = self._counters()
        if not self._rows:  # the loop logged nothing, so nothing can be in the way of one row
            mirror.log(values)
        mirror.summarize(read_run(self._out), values)

    def _safely(self, action: Callable[[], None]) -> None:
        """Do something with wandb; an error is said, and nothing more is done."""
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # wandb's service may be gone, or the disk full
            self._failed = True
            self._say(f"dist_epochs: the counters go to wandb no longer: {type(error).__name__}: {error}")

    def _open_run(self) -> Any:
        """The run that is open: the accelerator's, else wandb's own."""
        trackers = [each for each in getattr(self._accelerator, "trackers", ()) if getattr(each, "name", "") == "wandb"]
        run = getattr(trackers[0], "run", None) if trackers else getattr(sys.modules.get("wandb"), "run", None)
        return None if getattr(run, "_is_finished", False) else run

    def _stated_plan(self) -> Counters:
        """What a `plan.json` in the run directory plans; nothing without one, or where it cannot be read."""
        path = self._out / "plan.json"
        try:
            self._plan = read_plan(path) if path.is_file() else None
            return {} if self._plan is None else planned_counters(self._plan)
        except InputError:  # `dist-epochs ledger` says what is wrong with it
            return {}

"""The counters in the wandb run that the user's own loop has open, if it has one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.ledger.counters import planned_counters
from dist_epochs.ledger.reconcile import read_plan, read_run
from dist_epochs.ledger.wandb_mirror import WandbMirror

__all__ = ["LoopMirror"]


class LoopMirror:
    """Adds the counters to the row that the loop logs next; only rank 0 may call its methods.

    No run is ever started: wandb is not even imported, and if the loop has not imported it, there is no run. No row is
    committed, since wandb's steps belong to the loop. Nothing that goes wrong in wandb stops the training.

    Args:
        out: Run directory of the ledger; a `plan.json` in it is what was planned.
        accelerator: An Accelerator, whose wandb tracker is taken before the run that wandb itself says is open.
        say: Prints a line.
    """

    def __init__(self, out: Path, accelerator: Any, say: Callable[[str], None]) -> None:
        self._out, self._accelerator, self._say = out, accelerator, say
        self._mirror: WandbMirror | None = None
        self._shown: Mapping[str, float | int] = {}
        self._failed = False
        self.planned: Mapping[str, float | int] = {}

    def show(self, counters: Callable[[], Mapping[str, float | int]]) -> None:
        """Put the counters into the row that the loop logs next, if they are others than before.

        Args:
            counters: Makes them; called only where a run is open.
        """
        self._safely(lambda mirror: self._show(mirror, counters()))

    def summarize(self) -> None:
        """Write plan, ledger and reconciliation into the summary of the run, after the ledger's last line."""
        self._safely(lambda mirror: mirror.summarize(read_run(self._out)))

    def _show(self, mirror: WandbMirror, values: Mapping[str, float | int]) -> None:
        if values and values != self._shown:
            self._shown = values
            mirror.log(values, commit=False)

    def _safely(self, action: Callable[[WandbMirror], None]) -> None:
        """Do something with the run that is open, if there is one; an error is said, and ends the mirroring."""
        run = None if self._failed else self._open_run()
        if run is None:
            return
        try:
            if self._mirror is None or run is not self._mirror.run:
                self._mirror, self._shown = WandbMirror(run, self.planned or self._stated_plan()), {}
            action(self._mirror)
        except Exception as error:  # wandb's service may be gone, or the run was ended by somebody else
            self._failed = True
            self._say(f"dist_epochs: the counters go to wandb no longer: {type(error).__name__}: {error}")

    def _open_run(self) -> Any:
        """The run that is open: the accelerator's, else wandb's own."""
        trackers = [each for each in getattr(self._accelerator, "trackers", ()) if getattr(each, "name", "") == "wandb"]
        run = getattr(trackers[0], "run", None) if trackers else getattr(sys.modules.get("wandb"), "run", None)
        return None if getattr(run, "_is_finished", False) else run

    def _stated_plan(self) -> Mapping[str, float | int]:
        """What a `plan.json` in the run directory plans; nothing without one, or where it cannot be read."""
        path = self._out / "plan.json"
        try:
            return planned_counters(read_plan(path)) if path.is_file() else {}
        except InputError:  # `dist-epochs ledger` says what is wrong with it
            return {}

"""The counters in the wandb run that somebody else's loop has open, if it has one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from dist_epochs.ledger.counters import define_axes

__all__ = ["Mirror"]


class Mirror:
    """Adds the counters to whatever row comes next.

    wandb is not imported: if the loop has not, there is no run. `step=` is never passed, since wandb drops rows whose
    step goes back, and no row is ended, since its steps are the loop's.
    """

    def __init__(self) -> None:
        self._run: Any = None

    def show(self, values: Mapping[str, float | int]) -> None:
        """Put the counters into the row under way."""
        run = getattr(sys.modules.get("wandb"), "run", None)
        if run is None or not values:
            return
        if run is not self._run:
            self._run = run
            define_axes(run, ("ledger/*",))
        run.log(dict(values), commit=False)

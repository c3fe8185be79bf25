"""The counters in the wandb run that the user's own loop has open, if it has one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from dist_epochs.ledger.counters import define_axes

__all__ = ["Mirror"]


class Mirror:
    """Adds the counters to the row that the loop logs next.

    wandb is not imported: if the loop has not imported it, there is no run. `step=` is never passed, since wandb drops
    rows whose step goes back. No row is committed, since wandb's steps belong to the loop.
    """

    def __init__(self) -> None:
        self._run: Any = None

    def show(self, values: Mapping[str, float | int]) -> None:
        """Put the counters into the row that the loop logs next."""
        run = getattr(sys.modules.get("wandb"), "run", None)
        if run is None or not values:
            return
        if run is not self._run:
            self._run = run
            define_axes(run, ("ledger/*",))
        run.log(dict(values), commit=False)

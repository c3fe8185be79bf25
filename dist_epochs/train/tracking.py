"""Copies the ledger to wandb, through Accelerate's tracker."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from accelerate import Accelerator

from dist_epochs.errors import InputError
from dist_epochs.ledger.counters import planned_counters
from dist_epochs.ledger.reconcile import Reconciliation
from dist_epochs.ledger.rows import note_mirrored
from dist_epochs.ledger.wandb_mirror import WandbMirror
from dist_epochs.ledger.writer import LEDGER_FILE
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import Recipe
from dist_epochs.recipe.writing import recipe_to_data
from dist_epochs.runtime.wandb_login import logged_in

__all__ = ["Tracker", "prepare_wandb"]

GROUPS = ("train/*", "rate/*", "time/*", "memory/*", "evaluation/*")
"""What is logged beside the counters of the ledger."""


def prepare_wandb(say: Callable[[str], None]) -> None:
    """Make wandb start without asking: offline where nobody is logged in.

    Call before `Accelerator(log_with="wandb")`.

    Raises:
        InputError: If wandb is not installed.
    """
    if importlib.util.find_spec("wandb") is None:
        raise InputError(
            "tracking.wandb is set and wandb is not installed", fixes=("pip install wandb", "to remove tracking")
        )
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_INIT_TIMEOUT", "20")
    if "WANDB_MODE" not in os.environ and not logged_in():
        os.environ["WANDB_MODE"] = "offline"
        say("wandb: not logged in, so the run is written offline into its directory; `wandb sync` sends it later")


class Tracker:
    """One wandb run on rank 0 for all segments; nothing on other ranks, or where the recipe names no project.

    Args:
        accelerator: Made with `log_with="wandb"` where the recipe names a project.
        recipe: The recipe, whose name the run gets.
        plan: The plan of the run.
        folder: Run directory.
        run_id: wandb's id of the run to continue; None begins one.
        say: Prints a line.

    Attributes:
        run_id: wandb's id of the run, the same for all its segments; None without a project.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: Recipe,
        plan: Plan,
        *,
        folder: Path,
        run_id: str | None,
        say: Callable[[str], None],
    ) -> None:
        self._accelerator, self._folder, self._say = accelerator, folder, say
        self._mirror: WandbMirror | None = None
        self.run_id: str | None = None
        if recipe.tracking is None:
            return
        project, config = recipe.tracking.wandb, {"plan": plan_json(plan), "recipe": recipe_to_data(recipe)}
        self.run_id = run_id or uuid4().hex[:12]
        settings = {"wandb": {"name": recipe.name, "dir": str(folder), "id": self.run_id, "resume": "allow"}}
        try:
            accelerator.init_trackers(project, config=config, init_kwargs=settings)
        except Exception as error:  # no network, a wrong key: the ledger is the record, so training continues
            if os.environ.get("WANDB_MODE") == "offline":
                raise
            os.environ["WANDB_MODE"] = "offline"
            import wandb

            accelerator.trackers.clear()  # Accelerate keeps the tracker that failed
            wandb.teardown()  # wandb reads its mode only once
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            say(f"wandb: no connection ({reason}), so the run is written offline into its directory")
            accelerator.init_trackers(project, config=config, init_kwargs=settings)
        if accelerator.is_main_process:
            import wandb

            run = accelerator.get_tracker("wandb", unwrap=True)
            self._mirror = WandbMirror(run, planned_counters(config["plan"]), wandb.Table, GROUPS)

    def log(self, values: Mapping[str, float | int]) -> None:
        """Log one row."""
        with self._or_without_it():
            if self._mirror is not None:
                self._mirror.log(values)

    def log_again(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log rows of the ledger that wandb may have lost when a program was killed."""
        for _, values in rows:
            self.log(values)

    def summarize(self, result: Reconciliation, values: Mapping[str, float | int]) -> None:
        """Write plan, ledger and reconciliation, and the last counters, into the summary of the run."""
        with self._or_without_it():
            if self._mirror is not None:
                self._mirror.summarize(result, values)

    def close(self) -> None:
        """End the run in wandb, and note in the ledger that wandb has every row. Every rank calls this."""
        self._accelerator.wait_for_everyone()
        with self._or_without_it():
            self._accelerator.end_training()
        if self._mirror is not None:
            note_mirrored(self._folder / LEDGER_FILE)

    @contextmanager
    def _or_without_it(self) -> Iterator[None]:
        """Continue without wandb where its own process is gone: batch systems may send SIGTERM to that one too."""
        try:
            yield
        except Exception as error:
            if self._mirror is not None:
                reason = str(error) or type(error).__name__
                self._say(f"wandb: {reason}; the next start of this run logs the missing rows from the ledger")
            self._mirror = None

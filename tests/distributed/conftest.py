"""Runs of a recipe on several worlds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dist_epochs.ledger.reconcile import Reconciliation, read_run


class WorldRun:
    """What a finished run left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = [
            json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()
        ]

    @property
    def result(self) -> Reconciliation:
        return read_run(self.folder)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    @property
    def losses(self) -> list[float]:
        return [line["values"]["train/loss"] for line in self.of("metrics") if "train/loss" in line["values"]]


@pytest.fixture
def train_worlds(tmp_path: Path) -> Callable[..., dict[int, WorldRun]]:
    """Train a recipe on forked ranks; returns a run for each world."""

    def train(recipe: Path, worlds: tuple[int, ...], *overrides: str) -> dict[int, WorldRun]:
        script = Path(__file__).with_name("worlds.py")
        numbers = ",".join(map(str, worlds))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "ACCELERATE"))
        }
        result = subprocess.run(
            [sys.executable, str(script), str(recipe), str(tmp_path / "runs"), numbers, *overrides],
            capture_output=True, text=True, check=False,
            env=environment | {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return {world: WorldRun(tmp_path / "runs" / str(world)) for world in worlds}

    return train

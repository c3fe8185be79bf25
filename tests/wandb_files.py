"""wandb's offline files as wandb's own inspector reads them, and what the ledger says of the same moments."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.ledger.wandb_mirror import TABLE


@dataclass
class OfflineFile:
    """One file, which one start of a program wrote.

    Attributes:
        rows: The logged rows, in order, without the table of the reconciliation.
        tables: What each such table holds, as columns and data.
        config: The configuration.
        summary: The summary as the program set it.
        axes: Each declared metric or pattern, and the metric that it is drawn over; None for an axis.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str | None] = field(default_factory=dict)


def read_offline(path: Path) -> OfflineFile:
    """Read a `run-ID.wandb`."""
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    shown = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout
    found = OfflineFile()
    for line in shown.splitlines():
        if not line.startswith("{"):
            continue
        record = json.loads(line)
        if record["type"] == "history":
            row = record["history"]["item"]
            table = {name: row.pop(name) for name in list(row) if name.startswith(f"{TABLE}.")}
            if table:
                found.tables.append(json.loads((path.parent / "files" / table[f"{TABLE}.path"]).read_text()))
            # wandb's own names begin with _, and it may add the axis of the HF Trainer's pattern "*"
            if not table or any(name[0] != "_" and name not in found.axes.values() for name in row):
                found.rows.append(row)
        elif record["type"] == "metric":
            metric = record["metric"]
            found.axes[metric.get("name") or metric["glob_name"]] = metric.get("step_metric")
        found.config |= record.get("config", {}).get("update", {})
        found.summary |= record.get("summary", {}).get("update", {})
    return found


def offline_files(folder: Path) -> list[OfflineFile]:
    """The files under a folder, in the order in which they were begun."""
    files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.parent.stat().st_ctime)
    return [read_offline(path) for path in sorted(files, key=lambda path: path.parent.name)]


def counters_by_segment(ledger: Path) -> list[dict[int, dict[str, int]]]:
    """For each segment, what its ledger held after each step drawn: added up from the lines of steps alone."""
    segments: list[dict[int, dict[str, int]]] = []
    names = ("steps", "micro_steps", "samples", "tokens", "loss_tokens", "positions")
    for line in ledger.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "segment":
            before = segments[-1] if segments else {0: dict.fromkeys(names, 0)}
            segments.append({step: held for step, held in before.items() if step <= event["from_step"]})
        elif event["event"] in ("applied", "skipped"):
            held = dict(segments[-1][event["step"] - 1])
            if event["event"] == "applied":
                drawn = event["drawn"]
                held["steps"] += 1
                held["micro_steps"] += event["micro_steps"]
                held["samples"] += sum(part[4] for part in drawn)
                held["tokens"] += sum(part[5] for part in drawn)
                held["loss_tokens"] += sum(part[6] for part in drawn)
                held["positions"] += event.get("positions", sum(part[2] * part[4] for part in drawn))
            segments[-1][event["step"]] = held
    return segments


def check_rows(
    rows: Iterable[dict[str, Any]], held: dict[int, dict[str, int]], *, size: int | None = None, **more: float
) -> list[int]:
    """Compare rows with the ledger of their segment, one by one.

    Args:
        rows: Rows of one file; those without counters are passed over.
        held: What the ledger held after each step, from `counters_by_segment`.
        size: Samples of a pass, where all have one length.
        more: Counters that every row has, such as planned ones.

    Returns:
        The step of each row that has counters.
    """
    steps = []
    for row in rows:
        if "ledger/steps" not in row:
            continue
        step = row["ledger/steps"] + row["ledger/skipped_steps"]
        shown = {name: row.get(f"ledger/{name}", 0) for name in held[step]}
        assert shown == held[step], f"step {step}"
        assert size is None or row["ledger/epoch"] == held[step]["samples"] / size, f"step {step}"
        assert {name: row[f"ledger/{name}"] for name in more} == more, f"step {step}"
        steps.append(int(step))
    return steps

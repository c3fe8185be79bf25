"""`wandb-summary.json` with `config.yaml` and `wandb-metadata.json`: the `files/` of a wandb run that was online.

The summary has the last value of each key; of a run that was killed, those of its last row. The world size stands
nowhere.

Holds: the last of each counter, the configuration; the number of machines must be given (--devices).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.audit.records.packed import read_text
from dist_epochs.audit.records.record import FinishedRun, Place
from dist_epochs.audit.records.tracker_rows import KEYS, SETTING_KEYS, is_number, run_of_rows
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.json_text import load_json
from dist_epochs.settings.yaml_text import parse_yaml

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("wandb-summary.json",)
CONFIG, METADATA = "config.yaml", "wandb-metadata.json"
LARGEST = 1 << 24


def has_marks(path: Path, head: bytes) -> bool:
    """Whether a file is one: its name, or wandb's own keys in it."""
    if not head.lstrip().startswith(b"{"):
        return False
    return path.name in NAMES_OF_FILES or (
        b'"_step"' in head and b'"_runtime"' in head and b'"log_history"' not in head
    )


def read(path: Path) -> FinishedRun:
    """Read the summary and what is beside it.

    Raises:
        InputError: If it is damaged, or counts nothing.
    """
    summary = _json(path, "a wandb summary")
    config: dict[str, Any] = {}
    places: dict[str, Place] = {}
    notes: list[str] = []
    beside = path.parent / CONFIG
    if beside.is_file():
        try:
            config, places = _config(beside)
        except InputError as error:
            notes.append(f"Not read: {error}")
    else:
        notes.append(f"There is no {CONFIG} beside it, so nothing tells of the batch.")
    metadata = path.parent / METADATA
    if metadata.is_file():
        notes += _machine(metadata)
    row = {key: value for key, value in summary.items() if key in KEYS and is_number(value)}
    ended = "train/train_runtime" in row or "train_runtime" in row
    further = {"finished": ended}
    return run_of_rows(
        [row], config, summary, name=str(path), notes=notes, is_cut=not ended, places=places, further=further
    )


def _json(path: Path, what: str) -> Mapping[str, Any]:
    text = read_text(path, LARGEST, what)
    data = load_json(text, Origin(str(path), 1))
    if not isinstance(data, dict):
        raise InputError(f"this is not {what}", rule="it is no object", origin=Origin(str(path), 1))
    return data


def _config(path: Path) -> tuple[dict[str, Any], dict[str, Place]]:
    """The values of `key: {desc: …, value: …}`, and their lines."""
    text = read_text(path, LARGEST, "a wandb configuration")
    top = parse_yaml(text, str(path)).value
    found: dict[str, Any] = {}
    places = {}
    for key, located in top.items() if isinstance(top, Mapping) else ():
        inner = located.value
        if key in SETTING_KEYS and isinstance(inner, Mapping) and "value" in inner:
            value = inner["value"].value
            found[key] = int(value) if isinstance(value, Fraction) and value.denominator == 1 else value
            places[key] = Place(str(path), inner["value"].origin.line, key)
    return found, places


def _machine(path: Path) -> list[str]:
    try:
        data = _json(path, "wandb's metadata")
    except InputError as error:
        return [f"Not read: {error}"]
    kind, count = data.get("gpu"), data.get("gpu_count")
    if isinstance(kind, str) and type(count) is int:
        return [f"Its machine had {count} × {kind[:60]}; how many machines there were, wandb does not say."]
    return []

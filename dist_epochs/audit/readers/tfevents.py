"""TensorBoard event files of the Hugging Face Trainer and of Lightning, without TensorBoard.

Each record is an Event: 1 wall_time, 2 step, 5 a Summary, whose values (1) have a tag (1), and a float (2) or a
tensor (8: type 1, bytes 4, floats 5, texts 8). The Trainer writes train/epoch at its global step, and its
TrainingArguments as JSON under args/text_summary; Lightning writes `epoch` and counts steps from 0. The checksum of
lengths is compared, that of the data is not: in Python it is slow.

Holds of the Trainer steps, epochs, rates, batch of a device, accumulation, plan; of Lightning steps and passes.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from dist_epochs.audit.records.packed import open_run_file
from dist_epochs.audit.records.pass_rows import PassRows
from dist_epochs.audit.records.protobuf import fields, parts, text_of
from dist_epochs.audit.records.record import FinishedRun, Number, Place
from dist_epochs.audit.records.tfrecord import record_length, records
from dist_epochs.audit.records.tracker_rows import KEYS, SETTING_KEYS, run_of_rows
from dist_epochs.errors import InputError, Origin

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("events.out.tfevents.*",)
MOST_ROWS = 1_000_000

VERSION = b"brain.Event:2"
STEP, SUMMARY = 2, 5
ARGUMENTS = "args/text_summary"
SAMPLES_AS_STEPS = ("Train/Samples/", " vs samples")
"""Tags of DeepSpeed's monitor and of Megatron-LM, whose steps are samples."""


def has_marks(path: Path, head: bytes) -> bool:
    """Whether it begins with the record that every event file begins with."""
    return VERSION in head[:64] and record_length(head) is not None


def _events(data: bytes) -> tuple[int, dict[str, Any]]:
    """Step and values of an event, by tag."""
    step, values = 0, {}
    for number, value in fields(data):
        if number == STEP and isinstance(value, int):
            step = value if value < 1 << 63 else 0
        elif number == SUMMARY and isinstance(value, bytes):
            for one in parts(value, 1):
                tag = text_of(one, 1)
                if tag is not None:
                    values[tag] = _value(one)
    return step, values


def _value(data: bytes) -> Any:
    """A float as the shortest decimal that it is stored for, a text, or None."""
    for number, value in fields(data):
        if number == 2 and isinstance(value, bytes) and len(value) == 4:
            return _decimal(value)
        if number == 8 and isinstance(value, bytes):
            tensor = dict(fields(value))
            stored, kind = tensor.get(4) or tensor.get(5), tensor.get(1)
            if kind == 1 and isinstance(stored, bytes) and len(stored) >= 4:
                return _decimal(stored[:4])
            if kind == 7:
                return text_of(value, 8)
    return None


def _decimal(data: bytes) -> float:
    """Seven digits are what a float of 32 bits holds."""
    return float(f"{struct.unpack('<f', data)[0]:.7g}")


def read(path: Path) -> FinishedRun:
    """Read a file; one that was cut is read up to there.

    Raises:
        InputError: If no event tells of a step of the Trainer or of Lightning.
    """
    rows: dict[int, dict[str, Any]] = {}
    passes, damage = PassRows(str(path), "tfevents"), ""
    arguments: dict[str, Any] = {}
    tags: set[str] = set()
    of_row: set[str] = set()
    trained = 0
    try:
        with open_run_file(path) as (file, _):
            for at, record in enumerate(records(file)):
                step, values = _events(record)
                tags |= set(list(values)[: 1000 - len(tags)])
                if isinstance(text := values.pop(ARGUMENTS, None), str):
                    arguments |= _json(text)
                trained += "train/loss" in values
                of_row |= values.keys()
                if "epoch" in values and type(values["epoch"]) is float and values["epoch"].is_integer():
                    passes.add(step, int(values["epoch"]), frozenset(of_row), at)
                    of_row = set()
                if len(rows) < MOST_ROWS and (kept := {key: one for key, one in values.items() if key in KEYS}):
                    rows.setdefault(step, {"train/global_step": step}).update(kept)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        damage = str(error)
    notes = [f"{path.name}: read up to its damage: {damage}. What was logged after it is not here."] if damage else []
    if arguments or rows:
        ended = any("train/train_runtime" in row for row in rows.values())
        return run_of_rows(
            rows.values(),
            arguments,
            {},
            name=str(path),
            notes=notes,
            is_cut=bool(damage) or not ended,
            kind="tfevents",
            further={"training_rows": Number.exact(trained, Place(str(path), None, "train/loss")), "finished": ended},
        )
    if passes.track.last is not None:
        return passes.whole_run(notes, is_cut=bool(damage))
    rule = "the Trainer writes train/epoch and args/text_summary, Lightning epoch"
    if any(mark in tag for tag in tags for mark in SAMPLES_AS_STEPS):
        rule = "they are of DeepSpeed's monitor or of Megatron-LM, whose steps here are samples, and are not read"
    raise InputError(
        f"none of its {len(tags):,} tags tells of the steps of a trainer that is known",
        rule=rule,
        origin=Origin(str(path)),
    )


def _json(text: str) -> dict[str, Any]:
    """TrainingArguments, in a block of Markdown."""
    try:
        data = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        return {}
    return {key: data[key] for key in SETTING_KEYS if key in data} if isinstance(data, dict) else {}

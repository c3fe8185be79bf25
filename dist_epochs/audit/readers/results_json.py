"""`all_results.json` and `train_results.json` of the Hugging Face Trainer: the summary row of its last call.

Its rates are those of the plan (Transformers 4.10 to 5.18): steps a second × seconds are max_steps, samples a second
× seconds are samples of the data × epochs, or max_steps × batch if it was told its steps. Since 5.19 both are of the
steps of this call. Until 4.6 there are no steps a second, and the samples a second are steps. A call that finds a
checkpoint at its last step makes none, writes this file all the same, and its train_loss is 0.0: its rates are no
speed.

Holds: samples of the training set, epochs, planned steps and samples by its rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.packed import read_text
from dist_epochs.audit.records.passes import FirstPass
from dist_epochs.audit.records.record import FinishedRun, Number, Place
from dist_epochs.audit.records.trainer_clock import in_seconds, last_call
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.json_text import load_json

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("all_results.json", "train_results.json")
LARGEST = 1 << 20
"""Bytes; such a file has a few dozen numbers."""

KEYS: Keys = {"corpus": ("train_samples",), "epochs": ("epoch",), "total_flops": ("total_flos",)}
ROUNDED = {
    "train_runtime": Fraction(1, 20_000),
    "train_samples_per_second": Fraction(1, 2000),
    "train_steps_per_second": Fraction(1, 2000),
}
"""Half a unit of the last decimal that is kept, whatever zeros are not written."""

OLD = "It has no steps a second: it is of Transformers 4.6 or before, whose samples a second are steps."
NO_STEP = "Its train_loss is 0.0: the last call made no step, so its rates are no speed."
OTHER_ROWS = (
    "train_samples × epochs are more than the samples by its rates: they are rows before packing, or the rates are of "
    "the last call alone. They are not taken for the corpus."
)
LEAST_SHARE = Fraction(3, 4)
"""Of the samples of whole passes; what passes leave out at their ends is less."""
STOPPED = "It stopped early, or went on from a checkpoint: its rates are those of the plan until Transformers 5.18."


def has_marks(path: Path, head: bytes) -> bool:
    """Whether a file is one: a flat object with train_runtime and another key of the summary."""
    return (
        head.lstrip().startswith(b"{")
        and b'"train_runtime"' in head
        and (b'"train_loss"' in head or b'"train_samples_per_second"' in head)
        and b'"log_history"' not in head
    )


def read(path: Path) -> FinishedRun:
    """Read a file.

    Raises:
        InputError: If it is not a flat JSON object.
    """
    text = read_text(path, LARGEST, "the results of a Trainer")
    data = load_json(text, Origin(str(path), 1))
    if not isinstance(data, dict) or "train_runtime" not in data:
        rule = "they are one flat object with train_runtime"
        raise InputError("these are not the results of a Trainer", rule=rule, origin=Origin(str(path), 1))

    def place(key: str) -> Place:
        return Place(str(path), text.count("\n", 0, text.find(f'"{key}"')) + 1, key)

    found = {key: number for key, value in data.items() if (number := Number.read(value, place(key))) is not None}
    for key, tolerance in ROUNDED.items():
        if key in found:
            found[key] = found[key].within(tolerance)
    numbers = read_keys(data, KEYS, place)
    is_idle = "train_loss" in found and not found["train_loss"].value
    numbers |= dict(_planned(found))
    notes = [NO_STEP] if is_idle else []
    if not is_idle and _is_of_other_rows(numbers):
        numbers.pop("corpus")
        notes.append(OTHER_ROWS)
    if not is_idle:
        numbers |= dict(_made(numbers, notes))
        numbers |= dict(last_call(found, numbers, Place(str(path))))
        if "corpus" in numbers:
            numbers |= FirstPass().steps_per_epoch(numbers.get("steps"), numbers.get("epochs"), Place(str(path)))
        if "train_steps_per_second" not in found:
            notes.append(OLD)
    further: dict[str, Number | bool] = {"rate_usable": not is_idle and "seconds" in numbers}
    if is_idle:
        further["steps_of_this_call"] = Number.exact(0, place("train_loss"))
        numbers.pop("planned_steps", None)
    epochs = numbers.get("epochs")
    return FinishedRun(
        kind="hf-results",
        path=str(path),
        numbers=numbers,
        counts_passes=True,
        streams=None if "corpus" not in numbers and epochs is not None and epochs.value.denominator != 1 else False,
        is_cut=STOPPED in notes or "corpus" not in numbers,
        further=further,
        notes=tuple(notes),
    )


def _planned(found: Mapping[str, Number]) -> Iterator[tuple[str, Number]]:
    """Steps and samples of the plan, by rate × seconds."""
    seconds, rate = found.get("train_runtime"), found.get("train_samples_per_second")
    pace = found.get("train_steps_per_second", rate)
    if seconds is None or not seconds.interval.low or rate is None or pace is None:
        return
    if pace.value:
        steps = in_seconds(pace, seconds)
        least, most = ceil(steps.interval.low), floor(steps.interval.high)
        yield "planned_steps", Number.exact(least, pace.where, steps.text) if least == most else steps
    if rate.value and pace is not rate:
        yield "planned_samples", in_seconds(rate, seconds)


def _made(numbers: Mapping[str, Number], notes: list[str]) -> Iterator[tuple[str, Number]]:
    """Steps that were made: those of the plan, if the run reached its epochs."""
    planned, samples, corpus, epochs = (
        numbers.get(name) for name in ("planned_steps", "planned_samples", "corpus", "epochs")
    )
    if planned is None or not planned.interval.is_exact:
        return
    steps = planned.value
    if samples is None or corpus is None or epochs is None:
        yield "steps", Number.exact(int(steps), planned.where)
        return
    asked = samples.interval / corpus.interval
    apart = max(asked.low - epochs.interval.high, epochs.interval.low - asked.high, Fraction(0))
    passes, per_pass = Fraction(ceil(max(asked.high, epochs.interval.high))), steps / max(asked.point, epochs.value)
    if apart * per_pass > passes:  # by more than what each pass may leave out or add at its end
        notes.append(STOPPED)
        return
    least = steps - passes if epochs.interval.high < asked.low else steps
    yield "steps", Number(Interval(steps, max(least, Fraction(1)), steps), planned.where, str(steps))


def _is_of_other_rows(numbers: Mapping[str, Number]) -> bool:
    """Whether more passes were made than the samples by the rates allow: packing makes few samples of many rows."""
    samples, corpus, epochs = (numbers.get(name) for name in ("planned_samples", "corpus", "epochs"))
    if samples is None or corpus is None or epochs is None:
        return False
    return samples.interval.high < LEAST_SHARE * corpus.value * epochs.interval.low

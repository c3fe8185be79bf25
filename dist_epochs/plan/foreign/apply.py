"""Other tools' files into a recipe: what they state together with the recipe's and the flags' own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Unit, parse, parse_count
from dist_epochs.errors import InputError
from dist_epochs.plan.flags import split_devices
from dist_epochs.plan.foreign.complete import complete
from dist_epochs.plan.foreign.detect import read_settings
from dist_epochs.plan.foreign.settings import LaunchSettings, Stated, merge
from dist_epochs.plan.keys import Place
from dist_epochs.plan.yaml_reader import Document

__all__ = ["apply_files"]

BATCH = (
    "devices",
    "per_device",
    "gradient_accumulation",
    "global_batch",
    "tensor_parallel",
    "pipeline_parallel",
    "context_parallel",
    "expert_parallel",
)
"""Factors of the batch."""

PLACES: Mapping[str, Place] = {
    **{name: ("batch", name) for name in BATCH},
    "precision": ("precision",),
    "zero_stage": ("hardware", "zero_stage"),
    "seed": ("seed",),
    "uneven": ("batch", "uneven"),
    "warmup_steps": ("optimizer", "warmup_steps"),
}
"""Where a recipe holds what files state; the length of the run is a flag."""

LENGTHS = ("steps", "samples", "tokens", "epochs", "hours", "flops", "money")


def apply_files(
    document: Document, files: Sequence[Path], flags: Mapping[str, Any]
) -> tuple[dict[str, Any], LaunchSettings]:
    """Write what files state into a document.

    The recipe's own numbers and the flags take part in the same sums, so that a missing factor of the batch
    follows from all of them, and a contradiction names both places.

    Args:
        document: The recipe, or an empty document.
        files: DeepSpeed JSON, Accelerate YAML, TrainingArguments.
        flags: Values of flags by name.

    Returns:
        The flags, with the length of the run if only the files state it, and what was read.

    Raises:
        InputError: If files, recipe and flags contradict each other.
    """
    read = [read_settings(path) for path in files]
    settings = complete(merge([*read, _own(document), _flagged(flags)]))
    settings = _that_apply(settings, document, flags)
    for name, stated in settings.stated().items():
        if name in PLACES:
            document.put(PLACES[name], stated.value, stated.where)
    result = {name: value for name, value in flags.items() if name not in BATCH}
    if "devices" in flags and (kind := split_devices(flags["devices"])[1]) is not None:
        document.put(("hardware", "device"), kind, "--devices")
    stated_length = any(name in flags for name in LENGTHS) or document.get(("phases",)) is not None
    for name in ("steps", "epochs"):
        found = getattr(settings, name)
        if found is not None and not stated_length:
            result[name] = str(found.value)
    return result, settings


def _own(document: Document) -> LaunchSettings:
    """What the recipe states of its batch, as whole numbers."""
    found: dict[str, Any] = {}
    for name in BATCH:
        value = document.get(("batch", name))
        if value is not None and not _in_tokens(value):
            found[name] = Stated(parse_count(value, what=f"batch.{name}"), document.where(("batch", name)))
    return LaunchSettings(**found)


def _flagged(flags: Mapping[str, Any]) -> LaunchSettings:
    found: dict[str, Any] = {}
    for name in BATCH:
        if name in flags and not _in_tokens(flags[name]):
            text = split_devices(flags[name])[0] if name == "devices" else flags[name]
            found[name] = Stated(parse_count(text, what=f"--{name}"), f"--{name.replace('_', '-')}")
    return LaunchSettings(**found)


def _in_tokens(value: Any) -> bool:
    """A batch in tokens is no factor of the sum; the length of the samples decides what it is."""
    try:
        return parse(value).unit in (Unit.TOKEN, Unit.POSITION)
    except InputError:
        return False


def _that_apply(settings: LaunchSettings, document: Document, flags: Mapping[str, Any]) -> LaunchSettings:
    """Without what this plan cannot use, which is told."""
    notes = list(settings.notes)
    left_out: dict[str, Any] = {}
    corpus = flags.get("corpus")
    in_samples = document.get(("corpus", "samples")) is not None or _counts_samples(corpus)
    if settings.uneven is not None and not in_samples:
        notes.append(
            f"{settings.uneven.where}: {settings.uneven.value} at the ends of passes is planned for a corpus in samples"
        )
        left_out["uneven"] = None
    if settings.warmup_steps is not None and document.get(("optimizer",)) is None:
        left_out["warmup_steps"] = None
    return replace(settings, notes=tuple(notes), **left_out)


def _counts_samples(corpus: Any) -> bool:
    try:
        return corpus is not None and parse(corpus).unit is Unit.SAMPLE
    except InputError:
        return False

"""Other tools' files applied to a recipe: what they state, solved together with the numbers of recipe and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import parse_length
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Place
from dist_epochs.settings.value import KeyOrigin, Stated
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.detect import read_files
from dist_epochs.tool_configs.document_facts import batch_of, given_by, has_length, phases_of
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.read_values import read_values
from dist_epochs.tool_configs.readers.llama_factory import LLAMA_FACTORY
from dist_epochs.tool_configs.readers.trl import GRPO, TRL
from dist_epochs.tool_configs.stated import BATCH, LaunchSettings, merge

__all__ = ["apply_files"]

ENDS = ("uneven", "last_window")
"""What happens at the ends of passes."""

TRAINER = "TrainingArguments"
WITH_TRAINER = {TRAINER, LLAMA_FACTORY.name, TRL.name}
"""Tools whose passes the HF Trainer cuts, and nothing else does."""
BY_DEEPSPEED_S_RULE = {*WITH_TRAINER, "a DeepSpeed configuration", "an Accelerate configuration"}
"""Tools whose accumulation is 1 where only the batch or the micro-batch is stated."""

PLACES: Mapping[str, Place] = {
    **{name: ("batch", name) for name in BATCH},
    "precision": ("precision",),
    "zero_stage": ("hardware", "zero_stage"),
    "shard_size": ("hardware", "shard_size"),
    "activation_checkpointing": ("hardware", "activation_checkpointing"),
    "seed": ("seed",),
    "uneven": ("batch", "uneven"),
    "last_window": ("batch", "last_window"),
    "ramp": ("batch", "ramp"),
    "replacement": ("batch", "replacement"),
    "sequence_length": ("phases", 0, "sequence_length"),
    "packing": ("corpus", "packing"),
    "warmup_steps": ("optimizer", "warmup_steps"),
    "adapter": ("model", "adapter"),
    "frozen": ("model", "frozen"),
    "quantization": ("model", "quantization"),
}
"""Where a recipe holds what files state; the length of the run is a flag."""


def apply_files(document: Document, files: Sequence[Path]) -> LaunchSettings:
    """Write what files state into a document to which flags were applied.

    Files and document are solved together, so that a missing factor of the batch follows from all of them, and a
    contradiction names both places.

    Args:
        document: The recipe, flags included; it is changed.
        files: Configurations and launch scripts of other tools.

    Returns:
        What was read, with its notes.

    Raises:
        InputError: If files and document contradict each other.
    """
    own = batch_of(document)
    given = given_by(document, own)
    read = [_without_its_length(settings, document) for settings in read_files(files, given)]
    merged = merge([*read, own])
    merged = _with_sharding(merged)
    settings = complete(merged, accumulates_once=set(merged.tools) <= BY_DEEPSPEED_S_RULE)
    document.values_read, document.framework = read_values(settings, own), settings.framework
    settings = _without_unusable(settings, document)
    for name, stated in settings.stated().items():
        if name in PLACES and document.get(PLACES[name]) is None:
            is_of_loop = name in ENDS and not isinstance(stated.where, KeyOrigin)
            document.put(PLACES[name], stated.value, stated.where, is_default=is_of_loop)
    if settings.corpus_samples is not None:
        size = f"{settings.corpus_samples.value} samples"
        document.put(("corpus",), {"samples": size}, settings.corpus_samples.where)
    if WITH_TRAINER & set(settings.tools):
        settings = _with_trainer_loop(document, settings)
    return _with_length(document, _with_passes(document, settings, given))


def _with_sharding(settings: LaunchSettings) -> LaunchSettings:
    """Copies of the model that devices share are shared whole, where nothing else is said."""
    if settings.shard_size is None or settings.zero_stage is not None:
        return settings
    return replace(settings, zero_stage=Stated(3, settings.shard_size.where))


def _with_passes(document: Document, settings: LaunchSettings, given: Given) -> LaunchSettings:
    """A note, or an error, where a tool cuts its passes of samples, and the corpus is not stated in samples."""
    tools, passes = set(settings.tools) - BY_DEEPSPEED_S_RULE, settings.epochs or given.epochs
    if not tools or passes is None or settings.steps is not None or given.samples is not None:
        return settings
    if GRPO.name in tools:
        raise InputError(
            f"{passes.where}: passes over prompts, and how many prompts there are is not stated",
            rule="a pass has as many steps as it has generations",
            fixes=("--corpus 'N samples', with N prompts", "--steps"),
        )
    if document.get(("corpus",)) is None:
        return settings
    note = f"{passes.where}: {', '.join(sorted(tools))} cuts passes of samples; a share of the corpus is planned"
    return replace(settings, notes=(*settings.notes, note))


def _with_length(document: Document, settings: LaunchSettings) -> LaunchSettings:
    """Plan what decides the length of the run: the tool's own count, or what a file states where nothing else does."""
    counted = settings.counted_steps
    if counted is not None:
        document.put(("budget",), {"steps": str(counted.value)}, counted.where)
        return replace(settings, notes=(*settings.notes, str(counted.where)))
    length = settings.steps or settings.epochs
    if length is not None and not has_length(document):
        name = "steps" if settings.steps else "epochs"
        document.put(("budget",), {name: str(length.value)}, length.where)
    return settings


def _without_its_length(settings: LaunchSettings, document: Document) -> LaunchSettings:
    """Settings of a file; without its steps and epochs, where the document states the length of the run.

    What the tool counts of passes stays: they are the document's.
    """
    if not has_length(document):
        return settings
    left = [found.where for found in (settings.steps, settings.epochs) if found is not None]
    notes = tuple(f"{where}: not used, since the length of the run is stated elsewhere" for where in left)
    return replace(settings, steps=None, epochs=None, notes=(*settings.notes, *notes))


def _with_trainer_loop(document: Document, settings: LaunchSettings) -> LaunchSettings:
    """Plan the Trainer's loop, which pads the last round of a pass and makes a step of its last window."""
    if document.get(("corpus", "samples")) is None or any(
        document.get(("batch", name)) for name in ("replacement", "ramp")
    ):
        note = "the Trainer's loop ends its passes; that is planned for samples, and this one runs on across them"
        return replace(settings, notes=(*settings.notes, note))
    for name, policy in {"uneven": "pad", "last_window": "flush"}.items():
        if document.get(("batch", name)) is None:
            document.put(("batch", name), policy, Origin(f"{TRAINER}, by default"), is_default=True)
    uneven, window = document.get(("batch", "uneven")), document.get(("batch", "last_window"))
    note = f"passes end as in the Trainer (5.x, map-style data): uneven {uneven}, last window {window}"
    return replace(settings, notes=(*settings.notes, note))


def _without_unusable(settings: LaunchSettings, document: Document) -> LaunchSettings:
    """Settings without those that the plan cannot use, each with a note."""
    notes = list(settings.notes)
    left_out: dict[str, Any] = {}
    has_samples = settings.corpus_samples is not None or document.get(("corpus", "samples")) is not None
    for name in ENDS:
        stated = settings.stated().get(name)
        if stated is not None and not has_samples:
            what = f"{stated.value} at the ends of passes is" if isinstance(stated.where, KeyOrigin) else "its ends are"
            notes.append(f"{stated.where}: {what} planned for a corpus in samples")
            left_out[name] = None
    if settings.activation_checkpointing is not None and not settings.activation_checkpointing.value:
        left_out["activation_checkpointing"] = None  # which is the default
    known = document.get(PLACES["sequence_length"])
    if settings.sequence_length is not None:
        if len(phases_of(document)) != 1:
            left_out["sequence_length"] = None
        elif known is not None and parse_length(known) != settings.sequence_length.value:
            where = settings.sequence_length.where
            notes.append(f"{where}: {settings.sequence_length.value:,} there, and {known} is planned")
    if document.get(("corpus", "store")) is None:
        left_out["packing"] = None  # samples are counted elsewhere, or not at all
    if settings.shard_size is not None and settings.zero_stage is not None and not settings.zero_stage.value:
        left_out["shard_size"] = None  # nothing is shared
    if settings.warmup_steps is not None and document.get(("optimizer",)) is None:
        notes.append(f"{settings.warmup_steps.where}: a warm-up is planned with an optimizer, and the recipe has none")
        left_out["warmup_steps"] = None
    return replace(settings, notes=tuple(dict.fromkeys(notes)), **left_out)

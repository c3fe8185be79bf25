"""LLaMA-Factory: TrainingArguments with keys of its own that decide how many samples there are.

Read in its code of 2026 (`data/loader.py`, `data/data_utils.py`, `hparams/parser.py`). `max_samples` cuts each data
set, and `val_size` holds a part of all of them out afterwards. Then the HF Trainer's loop runs.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import NOT_TAKEN_OFF, Given, Tool, Top, have

__all__ = ["LLAMA_FACTORY"]

NAME = "LLaMA-Factory"
LENGTH = 2048
"""`cutoff_len` where it is not stated."""


def _is_its(top: Top) -> bool:
    return not have(top, 1, "train_dataset") and have(
        top, 2, "stage", "finetuning_type", "cutoff_len", "template", "dataset_dir", "max_samples", "val_size",
        "neat_packing", "mix_strategy",
    )  # fmt: skip


def llama_factory_settings(top: Section, given: Given) -> LaunchSettings:
    """What a LLaMA-Factory file states.

    Raises:
        InputError: If a value cannot be used, or the samples cannot be known from what is given.
    """
    stage, packs = top.text("stage"), top.flag("packing")
    is_packed = packs.value if packs else (stage is not None and stage.value == "pt") or top.is_on("neat_packing")
    arguments = training_arguments_settings(top)
    length = None
    if is_packed:
        length = top.count("cutoff_len") or Stated(LENGTH, Origin(f"{NAME}, by default"))
        if packs is None:
            top.note("packing", "on by default here: a sample is a pack of cutoff_len tokens, and N is packs")
    mix = top.text("mix_strategy")
    if mix is not None and mix.value.startswith("interleave"):
        top.note("mix_strategy", "sources are interleaved, so that a pass has another number of samples than they have")
    if top.text("tokenized_path") is not None:
        top.note("tokenized_path", "where it exists already, max_samples and val_size are those that it was made with")
    passes = given.passes(arguments.epochs, arguments.steps)
    samples = None if is_packed else _left_for_training(top, given, needs_it=passes is not None)
    if top.is_on("streaming"):
        top.note("streaming", "a stream has no number of rows: max_steps says how long the run is")
        samples = None
    own = replace(arguments, sequence_length=length)
    if samples is not None and samples != given.samples:
        where = top.where("max_samples" if top.states("max_samples") else "val_size")
        own = replace(own, corpus_samples=Stated(samples, where))
    return replace(own, notes=tuple(dict.fromkeys(top.remarks.notes)), ignored=tuple(top.remarks.ignored))


def _left_for_training(top: Section, given: Given, *, needs_it: bool) -> int | None:
    """Σ min(`max_samples`, rows of a data set) − ⌈`val_size` × that⌉; None where the corpus is not stated in samples.

    Raises:
        InputError: If several data sets are cut, their sizes are not given, and the length of the run needs them.
    """
    most, names = top.count("max_samples"), top.text("dataset")
    if given.samples is None:
        for key in ("max_samples", "val_size"):
            stated = top.number(key, "a share, or a number of rows")
            if stated is not None and stated.value:
                top.note(key, NOT_TAKEN_OFF)
        return None
    rows = given.samples
    if most is not None:
        several = [name.strip() for name in names.value.split(",")] if names else []
        sizes = list(given.sources.values()) or [rows]
        if len(several) > len(sizes):
            if not needs_it:
                return None
            raise InputError(
                f"max_samples cuts each of {len(several)} data sets to {most.value:,} rows",
                rule="how many are left does not follow from one number",
                fixes=[f"--source '{name}:N samples' for each of {', '.join(several)}" for name in several[:1]],
                origin=top.line("max_samples"),
            )
        rows = sum(min(most.value, size) for size in sizes)
        if rows < given.samples:
            top.note("max_samples", f"cuts each data set: {rows:,} of {given.samples:,} rows are left")
    held_out = top.number("val_size", "a share, or a number of rows")
    if held_out is None or not held_out.value or top.states("eval_dataset"):
        return rows
    out = ceil(held_out.value * rows) if held_out.value < 1 else int(held_out.value)
    if out >= rows:
        top.refuse("val_size", f"less than the {rows:,} rows that there are")
    top.note("val_size", f"holds {out:,} of {rows:,} rows out: {rows - out:,} are trained on")
    return rows - out


LLAMA_FACTORY = Tool(NAME, _is_its, llama_factory_settings)

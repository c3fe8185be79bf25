"""LLaMA-Factory: TrainingArguments with keys of its own that decide how many samples there are.

Read in its code of 2026 (`data/loader.py`, `data/data_utils.py`, `hparams/parser.py`). `max_samples` cuts each data
set, and `val_size` holds a part of all of them out afterwards. Then the HF Trainer's loop runs.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.keys import marks
from dist_epochs.tool_configs.passes import Given, held_out
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import by_default
from dist_epochs.tool_configs.trainer_defaults import with_trainer_defaults

__all__ = ["LLAMA_FACTORY"]

NAME = "LLaMA-Factory"
BELOW_ONE = Fraction(1) - Fraction(1, 10**9)
MADE_BEFORE = "where it exists already, max_samples and val_size are those that it was made with"


def llama_factory_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """TrainingArguments, and the samples that are left of the data sets.

    Raises:
        InputError: If a value cannot be used, or the samples cannot be known from what is given.
    """
    stage, packs, mix = top.text("stage"), top.flag("packing"), top.text("mix_strategy")
    is_packed = packs.value if packs else (stage is not None and stage.value == "pt") or top.is_on("neat_packing")
    own = with_trainer_defaults(top, training_arguments_settings(top), given)
    if is_packed:
        own = replace(own, sequence_length=top.count("cutoff_len") or by_default(top, "cutoff_len", 2048, NAME))
        if packs is None:
            top.note("packing", "on by default here: a sample is a pack of cutoff_len tokens, and N is packs")
    if mix is not None and mix.value.startswith("interleave"):
        top.note("mix_strategy", "sources are interleaved, so that a pass has another number of samples than they have")
    samples = None if is_packed else _left_for_training(top, given, needs_it=given.passes(own) is not None)
    if top.is_on("streaming"):
        top.note("streaming", "a stream has no number of rows: max_steps says how long the run is")
        if own.steps is None and not given.has_length:
            asked, rule = "streaming is on, and max_steps is not stated", f"a stream has no number of rows, and {NAME} "
            fixes = ("max_steps", "--steps")
            raise InputError(asked, rule=f"{rule}stops at its start", fixes=fixes, origin=top.line("streaming"))
    elif samples is not None and samples != given.samples:
        where = top.where("max_samples" if top.states("max_samples") else "val_size")
        own = replace(own, corpus_samples=Stated(samples, where))
    return own


def _left_for_training(top: Section, given: Given, *, needs_it: bool) -> int | None:
    """Σ min(`max_samples`, rows of a data set) − ⌈`val_size` × that⌉; None where the corpus is not stated in samples.

    Raises:
        InputError: If several data sets are cut, their sizes are not given, and the length of the run needs them.
    """
    most, names, rows = top.count("max_samples"), top.text("dataset"), given.samples
    if most is not None and rows is None:
        top.note("max_samples", "not taken off: it needs a corpus that is stated in samples")
    elif most is not None and rows is not None:
        several = [name.strip() for name in names.value.split(",")] if names else []
        sizes = list(given.sources.values()) or [rows]
        if len(several) > len(sizes):
            if not needs_it:
                return None
            asked = f"max_samples cuts each of {len(several)} data sets to {most.value:,} rows"
            rule = "how many are left does not follow from one number"
            fixes = f"--source '{several[0]}:N samples' for each of {', '.join(several)}"
            raise InputError(asked, rule=rule, fixes=fixes, origin=top.line("max_samples"))
        left = sum(min(most.value, size) for size in sizes)
        if left < rows:
            top.note("max_samples", f"cuts each data set: {left:,} of {rows:,} rows are left")
        rows = left
    return rows if top.states("eval_dataset") else held_out(top, "val_size", rows, largest_share=BELOW_ONE)


LLAMA_FACTORY = Tool(
    NAME,
    marks(
        (2, "stage finetuning_type cutoff_len template dataset_dir max_samples val_size neat_packing mix_strategy"),
        (1, "output_dir model_name_or_path per_device_train_batch_size num_train_epochs max_steps"),
        never="train_dataset",
    ),
    rules=llama_factory_rules,
    framework="transformers",
    notes={"tokenized_path": MADE_BEFORE},
)

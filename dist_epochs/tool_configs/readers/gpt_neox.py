"""GPT-NeoX: YAML files with DeepSpeed's keys beside its own, in which `-` is `_`.

Read in its code of 2025 (`megatron/neox_arguments/arguments.py`, `megatron/training.py`). The accumulation is 1 where
it is not stated, and never follows from the batch. Devices that share a model are a part of all: data-parallel size =
devices ÷ (`pipe_parallel_size` × `model_parallel_size`). Batches run on across passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Located, Stated
from dist_epochs.tool_configs.keys import SEED, Key, count, flag, marks, number, precision
from dist_epochs.tool_configs.passes import Given, either, pass_of
from dist_epochs.tool_configs.sharding import zero_stage
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import assumed, precision_of, product

__all__ = ["GPT_NEOX", "joined"]

NAME = "GPT-NeoX"
STAGES = "pipe_parallel_size"


def joined(files: Sequence[Section]) -> Section:
    """The keys of all files of one run; each keeps its own place.

    Raises:
        InputError: If two files have one key, or one name, for which GPT-NeoX stops.
    """
    values: dict[str, Located] = {}
    stops = f"{NAME} stops at its start"
    for file in files:
        if [each.file.name for each in files].count(file.file.name) > 1:
            raise InputError(f"two files called {file.file.name}", rule=stops, fixes="other names", origin=file.origin)
        for key, item in file.values.items():
            known = values.get(key.replace("-", "_"))
            if known is not None and known.origin.name != item.origin.name:
                if "-" not in key:  # its check looks for the key as it is written, among others that have `_`
                    asked = f"{key} stands in {known.origin} too"
                    raise InputError(asked, rule=stops, fixes="removing one of them", origin=item.origin)
                file.note(key, f"replaces that of {known.origin}, which {NAME} does not see")
            values[key.replace("-", "_")] = item
    notes = [note for file in files for note in file.remarks.notes]
    return replace(files[0], values=values, remarks=replace(files[0].remarks, notes=notes))


def gpt_neox_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Devices, precision and the steps of passes: ⌊⌊samples ÷ round⌋ × epochs ÷ accumulation⌋, nothing rounded up."""
    either(NAME, own.steps, own.epochs)
    stages = own.pipeline_parallel or (Stated(1, top.where(STAGES)) if top.states(STAGES) else None)
    own = replace(own, pipeline_parallel=stages, precision=own.precision or _precision(top))
    share, over = top.number("warmup", "a share of the steps"), top.count("lr_decay_iters") or own.steps
    if share is not None and over is not None:
        steps = int(share.value * over.value)
        top.note("warmup", f"a share: {float(share.value):g} of {over.value:,} steps are {steps:,}")
    found = pass_of(own, given)
    if found is None:
        return own
    steps = int(found.samples // found.round * found.epochs.value // found.accumulation)
    rule = f"⌊⌊{found.samples:,} ÷ {found.round:,}⌋ × {found.times} ÷ {found.accumulation:,}⌋"
    return replace(own, counted_steps=found.counted(steps, rule, NAME))


def _precision(top: Section) -> Stated[Precision]:
    """What the sections of DeepSpeed say, which `precision` replaces; without either it is fp32."""
    if top.states("precision"):
        top.refuse("precision", "one of fp16, bfloat16, fp32")
    fp16, bf16 = (top.section(key).flag("enabled") for key in ("fp16", "bf16"))
    kind = top.section("fp16").text("type")
    if fp16 is not None and fp16.value and kind is not None and kind.value == "bfloat16":  # as older files write it
        return Stated("bf16", kind.where)
    return precision_of(fp16, bf16, f"{NAME} trains in one of them") or assumed(NAME, "fp32")


GPT_NEOX = Tool(
    NAME,
    marks(
        (2, "pipe_parallel_size model_parallel_size train_iters train_epochs checkpoint_factor gpt_j_residual "
            "synchronize_each_layer num_layers pos_emb data_impl pack_impl lr_decay_iters lr_decay_style "
            "keep_last_n_checkpoints"),
    ),
    {
        "devices": lambda top: product(top, "num_gpus", "num_nodes"),
        "global_batch": count("train_batch_size"),
        "per_device": count("train_micro_batch_size_per_gpu"),
        "gradient_accumulation": count("gradient_accumulation_steps", default=1),
        "tensor_parallel": count("model_parallel_size"),
        "context_parallel": count("context_parallel_size"),
        "pipeline_parallel": count(STAGES, open=("0",)),  # 0 is one stage
        "sequence_length": count("seq_length"),
        "precision": precision("precision", bf16="bfloat16", fp16="fp16", fp32="fp32"),
        "zero_stage": Key(("zero_optimization.stage",), zero_stage),
        "activation_checkpointing": flag("checkpoint_activations"),
        "seed": SEED,
        "steps": count("train_iters"),
        "epochs": number("train_epochs"),
    },
    gpt_neox_rules,
    framework="gpt-neox",
)  # fmt: skip

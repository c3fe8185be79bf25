"""GPT-NeoX: YAML with DeepSpeed's keys beside its own, in which `-` is `_`.

Read in its code of 2025 (`megatron/neox_arguments/arguments.py`, `megatron/training.py`). The accumulation is 1 where
it is not stated, and never follows from the batch. Devices that share a model are a part of all: data-parallel size =
devices ÷ (`pipe_parallel_size` × `model_parallel_size`). Batches run on across passes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.complete import complete, data_parallel_size
from dist_epochs.tool_configs.readers.deepspeed import precision_of, zero_stage
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import Given, Tool, Top, counted, factor, have

__all__ = ["GPT_NEOX"]

NAME = "GPT-NeoX"
PRECISIONS: dict[str, Precision] = {"fp16": "fp16", "bfloat16": "bf16", "fp32": "fp32"}


def _is_its(top: Top) -> bool:
    return have(
        top, 2, "pipe_parallel_size", "model_parallel_size", "train_iters", "train_epochs", "checkpoint_factor",
        "gpt_j_residual", "synchronize_each_layer", "num_layers", "pos_emb", "data_impl", "pack_impl",
        "lr_decay_iters", "lr_decay_style", "keep_last_n_checkpoints",
    )  # fmt: skip


def gpt_neox_settings(top: Section, given: Given) -> LaunchSettings:
    """What a GPT-NeoX file states.

    Raises:
        InputError: If a value cannot be used, or steps and epochs are both stated.
    """
    top = replace(top, values={key.replace("-", "_"): value for key, value in top.values.items()})
    steps, epochs = top.count("train_iters"), top.number("train_epochs", "a number above zero")
    if steps is not None and epochs is not None:
        raise InputError(
            f"{steps.where} and {epochs.where} are both stated",
            rule=f"{NAME} takes one of them, and stops at its start",
            fixes="removing one",
        )
    stages = top.count("pipe_parallel_size", least=0)
    batch = LaunchSettings(
        devices=given.batch.devices or _devices(top),
        global_batch=top.count("train_batch_size"),
        per_device=top.count("train_micro_batch_size_per_gpu"),
        gradient_accumulation=factor(top, "gradient_accumulation_steps", given.batch.gradient_accumulation, 1, NAME),
        tensor_parallel=top.count("model_parallel_size"),
        context_parallel=top.count("context_parallel_size"),
        pipeline_parallel=stages and Stated(max(stages.value, 1), stages.where),  # 0 is one stage
    )
    _note_warmup(top, steps)
    return replace(
        batch,
        sequence_length=top.count("seq_length"),
        precision=_precision(top),
        zero_stage=zero_stage(top.section("zero_optimization"), "stage"),
        activation_checkpointing=top.flag("checkpoint_activations"),
        seed=top.count("seed", least=0),
        steps=steps,
        epochs=epochs,
        counted_steps=_steps(batch, given, given.passes(epochs, steps)),
        ignored=tuple(top.remarks.ignored),
        notes=tuple(top.remarks.notes),
    )


def _devices(top: Section) -> Stated[int] | None:
    """GPUs of a machine × machines; a file rarely has both."""
    each, machines = top.count("num_gpus"), top.count("num_nodes")
    return Stated(each.value * machines.value, each.where) if each and machines else None


def _precision(top: Section) -> Stated[Precision] | None:
    """`precision` is an older word for what the sections of DeepSpeed say; without either it is fp32."""
    word = top.text("precision")
    if word is not None:
        if word.value not in PRECISIONS:
            top.refuse("precision", "one of fp16, bfloat16, fp32")
        return Stated(PRECISIONS[word.value], word.where)
    fp16, bf16 = (top.section(key).flag("enabled") for key in ("fp16", "bf16"))
    kind = top.section("fp16").text("type")
    if fp16 is not None and fp16.value and kind is not None and kind.value == "bfloat16":  # as older files write it
        return Stated("bf16", kind.where)
    found = precision_of(fp16, bf16, f"{NAME} trains in one of them")
    return found or Stated("fp32", Origin(f"{NAME}, by default"))


def _note_warmup(top: Section, steps: Stated[int] | None) -> None:
    share, over = top.number("warmup", "a share of the steps"), top.count("lr_decay_iters") or steps
    if share is not None and over is not None:
        top.note(
            "warmup", f"a share: {float(share.value):g} of {over.value:,} steps are {int(share.value * over.value):,}"
        )


def _steps(batch: LaunchSettings, given: Given, epochs: Stated[Fraction] | None) -> Stated[int] | None:
    """⌊⌊samples ÷ (micro-batch × data-parallel size)⌋ × epochs ÷ accumulation⌋: nothing is rounded up."""
    whole = complete(batch)
    size, each, accumulation = data_parallel_size(whole), whole.per_device, whole.gradient_accumulation
    if epochs is None or given.samples is None or size is None or not each or not accumulation:
        return None
    micro_steps = given.samples // (each.value * size)
    steps = int(micro_steps * epochs.value // accumulation.value)
    rule = f"⌊⌊{given.samples:,} ÷ {each.value * size:,}⌋ × {float(epochs.value):g} ÷ {accumulation.value:,}⌋"
    return counted(steps, rule, epochs, NAME)


GPT_NEOX = Tool(NAME, _is_its, gpt_neox_settings)

"""Megatron-LM, by the flags of its training programs.

Read in its code of 2026 (`megatron/training/arguments.py`, `training.py`). The accumulation follows from the global
batch, which must divide. `--train-samples` are whole steps, and what is left is not drawn. Until 2026-04 a batch could
grow by `--rampup-batch-size`.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.keys import count, marks, text
from dist_epochs.tool_configs.passes import Given, either
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import assumed, once, precision_of

__all__ = ["MEGATRON"]

NAME = "Megatron-LM"
SHARDING = {"no_shard": 0, "optim": 1, "optim_grads": 2, "optim_grads_params": 3}
NOTES = {
    "rampup_batch_size": f"as {NAME} read it before 2026-04",
    "sequence_parallel": "inside the tensor-parallel group, which is no context parallelism",
    "decrease_batch_size_if_needed": "may change the batch",
}


def megatron_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """The steps of `--train-samples`, and whether activations are computed again.

    Raises:
        InputError: If both steps and samples are stated, or the batch changes by tokens.
    """
    samples, schedule = top.count("train_samples"), "step_batch_size_schedule"
    either(NAME, own.steps, samples)
    if top.states(schedule):
        rule, fixes = "its thresholds are tokens, from which the batch changes", "a recipe with batch: {ramp: {stages: "
        asked = "--step-batch-size-schedule is not read"
        raise InputError(asked, rule=rule, fixes=f"{fixes}{{…}}}}}}", origin=top.line(schedule))
    own = _with_checkpointing(top, replace(own, gradient_accumulation=once(own, NAME)))
    whole = own.global_batch or complete(own).global_batch
    if samples is not None and whole is not None:
        return replace(own, steps=_steps(top, samples, whole, own.ramp))
    if samples is not None:
        top.note("train_samples", "they make steps once the devices are known: --devices")
    return own


def _precision(top: Section) -> Stated[Precision]:
    return precision_of(top.flag("fp16"), top.flag("bf16"), f"{NAME} takes one of them") or assumed(NAME, "fp32")


def _steps(top: Section, samples: Stated[int], batch: Stated[int], ramp: Stated[str] | None) -> Stated[int] | None:
    """Steps of the ramp, and whole batches of what is left."""
    steps = drawn = 0
    if ramp is None:
        if rest := samples.value % batch.value:
            top.note("train_samples", f"whole steps: {rest:,} samples are left over and not drawn")
        return Stated(samples.value // batch.value, samples.where)
    numbers = ramp.value.split()
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        top.refuse("rampup_batch_size", "three numbers: start, increment, samples")
    start, increment, over = map(int, numbers)
    levels = Ramp.increments(
        start=start, increment=max(increment, 1), over=Fraction(over), unit=Unit.SAMPLE, global_batch=batch.value
    )
    for size, ends in zip(levels.batches, levels.starts[1:], strict=False):
        more = max(-((drawn - ends) // size), 0) if drawn < ends else 0
        steps, drawn = steps + int(more), drawn + int(more) * size
    return Stated(steps + max(samples.value - drawn, 0) // batch.value, samples.where)


def _zero_stage(top: Section) -> Stated[int] | None:
    if top.is_on("use_torch_fsdp2"):
        return Stated(3, top.where("use_torch_fsdp2"))
    if top.is_on("use_megatron_fsdp"):
        word = top.text("data_parallel_sharding_strategy")
        stage = SHARDING.get(word.value if word else "optim_grads_params")
        return None if stage is None else Stated(stage, top.where("use_megatron_fsdp"))
    shards = top.flag("use_distributed_optimizer")
    return Stated(int(shards.value), shards.where) if shards else assumed(NAME, 0)


def _with_checkpointing(top: Section, own: LaunchSettings) -> LaunchSettings:
    """All activations with `--recompute-granularity full`; a part of them otherwise, which no plan is made of."""
    word = top.text("recompute_granularity")
    if word is not None and word.value == "full":
        return replace(own, activation_checkpointing=Stated(True, word.where))
    for key in filter(top.states, ("recompute_activations", "recompute_granularity")):
        top.note(key, "some activations are computed again; memory is planned with all of them kept")
        return replace(own, told={**own.told, "activation_checkpointing": Stated("selective", top.where(key))})
    return own


MEGATRON = Tool(
    NAME,
    marks((1, "micro_batch_size"), (1, "tensor_model_parallel_size train_iters train_samples num_layers")),
    {
        "per_device": count("micro_batch_size"),
        "global_batch": count("global_batch_size"),
        "tensor_parallel": count("tensor_model_parallel_size"),
        "pipeline_parallel": count("pipeline_model_parallel_size"),
        "context_parallel": count("context_parallel_size"),
        "expert_parallel": count("expert_model_parallel_size"),
        "sequence_length": count("seq_length", "encoder_seq_length"),
        "precision": _precision,
        "zero_stage": _zero_stage,
        "seed": count("seed", least=0, default=1234),
        "warmup_steps": count("lr_warmup_iters", least=0),
        "steps": count("train_iters"),
        "ramp": text("rampup_batch_size"),
    },
    megatron_rules,
    framework="megatron",
    notes=NOTES,
)

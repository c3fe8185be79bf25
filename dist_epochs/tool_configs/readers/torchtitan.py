"""torchtitan: TOML, or the JSON that it saves of a run.

Read in its code of 2026 (`torchtitan/train.py`, `trainer.py`). The data have no end, so there are no passes. One degree
of sharding may be -1: what the others leave of the devices. Until 2025-04 the degrees stood in [training] and
[experimental], until 2025-06 the local batch was `batch_size`; since 2026-08 a micro-batch is counted in tokens.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import KeyOrigin, Stated
from dist_epochs.tool_configs.complete import data_parallel_size
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge
from dist_epochs.tool_configs.tool import Given, Tool, Top, default, have, precision_word

__all__ = ["TORCHTITAN"]

NAME = "torchtitan"
BY_DEFAULT = Origin(f"{NAME}, by default")
PRECISIONS: dict[str, Precision] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
SHARD = ("data_parallel_shard_degree", "data_parallel_degree")


def _is_its(top: Top) -> bool:
    return have(top, 1, "training.steps") and have(
        top, 1, "training.seq_len", "training.local_batch_size", "training.batch_size",
        "training.num_tokens_per_microbatch_per_dp_rank", "parallelism.data_parallel_shard_degree",
    )  # fmt: skip


def torchtitan_settings(top: Section, given: Given) -> LaunchSettings:
    """What a torchtitan file states.

    Raises:
        InputError: If a value cannot be used.
    """
    training = top.section("training")
    places = tuple(top.section(name) for name in ("parallelism", "training", "experimental"))
    own = LaunchSettings(
        devices=given.batch.devices,
        tensor_parallel=_degree(places, "tensor_parallel_degree"),
        pipeline_parallel=_degree(places, "pipeline_parallel_degree"),
        context_parallel=_degree(places, "context_parallel_degree"),
    )
    replicas, shards = _degree(places, "data_parallel_replicate_degree"), _degree(places, *SHARD)
    degrees, devices = [replicas, own.tensor_parallel, own.pipeline_parallel, own.context_parallel], own.devices
    if devices is None and shards is not None:
        sizes = [shards.value, *(degree.value for degree in degrees if degree)]
        where = KeyOrigin(shards.where.name, shards.where.line, key=f"degrees: {' × '.join(map(str, sizes))}")
        own = replace(own, devices=Stated(prod(sizes), where))
    own = replace(
        own,
        sequence_length=_length(training),
        precision=precision_word(training, "mixed_precision_param", PRECISIONS, NAME),
        zero_stage=_zero_stage(top, own, replicas, shards),
        activation_checkpointing=_checkpointing(top),
        seed=training.count("seed", least=0) or top.section("debug").count("seed", least=0),
        warmup_steps=top.section("lr_scheduler").count("warmup_steps", least=0),
        steps=training.count("steps"),
    )
    own = merge([own, _batch(training, places[0])])
    return replace(own, notes=tuple(top.remarks.notes), ignored=tuple(top.remarks.ignored))


def _degree(places: tuple[Section, ...], *keys: str) -> Stated[int] | None:
    """A degree from whichever section has it; -1 is what the others leave, and is not stated."""
    for section in places:
        for key in keys:
            stated = section.number(key, "a number of devices, or -1", least=-1)
            if stated is not None:
                return None if stated.value == -1 else section.count(key)
    return None


def _batch(training: Section, parallelism: Section) -> LaunchSettings:
    """Samples of a micro-batch and of a step; without `global_batch_size` a step is one micro-step."""
    tokens = training.count("num_tokens_per_microbatch_per_dp_rank")
    if tokens is not None:
        return _batch_in_tokens(training, parallelism, tokens)
    each = training.count("local_batch_size") or training.count("batch_size")
    each = each or default(training, "local_batch_size", 8, NAME)
    stated = training.number("global_batch_size", "a number of samples, or -1", least=-1)
    if stated is None or stated.value == -1:
        return LaunchSettings(per_device=each, gradient_accumulation=Stated(1, BY_DEFAULT))
    return LaunchSettings(per_device=each, global_batch=training.count("global_batch_size"))


def _batch_in_tokens(training: Section, parallelism: Section, tokens: Stated[int]) -> LaunchSettings:
    """A micro-batch of tokens of one data-parallel rank, times the micro-batches of a pipeline."""
    length = _length(training)
    if tokens.value % length.value:
        training.refuse("num_tokens_per_microbatch_per_dp_rank", f"a multiple of the length {length.value}")
    rounds = parallelism.count("num_pp_microbatches")
    each = tokens.value // length.value * (rounds.value if rounds else 1)
    step = training.number("num_tokens_per_train_step", "a number of tokens, or -1", least=-1)
    per_device = Stated(each, tokens.where)
    if step is None or step.value == -1:
        return LaunchSettings(per_device=per_device, gradient_accumulation=Stated(1, BY_DEFAULT))
    if step.value % length.value:
        training.refuse("num_tokens_per_train_step", f"a multiple of the length {length.value}")
    whole = Stated(int(step.value) // length.value, step.where)
    return LaunchSettings(per_device=per_device, global_batch=whole)


def _length(training: Section) -> Stated[int]:
    return training.count("seq_len") or training.count("max_context_length") or Stated(2048, BY_DEFAULT)


def _zero_stage(
    top: Section, own: LaunchSettings, replicas: Stated[int] | None, shards: Stated[int] | None
) -> Stated[int] | None:
    """Weights are dropped after the forward pass, except with pipelines or where that is turned off."""
    size = data_parallel_size(own)
    each = shards.value if shards else None if size is None else size // (replicas.value if replicas else 1)
    if each == 1:
        return Stated(0, shards.where if shards else BY_DEFAULT)
    word = top.section("parallelism").text("fsdp_reshard_after_forward")
    pipeline = own.pipeline_parallel
    keeps = word is not None and word.value == "never"
    keeps |= (word is None or word.value == "default") and pipeline is not None and pipeline.value > 1
    return Stated(2 if keeps else 3, word.where if word else BY_DEFAULT)


def _checkpointing(top: Section) -> Stated[bool] | None:
    section = top.section("activation_checkpoint")
    mode = section.text("mode")
    if mode is None:
        return None
    if mode.value != "selective":
        return Stated(mode.value == "full", mode.where)
    section.note("mode", "selective: some activations are computed again; memory is planned with all of them kept")
    return None


TORCHTITAN = Tool(NAME, _is_its, torchtitan_settings)

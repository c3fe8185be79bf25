"""torchtitan: TOML, or the JSON that it saves of a run.

Read in its code of 2026 (`torchtitan/train.py`, `trainer.py`). The data have no end, so there are no passes. One degree
of sharding may be -1: what the others leave of the devices. Until 2025-04 the degrees stood in [training] and
[experimental], until 2025-06 the local batch was `batch_size`; since 2026-08 a micro-batch is counted in tokens.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from dist_epochs.settings.section import Section
from dist_epochs.settings.value import KeyOrigin, Stated
from dist_epochs.tool_configs.complete import data_parallel_size
from dist_epochs.tool_configs.keys import Key, count, marks, precision
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.sharding import degree, shard_size
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import assumed, by_default, once

__all__ = ["TORCHTITAN"]

NAME = "torchtitan"
STEP, MICRO_STEP = "num_tokens_per_train_step", "num_tokens_per_microbatch_per_dp_rank"


def _degree(*names: str) -> Key:
    sections = ("parallelism", "training", "experimental")
    return Key(tuple(f"{section}.{name}" for section in sections for name in names), degree)


def _read(top: Section, key: Key) -> Stated[int] | None:
    found = key.stated(top)
    return None if found is None else key.read(*found)


def torchtitan_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Devices and what is sharded, by the degrees; the batch, by samples or by tokens."""
    replicas = _read(top, _degree("data_parallel_replicate_degree"))
    shards = _read(top, _degree("data_parallel_shard_degree", "data_parallel_degree"))
    if own.devices is None and shards is not None:
        degrees = (shards, replicas, own.tensor_parallel, own.pipeline_parallel, own.context_parallel)
        sizes = [one.value for one in degrees if one is not None]
        where = KeyOrigin(shards.where.name, shards.where.line, key=f"degrees: {' × '.join(map(str, sizes))}")
        top.remarks.notes.append(f"{where}: {prod(sizes)} devices follow, since every degree is stated")
        own = replace(own, devices=Stated(prod(sizes), where))
    size = data_parallel_size(own)
    each = shards.value if shards else None if size is None else size // (replicas.value if replicas else 1)
    alone = Stated(0, shards.where) if shards else assumed(NAME, 0)
    stage = alone if each == 1 else _zero_stage(top, own)
    return replace(_with_batch(top, own), zero_stage=stage, shard_size=shard_size(replicas, shards, size))


def _with_batch(top: Section, own: LaunchSettings) -> LaunchSettings:
    """Samples of a micro-batch and of a step; where no batch is stated, a step is one micro-step.

    Since 2026-08 both are tokens, and a pipeline has several micro-batches in one.
    """
    training, length = top.section("training"), own.sequence_length
    each, whole, tokens = own.per_device, own.global_batch, training.count(MICRO_STEP)
    if tokens is not None and length is not None:
        of_step = degree(training, STEP)
        for key, stated in ((MICRO_STEP, tokens), (STEP, of_step)):
            if stated is not None and stated.value % length.value:
                training.refuse(key, f"a multiple of the length {length.value}")
        rounds = top.section("parallelism").count("num_pp_microbatches")
        each = Stated(tokens.value // length.value * (rounds.value if rounds else 1), tokens.where)
        whole = of_step and Stated(of_step.value // length.value, of_step.where)
    each, own = each or by_default(training, "local_batch_size", 8, NAME), replace(own, global_batch=whole)
    return replace(own, per_device=each, gradient_accumulation=once(own, NAME))


def _zero_stage(top: Section, own: LaunchSettings) -> Stated[int]:
    """Weights are dropped after the forward pass, except with pipelines or where that is turned off."""
    word, pipeline = top.section("parallelism").text("fsdp_reshard_after_forward"), own.pipeline_parallel
    keeps = word is not None and word.value == "never"
    keeps |= (word is None or word.value == "default") and pipeline is not None and pipeline.value > 1
    if keeps and word is None:
        top.remarks.notes.append(f"{top.origin}: weights are kept after the forward pass, as by default with pipelines")
    return assumed(NAME, 2 if keeps else 3) if word is None else Stated(2 if keeps else 3, word.where)


def _checkpointing(section: Section, key: str) -> Stated[bool] | None:
    mode = section.text(key)
    if mode is not None and mode.value == "selective":
        section.note(key, "selective: some activations are computed again; memory is planned with all of them kept")
        return None
    return None if mode is None else Stated(mode.value == "full", mode.where)


TORCHTITAN = Tool(
    NAME,
    marks(
        (1, "training.steps"),
        (1, "training.seq_len training.local_batch_size training.batch_size parallelism.data_parallel_shard_degree "
            f"training.{MICRO_STEP}"),
    ),
    {
        "tensor_parallel": _degree("tensor_parallel_degree"),
        "pipeline_parallel": _degree("pipeline_parallel_degree"),
        "context_parallel": _degree("context_parallel_degree"),
        "per_device": count("training.local_batch_size", "training.batch_size"),
        "global_batch": count("training.global_batch_size", open=("-1",)),
        "sequence_length": count("training.seq_len", "training.max_context_length", default=2048),
        "precision": precision("training.mixed_precision_param", bf16="bfloat16", fp16="float16", fp32="float32",
                               default="bf16"),
        "activation_checkpointing": Key(("activation_checkpoint.mode",), _checkpointing),
        "seed": count("training.seed", "debug.seed", least=0),
        "warmup_steps": count("lr_scheduler.warmup_steps", least=0),
        "steps": count("training.steps"),
    },
    torchtitan_rules,
    notes={"parallelism.pipeline_parallel_microbatch_size": "splits a micro-batch: no accumulation"},
)  # fmt: skip

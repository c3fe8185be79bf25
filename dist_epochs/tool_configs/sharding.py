"""How devices share a model, in the words of Accelerate and the Trainer: FSDP and the parallelism configuration."""

from __future__ import annotations

from math import prod

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import KeyOrigin, Stated
from dist_epochs.tool_configs.complete import data_parallel_size
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["degree", "fsdp_stage", "fsdp_stage_of", "parallel_settings", "replicated", "shard_size", "zero_stage"]

FSDP_STRATEGIES = {"FULL_SHARD": 3, "SHARD_GRAD_OP": 2, "NO_SHARD": 0, "HYBRID_SHARD": 3, "HYBRID_SHARD_ZERO2": 2}
SIZES = ("dp_replicate_size", "dp_shard_size", "tp_size", "cp_size", "sp_size")


def fsdp_stage_of(strategy: str) -> int | None:
    """The ZeRO stage that shards as much as an FSDP strategy, given by name or torch's number; None for other words.

    Hybrid strategies share within a machine only.

    Examples:
        >>> fsdp_stage_of("full_shard"), fsdp_stage_of("2"), fsdp_stage_of("auto_wrap")
        (3, 2, None)
    """
    numbered = dict(zip("12345", FSDP_STRATEGIES, strict=True))
    return FSDP_STRATEGIES.get(numbered.get(strategy, strategy).upper())


def fsdp_stage(config: Section, *, version: int) -> Stated[int] | None:
    """The ZeRO stage of an FSDP configuration, where it states one.

    Version 1 names a strategy; version 2 only says whether weights are dropped after the forward pass
    (`reshard_after_forward`), which is stage 3, or kept, stage 2.

    Args:
        config: The configuration, whose keys may begin with `fsdp_`.
        version: The version where it states none.

    Raises:
        InputError: If a value is no strategy.
    """

    def key(name: str) -> str:
        return f"fsdp_{name}" if config.states(f"fsdp_{name}") else name

    stated = config.count(key("version"))
    strategy, reshard = key("sharding_strategy"), key("reshard_after_forward")
    if (stated.value if stated else version) == 2:
        config.ignore(strategy)
        drops = config.flag(reshard)
        return drops and Stated(3 if drops.value else 2, drops.where)
    name = strategy if config.states(strategy) else reshard
    word = config.text(name)
    if word is None:
        return None
    stage = fsdp_stage_of(word.value)
    if stage is None:
        config.refuse(name, f"one of {', '.join(FSDP_STRATEGIES)} with FSDP version 1")
    return Stated(stage, word.where)


def zero_stage(section: Section, key: str) -> Stated[int] | None:
    """A ZeRO stage.

    Raises:
        InputError: If it is none of 0 to 3.
    """
    stage = section.count(key, least=0)
    if stage is not None and stage.value > 3:
        section.refuse(key, "0, 1, 2 or 3")
    return stage


def degree(section: Section, key: str) -> Stated[int] | None:
    """A degree of parallelism; -1 is what the others leave of the devices, and is not stated.

    Raises:
        InputError: If it is no number.
    """
    stated = section.number(key, "a number of devices, or -1", least=-1)
    return None if stated is None or stated.value == -1 else section.count(key)


def shard_size(replicas: Stated[int] | None, shards: Stated[int] | None, size: int | None) -> Stated[int] | None:
    """Data-parallel devices that share one copy of the model, where there are several (hybrid sharding); else None.

    Args:
        replicas: Copies of the model.
        shards: Devices that share a copy, where that is stated.
        size: Devices that see different data.
    """
    if replicas is None or replicas.value < 2:
        return None
    each = shards.value if shards else None if size is None else size // replicas.value
    return None if each is None or each < 2 else Stated(each, (shards or replicas).where)


def replicated(top: Section, own: LaunchSettings, replicas: str, shards: str) -> Stated[int] | None:
    """The same, of two keys of a file.

    Raises:
        InputError: If one is no number.
    """
    return shard_size(degree(top, replicas), degree(top, shards), data_parallel_size(own))


def parallel_settings(config: Section, *, prefix: str) -> LaunchSettings:
    """What a parallelism configuration states.

    Accelerate's `ParallelismConfig` takes absent sizes as 1 and requires that the product of all sizes is the number of
    processes, so it states the devices too, unless every size is 1. With sequence parallelism it leaves that to
    DeepSpeed. Context and (Ulysses) sequence parallelism both split samples, and exclude each other.

    Args:
        config: The configuration.
        prefix: What its keys begin with.

    Raises:
        InputError: If a size cannot be used, or both kinds split samples.
    """
    sizes = {name: config.count(prefix + name) for name in SIZES}
    context, sequence = sizes["cp_size"], sizes["sp_size"]
    values = [size.value if size else 1 for size in sizes.values()]
    splits = [size for size in (context, sequence) if size is not None and size.value > 1]
    if len(splits) == 2:
        raise InputError(
            f"{splits[0].where} is {splits[0].value} and {splits[1].where} is {splits[1].value}",
            rule="Accelerate splits samples in one of the two ways, and stops at its start",
            fixes="setting one of them to 1",
        )
    devices = None
    if prod(values) > 1 and not (sequence and sequence.value > 1):
        product = " × ".join(str(value) for value in values)
        where = KeyOrigin(config.origin.name, config.origin.line, key=f"{config.prefix[:-1]} ({product} processes)")
        devices = Stated(prod(values), where)
    shared = shard_size(sizes["dp_replicate_size"], sizes["dp_shard_size"], None)
    return LaunchSettings(
        devices=devices,
        shard_size=shared,
        tensor_parallel=sizes["tp_size"],
        context_parallel=splits[0] if splits else context or sequence,
    )

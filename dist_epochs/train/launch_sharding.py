"""Compares what a launch says of sharding with the recipe, which decides: the trainer shards by itself."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from dist_epochs.recipe import HardwareRecipe
from dist_epochs.train.launch import LaunchError

__all__ = ["check_sharding", "take_over"]

FSDP, PARALLELISM = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_PARALLELISM_CONFIG"

OTHERS = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM"}

SIZE = "PARALLELISM_CONFIG_{}_SIZE"

PLANNED_ONLY = {"TP": "tensor", "CP": "context", "SP": "sequence"}

LIKE_LAUNCH = "--set hardware.zero_stage={}, which plans for this launch"


def check_sharding(environment: Mapping[str, str], hardware: HardwareRecipe | None) -> None:
    """Refuse a launch that asks for something that is not done, or that the recipe does not plan.

    Args:
        environment: The process environment, as `accelerate launch` made it.
        hardware: Of the recipe.

    Raises:
        LaunchError: With the first such setting.
    """
    for name, what in OTHERS.items():
        if _is_on(environment, name):
            raise LaunchError(
                f"the launch asks for {what}",
                rule="it can be planned for and not trained with: this loop shards by FSDP2, or not at all (DDP)",
                fixes="distributed_type: MULTI_GPU or FSDP",
            )
    if _is_on(environment, PARALLELISM):
        _check_parallelism(environment, hardware)
    if _is_on(environment, FSDP):
        _check_fsdp(environment, hardware)


def take_over(environment: MutableMapping[str, str]) -> None:
    """Take the sharding of the launch out of the environment, before Accelerate sees it.

    Accelerate's own wrapping falls back to DDP on the CPU, and fails for models whose head is tied to the embedding.
    """
    for name in (FSDP, PARALLELISM):
        environment.pop(name, None)


def _check_parallelism(environment: Mapping[str, str], hardware: HardwareRecipe | None) -> None:
    sizes = {name: int(environment.get(SIZE.format(name), "1")) for name in ("DP_REPLICATE", "DP_SHARD", *PLANNED_ONLY)}
    for name, what in PLANNED_ONLY.items():
        if sizes[name] > 1:
            raise LaunchError(
                f"the launch asks for {what} parallelism of {sizes[name]} ranks",
                rule="it can be planned for and not trained with: here every rank sees data of its own",
                fixes="removing it from the parallelism_config",
            )
    shard = sizes["DP_SHARD"]
    if shard == 1:
        return
    planned = hardware.shard_size if hardware is not None else None
    if hardware is None or not hardware.is_fully_sharded or (planned or shard) != shard or (
        planned is None and sizes["DP_REPLICATE"] > 1
    ):  # fmt: skip
        raise LaunchError(
            f"the launch asks for {sizes['DP_REPLICATE']} copies of the model, each on {shard} devices",
            rule="the recipe decides: hardware.zero_stage, and hardware.shard_size where there are several copies",
            fixes=(f"--set hardware.zero_stage=3 --set hardware.shard_size={shard}", "removing the parallelism_config"),
        )


def _check_fsdp(environment: Mapping[str, str], hardware: HardwareRecipe | None) -> None:
    version = environment.get("FSDP_VERSION", "1")
    if version != "2":
        raise LaunchError(f"the launch asks for FSDP version {version}", fixes="fsdp_version: 2 in fsdp_config")
    if hardware is None or not hardware.is_fully_sharded:
        raise LaunchError(
            "the launch asks for FSDP, and the recipe does not plan it",
            rule="the recipe decides what devices share, and memory is planned from it",
            fixes=(LIKE_LAUNCH.format(3), "distributed_type: MULTI_GPU, for DDP"),
        )
    if environment.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() == "false":
        raise LaunchError(
            "the launch asks to keep gathered weights after the forward pass (fsdp_reshard_after_forward: false)",
            rule="that is ZeRO stage 2, which is planned and not done",
            fixes="fsdp_reshard_after_forward: true",
        )
    for name in ("FSDP_OFFLOAD_PARAMS", "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD"):
        if _is_on(environment, name):
            raise LaunchError(
                f"the launch asks for {name.lower()}", rule="nothing is moved to the host here", fixes="turning it off"
            )
    if _is_on(environment, "FSDP_ACTIVATION_CHECKPOINTING") and not hardware.activation_checkpointing:
        raise LaunchError(
            "the launch asks for activation checkpointing, and the recipe does not plan it",
            fixes=("--set hardware.activation_checkpointing=true", "fsdp_activation_checkpointing: false"),
        )


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in ("1", "true")

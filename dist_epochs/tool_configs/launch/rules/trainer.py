"""What this package's trainer can be launched with."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.rules import rule
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = ["launch_not_supported", "recipe_not_trainable"]

UNSUPPORTED = {"DEEPSPEED": "DeepSpeed", "MEGATRON_LM": "Megatron-LM", "XLA": "TPUs (XLA)"}


@rule
def launch_not_supported(launch: Launch) -> Iterator[Finding]:
    """This package's trainer is not written for such a launch; it trains with DDP and FSDP2.

    DeepSpeed and Megatron-LM take the backward pass, the accumulation and the step over from the program, and this
    loop's windows and counts are its own. TPUs and SageMaker start programs in ways of their own. Such runs can be
    planned, and counted with a `Ledger` in the program that runs them.

    What to do: `distributed_type: MULTI_GPU`, or `FSDP` with `fsdp_version: 2` instead of ZeRO.
    """
    file = launch.file
    if not file.is_local:
        key = "ec2_instance_type" if file.top.states("ec2_instance_type") else "compute_environment"
        message = "only launches on your own machines (LOCAL_MACHINE) are checked and supported"
        yield Finding(file.line(key), message, "compute_environment: LOCAL_MACHINE", is_of_trainer=True)
    elif file.kind in UNSUPPORTED:
        message = f"this package's trainer does not run under {UNSUPPORTED[file.kind]}: it has DDP and FSDP2"
        fix = "distributed_type: MULTI_GPU"
        if launch.zero_stage:
            fix = "distributed_type: FSDP with fsdp_version: 2 in fsdp_config"
        yield Finding(file.line("distributed_type"), message, fix, is_of_trainer=True)


@rule
def recipe_not_trainable(launch: Launch) -> Iterator[Finding]:
    """The recipe can be planned and lacks what training needs.

    Training reads a token store, and needs `batch.per_device`, a model's configuration and an optimizer. Without them
    the launch is taken for that of another program, and what only this package's trainer minds is a note.

    What to do: `dist-epochs tokenize`, then `corpus: {store: …}`; docs/training.md has the rest.
    """
    if launch.missing:
        message = f"the recipe can be planned, not trained yet: it lacks {', '.join(launch.missing)}"
        yield Finding(launch.recipe, message, "add them to the recipe, or launch another program with this file")

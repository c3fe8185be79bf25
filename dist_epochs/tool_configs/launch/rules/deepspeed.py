"""DeepSpeed's numbers against the recipe's."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.errors import Origin
from dist_epochs.rules import rule
from dist_epochs.settings.value import KeyOrigin
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = [
    "accumulation_from_the_launch", "deepspeed_auto", "deepspeed_batch", "deepspeed_file_beside_keys",
    "deepspeed_quoted_number",
]  # fmt: skip

ACCUMULATION = "gradient_accumulation_steps"


@rule
def accumulation_from_the_launch(launch: Launch) -> Iterator[Finding]:
    """The launch sets the accumulation, which overrides what the program says.

    `gradient_accumulation_steps` in `deepspeed_config`, "auto" included, becomes
    ACCELERATE_GRADIENT_ACCUMULATION_STEPS in the environment, and Accelerate prefers that to the program's argument.
    This package takes the micro-steps from the recipe's global batch, and its trainer stops.

    What to do: remove the line.
    """
    file = launch.file
    if file.kind != "DEEPSPEED" or not file.top.section("deepspeed_config").states(ACCUMULATION):
        return
    planned = launch.plan.batches[0].gradient_accumulation
    message = (
        f"{ACCUMULATION} is exported as ACCELERATE_GRADIENT_ACCUMULATION_STEPS: dist_epochs.train stops (planned: "
        f"{planned})"
    )
    yield Finding(file.line("deepspeed_config", ACCUMULATION), message, f"remove {ACCUMULATION}", is_of_trainer=True)


@rule
def deepspeed_batch(launch: Launch) -> Iterator[Finding]:
    """DeepSpeed's batch is not the plan's.

    Its `train_batch_size` is `train_micro_batch_size_per_gpu` × `gradient_accumulation_steps` × the processes that see
    different data. A loop that is planned with other numbers trains with these.

    What to do: the same numbers in both, or "auto" in DeepSpeed's file.
    """
    if launch.file.kind != "DEEPSPEED":
        return
    batch = launch.plan.batches[0]
    for stated in launch.file.engine:
        for found, planned, key, what in (
            (stated.global_batch, batch.samples, "train_batch_size", "samples a step"),
            (stated.per_device, batch.per_device, "train_micro_batch_size_per_gpu", "samples on each device"),
            (stated.gradient_accumulation, batch.gradient_accumulation, ACCUMULATION, "micro-steps a step"),
        ):
            if found is not None and found.value != planned:
                message = f"{key} is {found.value}, and the plan has {planned} {what}"
                yield Finding(found.origin, message, f"{key}: {planned}")


@rule
def deepspeed_auto(launch: Launch) -> Iterator[Finding]:
    """DeepSpeed's values that are "auto" are filled in when the program starts.

    Accelerate takes the batch sizes from the loader that is given to `prepare`, and the accumulation from the
    program; without a loader that has a batch size it raises.

    What to do: nothing, if the program prepares its loader; the plan's numbers otherwise.
    """
    if launch.file.kind != "DEEPSPEED":
        return
    for key in dict.fromkeys(key for stated in launch.file.engine for key in stated.ignored):
        name = key.key if isinstance(key, KeyOrigin) else "a value"
        message = f'{name} is "auto": filled in by the program'
        yield Finding(Origin(key.name, key.line), message, "state the number, to have it checked")


@rule
def deepspeed_file_beside_keys(launch: Launch) -> Iterator[Finding]:
    """A DeepSpeed file is named, and Accelerate stops for what stands beside it, or for what the file lacks.

    With `deepspeed_config_file`, Accelerate 1.15 raises when the program makes its `Accelerator`, if the configuration
    also states `mixed_precision`, or one of eight keys in `deepspeed_config`: the accumulation, the clipping, the
    stage, devices and paths to offload to, and whether to save 16-bit weights. It says that they "will be ignored",
    and raises. It also raises where the file has no `zero_optimization`.

    What to do: state them in the DeepSpeed file alone.
    """
    file = launch.file
    if file.deepspeed_file is None:
        return
    for key in file.refused_beside_a_file:
        message = f"{key.key} beside deepspeed_config_file: Accelerate raises when the program makes its Accelerator"
        yield Finding(Origin(key.name, key.line), message, f"remove the line: {file.deepspeed_file.file} states it")
    if file.has_file_without_zero:
        message = "no zero_optimization: Accelerate raises when the program makes its Accelerator"
        yield Finding(file.deepspeed_file.origin, message, '"zero_optimization": {"stage": 0}, or the stage you want')


@rule
def deepspeed_quoted_number(launch: Launch) -> Iterator[Finding]:
    """A number stands in quotes in DeepSpeed's file, where DeepSpeed computes with it.

    In JSON `"8"` is text. Transformers compares it with its own 8 and stops, since text is no number; DeepSpeed itself
    fails where it multiplies or divides.

    What to do: remove the quotes. Only "auto" is text.
    """
    for stated in launch.file.engine:
        for key in stated.quoted:
            message = f"{key.key} is a number in quotes, which is text: the program stops when it sets DeepSpeed up"
            yield Finding(Origin(key.name, key.line), message, "remove the quotes")

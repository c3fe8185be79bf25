"""Arithmetic: what the launch asks for, what the recipe does, and what the device can."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.rules import rule
from dist_epochs.settings.value import key_name
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = ["bf16_not_there", "fp16_on_cpu", "launch_precision", "precision_disagrees"]

PRECISIONS = ("no", "fp16", "bf16", "fp8")


@rule
def launch_precision(launch: Launch) -> Iterator[Finding]:
    """`mixed_precision` is none that Accelerate knows, so the launcher stops.

    What to do: `'no'` (in quotes), `fp16`, `bf16` or `fp8`; with `'no'` the recipe decides.
    """
    file = launch.file
    if file.is_local and file.precision not in PRECISIONS:
        message = f"mixed_precision {key_name(file.precision)} is unknown: the launcher stops"
        yield Finding(file.line("mixed_precision"), message, "mixed_precision: 'no'")


@rule
def precision_disagrees(launch: Launch) -> Iterator[Finding]:
    """The launch asks for another precision than the recipe, and this package's trainer stops.

    A program that leaves `mixed_precision` to Accelerate takes the launch's; this one takes the recipe's, bf16 where
    none is stated, so that a run does not depend on who launches it. `'no'` leaves it to the recipe. A recipe that
    cannot be trained yet and states none leaves it to the program, and there is nothing to disagree with.

    What to do: `mixed_precision: 'no'` in the file, or the same precision in the recipe.
    """
    file, stated = launch.file, launch.plan.recipe.precision
    if file.precision not in ("fp16", "bf16", "fp8") or file.precision == launch.precision:
        return
    if launch.missing and stated is None:
        return
    has = f"precision: {launch.precision}" if stated else f"no precision, which is {launch.precision}"
    message = f"mixed_precision is {file.precision}, and the recipe has {has}: {launch.outcome}"
    fix = "mixed_precision: 'no'"
    if file.precision != "fp8":
        fix += f", or precision: {file.precision} in the recipe"
    yield Finding(file.line("mixed_precision"), message, fix)


@rule
def fp16_on_cpu(launch: Launch) -> Iterator[Finding]:
    """fp16 is asked for on the CPU, where Accelerate silently computes in fp32.

    Accelerate turns autocast and loss scaling on for devices other than the CPU only; bf16 works on both. This
    package's trainer stops, since it would not be what the recipe says.

    What to do: bf16 or fp32 on the CPU.
    """
    file = launch.file
    if not file.on_cpu or "fp16" not in (file.precision, launch.precision):
        return
    who = "the recipe" if launch.precision == "fp16" else "mixed_precision"
    message = f"{who} asks for fp16 and the file for the CPU, where Accelerate computes in fp32 without a warning"
    key = "use_cpu" if file.use_cpu else "distributed_type"
    yield Finding(file.line(key), message, "mixed_precision: 'no', and precision: bf16 or fp32 in the recipe")


@rule
def bf16_not_there(launch: Launch) -> Iterator[Finding]:
    """bf16 is asked for on a device that has none.

    V100 and T4 are older than bf16: Accelerate raises, and this package's trainer stops, after the start. The table of
    devices says which have it; one that it does not know is not judged.

    What to do: fp16 or fp32 on such a device.
    """
    speed = launch.plan.cost.speed
    if speed is None or speed.device is None or launch.file.on_cpu:
        return
    asked = {launch.file.precision}
    if not launch.missing or launch.plan.recipe.precision is not None:
        asked.add(launch.precision)
    if "bf16" not in asked or speed.device.dense_tflops.get("bf16"):
        return
    message = f"bf16 is asked for, and {speed.device.name} has none"
    yield Finding(
        launch.file.line("mixed_precision"), message, "mixed_precision: 'no', and precision: fp16 in the recipe"
    )

"""The global batch, on the devices of the launch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import gcd

from dist_epochs.arithmetic.batch import BatchError, cannot_be_built
from dist_epochs.errors import InputError
from dist_epochs.rules import rule
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = ["batch_beyond_the_launch", "batch_of_one_device", "loader_options"]

MOST_TRIED = 10_000
"""Numbers of processes that are tried before none is offered."""


@rule
def batch_beyond_the_launch(launch: Launch) -> Iterator[Finding]:
    """The recipe's global batch cannot be built on the devices of the launch.

    The global batch is the recipe's and never changes with the launch: devices share it equally, in micro-steps of at
    most `per_device` samples. Where they do not divide it nothing is rounded, and the trainer stops.

    What to do: a number of processes that divides the batch, another `batch.global_batch`, or `batch.uneven: allow`,
    with which devices differ by one sample.
    """
    refusal = launch.refusal or _cannot_build(launch)
    if refusal is not None:
        parts = (part for error in refusal.errors for part in (error.asked, error.rule) if part)
        batches = ", ".join(fix for error in refusal.errors for fix in error.fixes)
        fix = _fewer_processes(launch) + (f"; or another batch: {batches}" if batches else "")
        yield Finding(launch.file.line("num_processes"), ": ".join(parts), fix)


def _fewer_processes(launch: Launch) -> str:
    """A number of processes that builds the batch, and how, where its micro-steps are not full."""
    fits, per_device = _fitting_processes(launch), launch.plan.recipe.batch.per_device
    if fits is None:
        return "change the batch, or the devices"
    each = launch.plan.batches[0].samples * launch.file.shared // fits
    if per_device is None or each % per_device == 0:
        return launch.file.setting("num_processes", fits)
    micro_steps = -(-each // per_device)
    many = f"{micro_steps} micro-step{'s' * (micro_steps > 1)}"
    fix = launch.file.setting("num_processes", fits)
    return f"{fix}, with {each} samples each in {many} of at most {per_device}"


def _fitting_processes(launch: Launch) -> int | None:
    """The largest number of processes below the file's that every batch divides by; None if none is near."""
    size = launch.file.data_parallel_size
    samples = gcd(*(batch.samples for batch in launch.plan.batches if not batch.uneven))
    if size is None or samples % size == 0:
        return None
    most = min(size, samples)
    fits = next((count for count in range(most, max(most - MOST_TRIED, 0), -1) if samples % count == 0), None)
    return fits and fits * launch.file.shared


def _cannot_build(launch: Launch) -> InputError | None:
    """Why a stated global batch cannot be built on a world that the plan is not made for."""
    size, batch = launch.file.data_parallel_size, launch.plan.recipe.batch
    stated = batch.global_batch is not None or batch.ramp is not None
    if size is None or launch.plan.loop is not None or not stated:
        return None
    for planned in launch.plan.batches:
        if batch.per_device is None and planned.samples % size and not planned.uneven:
            return cannot_be_built(planned.samples, size)
        try:
            replace(planned, data_parallel_size=size)
        except BatchError as error:
            return error
    return None


@rule
def batch_of_one_device(launch: Launch) -> Iterator[Finding]:
    """The recipe states neither its global batch nor its devices, so its batch is that of one device.

    The plan takes the devices of the launch file, and multiplies. The trainer takes the recipe as it stands: the
    global batch is the recipe's, whatever is launched, and without devices that is `per_device` ×
    `gradient_accumulation`.

    What to do: `--set batch.devices=…`, as the command has it, or `batch.global_batch` in the recipe.
    """
    file, batch = launch.file, launch.plan.recipe.batch
    if launch.states_devices or batch.global_batch is not None or batch.ramp is not None or batch.devices is None:
        return
    if batch.devices == 1 or any(phase.global_batch for phase in launch.plan.recipe.phases):
        return
    whole = launch.plan.batches[0].samples
    one = whole // launch.plan.batches[0].data_parallel_size
    message = (
        f"planned for {batch.devices} processes, {whole} samples a step; the recipe alone says {one}, of one device"
    )
    yield Finding(file.line("num_processes"), message, f"--set batch.devices={batch.devices}, as below")


@rule
def loader_options(launch: Launch) -> Iterator[Finding]:
    """How a pass ends in another program's loop is not in the launch file.

    `split_batches`, `dispatch_batches` and `even_batches` are arguments of the program's `Accelerator`
    (`DataLoaderConfiguration`), and decide which samples are dropped or drawn twice. `--uneven` and `--last-window` are
    taken as stated. This package's own loop has no such options: its batches run on across passes.

    What to do: nothing, if the flags say what the program does; `split_batches=True` makes `per_device` the batch of
    all processes together.
    """
    if launch.plan.loop is None:
        return
    message = f"the file does not say how a pass ends: uneven: {launch.plan.loop.loader.uneven} is taken as stated"
    fix = "compare DataLoaderConfiguration(split_batches, dispatch_batches, even_batches) in the program"
    yield Finding(launch.file.line(), message, fix)

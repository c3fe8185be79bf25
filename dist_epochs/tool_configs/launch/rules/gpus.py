"""The GPUs that the file names, against the processes on each machine."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.rules import rule
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = ["gpu_ids_repeated", "gpus_idle", "one_gpu_id", "too_few_gpu_ids"]


def _gpus(launch: Launch) -> tuple[str, ...]:
    """The GPUs that are named for a launch on GPUs; none where all may be used."""
    file = launch.file
    return file.gpu_ids or () if file.is_by_torchrun and not file.use_cpu else ()


@rule
def too_few_gpu_ids(launch: Launch) -> Iterator[Finding]:
    """More processes start on a machine than GPUs are named in `gpu_ids`.

    The launcher exports them as CUDA_VISIBLE_DEVICES and starts all processes; those beyond find no device of their
    number ("invalid device ordinal"), after the others have started.

    What to do: as many processes as ids on each machine, or `gpu_ids: all`.
    """
    file, ids, each = launch.file, _gpus(launch), launch.file.processes_per_machine
    if not ids or each is None or each <= len(ids):
        return
    if len(ids) == 1 and file.machines == 1 and file.is_ddp:
        return  # the launcher refuses it before: one-gpu-id
    message = (
        f"{each} processes on a machine and {len(ids)} GPUs in gpu_ids ({', '.join(ids)}): {each - len(ids)} find none"
    )
    yield Finding(file.line("gpu_ids"), message, f"num_processes: {len(ids) * file.machines}, or gpu_ids: all")


@rule
def one_gpu_id(launch: Launch) -> Iterator[Finding]:
    """One GPU is named for a launch on several, which the launcher refuses.

    With a `MULTI_…` type on one machine, `gpu_ids` must be `all` or name two at least.

    What to do: name more, or `distributed_type: 'NO'` with one process.
    """
    file, ids = launch.file, launch.file.gpu_ids or ()  # the launcher asks no more: use_cpu does not help
    if len(ids) != 1 or file.machines > 1 or not file.is_ddp:
        return
    message = f"gpu_ids names one GPU ({ids[0]}) for {file.kind}: the launcher stops"
    fix = "gpu_ids: all" if file.processes != 1 else "distributed_type: 'NO'"
    yield Finding(file.line("gpu_ids"), message, fix)


@rule
def gpu_ids_repeated(launch: Launch) -> Iterator[Finding]:
    """A GPU is named twice in `gpu_ids`, and then CUDA shows none.

    torch reads a CUDA_VISIBLE_DEVICES with a repeated number as empty. Two processes cannot share a device under NCCL
    either.

    What to do: name each GPU once.
    """
    file, ids = launch.file, _gpus(launch)
    twice = [name for name in dict.fromkeys(ids) if ids.count(name) > 1]
    if not twice:
        return
    message = f"gpu_ids names {', '.join(twice)} twice: torch then sees no GPU at all"
    yield Finding(file.line("gpu_ids"), message, f"gpu_ids: '{','.join(dict.fromkeys(ids))}'")


@rule
def gpus_idle(launch: Launch) -> Iterator[Finding]:
    """More GPUs are named than processes start on a machine: the rest is idle, and paid for.

    What to do: `num_processes` = GPUs on a machine × machines, or fewer `gpu_ids`.
    """
    file, ids, each = launch.file, _gpus(launch), launch.file.processes_per_machine
    if len(set(ids)) != len(ids) or each is None or each >= len(ids):
        return
    message = f"{len(ids)} GPUs in gpu_ids and {each} process{'es' * (each > 1)} on a machine: {len(ids) - each} idle"
    yield Finding(file.line("gpu_ids"), message, f"num_processes: {len(ids) * file.machines}")

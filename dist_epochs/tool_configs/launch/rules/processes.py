"""How many processes start, and whether they know each other."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.rules import rule
from dist_epochs.tool_configs.accelerate_file import reads_as_false
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = [
    "cpu_by_environment",
    "devices_disagree",
    "one_process",
    "processes_known_at_launch",
    "processes_not_stated",
    "tasks_alone",
]


@rule
def processes_not_stated(launch: Launch) -> Iterator[Finding]:
    """The file does not say how many processes to start, and the launcher does not guess with a file.

    Without `num_processes`, or with -1, `accelerate launch` stops and asks for `--num_processes`; with `null` torchrun
    stops at "None". Only `distributed_type: 'NO'` in quotes takes 1: unquoted it is false in YAML 1.1.

    What to do: `num_processes: 8`, the total over all machines, or `--num_processes 8` on the command line.
    """
    file = launch.file
    if file.processes is not None or not file.is_local or file.is_script:
        return
    bare = reads_as_false(file.raw("distributed_type"))
    is_null = "num_processes" in file.top.values and file.raw("num_processes") is None
    if is_null and not file.is_by_torchrun and not file.use_cpu:
        return  # then nobody asks for the number, and one process starts
    count = launch.planned or (1 if file.kind == "NO" else 8)
    message = "num_processes is left open, and the launcher does not guess: it stops"
    if bare:
        message += " (NO without quotes is false in YAML, and only 'NO' takes 1)"
    yield Finding(file.line("num_processes"), message, f"num_processes: {count}, or --num_processes {count}")


@rule
def one_process(launch: Launch) -> Iterator[Finding]:
    """The launcher starts one process, whatever `num_processes` says.

    With `distributed_type: NO` or `MULTI_CPU`, Accelerate 1.15 runs the program once; only mpirun, named in
    `mpirun_config`, starts more of them. The run goes on without an error, with another number of micro-steps, and
    with a smaller batch where the program multiplies by the number of processes. This package's trainer stops.

    What to do: on GPUs `distributed_type: MULTI_GPU`. On a CPU the same with `use_cpu: true`, and
    `ACCELERATE_USE_CPU=true` in the environment: launch/two-cpu-processes.yaml.
    """
    file = launch.file
    if file.kind not in ("NO", "MULTI_CPU") or file.is_by_mpirun or file.processes in (None, 1):
        return
    fix = "distributed_type: MULTI_GPU"
    if file.on_cpu:
        fix += " with use_cpu: true, launched with ACCELERATE_USE_CPU=true in the environment"
    message = f"distributed_type: {file.kind} starts 1 process, not the {file.processes} of num_processes"
    yield Finding(file.line("distributed_type"), message, fix)


@rule
def processes_known_at_launch(launch: Launch) -> Iterator[Finding]:
    """The script leaves the number of processes to the shell that runs it, or to the devices that are found there.

    `--nproc-per-node=gpu`, `--nnodes=2:4`, or a variable that the script does not set. The plan takes the devices of
    the recipe, and this package's trainer compares them with what runs, where the recipe states them.

    What to do: nothing, if the recipe's `batch.devices` is right; or the number in the script.
    """
    file = launch.file
    if file.is_script and file.processes is None:
        message = f"{file.named('num_processes')}: how many processes start is known at the launch only"
        yield Finding(file.top.origin, message, "the numbers in the script, or --devices, which plans for them")


@rule
def tasks_alone(launch: Launch) -> Iterator[Finding]:
    """Tasks of srun run the program itself, and no launcher connects them.

    torchrun and `accelerate launch` give each process its rank and the address of the first. Tasks of `srun python`
    have Slurm's variables only, which this package's trainer and Accelerate do not read: each task is a run of its own
    on the same data.

    What to do: one task a node that runs torchrun, as in launch/slurm.sbatch.
    """
    file = launch.file
    if file.launcher == "srun" and file.processes != 1:
        count = "several" if file.processes is None else str(file.processes)
        message = f"srun starts {count} tasks without a launcher: each would be rank 0 of 1, on the same data"
        fix = "srun --ntasks-per-node=1 torchrun --nnodes=… --nproc-per-node=…, as in launch/slurm.sbatch"
        yield Finding(file.top.origin, message, fix, is_of_trainer=True)


@rule
def cpu_by_environment(launch: Launch) -> Iterator[Finding]:
    """The processes find each other on the CPU only with `ACCELERATE_USE_CPU=true` in the environment.

    torchrun's launcher does not pass `use_cpu` on. On a machine without GPUs, without the variable, each of n
    processes is "rank 0 of 1": n separate trainings of the same data, which write over each other. On a machine with
    GPUs they train on those. This package's trainer stops in the first case.

    What to do: `ACCELERATE_USE_CPU=true accelerate launch …`.
    """
    file = launch.file
    if not file.use_cpu or not file.is_by_torchrun or file.processes in (None, 1):
        return
    message = (
        f"without ACCELERATE_USE_CPU=true in the environment, {file.processes} processes start that do not know each "
        "other, each rank 0 of 1: the launcher does not pass use_cpu on"
    )
    yield Finding(file.line("use_cpu"), message, "ACCELERATE_USE_CPU=true accelerate launch …, as below")


@rule
def devices_disagree(launch: Launch) -> Iterator[Finding]:
    """The recipe is planned for another number of devices than the file launches.

    `num_processes` is the total over all machines; a number for each machine is a common slip. The global batch stays
    what the recipe says, so micro-steps, hours and memory would not be the planned ones. This package's trainer stops.

    What to do: change the file, or plan and train for its devices with `--set batch.devices=…`.
    """
    file, planned = launch.file, launch.planned
    if planned is None or file.processes is None or planned == file.processes:
        return
    counted = f"{file.named('num_processes')} is {file.processes}"
    message = f"{counted}, and the recipe states {planned} devices"
    if file.launcher != "torchrun" and planned == file.processes * file.machines:
        message += (
            f" = {file.processes} on each of {file.machines} machines; num_processes counts all machines together"
        )
    yield Finding(
        file.line("num_processes"),
        f"{message}: {launch.outcome}",
        f"{file.setting('num_processes', planned)}, or --set batch.devices={file.processes}",
    )

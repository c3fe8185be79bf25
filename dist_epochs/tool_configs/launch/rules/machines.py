"""Several machines: how processes are shared over them, and how they meet."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.arithmetic.batch import nearest_batches
from dist_epochs.rules import rule
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = [
    "launcher_in_each_task",
    "machine_rank_missing",
    "machine_rank_outside",
    "main_process_not_reachable",
    "main_process_port",
    "nodes_left_alone",
    "processes_not_divisible",
    "total_processes",
]

LOOPBACK = ("localhost", "::1", "0.0.0.0")


@rule
def processes_not_divisible(launch: Launch) -> Iterator[Finding]:
    """The processes do not divide by the machines, and the launcher rounds down without a warning.

    Each machine starts `num_processes // num_machines` of them: 7 on 2 machines are 3 each, a world of 6; fewer
    processes than machines are none, and torchrun fails.

    What to do: a multiple of the machines.
    """
    file, each = launch.file, launch.file.processes_per_machine
    if file.processes is None or each is None or file.processes % file.machines == 0:
        return
    message = f"{file.processes} processes on {file.machines} machines: the launcher starts {each} on each, "
    message += f"{each * file.machines} in all" if each else "which fails"
    fits = " or ".join(str(fit) for fit in nearest_batches(file.processes, file.machines))
    yield Finding(file.line("num_processes"), message, f"num_processes: {fits}")


@rule
def total_processes(launch: Launch) -> Iterator[Finding]:
    """`num_processes` is the total over all machines; the launcher divides it by `num_machines`.

    torchrun's `--nproc_per_node` counts one machine, and many files are written as if this did too: 8 on 2 machines
    uses 4 of the 8 GPUs of each.

    What to do: nothing, if the total is meant.
    """
    file, each = launch.file, launch.file.processes_per_machine
    if file.processes is None or file.machines == 1 or file.processes % file.machines or file.launcher != "accelerate":
        return
    message = f"{file.processes} processes are the total: {each} on each of {file.machines} machines"
    yield Finding(
        file.line("num_processes"),
        message,
        f"num_processes: {file.processes * file.machines}, if {file.processes} on each machine are meant",
    )


@rule
def machine_rank_outside(launch: Launch) -> Iterator[Finding]:
    """The machine's rank is not below the number of machines.

    Ranks count from 0. The machine waits for a first one that does not count on it, and the others for the one that is
    missing, until the rendezvous times out.

    What to do: 0 on the first machine, 1 on the next; `--machine_rank` says it for one file on all of them.
    """
    file = launch.file
    if file.machine_rank < file.machines:
        return
    ranks = "0" if file.machines == 1 else f"0 to {file.machines - 1}"
    message = (
        f"machine_rank {file.machine_rank} of {file.machines} machine{'s' * (file.machines > 1)}: ranks are {ranks}"
    )
    if file.machines == 1:
        message += "; with one machine the launcher does not look at it"
    fix = f"{file.setting('machine_rank', file.machines - 1)}, or --machine_rank {ranks}"
    if file.launcher == "torchrun":
        fix = f"--node-rank of {ranks}"
    yield Finding(file.line("machine_rank"), message, fix)


@rule
def machine_rank_missing(launch: Launch) -> Iterator[Finding]:
    """Torchrun on several machines without a rank for each, where it needs one.

    Without `--rdzv-backend=c10d` the ranks of machines are not agreed on when they meet: they are those of
    `--node-rank`, 0 where none is stated. Two machines that are both the first wait for others until they time out.

    What to do: `--rdzv-backend=c10d`, or `--node-rank` 0 on the first machine, 1 on the next.
    """
    file = launch.file
    backend = file.top.text("rdzv_backend")
    if file.launcher != "torchrun" or file.machines == 1 or "machine_rank" in file.top.values:
        return
    if backend is None or backend.value == "static":
        message = f"{file.machines} machines without --rdzv-backend=c10d and without --node-rank: each is the first"
        yield Finding(file.top.origin, message, "--rdzv-backend=c10d, or --node-rank=… on each machine")


@rule
def launcher_in_each_task(launch: Launch) -> Iterator[Finding]:
    """Slurm starts several tasks on a node, and each of them starts a launcher with all its processes.

    torchrun and `accelerate launch` start the processes of a machine themselves, so that one task is enough. Eight
    tasks with eight processes each are 64 on eight GPUs, in eight launches that disturb each other.

    What to do: `#SBATCH --ntasks-per-node=1`.
    """
    file = launch.file
    if file.launcher in ("torchrun", "accelerate") and file.tasks > 1 and file.on_all_nodes is not False:
        message = f"#SBATCH asks for {file.tasks} tasks on each node, and each starts a launcher with all its processes"
        yield Finding(file.top.origin, message, "#SBATCH --ntasks-per-node=1")


@rule
def nodes_left_alone(launch: Launch) -> Iterator[Finding]:
    """Slurm gives several nodes, and the launch is on the first alone, or each of them starts a run of its own.

    The script of a job runs on its first node. Without `srun` nothing starts the launcher on the others: they stand
    idle, and are paid for, or the first waits for them until it times out. With `srun`, and without `--nnodes`, each
    node starts a whole run, and all write to one folder.

    What to do: `srun` in front of the launcher, one task a node, and the nodes in its flags, as in
    launch/slurm.sbatch.
    """
    file = launch.file
    if file.nodes is None or file.nodes < 2 or file.launcher not in ("torchrun", "accelerate"):
        return
    is_told = file.raw("num_machines") is not None or (
        file.launcher == "accelerate" and "num_machines" not in file.top.values  # one, where nothing is stated
    )
    nodes = "--nnodes=$SLURM_NNODES" if file.launcher == "torchrun" else "--num_machines $SLURM_NNODES"
    if file.on_all_nodes is False:
        message = f"#SBATCH asks for {file.nodes} nodes, and nothing starts {file.launcher} on others than the first"
        yield Finding(file.top.origin, message, f"srun --ntasks-per-node=1 {file.launcher} {nodes} …")
    elif file.on_all_nodes and is_told and file.machines == 1:
        message = (
            f"srun starts {file.launcher} on {file.nodes} nodes, each for 1 machine: {file.nodes} runs of their own"
        )
        yield Finding(file.top.origin, message, nodes)


@rule
def main_process_not_reachable(launch: Launch) -> Iterator[Finding]:
    """Several machines, and the address of the first is missing or names each machine itself.

    Without `main_process_ip` the others look for a host called "None"; with `localhost` or 127.0.0.1 each machine
    waits for itself. Both end in a timeout. `main_process_port` may be left out: it is 29500, and must be open.

    What to do: the first machine's address, as the others reach it: in the file, or where it is known at the launch
    only (SLURM) with `--main_process_ip` on the command line, which goes before the file.
    """
    file = launch.file
    if file.machines == 1 or file.launcher not in ("accelerate", "torchrun"):
        return
    stated, key = file.top.text("main_process_ip"), file.named("main_process_ip")
    if stated is not None and stated.value not in LOOPBACK and not stated.value.startswith("127."):
        return
    message = f"{file.machines} machines and no {key}: they cannot meet"
    if stated is not None:
        message = f"{key} {stated.value} is every machine's own: {file.machines} machines each wait for itself"
    fix = (
        "main_process_ip: ADDRESS, of the machine with rank 0, or --main_process_ip ADDRESS on the command line (SLURM)"
    )
    if file.launcher == "torchrun":
        fix = "--rdzv-backend=c10d --rdzv-endpoint=ADDRESS:29500, of one of the machines and the same on all"
    yield Finding(file.line("main_process_ip"), message, fix)


@rule
def main_process_port(launch: Launch) -> Iterator[Finding]:
    """Several machines that do not agree on a port.

    With `main_process_port: 0` each machine picks a free port of its own, and they do not meet; 0 is right on one
    machine, where several launches may run side by side. Where none is stated torchrun takes 29500, and a launch by
    mpirun stops.

    What to do: one port for all, open between the machines.
    """
    file = launch.file
    stated = file.top.text("main_process_port")
    if file.machines == 1:
        return
    message = None
    if stated is None and not file.is_by_torchrun:
        message = f"{file.machines} machines and no main_process_port: the launcher stops"
    elif stated is not None and stated.value == "0":
        message = f"main_process_port 0 lets each of {file.machines} machines pick a port of its own: they do not meet"
    if message is not None:
        yield Finding(file.line("main_process_port"), message, "main_process_port: 29500")

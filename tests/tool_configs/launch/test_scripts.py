"""Scripts that launch a run, read as a launch: what starts, and what goes wrong."""

from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from tests.tool_configs.launch.test_rules import FSDP, GPUS, TRAINABLE

SLURM = Path(__file__).parent.parent.parent.parent / "launch" / "slurm.sbatch"
PROGRAM = " -m dist_epochs.train r.yaml --out RUN"
ENDPOINT = " --rdzv-backend=c10d --rdzv-endpoint=node-1:29500"


@pytest.fixture
def checked(launches):
    """Check a script that stands beside `acc.yaml`."""

    def check(text, settings=(), *, beside=GPUS, **flags):
        launches.write(beside)
        script = launches.folder / "run.sh"
        script.write_text(text)
        return launches.report_of(script, settings, **flags)

    return check


@pytest.mark.parametrize(
    ("text", "processes", "machines"),
    [
        ("torchrun --nproc-per-node=8" + PROGRAM, 8, 1),
        ("torchrun --nproc_per_node 8 --nnodes 2" + ENDPOINT + PROGRAM, 16, 2),
        ("#SBATCH --nodes=64\n#SBATCH --gpus-per-node=h100:8  # all\ntorchrun --nnodes=$SLURM_NNODES "
         "--nproc-per-node=$SLURM_GPUS_ON_NODE" + ENDPOINT + PROGRAM, 512, 64),
        ("#SBATCH -N 4\n#SBATCH --exclusive\n#SBATCH --gres=gpu:4\nsrun torchrun --nnodes=$SLURM_NNODES "
         "--nproc-per-node=${SLURM_GPUS_ON_NODE:-1}" + ENDPOINT + PROGRAM, 16, 4),
        ("torchrun --nproc-per-node=gpu" + PROGRAM, None, 1),
        ("torchrun --nnodes=2:4 --nproc-per-node=8" + ENDPOINT + PROGRAM, None, 1),
        ("torchrun --nproc-per-node=$1" + PROGRAM, None, 1),
        ("torchrun --nnodes=null --nproc-per-node=²" + PROGRAM, None, 1),
        ("python -m torch.distributed.run --nproc-per-node 2 train.py --lr 1", 2, 1),
        ("accelerate launch --config_file acc.yaml" + PROGRAM, 8, 1),
        ("accelerate launch --config_file acc.yaml --num_processes 4" + PROGRAM, 4, 1),
        ("accelerate launch --num_processes 4 --num_machines 2 --main_process_ip node-1" + PROGRAM, 4, 2),
        ("python" + PROGRAM, 1, 1),
        ("#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=8\nsrun python" + PROGRAM, 16, 2),
    ],
)  # fmt: skip
def test_what_starts(checked, text, processes, machines):
    file = checked("#!/bin/bash\nNAME=1\n" + text).launch.file
    assert (file.processes, file.machines) == (processes, machines)


@pytest.mark.parametrize(
    "text",
    [
        "srun torchrun --nnodes=$SLURM_NNODES --nproc-per-node=8" + ENDPOINT + PROGRAM,
        "srun torchrun --nnodes=$1 --nproc-per-node=8" + ENDPOINT + PROGRAM,
        "srun --nodes=1 -w $HOST torchrun --nproc-per-node=8" + PROGRAM,
        "each() { torchrun --nnodes=2 --nproc-per-node=8" + ENDPOINT + PROGRAM + "; }\nsrun bash -c each",
        "for node in $NODES; do ssh $node torchrun --nnodes=2 --nproc-per-node=8" + ENDPOINT + PROGRAM + "; done",
        "srun accelerate launch --num_processes 16 --num_machines 2 --main_process_ip $HEAD" + PROGRAM,
        "torchrun --nproc-per-node=8" + PROGRAM.replace("train", "train # srun"),
    ],
)
def test_nodes_that_are_not_left_alone(checked, text):
    nodes = "" if "# srun" in text else "#SBATCH --nodes=2\n"
    found = {finding.rule for finding in checked(f"#!/bin/bash\n{nodes}{text}\n").findings}
    assert not found & {"nodes-left-alone", "main-process-not-reachable", "launcher-in-each-task"}


@pytest.mark.parametrize(
    ("text", "rule", "message", "fix"),
    [
        ("torchrun --nproc-per-node=4" + PROGRAM, "devices-disagree",
         "--nnodes × --nproc-per-node is 4, and the recipe states 8 devices", "--nnodes × --nproc-per-node=8"),
        ("torchrun --nproc-per-node=4 --nnodes=2" + PROGRAM, "main-process-not-reachable",
         "2 machines and no --rdzv-endpoint", "--rdzv-endpoint=ADDRESS:29500"),
        ("torchrun --nproc-per-node=4 --nnodes=2 --rdzv-endpoint=localhost:29500" + PROGRAM,
         "main-process-not-reachable", "--rdzv-endpoint localhost is every machine's own", "ADDRESS"),
        ("torchrun --standalone --nproc-per-node=4 --nnodes=2" + PROGRAM, "main-process-not-reachable",
         "--rdzv-endpoint localhost", "ADDRESS"),
        ("torchrun --nproc-per-node=4 --nnodes=2 --node-rank=2 --master-addr=node-1" + PROGRAM,
         "machine-rank-outside", "machine_rank 2 of 2", "--node-rank of 0 to 1"),
        ("torchrun --nproc-per-node=4 --nnodes=2 --master-addr=node-1" + PROGRAM, "machine-rank-missing",
         "2 machines without --rdzv-backend=c10d and without --node-rank", "--node-rank=… on each machine"),
        ("torchrun --nproc-per-node=4 --nnodes=2 --rdzv-endpoint=node-1:29500" + PROGRAM, "machine-rank-missing",
         "each is the first", "--rdzv-backend=c10d"),
        ("#SBATCH --nodes=2\ntorchrun --nproc-per-node=8" + PROGRAM, "nodes-left-alone",
         "asks for 2 nodes, and nothing starts torchrun on others than the first", "srun --ntasks-per-node=1 torchrun"),
        ("#SBATCH -N 2\naccelerate launch --num_processes 16 --num_machines 2 --main_process_ip a" + PROGRAM,
         "nodes-left-alone", "nothing starts accelerate on others", "--num_machines $SLURM_NNODES"),
        ("#SBATCH --nodes=2\nsrun torchrun --nproc-per-node=8" + PROGRAM, "nodes-left-alone",
         "2 runs of their own", "--nnodes=$SLURM_NNODES"),
        ("#SBATCH --ntasks-per-node=8\nsrun torchrun --nproc-per-node=8" + PROGRAM, "launcher-in-each-task",
         "8 tasks on each node", "--ntasks-per-node=1"),
        ("#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=4\nsrun python" + PROGRAM, "tasks-alone",
         "srun starts 8 tasks without a launcher", "srun --ntasks-per-node=1 torchrun"),
        ("torchrun --nproc-per-node=gpu" + PROGRAM, "processes-known-at-launch",
         "known at the launch only", "--devices"),
        ("deepspeed --num_gpus 8 train.py", "launch-not-supported", "does not run under DeepSpeed", "MULTI_GPU"),
        ("accelerate launch --use_fsdp --num_processes 8" + PROGRAM, "fsdp-version-1", "FSDP version 1", "2"),
        ("accelerate launch --cpu --num_processes 8" + PROGRAM, "one-process", "starts 1 process", "MULTI_GPU"),
    ],
)  # fmt: skip
def test_what_goes_wrong(checked, text, rule, message, fix):
    (found,) = [each for each in checked(text, TRAINABLE, devices=8).findings if each.rule == rule]
    assert message in found.message
    assert fix in found.fix
    assert found.where.line == text.count("\n") + 1
    assert found.is_note == (rule == "processes-known-at-launch")


@pytest.mark.parametrize(
    "text",
    [
        "torchrun --nproc-per-node=8" + PROGRAM,
        "torchrun --nnodes=2 --nproc-per-node=4" + ENDPOINT + PROGRAM,
        "torchrun --nnodes=2 --nproc-per-node=4 --node-rank=1 --master-addr=node-1" + PROGRAM,
        "torchrun --nnodes=2 --nproc-per-node=4 --node-rank=$1 --master-addr=node-1" + PROGRAM,
        "accelerate launch --config_file acc.yaml" + PROGRAM,
    ],
)
@pytest.mark.parametrize("stage", [0, 3])
def test_nothing_is_wrong(checked, text, stage):
    made = checked(text, [*TRAINABLE, f"hardware.zero_stage={stage}"], devices=8)
    assert [found for found in made.findings if not found.is_note] == []
    assert made.command == f"bash {made.launch.file.path}"


def test_the_slurm_script_that_is_shipped(launches):
    made = launches.report_of(SLURM, [*TRAINABLE, "hardware.zero_stage=3"], devices=16)
    assert (made.launch.file.processes, made.launch.file.machines) == (16, 2)
    assert made.findings == ()
    assert made.command == f"sbatch {SLURM} r.yaml RUN"


def test_a_launch_that_the_script_s_file_decides(checked):
    made = checked("accelerate launch --config_file acc.yaml" + PROGRAM, TRAINABLE, beside=FSDP)
    assert [found.rule for found in made.findings] == ["sharding-disagrees"]
    assert made.findings[0].where.name.endswith("acc.yaml")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("echo hello", "none of the commands of this script launches a program"),
        ("torchrun a.py\ntorchrun b.py", "2 commands of this script train, in lines 1, 2"),
        ("accelerate launch --config_file none.yaml" + PROGRAM, "config_file"),
    ],
)
def test_scripts_that_cannot_be_read(checked, text, asked):
    with pytest.raises(InputError) as caught:
        checked(text)
    assert asked in str(caught.value)

"""Argument lists in scripts: the launcher's devices, the program's flags, and what only a running shell knows."""

import pytest

from dist_epochs.errors import InputError
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import LaunchSettings

FLAGS = "train.py --per_device_train_batch_size 2 --gradient_accumulation_steps 4 --max_steps 10 --output_dir o"
MEGATRON = "pretrain_gpt.py --num-layers 4 --micro-batch-size 2 --seq-length 64 --train-iters 10"


def read(folder, text, given=None):
    folder.write("run.sh", text)
    return read_settings(folder.path / "run.sh", given)


def devices(settings):
    return None if settings.devices is None else settings.devices.value


@pytest.mark.parametrize(
    ("launcher", "count"),
    [
        ("torchrun --nproc_per_node=4", 4),
        ("torchrun --standalone --nnodes 2 --nproc-per-node 8", 16),
        ("torchrun --nproc_per_node=gpu", None),
        ("torchrun --nnodes=1:4 --nproc_per_node=8", None),
        ("python -m torch.distributed.launch --nproc_per_node=8 --use_env", 8),
        ("python3 -m torch.distributed.run --nproc_per_node 2", 2),
        ("accelerate launch --num_processes 6 --num_machines 2", 6),
        ("accelerate launch --multi_gpu --num_processes 6", 6),
        ("accelerate launch", None),
        ("deepspeed --num_gpus 8 --num_nodes 2", 16),
        ("deepspeed --include localhost:0,1@other:0,2,3 --master_port 29500", 5),
        ("deepspeed", None),
        ("python", 1),
        ("CUDA_VISIBLE_DEVICES=0 python -u", 1),
        ("srun torchrun --nproc_per_node=4", 4),
        ("#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=4\nsrun --kill-on-bad-exit python", 8),
        ("#SBATCH --nodes=2\n#SBATCH --gres=gpu:a100:4\nsrun python", 8),
        ("#SBATCH --nodes=3\ntorchrun --nnodes $SLURM_NNODES --nproc_per_node 2", 6),
    ],
)
def test_devices_of_a_launcher(folder, launcher, count):
    settings = read(folder, f"#!/bin/bash\n{launcher} {FLAGS}\n")
    assert devices(settings) == count
    assert (settings.per_device.value, settings.gradient_accumulation.value, settings.steps.value) == (2, 4, 10)
    if count is None:
        assert any("--devices" in note for note in settings.notes)


def test_flags_before_the_program_are_the_launcher_s(folder):
    settings = read(
        folder, "accelerate launch --num_processes 4 --mixed_precision bf16 train.py --max_steps 3 --save_steps 1"
    )
    assert (devices(settings), settings.precision.value, settings.steps.value) == (4, "bf16", 3)


def test_a_launcher_s_file_is_read_and_its_flags_win(folder):
    folder.write("acc.yaml", "distributed_type: MULTI_GPU\nnum_processes: 8\nmixed_precision: bf16\n")
    settings = read(folder, f"accelerate launch --config_file acc.yaml {FLAGS}")
    assert (devices(settings), settings.precision.value, settings.tools) == (8, "bf16", ("TrainingArguments",))
    assert devices(read(folder, f"accelerate launch --config_file acc.yaml --num_processes 2 {FLAGS}")) == 2
    gone = read(folder, f"accelerate launch --config_file gone.yaml {FLAGS}")
    assert any("no such file here" in note for note in gone.notes)


@pytest.mark.parametrize(
    ("flags", "values"),
    [
        ("--bf16", {"precision": "bf16"}),
        ("--bf16 True --tf32 True", {"precision": "bf16"}),
        ("--no_bf16 --fp16=true", {"precision": "fp16"}),
        ("--fsdp 'full_shard auto_wrap'", {"zero_stage": 3}),
        ("--seed 7 --gradient_checkpointing", {"seed": 7, "activation_checkpointing": True}),
        ("--block_size 512", {"sequence_length": 512}),
        ("--deepspeed ds.json", {"zero_stage": 2}),
    ],
)
def test_flags_are_keys_and_values(folder, flags, values):
    folder.write("ds.json", {"zero_optimization": {"stage": 2}})
    settings = read(folder, f"torchrun --nproc_per_node 2 {FLAGS} {flags}")
    assert {name: getattr(settings, name).value for name in values} == values


def test_what_the_trainer_takes_where_flags_are_silent(folder):
    settings = read(folder, "torchrun --nproc_per_node 2 train.py --num_train_epochs 2")
    assert settings.per_device.value == 8
    assert "8, as the Trainer takes it" in " ".join(settings.notes)
    settings = read(folder, "torchrun --nproc_per_node 2 train.py --per_device_train_batch_size 4")
    assert settings.epochs.value == 3
    given = Given(batch=LaunchSettings(per_device=Stated(2, settings.epochs.where)), has_length=True)
    assert read(folder, "torchrun --nproc_per_node 2 train.py --num_train_epochs 2", given).per_device is None


def test_a_value_that_counts_and_only_the_shell_knows_is_refused(folder):
    with pytest.raises(InputError) as caught:
        read(folder, "#!/bin/bash\ntorchrun --nproc_per_node 2 train.py \\\n  --per_device_train_batch_size $1\n")
    assert caught.value.asked == "per_device_train_batch_size is $1, which only the running shell knows"
    assert caught.value.origin.line == 3


def test_another_value_that_only_the_shell_knows_is_named_where_it_is_used(folder):
    settings = read(folder, f"torchrun --nproc_per_node 2 {FLAGS} --seed $SEED --data_path $DATA $MORE")
    assert settings.seed is None
    told = [note for note in settings.notes if "running shell" in note]
    assert [note.partition(" ")[2] for note in told] == [
        "$MORE is known to the running shell only: flags in it are not read",
        "seed: its value is known to the running shell only, and is not used",
    ]


def test_defaults_of_variables_are_told_where_they_count(folder):
    text = (
        "B=${B:-4}\ntorchrun --nproc_per_node 2 train.py --max_steps 2 --per_device_train_batch_size $B --name ${X:-x}"
    )
    notes = [note for note in read(folder, text).notes if "default" in note]
    assert [note.partition(" ")[2] for note in notes] == ["per_device_train_batch_size: $B is taken as its default, 4"]


def test_visible_devices_of_one_process_are_told(folder):
    program = f"python train.py --max_steps 2 {FLAGS}"
    (note,) = [note for note in read(folder, f"CUDA_VISIBLE_DEVICES=0,1 {program}").notes if "visible" in note]
    assert "with 2 visible devices" in note
    assert note.endswith("give --devices 2")
    (note,) = [note for note in read(folder, program).notes if "visible" in note]
    assert note.endswith("give --devices")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (f"torchrun {FLAGS}\ntorchrun {FLAGS}", "2 commands of this script train, in lines 1, 2"),
        (f"python train.py \\\n  {FLAGS} \\ \n  --gradient_accumulation_steps 4",
         "a space stands behind the backslash, so that the command ends in this line"),
        ("#!/bin/bash\necho hello --there", "none of the commands of this script trains by flags that are known here"),
        ("fairseq-train data --max-tokens 10 --update-freq 4", "this is a file of fairseq, which is not read here"),
        ("python train.py --max_steps 4 --save_steps 1 --deepspeed gone.json",
         "deepspeed names gone.json, and there is no such file"),
    ],
)  # fmt: skip
def test_what_is_refused(folder, text, asked):
    with pytest.raises(InputError) as caught:
        read(folder, text)
    assert caught.value.asked == asked


def test_flags_of_megatron(folder):
    settings = read(folder, f"torchrun --nproc_per_node 8 {MEGATRON} --tensor-model-parallel-size 2")
    assert settings.tools == ("Megatron-LM",)
    assert (settings.gradient_accumulation.value, settings.steps.value, settings.precision.value) == (1, 10, "fp32")
    settings = read(folder, f"torchrun {MEGATRON.replace('--train-iters 10', '--train-samples 101')} "
                            "--global-batch-size 10 --sequence-parallel --use-torch-fsdp2")  # fmt: skip
    assert (settings.steps.value, settings.context_parallel, settings.zero_stage.value) == (10, None, 3)
    assert any("1 samples are left over" in note for note in settings.notes)
    settings = read(
        folder, f"torchrun --nproc_per_node 4 {MEGATRON.replace('--train-iters 10', '--train-samples 100')}"
    )
    assert settings.steps.value == 12  # of 2 × 4, since no global batch is stated
    for more, asked in (
        ("--train-samples 5", "are both stated"),
        ("--step-batch-size-schedule '0:768 250B:1536'", "--step-batch-size-schedule is not read"),
    ):
        with pytest.raises(InputError) as caught:
            read(folder, f"torchrun {MEGATRON} {more}")
        assert asked in caught.value.asked


def test_flags_of_torchtitan(folder):
    settings = read(folder, "NGPU=8 ./run_train.sh --training.steps 100 --training.local_batch_size 4 "
                            "--training.seq_len 128 --parallelism.tensor_parallel_degree=2")  # fmt: skip
    assert settings.tools == ("torchtitan",)
    values = {name: settings.stated()[name].value for name in ("devices", "per_device", "tensor_parallel", "steps")}
    assert values == {"devices": 8, "per_device": 4, "tensor_parallel": 2, "steps": 100}


@pytest.mark.parametrize("name", ["run", "run.sh", "run.slurm"])
def test_a_script_is_told_by_its_name_or_its_first_line(folder, name):
    folder.write(name, f"#!/usr/bin/env bash\ntorchrun --nproc_per_node 2 {FLAGS}\n")
    assert folder.values(name)["devices"] == 2


def test_trl_s_own_command_has_trl_s_defaults(folder):
    settings = read(folder, "trl sft --model_name_or_path m --per_device_train_batch_size 2 --max_steps 5 "
                            "--num_processes 4")  # fmt: skip
    assert settings.tools == ("TRL",)
    assert (devices(settings), settings.precision.value, settings.activation_checkpointing.value) == (4, "bf16", True)

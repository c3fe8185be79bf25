import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.located import parse_located
from dist_epochs.settings.section import Section
from dist_epochs.tool_configs.accelerate_file import BESIDE_A_FILE, KNOWN_KEYS
from dist_epochs.tool_configs.sharding import FSDP_STRATEGIES, SIZES, parallel_settings

# As `accelerate config` writes them.
MULTI_GPU = """\
compute_environment: LOCAL_MACHINE
debug: false
distributed_type: MULTI_GPU
downcast_bf16: 'no'
enable_cpu_affinity: false
gpu_ids: all
machine_rank: 0
main_training_function: main
mixed_precision: bf16
num_machines: 1
num_processes: 8
rdzv_backend: static
same_network: true
tpu_env: []
tpu_use_cluster: false
tpu_use_sudo: false
use_cpu: false
"""
DEEPSPEED = """\
compute_environment: LOCAL_MACHINE
deepspeed_config:
  gradient_accumulation_steps: 4
  gradient_clipping: 1.0
  offload_optimizer_device: none
  zero3_init_flag: true
  zero_stage: 3
distributed_type: DEEPSPEED
machine_rank: 0
main_process_ip: 10.0.0.1
main_process_port: 29500
mixed_precision: 'no'
num_machines: 2
num_processes: 16
use_cpu: false
"""
FSDP2 = """\
distributed_type: FSDP
fsdp_config:
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_reshard_after_forward: true
  fsdp_version: 2
mixed_precision: bf16
num_machines: 1
num_processes: 8
parallelism_config:
  parallelism_config_cp_size: 1
  parallelism_config_dp_replicate_size: 1
  parallelism_config_dp_shard_size: 4
  parallelism_config_tp_size: 2
"""
MEGATRON = """\
distributed_type: MEGATRON_LM
megatron_lm_config:
  megatron_lm_gradient_clipping: 1.0
  megatron_lm_num_micro_batches: 8
  megatron_lm_pp_degree: 2
  megatron_lm_tp_degree: 4
  megatron_lm_use_distributed_optimizer: true
mixed_precision: fp16
num_machines: 4
num_processes: 32
"""


@pytest.mark.parametrize(
    ("text", "values", "notes"),
    [
        (MULTI_GPU, {"devices": 8, "machines": 1, "precision": "bf16"}, []),
        (
            DEEPSPEED,
            {"devices": 16, "machines": 2, "precision": "fp32", "gradient_accumulation": 4, "zero_stage": 3},
            ["acc.yaml:14 num_processes: 16 is the total: 8 on each of 2 machines"],
        ),
        (
            FSDP2,
            {"devices": 8, "machines": 1, "precision": "bf16", "zero_stage": 3, "tensor_parallel": 2,
             "context_parallel": 1},
            [],
        ),
        (
            MEGATRON,
            {"devices": 32, "machines": 4, "precision": "fp16", "tensor_parallel": 4, "pipeline_parallel": 2,
             "gradient_accumulation": 8, "zero_stage": 1},
            ["acc.yaml:10 num_processes: 32 is the total: 8 on each of 4 machines",
             "acc.yaml:2 megatron_lm_config: no context_parallel_size: Accelerate 1.15 then asks Megatron-LM for 2; "
             "state it"],
        ),
    ],
)  # fmt: skip
def test_what_accelerate_config_writes(folder, text, values, notes):
    folder.write("acc.yaml", text)
    assert (folder.values("acc.yaml"), folder.notes("acc.yaml")) == (values, notes)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "distributed_type: NO\nnum_processes: 4\nuse_cpu: true",
            "acc.yaml:2 num_processes: `accelerate launch` starts ONE process with distributed_type: NO, not 4: the "
            "global batch would be 1/4 of this one. On GPUs use MULTI_GPU; on CPUs torchrun with ACCELERATE_USE_CPU=1.",
        ),
        (
            "distributed_type: MULTI_CPU\nnum_processes: 2\nuse_cpu: yes",
            "acc.yaml:2 num_processes: `accelerate launch` starts ONE process with distributed_type: MULTI_CPU, not 2: "
            "the global batch would be 1/2 of this one. On GPUs use MULTI_GPU; on CPUs torchrun with "
            "ACCELERATE_USE_CPU=1.",
        ),
        (
            "distributed_type: MULTI_GPU\nnum_processes: 2\nuse_cpu: true",
            "acc.yaml:3 use_cpu: on a machine without GPUs this starts 2 separate runs, each rank 0 of 1: the launcher "
            "does not pass use_cpu on. Set ACCELERATE_USE_CPU=true in the environment.",
        ),
        (
            "distributed_type: MULTI_GPU\nnum_processes: -1",
            "acc.yaml:2 num_processes: left to the launch (--num_processes): give the devices",
        ),
        (
            "distributed_type: MULTI_GPU\nmachine_rank: 0",
            "acc.yaml:1 num_processes: left to the launch (--num_processes): give the devices",
        ),
        (
            "distributed_type: NO",  # without quotes it is false, and the launcher takes 1 for 'NO' only
            "acc.yaml:1 num_processes: left to the launch (--num_processes): give the devices",
        ),
        (
            "num_processes: 2",
            "acc.yaml:1 distributed_type: Accelerate refuses a configuration without it",
        ),
        (
            "compute_environment: AMAZON_SAGEMAKER\nec2_instance_type: ml.p4d.24xlarge\nnum_machines: 2",
            "acc.yaml:2 ec2_instance_type: the instances decide how many processes start; give the devices",
        ),
        (
            "distributed_type: FSDP\nnum_processes: 2\nnew_key: hf_secret",
            "acc.yaml:3 new_key: Accelerate 1.15 knows no such key and refuses the file",
        ),
        (
            "distributed_type: FSDP\nnum_processes: 2\nmixed_precision: fp8",
            "acc.yaml:3 mixed_precision: fp8 is no precision of a recipe; state bf16 for its steps",
        ),
        (
            "distributed_type: MULTI_GPU\nnum_processes: 2\nparallelism_config:\n  tp_size: 2",
            "acc.yaml:4 parallelism_config.tp_size: not read: Accelerate reads parallelism_config_tp_size",
        ),
        (
            "distributed_type: MEGATRON_LM\nnum_processes: 8\nmegatron_lm_config:\n"
            "  megatron_lm_context_parallel_size: 2",
            "acc.yaml:4 megatron_lm_config.megatron_lm_context_parallel_size: Accelerate's own global batch leaves it "
            "out and is 2 times this one",
        ),
    ],
)
def test_traps_are_noted(folder, text, note):
    assert folder.write("acc.yaml", text).notes("acc.yaml") == [note]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "distributed_type: MULTI_GPU\nnum_machines: 4\nnum_processes: 10",
            "acc.yaml:3 num_processes: 10 processes do not divide by 4 machines (acc.yaml:2 num_machines): Accelerate "
            "starts 10 // 4 = 2 on each, 8 in all. Every count would be off. Try num_processes: 8, or "
            "num_processes: 12.",
        ),
        (
            "distributed_type: MULTI_GPU\nnum_machines: 4\nnum_processes: 2",
            "acc.yaml:3 num_processes: 2 processes do not divide by 4 machines (acc.yaml:2 num_machines): Accelerate "
            "starts 2 // 4 = 0 on each, 0 in all. Every count would be off. Try num_processes: 4.",
        ),
        (
            "distributed_type: MULTI_GPU\nnum_processes: 8\ngradient_accumulation_steps: 4",
            "acc.yaml:3: gradient_accumulation_steps stands at the top, where Accelerate knows no such key and refuses "
            "the file: it belongs into deepspeed_config, with distributed_type: DEEPSPEED; without DeepSpeed the "
            "script sets it. Try removing the line, or writing it below deepspeed_config.",
        ),
        (
            "distributed_type: FSDP\nnum_processes: 8\nparallelism_config:\n  parallelism_config_tp_size: 2\n"
            "  parallelism_config_dp_shard_size: 2",
            "devices is 8 in acc.yaml:2 num_processes, and 4 in acc.yaml:3 parallelism_config (1 × 2 × 2 × 1 × 1 "
            "processes): a run has one value of it. Try making them equal, or leaving one out (DeepSpeed leaves it to "
            'the others with "auto").',
        ),
        (
            "distributed_type: FSDP\nnum_processes: 4\nparallelism_config:\n  parallelism_config_cp_size: 2\n"
            "  parallelism_config_sp_size: 2",
            "acc.yaml:4 parallelism_config.parallelism_config_cp_size is 2 and acc.yaml:5 "
            "parallelism_config.parallelism_config_sp_size is 2: Accelerate splits samples in one of the two ways, and "
            "stops at its start. Try setting one of them to 1.",
        ),
        (
            "distributed_type: MULTI_GP\nnum_processes: 8",
            "acc.yaml:1: distributed_type must be one of NO, MULTI_CPU, MULTI_GPU, MULTI_NPU, MULTI_MLU, MULTI_SDAA, "
            "MULTI_MUSA, MULTI_XPU, MULTI_HPU, MULTI_NEURON, FSDP, DEEPSPEED, MEGATRON_LM, XLA, not MULTI_GP",
        ),
        (
            "distributed_type: FSDP\nnum_processes: 0",
            "acc.yaml:2: num_processes must be a whole number of at least 1, not 0",
        ),
        (
            "distributed_type: FSDP\nnum_processes: 012",
            "acc.yaml:2: num_processes must be a whole number of at least 1, or -1 to leave it to the launch, not 012",
        ),
        (
            "distributed_type: FSDP\nnum_processes: 2\nfsdp_config: {fsdp_sharding_strategy: HALF}",
            "acc.yaml:3: fsdp_config.fsdp_sharding_strategy must be one of FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, "
            "HYBRID_SHARD, HYBRID_SHARD_ZERO2 with FSDP version 1, not HALF",
        ),
        (
            "distributed_type: DEEPSPEED\nnum_processes: 2\ndeepspeed_config: {deepspeed_config_file: none.json}",
            "acc.yaml:3: deepspeed_config.deepspeed_config_file names none.json, and there is no such file: it is "
            "looked for in the current folder and in {folder}. What it says about the batch is missing. Try "
            "correcting the name.",
        ),
    ],
)
def test_what_cannot_be_used(folder, text, message):
    assert folder.write("acc.yaml", text).error("acc.yaml") == message.replace("{folder}", str(folder.path))


@pytest.mark.parametrize(
    ("config", "stage"),
    [
        ("", 3),
        ("fsdp_config: {fsdp_sharding_strategy: FULL_SHARD}", 3),
        ("fsdp_config: {fsdp_sharding_strategy: SHARD_GRAD_OP}", 2),
        ("fsdp_config: {fsdp_sharding_strategy: 2}", 2),
        ("fsdp_config: {sharding_strategy: NO_SHARD}", 0),
        ("fsdp_config: {fsdp_reshard_after_forward: HYBRID_SHARD}", 3),
        ("fsdp_config: {fsdp_version: 2}", 3),
        ("fsdp_config: {fsdp_version: 2, fsdp_reshard_after_forward: false}", 2),
        ("fsdp_config: {fsdp_version: '2', fsdp_reshard_after_forward: yes}", 3),
    ],
)
def test_fsdp_as_a_zero_stage(folder, config, stage):
    folder.write("acc.yaml", f"distributed_type: FSDP\nnum_processes: 2\n{config}")
    assert folder.values("acc.yaml")["zero_stage"] == stage


def test_sections_of_another_type_are_named_and_not_used(folder):
    folder.write("acc.yaml", DEEPSPEED.replace("distributed_type: DEEPSPEED", "distributed_type: MULTI_GPU"))
    found = folder.read("acc.yaml")
    assert (found.gradient_accumulation, found.zero_stage) == (None, None)
    assert f"{folder.path}/acc.yaml:3 deepspeed_config.gradient_accumulation_steps" in map(str, found.ignored)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("distributed_type: 'NO'\nmachine_rank: 0", {"devices": 1}),
        ("distributed_type: NO\nfp16: true\nnum_processes: 1", {"devices": 1, "precision": "fp16"}),
        ("distributed_type: NO\nnum_processes: 1\nmixed_precision: no", {"devices": 1, "precision": "fp32"}),
        (
            '{"distributed_type": "NO", "num_processes": "1", "mixed_precision": false}',
            {"devices": 1, "precision": "fp32"},
        ),
        ("distributed_type: MULTI_CPU\nnum_processes: 4\nmpirun_config: {mpirun_hostfile: h}", {"devices": 4}),
    ],
)
def test_small_and_old_files(folder, text, values):
    folder.write("acc.json" if text.startswith("{") else "acc.yaml", text)
    name = "acc.json" if text.startswith("{") else "acc.yaml"
    assert (folder.values(name), folder.notes(name)) == (values, [])


def test_sequence_parallel_sizes_do_not_state_the_devices(folder):
    """DeepSpeed lays them out: the product need not be the number of processes."""
    folder.write("acc.yaml", "distributed_type: MULTI_GPU\nnum_processes: 8\n"
                 "parallelism_config:\n  parallelism_config_sp_size: 4")  # fmt: skip
    folder.write("ta.json", {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 5})
    assert folder.values("acc.yaml") == {"devices": 8, "context_parallel": 4}
    assert folder.completed("acc.yaml", "ta.json")["global_batch"] == 3 * 5 * 2


CONFIG_FILE = "distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n"


def test_a_deepspeed_file_is_read_beside_the_configuration(folder):
    folder.write(
        "ds.json",
        {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 4, "zero_optimization": {"stage": 2}},
    )
    folder.write("acc.yaml", CONFIG_FILE)
    assert folder.completed("acc.yaml") == {
        "devices": 8, "per_device": 2, "gradient_accumulation": 4, "global_batch": 64, "zero_stage": 2,
    }  # fmt: skip
    assert str(folder.read("acc.yaml").per_device.where) == f"{folder.path}/ds.json:2 train_micro_batch_size_per_gpu"


def test_the_current_folder_comes_first_as_in_the_tools(folder, tmp_path_factory, monkeypatch):
    here = tmp_path_factory.mktemp("here")
    folder.write("ds.json", {"train_micro_batch_size_per_gpu": 2}).write("acc.yaml", CONFIG_FILE)
    (here / "ds.json").write_text('{"train_micro_batch_size_per_gpu": 3}')
    monkeypatch.chdir(here)
    assert folder.values("acc.yaml")["per_device"] == 3


def test_accelerate_takes_a_missing_accumulation_of_its_deepspeed_file_as_one(folder):
    folder.write("ds.json", {"train_micro_batch_size_per_gpu": 2, "zero_optimization": {"stage": 2}})
    folder.write("acc.yaml", CONFIG_FILE).write("ta.json", {"gradient_accumulation_steps": 8, "num_train_epochs": 10})
    assert folder.values("acc.yaml")["gradient_accumulation"] == 1
    assert folder.error("acc.yaml", "ta.json").startswith(
        "gradient_accumulation is 1 in ds.json:1 (no gradient_accumulation_steps, which Accelerate takes as 1), and 8 "
        "in ta.json:2 gradient_accumulation_steps: "
    )


def test_what_accelerate_refuses_beside_a_deepspeed_file_is_noted(folder):
    folder.write("ds.json", {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 4})
    folder.write("acc.yaml", f"{CONFIG_FILE}  gradient_accumulation_steps: 4\nmixed_precision: 'no'\n")
    assert folder.notes("acc.yaml") == [
        "acc.yaml:6 mixed_precision: Accelerate refuses this beside a deepspeed_config_file: state it there only",
        "acc.yaml:5 deepspeed_config.gradient_accumulation_steps: Accelerate refuses this beside a "
        "deepspeed_config_file: "
        "state it there only",
        "ds.json:1: Accelerate refuses a DeepSpeed file without zero_optimization",
    ]
    folder.write("ds.json", {"gradient_accumulation_steps": 4, "zero_optimization": {"stage": 2}})
    assert len(folder.notes("acc.yaml")) == 2
    folder.write("acc.yaml", f"{CONFIG_FILE}  zero3_init_flag: false\n")  # which Accelerate takes beside a file
    assert folder.notes("acc.yaml") == []


def test_the_nine_keys_are_those_of_the_installed_accelerate():
    dataclasses = pytest.importorskip("accelerate.utils.dataclasses")
    source = inspect.getsource(dataclasses.DeepSpeedPlugin._deepspeed_config_checks)
    for key in (*BESIDE_A_FILE, "mixed_precision"):
        assert re.search(f'"ACCELERATE_(DEEPSPEED_)?{key.upper()}"', source)
    assert len(re.findall(r"\"ACCELERATE_[A-Z0-9_]+\",\n", source)) == len(BESIDE_A_FILE) + 1


def test_an_open_accumulation_is_taken_from_the_others(folder):
    folder.write("acc.yaml", DEEPSPEED.replace("steps: 4", "steps: auto"))
    assert "gradient_accumulation" not in folder.values("acc.yaml")
    assert [str(key) for key in folder.read("acc.yaml").ignored] == [
        f"{folder.path}/acc.yaml:3 deepspeed_config.gradient_accumulation_steps"
    ]


def test_the_keys_are_those_of_the_installed_accelerate():
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    constants = pytest.importorskip("accelerate.utils.constants")
    fields = {*config_args.ClusterConfig.__dataclass_fields__, *config_args.SageMakerConfig.__dataclass_fields__}
    assert fields | {"fp16", "dynamo_backend"} == KNOWN_KEYS
    assert list(FSDP_STRATEGIES) == constants.FSDP_SHARDING_STRATEGY


@given(st.fixed_dictionaries({}, optional={name: st.integers(1, 4) for name in SIZES}))
def test_parallel_sizes_are_those_of_accelerates_own_class(tmp_path_factory, sizes):
    parallelism = pytest.importorskip("accelerate.parallelism_config")
    section = Section(file=tmp_path_factory.getbasetemp(), origin=Origin("x.yaml", 1), prefix="p.", values={
        name: parse_located(f"a: {size}", "x.yaml").value["a"] for name, size in sizes.items()
    })  # fmt: skip
    try:
        theirs = parallelism.ParallelismConfig(**sizes)
    except ValueError as error:
        if "mutually exclusive" in str(error):
            with pytest.raises(InputError):
                parallel_settings(section, prefix="")
        return
    ours = {name: stated.value for name, stated in parallel_settings(section, prefix="").stated().items()}
    shared = ours.get("tensor_parallel", 1) * ours.get("context_parallel", 1)
    assert shared == theirs.non_data_parallel_size
    if "devices" in ours:
        assert ours["devices"] == theirs.total_size
        assert ours["devices"] // shared == theirs.data_parallel_size
    else:
        assert theirs.total_size == 1 or theirs.sp_size > 1

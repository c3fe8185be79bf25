"""Each rule, seen firing with its line, numbers and fix, and seen silent."""

import pytest

from dist_epochs.rules import PAGES, rule_name
from dist_epochs.tool_configs.launch.rules import FINDINGS, NOTES

GPUS = "distributed_type: MULTI_GPU\nnum_processes: 8\n"
CPUS = "distributed_type: MULTI_GPU\nnum_processes: 2\nuse_cpu: true\n"
FSDP = "distributed_type: FSDP\nnum_processes: 8\nfsdp_config:\n  fsdp_version: 2\n"
MACHINES = "distributed_type: MULTI_GPU\nnum_processes: 16\nnum_machines: 2\nmain_process_ip: 10.0.0.1\n"
DEEPSPEED = "distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n"
PARALLEL = FSDP + "parallelism_config:\n"
V100 = {"devices": "8xV100-32GB", "precision": "fp16", "parameters": "1B"}
LLAMA = {"model": "llama-7b", "devices": "8xH100", "precision": "bf16"}

MEGATRON = "distributed_type: MEGATRON_LM\nnum_processes: 8\nmegatron_lm_config:\n  megatron_lm_tp_degree: 2\n"
IN_SEVERAL_FILES = {"deepspeed-file-beside-keys", "deepspeed-quoted-number"}
"""Seen in test_deepspeed_files.py."""
OF_SCRIPTS = {
    "tasks-alone", "processes-known-at-launch", "machine-rank-missing", "launcher-in-each-task", "nodes-left-alone",
}  # fmt: skip
"""Seen in test_scripts.py."""

FIRES = [
    ("repeated-launch-key", GPUS + "debug: false\ndebug: false", {}, "acc.yaml:4: debug stands twice, with one value",
     "remove one of the two"),
    ("megatron-context-parallel", MEGATRON, {}, "acc.yaml:3: no megatron_lm_context_parallel_size",
     "megatron_lm_context_parallel_size: 1"),
    ("unknown-launch-keys", GPUS + "num_machine: 1", {}, "acc.yaml:3: num_machine is no key", "num_machines: …"),
    ("unknown-launch-keys", GPUS + "gradient_accumulation_steps: 4", {}, "acc.yaml:3", "the recipe decides"),
    ("unknown-launch-keys", GPUS + "ipex_config: {ipex: true}", {}, "ipex_config is no key", "remove the line"),
    ("unknown-launch-keys", GPUS + "tp_config: {tp_size: 2}", {}, "tp_config is no key", "remove the line"),
    ("launch-type-unknown", "num_processes: 8", {}, "acc.yaml:1: distributed_type is missing", "MULTI_GPU"),
    ("launch-type-unknown", "distributed_type: TPU\nnum_processes: 8", {}, "TPU is unknown", "distributed_type: XLA"),
    ("launch-value-type", GPUS + "mixed_precision: no", {}, "acc.yaml:3: mixed_precision: no without", "'no'"),
    ("launch-value-type", GPUS + "gpu_ids: 0", {}, "gpu_ids is a number", "gpu_ids: '0'"),
    ("launch-value-type", GPUS + "gpu_ids: [0, 1]", {}, "gpu_ids is a list", "gpu_ids: '0,1'"),
    ("launch-value-type", GPUS + "num_machines: '2'", {}, "num_machines is text", "num_machines: 2"),
    ("launch-value-type", CPUS.replace("2", "'2'"), {}, "num_processes is text", "num_processes: 2"),
    ("dynamo-backend-unknown", GPUS + "dynamo_config: {dynamo_backend: NO}", {}, "acc.yaml:3: ", "'NO', or INDUCTOR"),
    ("dynamo-backend-unknown", GPUS + "dynamo_backend: magic", {}, "acc.yaml:3: dynamo_backend: magic is", "INDUCTOR"),
    ("launch-not-supported", DEEPSPEED + "  zero_stage: 3", {}, "acc.yaml:1: this package's trainer", "FSDP"),
    ("launch-not-supported", "distributed_type: XLA\nnum_processes: 8", {}, "TPUs (XLA)", "MULTI_GPU"),
    ("launch-not-supported", "compute_environment: AMAZON_SAGEMAKER\ndistributed_type: 'NO'", {}, ":1:", "LOCAL"),
    ("processes-not-stated", "distributed_type: MULTI_GPU", {"devices": 4}, "it stops", "--num_processes 4"),
    ("processes-not-stated", "distributed_type: NO", {}, "NO without quotes", "num_processes: 1"),
    ("one-process", GPUS.replace("GPU", "CPU"), {}, "starts 1 process, not the 8", "ACCELERATE_USE_CPU=true"),
    ("one-process", GPUS.replace("MULTI_GPU", "'NO'"), {}, "starts 1 process", "distributed_type: MULTI_GPU"),
    ("devices-disagree", GPUS, {"devices": 4}, "acc.yaml:2: num_processes is 8, and the recipe states 4", "devices=8"),
    ("devices-disagree", MACHINES, {"devices": 32}, "= 16 on each of 2 machines", "num_processes: 32"),
    ("batch-beyond-the-launch", GPUS.replace("8", "6"), {}, "64 cannot be built on 6 devices with 4",
     "num_processes: 4"),
    ("batch-beyond-the-launch", GPUS.replace("8", "6"), {"devices": 8}, "cannot be built on 6",
     "num_processes: 4; or another batch: 48"),
    ("batch-beyond-the-launch", GPUS, {"global_batch": 60, "per_device": 8}, "cannot be built on 8",
     "6, with 10 samples each in 2 micro-steps of at most 8; or another batch: 64 (accumulate 1), 56, with fewer"),
    ("processes-not-divisible", MACHINES.replace("16", "7"), {}, "starts 3 on each, 6 in all", "6 or 8"),
    ("processes-not-divisible", MACHINES.replace("16", "1"), {}, "starts 0 on each, which fails", "2"),
    ("machine-rank-outside", MACHINES + "machine_rank: 2", {}, "acc.yaml:5: machine_rank 2 of 2", "machine_rank: 1"),
    ("main-process-not-reachable", MACHINES.replace("10.0.0.1", "localhost"), {}, "acc.yaml:4", "ADDRESS"),
    ("main-process-not-reachable", MACHINES.replace("main_process_ip: 10.0.0.1", ""), {}, "cannot meet",
     "--main_process_ip ADDRESS"),
    ("main-process-port", MACHINES + "main_process_port: 0", {}, "a port of its own", "29500"),
    ("main-process-port", MACHINES.replace("_GPU", "_CPU"), {}, "no main_process_port: the launcher stops", "29500"),
    ("one-gpu-id", GPUS + "gpu_ids: '3'", {}, "names one GPU (3)", "gpu_ids: all"),
    ("too-few-gpu-ids", GPUS + "gpu_ids: 0,1", {}, "8 processes on a machine and 2 GPUs", "num_processes: 2"),
    ("too-few-gpu-ids", MACHINES + "gpu_ids: 0,1,2,3", {}, "8 processes on a machine and 4", "num_processes: 8"),
    ("gpu-ids-repeated", GPUS.replace("8", "2") + "gpu_ids: 0,0,1", {}, "names 0 twice", "gpu_ids: '0,1'"),
    ("launch-precision", GPUS + "mixed_precision: int8", {}, "int8 is unknown", "'no'"),
    ("precision-disagrees", GPUS + "mixed_precision: bf16", {"precision": "fp32"}, "acc.yaml:3",
     "precision: bf16 in the recipe"),
    ("precision-disagrees", GPUS + "fp16: true", {"precision": "bf16"}, "mixed_precision is fp16", "'no'"),
    ("fp16-on-cpu", CPUS, {"precision": "fp16"}, "acc.yaml:3: the recipe asks for fp16", "bf16 or fp32"),
    ("bf16-not-there", GPUS + "mixed_precision: bf16", V100, "V100 SXM2 32GB has none", "precision: fp16"),
    ("only-data-parallel", PARALLEL + "  parallelism_config_tp_size: 2", {}, "acc.yaml:6: ", "tp_size: 1"),
    ("only-data-parallel", GPUS, {"devices": 8, "tensor_parallel": 2}, "tensor_parallel: 2, which neither",
     "tensor_parallel=1"),
    ("parallel-sizes", PARALLEL + "  parallelism_config_dp_shard_size: 4", {}, "4, and 8 processes", "shard_size: 8"),
    ("parallel-sizes", PARALLEL.replace("2", "1") + "  parallelism_config_dp_shard_size: 8", {}, "version 1", ": 2"),
    ("parallel-sizes", GPUS + "parallelism_config: {parallelism_config_dp_shard_size: 8}", {}, "nothing", "FSDP"),
    ("parallel-sizes", CPUS + "parallelism_config: {parallelism_config_dp_replicate_size: 2}", {}, "CPU", "remove"),
    ("nothing-to-shard", PARALLEL + "  parallelism_config_dp_replicate_size: 8", {}, "it raises", "shard_size: 8"),
    ("fsdp-version-1", GPUS.replace("MULTI_GPU", "FSDP"), {}, "none is stated: dist_epochs.train stops",
     "fsdp_version: 2"),
    ("fsdp-on-cpu", FSDP + "use_cpu: true", {}, "acc.yaml:5: FSDP with use_cpu", "MULTI_GPU"),
    ("sharding-by-recipe", FSDP + "  fsdp_offload_params: true", {}, "acc.yaml:5: fsdp_offload_params asks to keep",
     "fsdp_offload_params: false"),
    ("sharding-by-recipe", FSDP + "  fsdp_reshard_after_forward: false", {}, "keep gathered", "after_forward: true"),
    ("sharding-by-recipe", FSDP + "  fsdp_activation_checkpointing: true", {}, "the recipe does not plan it",
     "hardware.activation_checkpointing=true"),
    ("sharding-by-recipe",
     PARALLEL + "  parallelism_config_dp_replicate_size: 2\n  parallelism_config_dp_shard_size: 4", {},
     "acc.yaml:5: parallelism_config asks for 2 copies of the model, each on 4", "hardware.shard_size=4"),
    ("fsdp-loading", FSDP + "  fsdp_sync_module_states: false", {}, "acc.yaml:5", "both true"),
    ("sharding-disagrees", GPUS, {**LLAMA, "zero_stage": 3}, "100 GiB of states on a device, not 12.6", "zero_stage=0"),
    ("sharding-disagrees", FSDP, {**LLAMA, "zero_stage": 0}, "FSDP shards as ZeRO stage 3", "MULTI_GPU"),
    ("does-not-fit-as-launched", GPUS, LLAMA, "GiB of 80 on one H100 SXM", "fsdp_version: 2"),
    ("accumulation-from-the-launch", DEEPSPEED + "  gradient_accumulation_steps: auto", {}, "planned: 2", "remove"),
    ("deepspeed-batch", DEEPSPEED + "  gradient_accumulation_steps: 4", {}, "acc.yaml:4: ", "steps: 2"),
    ("unread-sections", GPUS + "fsdp_config: {fsdp_version: 2}", {}, "acc.yaml:3: fsdp_config is read with", "FSDP"),
    ("unread-sections", PARALLEL + "  dp_shard_size: 8", {}, "acc.yaml:6: dp_shard_size is not read",
     "parallelism_config_"),
    ("unread-sections", DEEPSPEED + "  zero_stage: 2\ndynamo_config: {dynamo_backend: EAGER}", {}, "compiled",
     "remove"),
    ("cpu-by-environment", CPUS, {}, "2 processes start that do not know each other", "ACCELERATE_USE_CPU=true"),
    ("total-processes", MACHINES, {}, "8 on each of 2 machines", "num_processes: 32"),
    ("gpus-idle", GPUS.replace("8", "2") + "gpu_ids: 0,1,2,3", {}, "2 idle", "num_processes: 4"),
    ("deepspeed-auto", DEEPSPEED + "  gradient_accumulation_steps: auto", {}, "acc.yaml:4", "state the number"),
    ("recipe-not-trainable", GPUS, {}, "flags: the recipe can be planned", "add them"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "flags", "message", "fix"), FIRES)
def test_it_fires(launches, rule, text, flags, message, fix):
    line = launches.found(text, **flags)[rule]
    before, _, after = line.partition(" → ")
    assert message in before
    assert fix in after


FINE = {
    "gpus": (GPUS + "mixed_precision: 'no'\ngpu_ids: all\n", {"devices": 8}),
    "gpus by name": (GPUS.replace("8", "4") + "gpu_ids: 0,1,2,3", {}),
    "cpus": (CPUS, {"precision": "bf16"}),
    "fsdp": (FSDP + "mixed_precision: bf16", {"precision": "bf16"}),
    "fsdp with sizes": (PARALLEL + "  parallelism_config_dp_shard_size: 8", {}),
    "fsdp with sizes of 1": (PARALLEL + "  parallelism_config_dp_shard_size: 1", {}),
    "machines": (MACHINES + "main_process_port: 29500\nmachine_rank: 1", {"devices": 16}),
    "one process": ("distributed_type: 'NO'\nnum_processes: 1", {}),
    "one process by default": ("distributed_type: 'NO'", {}),
    "mpirun": (
        "distributed_type: MULTI_CPU\nnum_processes: 4\nuse_cpu: true\nmpirun_config: {mpirun_hostfile: hosts}\n", {}
    ),
    "empty sections": (GPUS + "fsdp_config: {}\ndeepspeed_config: {}\ndynamo_config: {dynamo_backend: 'NO'}", {}),
    "a priced model": (FSDP, {**LLAMA, "zero_stage": 3}),
    "its stage is the file's": (FSDP, LLAMA),
    "fp16 on V100": (GPUS + "mixed_precision: fp16", V100),
    "uneven": (GPUS.replace("8", "6"), {"settings": ["batch.uneven=allow"]}),
}  # fmt: skip


STANDARD = """compute_environment: LOCAL_MACHINE
debug: false
downcast_bf16: 'no'
enable_cpu_affinity: false
machine_rank: 0
main_training_function: main
num_machines: 1
num_processes: 8
rdzv_backend: static
same_network: true
tpu_env: []
tpu_use_cluster: false
tpu_use_sudo: false
use_cpu: false
"""
"""What `accelerate config` writes whatever is answered."""
FSDP1 = """mixed_precision: bf16
distributed_type: FSDP
fsdp_config:
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_backward_prefetch: BACKWARD_PRE
  fsdp_cpu_ram_efficient_loading: true
  fsdp_sharding_strategy: FULL_SHARD
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_sync_module_states: true
  fsdp_version: 1
"""
ZERO = """mixed_precision: bf16
distributed_type: DEEPSPEED
deepspeed_config:
  gradient_accumulation_steps: 2
  offload_optimizer_device: none
  zero3_init_flag: false
  zero_stage: 2
"""
CONFIGURED = {
    "bf16": ("distributed_type: MULTI_GPU\ngpu_ids: all\nmixed_precision: bf16\n", "precision-disagrees"),
    "fp16": ("distributed_type: MULTI_GPU\ngpu_ids: all\nmixed_precision: fp16\n", "precision-disagrees"),
    "fsdp": (FSDP1, "fsdp-version-1"),
    "deepspeed": (ZERO, "launch-not-supported"),
}
TRAINABLE = [
    "corpus.store=store",
    "model.config=bert-base",
    "model.objective=masked",
    "optimizer.learning_rate=1e-4",
    "precision=fp32",
]


@pytest.mark.parametrize(("text", "rule"), CONFIGURED.values(), ids=CONFIGURED)
def test_what_accelerate_config_writes_is_fine_for_one_s_own_program(launches, text, rule):
    made = launches.report(STANDARD + text)
    assert not made.goes_wrong
    for found in made.findings:
        assert "dist_epochs.train stops" not in found.message or found.fix.startswith("for dist_epochs.train: ")
    trained = launches.report(STANDARD + text, TRAINABLE)
    assert rule in [found.rule for found in trained.findings if not found.is_note]


@pytest.mark.parametrize(
    ("text", "settings", "rule"),
    [
        (FSDP, [], "sharding-disagrees"),
        (FSDP, ["hardware.zero_stage=0"], "sharding-disagrees"),
        (FSDP, ["hardware.zero_stage=3"], None),
        (FSDP + "use_cpu: true", ["hardware.zero_stage=3"], None),
        (GPUS, ["hardware.zero_stage=3"], None),
        (GPUS, [], None),
        (PARALLEL + "  parallelism_config_dp_shard_size: 8", ["hardware.zero_stage=3"], None),
        (PARALLEL + "  parallelism_config_dp_replicate_size: 2\n  parallelism_config_dp_shard_size: 4",
         ["hardware.zero_stage=3"], "sharding-by-recipe"),
        (PARALLEL + "  parallelism_config_dp_replicate_size: 2\n  parallelism_config_dp_shard_size: 4",
         ["hardware.zero_stage=3", "hardware.shard_size=4"], None),
        (GPUS + "parallelism_config: {parallelism_config_dp_shard_size: 8}", [], "sharding-by-recipe"),
        (GPUS + "parallelism_config: {parallelism_config_dp_shard_size: 8}", ["hardware.zero_stage=3"], None),
        (FSDP.replace("2", "1") + "use_cpu: true", ["hardware.zero_stage=3"], "fsdp-version-1"),
        (FSDP + "  fsdp_offload_params: true", ["hardware.zero_stage=3"], "sharding-by-recipe"),
        (FSDP + "  fsdp_activation_checkpointing: true",
         ["hardware.zero_stage=3", "hardware.activation_checkpointing=true"], None),
    ],
)  # fmt: skip
def test_this_package_s_trainer_shards_as_the_recipe_says(launches, text, settings, rule):
    made = launches.report(text, [*TRAINABLE, *settings])
    assert [found.rule for found in made.findings if not found.is_note] == ([] if rule is None else [rule])


def test_a_stated_precision_is_another_run_for_every_program(launches):
    made = launches.report(STANDARD + CONFIGURED["bf16"][0], precision="fp16")
    assert made.goes_wrong
    assert "the recipe has precision: fp16: this is not the run that is planned" in made.findings[0].message


@pytest.mark.parametrize(("text", "flags"), FINE.values(), ids=FINE)
def test_nothing_is_wrong(launches, text, flags):
    made = launches.report(text, **flags)
    assert [found for found in made.findings if not found.is_note] == []
    assert not made.goes_wrong


def test_every_rule_is_seen_and_has_a_page():
    seen = {rule for rule, *_ in FIRES} | {"batch-of-one-device", "loader-options"}
    texts = {rule_name(rule): PAGES[rule_name(rule)] for rule in (*FINDINGS, *NOTES)}
    assert set(texts) == seen | IN_SEVERAL_FILES | OF_SCRIPTS
    assert len(texts) == len(FINDINGS) + len(NOTES)
    assert all("What to do: " in text for text in texts.values())


def test_a_batch_that_follows_the_devices(launches):
    flags = {"settings": ["batch.global_batch=null"]}
    made = launches.report(GPUS, **flags)
    assert made.launch.plan.batches[0].samples == 32
    assert made.command.endswith("--set batch.devices=8")
    assert "32 samples a step; the recipe alone says 4" in launches.found(GPUS, **flags)["batch-of-one-device"]
    assert "batch-of-one-device" not in launches.found(GPUS)


def test_somebody_else_s_loop(launches):
    flags = {"settings": ["batch.global_batch=null"], "corpus": "1000 samples", "uneven": "pad"}
    assert "uneven: pad is taken as stated" in launches.found(GPUS, **flags)["loader-options"]
    assert "loader-options" not in launches.found(GPUS)


def test_the_plan_is_for_the_devices_of_the_file(launches):
    assert launches.report(GPUS).launch.plan.batches[0].data_parallel_size == 8
    assert launches.report(GPUS, devices=4).launch.plan.batches[0].data_parallel_size == 4
    shared = launches.report(PARALLEL + "  parallelism_config_dp_shard_size: 4\n  parallelism_config_tp_size: 2")
    assert shared.launch.plan.batches[0].data_parallel_size == shared.launch.file.data_parallel_size == 4


def test_no_number_of_processes_is_searched_for_without_end(launches):
    found = launches.found(GPUS.replace("8", "999999999999999"), global_batch=1_000_000_007)
    assert "batch-beyond-the-launch" in found


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (GPUS, "accelerate launch --config_file acc.yaml -m dist_epochs.train r.yaml --out RUN"),
        (
            CPUS,
            "ACCELERATE_USE_CPU=true accelerate launch --config_file acc.yaml -m dist_epochs.train r.yaml --out RUN",
        ),
        (MACHINES, "accelerate launch --config_file acc.yaml --machine_rank 0 -m dist_epochs.train r.yaml --out RUN"),
    ],
)
def test_the_command(launches, text, command):
    assert launches.report(text).command.replace(f"{launches.folder}/", "") == command

"""Findings against the real launcher: what it refuses, what it starts, and what the program then finds."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate import ParallelismConfig
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, DynamoBackend, PrecisionType
from accelerate.utils.launch import (
    prepare_deepspeed_cmd_env,
    prepare_multi_gpu_env,
    prepare_simple_launcher_cmd_env,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.errors import InputError
from dist_epochs.tool_configs.accelerate_file import KINDS
from dist_epochs.tool_configs.launch.rules.keys import DYNAMO_BACKENDS, LOCAL_KEYS, RETIRED
from dist_epochs.tool_configs.launch.rules.precision import PRECISIONS
from dist_epochs.tool_configs.sharding import SIZES
from dist_epochs.train.launch import LaunchError, check_environment

REFUSED = {
    "unknown-launch-keys", "launch-type-unknown", "launch-value-type", "processes-not-stated", "one-gpu-id",
    "launch-precision", "fsdp-loading", "dynamo-backend-unknown",
}  # fmt: skip
"""Rules for what the launcher stops at, before anything starts."""


def launched(path):
    """What the real launcher makes of a file: processes on this machine, and the environment it gives them."""
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "train.py"])
    found, defaults, _ = _validate_launch_command(arguments)
    if found.use_deepspeed:
        found.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, environment = prepare_deepspeed_cmd_env(found)
    elif found.multi_gpu or found.use_fsdp or found.use_megatron_lm:
        environment = prepare_multi_gpu_env(found)
    else:
        _, environment = prepare_simple_launcher_cmd_env(found)
        return 1, environment
    return int(found.nproc_per_node), environment


def test_it_knows_what_accelerate_knows():
    assert set(ClusterConfig.__dataclass_fields__) | {"fp16", "dynamo_backend"} == LOCAL_KEYS
    assert not RETIRED & set(ClusterConfig.__dataclass_fields__)
    assert {kind.value for kind in DistributedType} == set(KINDS)
    assert set(DynamoBackend.list()) == DYNAMO_BACKENDS
    assert set(PrecisionType.list()) == set(PRECISIONS)


def some(**values):
    """Lines of a launch file, each with one of the spellings given for it, or left out (None)."""
    keys = {name: st.sampled_from(spellings) for name, spellings in values.items()}
    return st.fixed_dictionaries(keys).map(
        lambda chosen: "".join(f"{key}: {text}\n" for key, text in chosen.items() if text is not None)
    )


FILES = some(
    compute_environment=["LOCAL_MACHINE"],
    distributed_type=["MULTI_GPU", "MULTI_GPU", "FSDP", "MULTI_CPU", "'NO'", "NO", "TPU", "MULTI_XPU", None],
    num_processes=["8", "8", "2", "1", "'8'", "-1", "null", "2.0", None],
    num_machines=["1", "1", "'1'", "1.0", None],
    mixed_precision=["'no'", "'no'", "no", "off", "bf16", "int8", "null", None],
    gpu_ids=["all", "0,1", "0", "'3'", "[0, 1]", None, None],
    use_cpu=["true", "false", None],
    fsdp_config=["{fsdp_version: 2}", "{fsdp_sync_module_states: false}", "{}", None],
    dynamo_config=["{dynamo_backend: inductor}", "{dynamo_backend: NO}", "{backend: 'NO'}", "{backend: x}", None, None],
    dynamo_backend=["EAGER", "no", None, None, None],
    num_machins=["1", None, None, None],
)


@settings(max_examples=200, deadline=None)
@given(FILES)
def test_it_refuses_what_the_launcher_refuses(launches_of_session, text):
    rules = set(launches_of_session.found(text))
    try:
        processes, _ = launched(launches_of_session.write(text))
    except Exception as error:  # the launcher raises whatever comes
        assert rules & REFUSED, (text, error)
        return
    assert not rules & REFUSED, text
    file = launches_of_session.report(text).launch.file
    assert (processes == file.processes) == ("one-process" not in rules) or file.processes is None


MACHINES = "distributed_type: MULTI_GPU\nmain_process_ip: 10.0.0.1\nnum_machines: 2\n"


@pytest.mark.parametrize("processes", [1, 7, 16])
def test_it_rounds_as_the_launcher_does(launches, processes):
    text = f"{MACHINES}num_processes: {processes}\n"
    each, _ = launched(launches.write(text))
    rules = launches.found(text)
    said = rules.get("processes-not-divisible") or rules["total-processes"]
    assert f"{each} on each" in said


@pytest.mark.parametrize("kind", ["MULTI_CPU", "'NO'"])
def test_single_launches_need_address_and_port(launches, kind):
    text = f"distributed_type: {kind}\nnum_processes: 4\nnum_machines: 2\n"
    for key, rule in {"main_process_ip: 10.0.0.1\n": "main-process-not-reachable",
                      "main_process_port: 29500\n": "main-process-port"}.items():  # fmt: skip
        with pytest.raises(AssertionError, match="multiple machines"):
            launched(launches.write(text))
        assert rule in launches.found(text)
        text += key
    launched(launches.write(text))
    assert not {"main-process-not-reachable", "main-process-port"} & set(launches.found(text))


@pytest.mark.parametrize("asked", ["'no'", "bf16", "fp16", "null"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_trainer_refuses_the_precisions_that_are_found(launches, asked, precision):
    text = f"distributed_type: MULTI_GPU\nnum_processes: 2\nmixed_precision: {asked}\n"
    _, environment = launched(launches.write(text))
    is_found = "precision-disagrees" in launches.found(text, precision=precision)
    assert is_found == is_refused(environment, precision)


@pytest.mark.parametrize("steps", ["4", "auto", None])
def test_the_trainer_refuses_an_accumulation_from_outside(launches, steps):
    section = "{zero_stage: 2}" if steps is None else f"{{gradient_accumulation_steps: {steps}}}"
    text = f"distributed_type: DEEPSPEED\nnum_processes: 2\ndeepspeed_config: {section}\n"
    _, environment = launched(launches.write(text))
    assert ("accumulation-from-the-launch" in launches.found(text)) == is_refused(environment, "fp32")


def is_refused(environment, precision):
    try:
        check_environment(environment, precision=precision)
    except LaunchError:
        return True
    return False


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fsdp_config: {fsdp_version: 2}", "ACCELERATE_USE_FSDP"),
        ("deepspeed_config: {gradient_accumulation_steps: 4}", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"),
        ("megatron_lm_config: {megatron_lm_tp_degree: 2}", "ACCELERATE_USE_MEGATRON_LM"),
        ("parallelism_config: {dp_shard_size: 2}", None),
    ],
)
def test_sections_that_nobody_reads(launches, text, name):
    text = f"distributed_type: MULTI_GPU\nnum_processes: 2\n{text}\n"
    _, environment = launched(launches.write(text))
    assert name not in environment
    assert environment.get("PARALLELISM_CONFIG_DP_SHARD_SIZE", "1") == "1"
    assert "unread-sections" in launches.found(text)


@pytest.mark.parametrize("ids", ["0,1", "0,0", "1,2,1"])
def test_a_gpu_named_twice_hides_all(launches, monkeypatch, ids):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ids)
    text = f"distributed_type: MULTI_GPU\nnum_processes: 2\ngpu_ids: {ids}\n"
    assert (torch.cuda._parse_visible_devices() == []) == ("gpu-ids-repeated" in launches.found(text))


SIZE = st.sampled_from([1, 1, 2, 4])


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["FSDP", "FSDP1", "MULTI_GPU"]),
    processes=st.sampled_from([2, 4, 8]),
    sizes=st.fixed_dictionaries(dict.fromkeys(SIZES, SIZE)),
)
def test_parallel_sizes_that_accelerate_raises_at(launches_of_session, kind, processes, sizes):
    section = {f"parallelism_config_{name}": size for name, size in sizes.items()}
    file = {"distributed_type": kind.removesuffix("1"), "num_processes": processes, "parallelism_config": section}
    if kind == "FSDP":
        file["fsdp_config"] = {"fsdp_version": 2}
    try:
        found = launches_of_session.found(yaml.safe_dump(file))
    except InputError as error:
        pytest.fail(str(error))
    told = {rule for rule in found if rule in ("parallel-sizes", "nothing-to-shard", "only-data-parallel")}
    accelerator = SimpleNamespace(
        multi_device=kind == "MULTI_GPU",
        num_processes=processes,
        is_fsdp2=kind == "FSDP",
        distributed_type=DistributedType(kind.removesuffix("1")),
        is_main_process=False,
    )
    try:
        ParallelismConfig(**sizes)._validate_accelerator(accelerator)
    except ValueError:
        is_raised = True
    else:
        is_raised = False
    if is_raised:
        assert told or "fsdp-version-1" in found, file
    elif not any(sizes[name] > 1 for name in ("tp_size", "cp_size", "sp_size")):
        assert all("plain DDP" in found[rule] for rule in told), file


PROGRAM = """
import os
from accelerate import Accelerator
n = Accelerator().num_processes
print(f"rank {os.environ.get('RANK')} of {os.environ.get('WORLD_SIZE')} sees {n}", flush=True)
"""
CPU = {
    "one-process": ("MULTI_CPU", {}, ["rank None of None sees 1"]),
    "cpu-by-environment": ("MULTI_GPU", {}, ["rank 0 of 2 sees 1", "rank 1 of 2 sees 1"]),
    "": ("MULTI_GPU", {"ACCELERATE_USE_CPU": "true"}, ["rank 0 of 2 sees 2", "rank 1 of 2 sees 2"]),
}
"""What is found, the kind of launch, its environment, and what its processes print."""


def test_real_launches_on_the_cpu(launches):
    """Three at once: one process, two that are alone, two that know each other."""
    program = launches.folder / "program.py"
    program.write_text(PROGRAM)
    running = []
    inherited = ("ACCELERATE_", "RANK", "WORLD_", "LOCAL_", "MASTER_", "TORCHELASTIC_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(inherited)}
    for rule, (kind, environment, printed) in CPU.items():
        text = f"distributed_type: {kind}\nnum_processes: 2\nuse_cpu: true\nmain_process_port: 0\n"
        assert not rule or rule in launches.found(text)
        file = launches.folder / f"{len(running)}.yaml"
        file.write_text(text)
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file), str(program)]
        given = {**clean, **environment, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append((process, printed))
    for process, printed in running:
        output, errors = process.communicate(timeout=120)
        said = re.findall(r"rank \S+ of \S+ sees \d+", output)  # gloo may write between them
        assert sorted(said) == printed, output + errors

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.errors import InputError
from dist_epochs.tool_configs.accelerate_file import KNOWN_KEYS
from dist_epochs.tool_configs.complete import complete, data_parallel_size
from dist_epochs.tool_configs.launch.command import asked_processes
from dist_epochs.tool_configs.readers.accelerate import read_accelerate_file
from dist_epochs.tool_configs.sharding import SIZES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_processes: eight", "acc.yaml:1: num_processes must be a whole number"),
        ("distributed_type: [a]", "acc.yaml:1: distributed_type must be a word"),
        ("train_batch_size: 8", "no Accelerate configuration"),
        ("- 1", "holds a list"),
        ("distributed_type: FSDP\nfsdp_config: 3", "acc.yaml:2: fsdp_config must be keys and values"),
    ],
)
def test_what_cannot_be_read(launches, text, message):
    with pytest.raises(InputError) as caught:
        read_accelerate_file(launches.write(text))
    assert message in str(caught.value)


def test_lines(launches):
    file = read_accelerate_file(launches.write("num_processes: 4\nfsdp_config:\n  fsdp_version: 2\n"))
    places = {"num_processes": 1, "fsdp_config": 2, "use_cpu": 1}
    assert {key: file.line(key).line for key in places} == places
    assert file.line("fsdp_config", "fsdp_version").line == 3
    assert file.line("fsdp_config", "nothing").line == 2


INNER = st.sampled_from(
    [
        *(f"parallelism_config_{name}" for name in SIZES), "tp_size", "fsdp_version", "fsdp_sharding_strategy",
        "zero_stage",
        "gradient_accumulation_steps", "deepspeed_config_file", "mpirun_hostfile", "dynamo_backend",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 40) | st.floats(0, 9) | st.text(max_size=9)
    | st.sampled_from(["auto", "MULTI_GPU", "FSDP", "DEEPSPEED", "MEGATRON_LM", "NO", "bf16", "0,1", "127.0.0.1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
USUAL = st.fixed_dictionaries(
    {},
    optional={
        "distributed_type": st.sampled_from(["MULTI_GPU", "FSDP", "DEEPSPEED", "MULTI_CPU", "NO", "XLA"]),
        "num_processes": st.integers(-1, 40),
        "num_machines": st.integers(1, 4),
        "use_cpu": st.booleans(),
        "parallelism_config": st.dictionaries(INNER, st.integers(1, 4), max_size=4),
        "deepspeed_config": st.dictionaries(INNER, VALUES, max_size=3),
    },
)
ANY = st.dictionaries(st.sampled_from(sorted(KNOWN_KEYS)) | st.text(max_size=9), VALUES, max_size=6)


@given(usual=USUAL, others=ANY)
def test_any_file_gives_findings_or_an_input_error(launches_of_session, usual, others):
    text = yaml.safe_dump({**others, **usual}, allow_unicode=True)
    try:
        made = launches_of_session.report(text)
    except InputError:
        return
    assert all(found.where and found.message and found.fix for found in made.findings)


@pytest.mark.parametrize(
    ("text", "processes", "shared"),
    [
        ("distributed_type: MULTI_GPU\nnum_processes: 8", 8, 1),
        ("distributed_type: 'NO'", 1, 1),
        ("distributed_type: NO", None, 1),  # false, which is not the word that stands for one process
        ("distributed_type: MULTI_GPU\nnum_processes: -1", None, 1),
        ("compute_environment: AMAZON_SAGEMAKER\ndistributed_type: 'NO'\nnum_processes: 8", None, 1),
        ("distributed_type: MEGATRON_LM\nnum_processes: 32\nmegatron_lm_config:\n  megatron_lm_tp_degree: 4\n"
         "  megatron_lm_pp_degree: 2\n  megatron_lm_context_parallel_size: 1", 32, 8),
        ("distributed_type: FSDP\nnum_processes: 8\nparallelism_config:\n  parallelism_config_tp_size: 2\n"
         "  parallelism_config_dp_shard_size: 4", 8, 2),
        ("distributed_type: XLA\nnum_processes: 8\nparallelism_config:\n  parallelism_config_tp_size: 2", 8, 1),
        ("distributed_type: MULTI_CPU\nnum_processes: 8\nparallelism_config:\n  parallelism_config_tp_size: 2", 8, 1),
        ("distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n  deepspeed_config_file: ds.json", 8, 8),
    ],
)  # fmt: skip
def test_the_three_uses_of_a_file_say_the_same(launches, folder, text, processes, shared):
    shared_by = {"tensor_parallel": {"autotp_size": 2}, "pipeline": {"stages": 2}, "sequence_parallel_size": 2}
    folder.write("ds.json", shared_by | {"zero_optimization": {"stage": 1}})
    path = launches.write(text)
    file = read_accelerate_file(path)
    planned = complete(folder.read("acc.yaml"))
    launched = launches.report(text).launch
    assert (file.processes, file.shared) == (processes, shared)
    assert (planned.devices and planned.devices.value) == processes
    assert data_parallel_size(planned) == file.data_parallel_size == launched.file.data_parallel_size
    assert asked_processes(["accelerate", "launch", "--config_file", str(path), "x.py"], path) == processes
    if processes is not None:
        assert launched.plan.batches[0].data_parallel_size == processes // shared


def test_tpu_is_refused_as_the_launcher_does(launches, folder):
    text = "distributed_type: TPU\nnum_processes: 8"
    assert "launch-type-unknown" in launches.found(text)
    assert "distributed_type must be one of" in folder.error("acc.yaml")


def test_sections_that_contradict_their_deepspeed_file(launches, folder):
    folder.write("ds.json", {"gradient_accumulation_steps": 4, "train_micro_batch_size_per_gpu": 4})
    text = ("distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n"
            "  gradient_accumulation_steps: 3\n  zero_stage: 2\n")  # fmt: skip
    assert "gradient_accumulation_steps is 4, and the plan has 2" in launches.found(text)["deepspeed-batch"]
    assert "gradient_accumulation is 4" in folder.error("acc.yaml")
    assert read_accelerate_file(launches.folder / "acc.yaml").zero_stage.value == 2

"""DeepSpeed files that a launch file names, read by `--launch` and by `--from` alike."""

import pytest

from dist_epochs.tool_configs.complete import complete, data_parallel_size
from dist_epochs.tool_configs.detect import read_settings

NAMED = "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n"
NAMED += "  deepspeed_config_file: ds.json\n"
AUTO = '"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto"'


def found(launches, rule):
    path = launches.folder / "acc.yaml"
    report = launches.report(path.read_text(), per_device=4)
    return [finding for finding in report.findings if finding.rule == rule]


def write(launches, deepspeed, more=""):
    (launches.folder / "ds.json").write_text(deepspeed)
    launches.write(NAMED + more)


def test_keys_beside_a_deepspeed_file_stop_accelerate(launches):
    write(
        launches,
        f'{{{AUTO}, "gradient_accumulation_steps": 16, "zero_optimization": {{"stage": 2}}}}',
        "  gradient_accumulation_steps: 16\n  gradient_clipping: 1.0\n  zero_stage: 2\n"
        "  offload_optimizer_device: none\nmixed_precision: fp16\n",
    )
    assert [(finding.where.line, finding.is_note) for finding in found(launches, "deepspeed-file-beside-keys")] == [
        (10, False), (6, False), (7, False), (8, False), (9, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("deepspeed", "more", "count"),
    [
        ('{"zero_optimization": {"stage": 2}}', "  zero3_init_flag: true\n", 0),
        ('{"train_batch_size": 64}', "", 1),
        ('{"zero_optimization": {"stage": 2}}', "  zero3_save_16bit_model: null\n", 1),  # its being there counts
    ],
)
def test_what_accelerate_takes_beside_a_file(launches, deepspeed, more, count):
    write(launches, deepspeed, more)
    assert len(found(launches, "deepspeed-file-beside-keys")) == count
    notes = [note for note in read_settings(launches.folder / "acc.yaml").notes if "Accelerate refuses" in note]
    assert len(notes) == count


def test_without_a_file_the_keys_are_accelerate_s_own(launches):
    launches.write("distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config: {zero_stage: 2}\n")
    assert found(launches, "deepspeed-file-beside-keys") == []


@pytest.mark.parametrize("key", ["gradient_accumulation_steps", "train_micro_batch_size_per_gpu", "train_batch_size"])
def test_a_number_in_quotes_is_text_for_deepspeed(launches, key):
    write(launches, f'{{"zero_optimization": {{"stage": 2}},\n "{key}": "8"}}')
    (finding,) = found(launches, "deepspeed-quoted-number")
    assert (finding.where.line, finding.is_note) == (2, False)
    notes = read_settings(launches.folder / "ds.json").notes
    assert any(note.endswith(f"{key}: a number in quotes is text, with which DeepSpeed cannot compute")
               for note in notes)  # fmt: skip
    write(launches, f'{{"zero_optimization": {{"stage": 2}},\n "{key}": 8}}')
    assert found(launches, "deepspeed-quoted-number") == []


def test_quotes_in_yaml_are_those_of_the_other_file(folder):
    """Only DeepSpeed computes with text as it stands: a number in quotes elsewhere is none of its."""
    folder.write("args.yaml", 'per_device_train_batch_size: "4"\nmax_steps: 5\ndeepspeed: ds.json\n')
    folder.write("ds.json", '{"zero_optimization": {"stage": "2"}}')
    assert folder.notes("args.yaml") == [
        "ds.json:1 zero_optimization.stage: a number in quotes is text, with which DeepSpeed cannot compute"
    ]


MEGATRON = "distributed_type: MEGATRON_LM\nnum_processes: 16\nmegatron_lm_config:\n"
FSDP = "distributed_type: FSDP\nnum_processes: 16\nfsdp_config: {fsdp_version: 2}\nparallelism_config:\n"


@pytest.mark.parametrize(
    ("text", "deepspeed", "size"),
    [
        (MEGATRON + "  megatron_lm_tp_degree: 2\n  megatron_lm_pp_degree: 2\n", "{}", 4),
        (MEGATRON + "  megatron_lm_tp_degree: 2\n  megatron_lm_context_parallel_size: 4\n", "{}", 2),
        (MEGATRON + "  megatron_lm_expert_model_parallel_size: 4\n", "{}", 16),
        (FSDP + "  parallelism_config_tp_size: 2\n  parallelism_config_dp_shard_size: 8\n", "{}", 8),
        (FSDP + "  parallelism_config_cp_size: 4\n  parallelism_config_dp_shard_size: 4\n", "{}", 4),
        (NAMED, '{"tensor_parallel": {"autotp_size": 2}, "zero_optimization": {"stage": 2}}', 4),
        (NAMED, '{"tensor_parallel": {"autotp_size": 0}, "zero_optimization": {"stage": 2}}', 8),
        (NAMED, '{"pipeline": {"stages": 4}, "zero_optimization": {"stage": 1}}', 2),
        (NAMED, '{"sequence_parallel_size": 8, "zero_optimization": {"stage": 3}}', 1),
        (NAMED, '{"sequence_parallel_size": 2, "tensor_parallel": {"autotp_size": 2}, "zero_optimization": {}}', 2),
    ],
)
def test_from_and_launch_see_the_same_data_parallel_size(launches, text, deepspeed, size):
    (launches.folder / "ds.json").write_text(deepspeed)
    path = launches.write(text)
    assert launches.report(text).launch.file.data_parallel_size == size
    planned = launches.report(text, global_batch=64).launch.plan
    assert planned.batches[0].data_parallel_size == size
    assert data_parallel_size(complete(read_settings(path))) == size

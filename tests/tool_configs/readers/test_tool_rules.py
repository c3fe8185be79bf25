"""Rules of single tools beyond the samples: what they take for absent keys, round, hold out, and refuse."""

import pytest

from dist_epochs.arithmetic.quantity import parse_count
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import LaunchSettings, merge


def read(folder, text, devices=None, samples=None, name="file.yaml", **more):
    """Settings of a file, completed, as values."""
    batch = LaunchSettings(devices=None if devices is None else Stated(parse_count(devices), Origin("--devices")))
    folder.write(name, text)
    settings = read_settings(folder.path / name, Given(batch=batch, samples=samples, **more))
    stated = complete(merge([settings, batch]), accumulates_once=False).stated()
    return {key: found.value for key, found in stated.items()}, list(settings.notes)


def refused(folder, text, name="file.yaml", **given):
    with pytest.raises(InputError) as caught:
        read(folder, text, name=name, **given)
    return caught.value


NEOX = "num_layers: 2\npos_emb: rotary\ntrain_iters: 10\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("train_batch_size: 64\n", {"per_device": 8, "gradient_accumulation": 1}),
        ("train_micro_batch_size_per_gpu: 4\n", {"global_batch": 32}),
        ("train-batch-size: 64\npipe-parallel-size: 0\nmodel-parallel-size: 2\n",
         {"per_device": 16, "pipeline_parallel": 1, "tensor_parallel": 2}),
        ("train_batch_size: 64\nfp16: {enabled: true}\n", {"precision": "fp16"}),
        ("train_batch_size: 64\nprecision: bfloat16\n", {"precision": "bf16"}),
        ("train_batch_size: 64\nfp16: {enabled: true, type: bfloat16}\n", {"precision": "bf16"}),
        ("train_batch_size: 64\n", {"precision": "fp32", "steps": 10}),
        ("train_batch_size: 64\ncontext_parallel_size: 2\n", {"per_device": 16}),
    ],
)  # fmt: skip
def test_gpt_neox(folder, text, values):
    found, _ = read(folder, NEOX + text, devices=8)
    assert {key: found[key] for key in values} == values


def test_gpt_neox_refuses_what_it_would_stop_at(folder):
    assert "are both stated" in refused(folder, NEOX + "train_epochs: 1\n").asked
    error = refused(folder, NEOX + "train_batch_size: 64\ntrain_micro_batch_size_per_gpu: 2\n", devices=8)
    assert error.asked == "the batch does not add up"


AXOLOTL = "base_model: m\nsequence_len: 128\nmicro_batch_size: 4\n"


@pytest.mark.parametrize(
    ("text", "samples", "steps", "left"),
    [
        ("", 1000, 32, None),  # one pass, no accumulation
        ("num_epochs: 0.5\nval_set_size: 100\n", 1000, 15, 900),
        ("val_set_size: 0.05\ngradient_accumulation_steps: 2\nnum_epochs: 3\n", 1010, 45, 959),  # 51 held out
        ("sample_packing: true\nnum_epochs: 2\nval_set_size: 0.1\n", 100, 6, None),
        ("max_steps: 7\n", 1000, None, None),
        ("max_steps: -1\n", 1000, 32, None),
    ],
)
def test_axolotl_counts_its_steps_itself(folder, text, samples, steps, left):
    found, _ = read(folder, AXOLOTL + text, devices=8, samples=samples)
    assert (found.get("counted_steps"), found.get("corpus_samples")) == (steps, left)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("bf16: auto\n", {"precision": "bf16"}),
        ("fp16: true\nbf16: false\n", {"precision": "fp16"}),
        ("bf16: false\n", {"precision": "fp32"}),
        ("tensor_parallel_size: 2\nsequence_parallel_degree: 2\n", {"tensor_parallel": 2, "context_parallel": 2}),
        ("fsdp: [full_shard]\nfsdp_config: {fsdp_sharding_strategy: SHARD_GRAD_OP}\n", {"zero_stage": 2}),
        ("fsdp: [full_shard]\n", {"zero_stage": 3}),
        ("gradient_checkpointing: unsloth\n", {"activation_checkpointing": True}),
    ],
)
def test_axolotl_in_its_own_words(folder, text, values):
    found, _ = read(folder, AXOLOTL + text, devices=8)
    assert {key: found[key] for key in values} == values


def test_axolotl_refuses_what_cannot_be_known(folder):
    error = refused(folder, AXOLOTL + "batch_size: 64\n")
    assert error.fixes == ("gradient_accumulation_steps: 16 in its place",)
    assert "counts completions" in refused(folder, AXOLOTL + "rl: grpo\n").asked
    assert "less than the 50 samples" in refused(folder, AXOLOTL + "val_set_size: 50\n", samples=50).asked


def test_files_that_axolotl_ships_with_are_not_needed(folder):
    folder.write("zero.json", {"zero_optimization": {"stage": 1}})
    assert read(folder, AXOLOTL + "deepspeed: zero.json\n")[0]["zero_stage"] == 1
    found, notes = read(folder, AXOLOTL + "deepspeed: deepspeed_configs/zero2.json\n")
    assert "zero_stage" not in found
    assert any("no such file here" in note for note in notes)


GRPO = "output_dir: o\nper_device_train_batch_size: 8\nnum_generations: 8\nnum_train_epochs: 1\n"


@pytest.mark.parametrize(
    ("text", "samples", "steps"),
    [
        ("gradient_accumulation_steps: 4\n", 1000, 62),  # 16 prompts a step
        ("gradient_accumulation_steps: 4\nsteps_per_generation: 8\n", 1000, 62),  # 31 generations of 32 prompts
        ("gradient_accumulation_steps: 4\ngeneration_batch_size: 256\n", 1000, 62),
        ("gradient_accumulation_steps: 4\nsteps_per_generation: 8\nnum_iterations: 2\n", 1000, 124),
        ("gradient_accumulation_steps: 3\nsteps_per_generation: 4\n", 1000, 83),  # 62 × 4 micro-steps ÷ 3
        ("max_steps: 5\n", 1000, None),
    ],
)
def test_grpo(folder, text, samples, steps):
    found, _ = read(folder, GRPO + text, devices=4, samples=samples)
    assert found.get("counted_steps") == steps
    assert found["corpus_samples"] == 8 * samples


def test_grpo_stops_where_prompts_are_not_whole(folder):
    assert "6 completions is no whole number" in refused(folder, GRPO.replace(": 8\nnum_gen", ": 3\nnum_gen"),
                                                         devices=2).asked  # fmt: skip
    text = "output_dir: o\nreward_funcs: [accuracy]\nnum_train_epochs: 1\n"
    assert read(folder, text, devices=8)[0]["global_batch"] == 64


TUNE = "optimizer: {_component_: a.B}\nmodel: {_component_: c.lora_d}\nbatch_size: ${bs}\nbs: 4\nepochs: 2\n"


@pytest.mark.parametrize(
    ("text", "devices", "samples", "steps", "window"),
    [
        ("", 2, 1000, 250, "drop"),
        ("gradient_accumulation_steps: 8\n", 2, 1000, 30, "drop"),
        ("max_steps_per_epoch: 10\n", 2, 1000, 20, None),
        ("", 8, 9850, 616, None),  # filled up to 9,856, a multiple of the devices, which makes a micro-step
        ("dataset: [{source: a}, {source: b}]\ntensor_parallel_dim: 2\n", 8, 1000, 124, "drop"),
    ],
)
def test_torchtune(folder, text, devices, samples, steps, window):
    found, _ = read(folder, TUNE + text, devices=devices, samples=samples)
    assert (found["counted_steps"], found.get("last_window"), found["per_device"]) == (steps, window, 4)
    assert found["adapter"] == {"kind": "lora"}


def test_torchtune_s_reinforcement_is_refused(folder):
    assert "grpo_samples belongs to a PPO or GRPO recipe" in refused(folder, TUNE + "grpo_samples: 4\n").asked


COMPOSER = "global_train_batch_size: 60\nmax_seq_len: 100\nmax_duration: "


@pytest.mark.parametrize(
    ("duration", "steps"),
    [("4_800ba", 4800), ("1e3ba", 1000), ("601sp", 11), ("6001tok", 2), ("20e3tok", 4), ("2ep", None), ("2", None)],
)
def test_durations_of_composer(folder, duration, steps):
    found, _ = read(folder, f"{COMPOSER}{duration}\n", devices=3)
    assert found.get("steps") == steps
    if steps is None:
        assert found["epochs"] == 2


@pytest.mark.parametrize("duration", ["300Btok", "2.4Ttok", "10x", "5iter", "60sec"])
def test_durations_that_composer_does_not_know_or_that_are_no_steps(folder, duration):
    refused(folder, f"{COMPOSER}{duration}\n", devices=3)


@pytest.mark.parametrize(
    ("loader", "micro_batch", "steps", "each"),
    [
        ("{drop_last: true}", "4", 2 * 16, 4),
        ("{drop_last: false}", "4", 2 * 17, 4),
        ("{drop_last: true, dataset: {local: x}}", "auto", 2 * 16, None),
        ("{drop_last: true}", "7", 2 * 16, None),  # 20 of a device in 3 micro-steps, the last of 6
        ("{drop_last: true}", "64", 2 * 16, 20),
    ],
)
def test_passes_of_composer(folder, loader, micro_batch, steps, each):
    text = f"{COMPOSER}2ep\ntrain_loader: {loader}\ndevice_train_microbatch_size: {micro_batch}\n"
    found, _ = read(folder, text, devices=3, samples=1000)
    assert (found["counted_steps"], found.get("per_device")) == (steps, each)


LIT = "checkpoint_dir: c\ntrain:\n  micro_batch_size: 4\n  global_batch_size: 50\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("devices: 3\n", {"global_batch": 48, "epochs": 5}),
        ("devices: 3\nnum_nodes: 2\n", {"devices": 6, "global_batch": 48}),
        ("devices: auto\n", {"devices": 2, "global_batch": 48}),
        ("devices: 12\nprecision: 16-mixed\n", {"global_batch": 48, "precision": "fp16"}),
        ("devices: 1\n", {"global_batch": 48, "gradient_accumulation": 12}),
        ("seed: 1\n", {"devices": 1, "global_batch": 48, "seed": 1}),
    ],
)
def test_litgpt(folder, text, values):
    devices = 2 if "auto" in text else None
    found, _ = read(folder, LIT + text, devices=devices)
    assert {key: found[key] for key in values} == values


def test_litgpt_finetuning_ends_with_what_comes_first(folder):
    text = LIT.replace("train:\n", "train:\n  epochs: 2\n  max_steps: 10\n") + "devices: 3\n"
    found, _ = read(folder, text, samples=4800)
    assert (found["steps"], found.get("epochs")) == (10, None)
    found, _ = read(folder, text, samples=100)  # 9 micro-steps a pass
    assert (found["epochs"], found.get("steps"), found["last_window"]) == (2, None, "carry")


def test_litgpt_refuses_a_batch_below_one_micro_step(folder):
    assert refused(folder, LIT + "devices: 16\n").fixes[0] == "a global_batch_size of 64"


TITAN = "[training]\nsteps = 10\nseq_len = 128\n"


@pytest.mark.parametrize(
    ("text", "devices", "values"),
    [
        ("", 4, {"per_device": 8, "global_batch": 32, "zero_stage": 3, "sequence_length": 128}),
        ("batch_size = 2\ntensor_parallel_degree = 2\n[experimental]\npipeline_parallel_degree = 2\n", 8,
         {"per_device": 2, "global_batch": 4, "zero_stage": 2}),
        ("data_parallel_degree = 4\n", None, {"devices": 4}),
        ("[parallelism]\ndata_parallel_shard_degree = 1\ndata_parallel_replicate_degree = 4\n", None,
         {"devices": 4, "zero_stage": 0}),
        ("[parallelism]\nfsdp_reshard_after_forward = \"never\"\n", 4, {"zero_stage": 2}),
    ],
)  # fmt: skip
def test_torchtitan(folder, text, devices, values):
    found, _ = read(folder, TITAN + text, devices=devices, name="t.toml")
    assert {key: found[key] for key in values} == values


def test_torchtitan_in_tokens(folder):
    text = ('{"training": {"steps": 5, "num_tokens_per_microbatch_per_dp_rank": 16384, "max_context_length": 2048, '
            '"num_tokens_per_train_step": 524288}, "parallelism": {"tensor_parallel_degree": 2}}')  # fmt: skip
    found, _ = read(folder, text, devices=8, name="t.json")
    assert (found["per_device"], found["gradient_accumulation"], found["global_batch"]) == (8, 8, 256)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("batch_size = 4\nmax_iters = 10\n", {"per_device": 4, "global_batch": 160, "gradient_accumulation": 20}),
        ("gradient_accumulation_steps = 5 * 8; max_iters = 2\n", {"global_batch": 480, "steps": 3}),
        ("max_iters = int('5')\nbatch_size = 1\nblock_size = 64\n", {"steps": 600_001, "sequence_length": 64}),
    ],
)
def test_nanogpt(folder, text, values):
    found, _ = read(folder, text, devices=2, name="train.py")
    assert {key: found[key] for key in values} == values


def test_nothing_in_a_python_file_is_executed(folder, tmp_path):
    mark = tmp_path / "executed"
    read(folder, f"open({str(mark)!r}, 'w')\nbatch_size = 2\nmax_iters = 2\n", name="train.py")
    assert not mark.exists()
    assert refused(folder, "batch_size = (\n", name="train.py").asked == "not Python"


def test_references_that_go_round_are_refused(folder):
    text = COMPOSER + "${a}\na: ${b}\nb: ${a}\n"
    assert "circle" in refused(folder, text).asked
    unknown = COMPOSER.replace("60", "${oc.env:BATCH}") + "2ep\n"
    assert refused(folder, unknown).asked == "global_train_batch_size is ${oc.env:BATCH}, which only OmegaConf knows"


LLAMA = "stage: sft\ntemplate: qwen\noutput_dir: o\n"


def test_what_stands_on_the_trainer_takes_its_defaults(folder):
    found, notes = read(folder, LLAMA, devices=2)
    assert (found["per_device"], found["epochs"]) == (8, 3)
    assert sum("as the Trainer takes it" in note for note in notes) == 2
    found, _ = read(folder, "dataset_name: d\nmax_length: 64\noutput_dir: o\nmax_steps: 5\n", devices=2)
    assert (found["per_device"], found["steps"], found.get("epochs")) == (8, 5, None)


def test_a_stream_of_llama_factory_needs_steps(folder):
    assert "max_steps is not stated" in refused(folder, LLAMA + "streaming: true\n").asked
    assert read(folder, LLAMA + "streaming: true\n", has_length=True)[0]["per_device"] == 8


LLAMA_V1 = "train_dataset: d\ncutoff_len: 128\nmicro_batch_size: 2\n"


@pytest.mark.parametrize(
    ("text", "devices", "samples", "steps", "values"),
    [
        ("", 4, 1001, 3 * 125, {"global_batch": 8, "gradient_accumulation": 1, "last_window": "drop"}),
        ("global_batch_size: 32\nnum_train_epochs: 1\n", 4, 1001, 31, {"gradient_accumulation": 4}),
        ("dist_config: {cp_size: 2}\nmax_steps: 7\n", 4, 1001, None, {"global_batch": 4, "context_parallel": 2}),
    ],
)
def test_version_1_of_llama_factory(folder, text, devices, samples, steps, values):
    found, _ = read(folder, LLAMA_V1 + text, devices=devices, samples=samples)
    assert found.get("counted_steps") == steps
    assert {key: found[key] for key in values} == values


@pytest.mark.parametrize(
    ("text", "devices", "size"),
    [
        ("data_parallel_replicate_degree = 2\ndata_parallel_shard_degree = -1\n", 16, 8),
        ("data_parallel_replicate_degree = 2\ndata_parallel_shard_degree = 4\ncontext_parallel_degree = 2\n", None, 4),
        ("data_parallel_replicate_degree = 2\ndata_parallel_shard_degree = 1\n", None, None),
        ("data_parallel_shard_degree = 8\n", None, None),
    ],
)
def test_copies_of_torchtitan(folder, text, devices, size):
    found, _ = read(folder, f"{TITAN}[parallelism]\n{text}", devices=devices, name="t.toml")
    assert found.get("shard_size") == size

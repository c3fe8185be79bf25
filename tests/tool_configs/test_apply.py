"""`plan --from`: other tools' files with flags and recipes over them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["plan", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def plan(*arguments):
    return json.loads(call(*arguments, "--json").stdout)


@pytest.fixture
def deepspeed(tmp_path):
    path = tmp_path / "ds.json"
    path.write_text(
        '{\n\t"train_batch_size": 256,\n\t"train_micro_batch_size_per_gpu": 4,\n'
        '\t"gradient_accumulation_steps": "auto",\n'
        '\t"zero_optimization": {"stage": 2},\n\t"bf16": {"enabled": true}\n}\n'
    )
    return path


@pytest.fixture
def accelerate(tmp_path):
    path = tmp_path / "accelerate.yaml"
    path.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\nnum_machines: 2\nnum_processes: 16\n"
    )
    return path


@pytest.fixture
def arguments(tmp_path):
    path = tmp_path / "arguments.json"
    path.write_text(
        json.dumps({"output_dir": "out", "per_device_train_batch_size": 10, "gradient_accumulation_steps": 2,
                    "num_train_epochs": 10, "accelerator_config": {"even_batches": True}})
    )  # fmt: skip
    return path


RUN = ["--corpus", "1B tokens", "--sequence-length", 512, "--epochs", 1]


def test_a_missing_factor_follows_from_file_and_flag(deepspeed):
    found = plan("--from", deepspeed, "--devices", "8xH100", "--model", "bert-base", *RUN)
    assert found["global_batch"]["gradient_accumulation"] == 8
    assert (found["global_batch"]["samples"], found["global_batch"]["per_device"]) == (256, 4)
    assert found["steps"] == -(-(10**9) // (256 * 512))
    assert found["cost"]["device"] == "H100 SXM"


def test_two_files_state_one_launch(deepspeed, accelerate):
    found = plan("--from", deepspeed, "--from", accelerate, *RUN)
    assert found["global_batch"]["data_parallel_size"] == 16  # num_processes counts all machines
    assert found["global_batch"]["gradient_accumulation"] == 4


def test_a_contradiction_names_both_places(deepspeed):
    error = call("--from", deepspeed, "--devices", 8, "--gradient-accumulation", 4, *RUN, code=2).stderr
    assert f"{deepspeed}:2 train_batch_size" in error
    assert "--gradient-accumulation" in error
    assert "256" in error
    assert "128" in error
    both = call("--from", deepspeed, "--devices", 8, "--per-device", 2, *RUN, code=2).stderr
    assert f"per_device is 4 in {deepspeed}:3 train_micro_batch_size_per_gpu, and 2 in --per-device" in both


def test_a_recipe_takes_part(deepspeed, tmp_path):
    recipe = tmp_path / "r.yaml"
    text = (CONFIGS / "bert-base.yaml").read_text()
    recipe.write_text(text.replace("per_device: 8", "per_device: 4"))
    assert plan(recipe, "--from", deepspeed, "--devices", 8)["global_batch"]["gradient_accumulation"] == 8
    recipe.write_text(text)
    error = call(recipe, "--from", deepspeed, "--devices", 8, code=2).stderr
    assert f"and 8 in {recipe}:{text[: text.index('per_device')].count(chr(10)) + 1}" in error


def test_a_batch_in_tokens_is_counted_in_samples_of_the_length(deepspeed):
    run = ["--from", deepspeed, "--devices", 8, *RUN]
    assert plan(*run, "--batch", "128Ki tokens")["global_batch"]["samples"] == 256
    assert "needs one sequence length" in call(*run, "--batch", "100k tokens", code=2).stderr


def test_training_arguments_plan_the_trainer_s_loop(arguments):
    # huggingface/transformers issue 36297: 91 samples, 2 processes
    found = plan("--from", arguments, "--corpus", "91 samples", "--devices", 2)
    assert (found["steps"], found["samples"], found["drawn"]["passes"]) == (30, 1000, 10)
    tokens = ["--corpus", "1B tokens", "--sequence-length", 512]
    assert "even_batches" in call("--from", arguments, *tokens, "--devices", 2).stderr


def test_what_a_file_leaves_open_is_told_beside_the_json(deepspeed):
    result = call("--from", deepspeed, "--devices", 8, *RUN, "--json")
    assert "gradient_accumulation_steps: left open" in result.stderr
    json.loads(result.stdout)


def test_flags_decide_how_long(arguments):
    assert plan("--from", arguments, "--corpus", "91 samples", "--devices", 2, "--steps", 7)["steps"] == 7
    assert plan("--from", arguments, "--corpus", "91 samples", "--devices", 2)["steps"] == 30


def test_the_trainer_s_own_loop_is_planned_unless_flags_say_otherwise(tmp_path):
    path = tmp_path / "arguments.json"
    path.write_text('{"per_device_train_batch_size": 8, "gradient_accumulation_steps": 8, "num_train_epochs": 2}')
    run = ["--from", path, "--corpus", "4107 samples", "--devices", 1]
    assert plan(*run)["steps"] == 130
    assert plan(*run, "--last-window", "carry")["steps"] == 128
    tokens = ["--from", path, "--corpus", "1B tokens", "--sequence-length", 512, "--devices", 1]
    assert "runs on across them" in call(*tokens).stderr
    assert "last window carry" in call(*run, "--last-window", "carry").stderr
    assert "num_train_epochs: not used" in call(*run, "--steps", 5).stderr
    assert any("last window flush" in note for note in plan(*run)["from"])
    assert plan(*run, "--replacement")["drawn"] is None


def test_a_misspelled_key_is_told(tmp_path):
    path = tmp_path / "arguments.json"
    path.write_text('{"per_device_train_batch_sise": 8, "per_gpu_train_batch_size": 4, "num_train_epochs": 2}')
    note = call("--from", path, "--corpus", "100 samples", "--devices", 1).stderr
    assert f"{path}:1 per_device_train_batch_sise: not read; did you mean per_device_train_batch_size?" in note


SAMPLES = Path(__file__).parent / "samples"


def test_flags_decide_how_long_and_the_tool_how_its_passes_are_counted():
    run = ["--from", SAMPLES / "axolotl/sft-lora/lora.yml", "--devices", 4, "--corpus", "20000 samples"]
    assert plan(*run)["steps"] == 919
    assert plan(*run, "--epochs", 1)["steps"] == 307  # ⌈19,600 ÷ 64⌉
    assert plan(*run, "--steps", 5)["steps"] == 5
    assert plan(*run, "--epochs", "1/2")["steps"] == 154
    assert "num_epochs: not used" not in call(*run).stderr


def test_without_a_corpus_passes_stay_passes():
    error = call("--from", SAMPLES / "axolotl/sft-lora/lora.yml", "--devices", 4, code=2).stderr
    assert "corpus" in error
    told = call("--from", SAMPLES / "axolotl/packed-cp/pack.yaml", "--devices", 8).stderr
    assert "num_epochs: not used: the 1,500 steps" in told


def test_a_length_that_differs_from_the_file_s_is_told():
    run = ["--from", SAMPLES / "gpt-neox/like-20b/20B.yml", "--devices", 96]
    assert "2,048 there, and 1024 is planned" in call(*run, "--sequence-length", 1024).stderr
    assert "there, and" not in call(*run, "--sequence-length", 2048).stderr
    assert plan(*run)["positions"] == 150_000 * 1536 * 2048


def test_a_tool_s_ends_of_passes_are_left_to_like():
    run = ["--from", SAMPLES / "litgpt/finetune-uneven/lora.yaml", "--corpus", "1900 samples"]
    assert plan(*run, "--like", "hf")["like"]


def test_the_command_s_flags_win_over_a_tool_s_default(tmp_path):
    path = tmp_path / "neox.yml"
    path.write_text("num_layers: 2\npos_emb: rotary\ntrain_iters: 10\ntrain_micro_batch_size_per_gpu: 4\n")
    run = ["--from", path, "--devices", 8]
    assert plan(*run)["global_batch"]["samples"] == 32
    assert plan(*run, "--gradient-accumulation", 4)["global_batch"]["samples"] == 128


def test_a_corpus_that_is_not_counted_in_samples_is_told():
    tokens = ["--corpus", "10M tokens", "--sequence-length", 512, "--devices", 8]
    told = call("--from", SAMPLES / "axolotl/sft-lora/lora.yml", *tokens).stderr
    assert "val_set_size: not taken off" in told
    assert "Axolotl cuts passes of samples; a share of the corpus is planned" in told
    assert "max_samples: not taken off" in call("--from", SAMPLES / "llama-factory/cut/sft.yaml", *tokens).stderr
    grpo = SAMPLES / "trl/grpo-generations/grpo.yaml"
    for corpus in (tokens, ["--devices", 8]):
        assert "how many prompts there are" in call("--from", grpo, *corpus, code=2).stderr
    assert plan("--from", grpo, "--devices", 8, "--steps", 5)["global_batch"]["samples"] == 256

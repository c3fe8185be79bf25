"""Each tool's files are taken for its own, those that are not read are refused by name, and no key decides alone."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.errors import InputError
from dist_epochs.tool_configs.detect import TOOLS as READ
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.other_tools import TOOLS

FILES = {
    "GPT-NeoX": {
        "pipe_parallel_size": 4, "model_parallel_size": 2, "optimizer": {"type": "Adam"},
        "zero_optimization": {"stage": 1}, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 32,
        "train_iters": 150_000, "steps_per_print": 2,
    },
    "litgpt": {
        "model_name": "small", "out_dir": "out", "devices": 4,
        "train": {"global_batch_size": 64, "micro_batch_size": 4},
        "optimizer": {"class_path": "torch.optim.AdamW"},
    },
    "nanotron": {"parallelism": {"dp": 2}, "tokens": {"micro_batch_size": 2, "batch_accumulation_per_replica": 4},
                 "optimizer": {"zero_stage": 1}},
    "OLMo": {"model": {"max_sequence_length": 2048}, "global_train_batch_size": 2048, "optimizer": {"name": "adamw"},
             "max_duration": "2e12T"},
    "Composer (llm-foundry)": {
        "max_seq_len": 2048, "optimizer": {"name": "decoupled_adamw"}, "max_duration": "4800ba",
        "global_train_batch_size": 256,
        "device_train_microbatch_size": 16,
    },
    "OLMo-core": {"data_loader": {"global_batch_size": 2**22}, "train_module": {"rank_microbatch_size": 2**15}},
    "Megatron-Bridge": {"train": {"global_batch_size": 512, "train_iters": 20_000}, "optimizer": {"lr": 1e-4}},
    "NeMo": {"trainer": {"devices": 8, "num_nodes": 4}, "model": {"micro_batch_size": 1, "global_batch_size": 256}},
    "Levanter": {"trainer": {"train_batch_size": 1024}, "optimizer": {"learning_rate": 1e-3}},
    "torchtune": {
        "output_dir": "/tmp/out", "batch_size": 2, "epochs": 3, "max_steps_per_epoch": None,
        "gradient_accumulation_steps": 8,
        "optimizer": {"_component_": "torch.optim.AdamW"},
    },
    "torchtitan": {"training": {"steps": 1000, "seq_len": 2048}, "optimizer": {"name": "AdamW"}},
    "fairseq": {"optimization": {"update_freq": [4], "max_update": 100}, "optimizer": {"_name": "adam"}},
    "Axolotl": {
        "base_model": "x", "output_dir": "o", "sequence_len": 8192, "gradient_accumulation_steps": 8,
        "micro_batch_size": 1,
        "num_epochs": 1, "warmup_ratio": 0.1, "logging_steps": 1,
    },
    "LLaMA-Factory": {
        "stage": "sft", "finetuning_type": "full", "output_dir": "o", "per_device_train_batch_size": 1,
    },
    "LLaMA-Factory's version 1": {"train_dataset": "d", "micro_batch_size": 2, "cutoff_len": 2048, "output_dir": "o",
                                  "bf16": True},
    "TRL": {"output_dir": "o", "dataset_name": "d", "max_length": 512, "num_train_epochs": 1},
    "TRL's GRPO or RLOO": {
        "output_dir": "o", "bf16": True, "gradient_accumulation_steps": 4, "per_device_train_batch_size": 8,
        "num_generations": 8, "num_train_epochs": 1,
    },
}  # fmt: skip
FLAGS = ["--devices", "8", "--per-device", "4", "--steps", "5", "--sequence-length", "64"]


def plan(path):
    return CliRunner().invoke(main, ["plan", "--from", str(path), *FLAGS])


NOT_READ = [tool.name for tool in TOOLS]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_its_tool_s(tmp_path, name):
    path = tmp_path / "settings"
    path.write_text(json.dumps(FILES[name]))
    if name in NOT_READ:
        result = plan(path)
        assert result.exit_code == 2
        assert f"{path}:1: this is a file of {name}" in result.stderr
    else:
        assert read_settings(path).tools == (name,)


def test_every_tool_has_an_example():
    assert sorted([*NOT_READ, *(tool.name for tool in READ)]) == sorted(FILES)


def test_a_refusal_shows_the_flags_that_say_the_same(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        "parallelism: {dp: 8, tp: 2, pp: 1}\ntokens:\n  micro_batch_size: 4\n  batch_accumulation_per_replica: 16\n"
        "  sequence_length: 2048\n  train_steps: 1000\n"
    )
    with pytest.raises(InputError) as caught:
        read_settings(path)
    (fix,) = caught.value.fixes
    assert fix.endswith(
        "--per-device 4 --gradient-accumulation 16 --tensor-parallel 2 --pipeline-parallel 1 --sequence-length 2048 "
        "--steps 1000"
    )
    assert "--devices" in caught.value.rule


@pytest.mark.parametrize(
    "keys",
    [
        {"optimizer": {"name": "adamw"}}, {"optimizer": {"class_path": "x"}}, {"scheduler": {"name": "cosine"}},
        {"output_dir": "out"}, {"max_grad_norm": 1.0}, {"gradient_clipping": 1.0}, {"bf16": True}, {"max_steps": 10},
        {"gradient_checkpointing": True}, {"warmup_steps": 10}, {"gradient_accumulation_steps": 4},
        {"fp16": {"loss_scale": 0}},
    ],
    ids=lambda keys: next(iter(keys)),
)  # fmt: skip
def test_no_key_of_many_tools_decides_alone(tmp_path, keys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**keys, "batch_size": 2, "epochs": 3, "model": "m", "seed": 1, "learning_rate": 1e-4}))
    result = plan(path)
    assert result.exit_code == 2
    assert "none of the files that are read here" in result.stderr


def test_keys_that_count_elsewhere_are_named(tmp_path):
    path = tmp_path / "args.yaml"
    path.write_text("per_device_train_batch_size: 4\nbatch_size: 2\nnum_epochs: 3\n")
    result = plan(path)
    assert result.exit_code == 0
    for line, key in ((2, "batch_size"), (3, "num_epochs")):
        assert f"{path}:{line} {key}: not read" in result.output


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_samples", 1000), ("val_size", 0.1), ("micro_batch_size", 2), ("epochs", 3), ("train_iters", 100),
     ("streaming", True), ("tensor_parallel_size", 2)],
)  # fmt: skip
def test_a_key_that_could_change_a_number_is_named_once(tmp_path, key, value):
    path = tmp_path / "args.yaml"
    path.write_text(f"per_device_train_batch_size: 4\nmax_steps: 10\n{key}: {value}\n")
    notes = [note for note in read_settings(path).notes if f" {key}: " in note]
    assert len(notes) == 1
    assert f"{path}:3 {key}: not read" in notes[0]
    path.write_text(f"per_device_train_batch_size: 4\nmax_steps: 10\n{key}: null\n")
    assert not any(key in note for note in read_settings(path).notes)


def test_a_key_in_a_section_that_was_read_is_named_too(tmp_path):
    path = tmp_path / "lit.yaml"
    path.write_text(
        "checkpoint_dir: c\ntrain:\n  global_batch_size: 8\n  micro_batch_size: 2\n  max_iters: 5\n"
        "eval:\n  max_iters: 7\n"
    )
    notes = [note for note in read_settings(path).notes if "not read" in note]
    assert [note.partition(": not read")[0] for note in notes] == [f"{path}:5 train.max_iters"]


def test_one_stray_key_does_not_make_a_file_another_tool_s(tmp_path):
    path = tmp_path / "file.json"
    keys = {"train_batch_size": 8, "steps_per_print": 1, "zero_optimization": {"stage": 1}}
    path.write_text(json.dumps({**keys, "num_train_epochs": 3}))
    settings = read_settings(path)
    assert settings.tools == ("a DeepSpeed configuration",)
    assert settings.epochs is None
    assert any("num_train_epochs: not read: it is a key of TrainingArguments" in note for note in settings.notes)
    path.write_text(json.dumps({**keys, "num_train_epochs": 3, "logging_steps": 1, "per_device_train_batch_size": 4}))
    with pytest.raises(InputError, match="keys of several tools"):
        read_settings(path)

"""Files of tools that are not read here are refused by name, and no key of one word makes a file a tool's."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.tool_configs.readers.other_tools import TOOLS

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
    "TRL's GRPO or RLOO": {
        "output_dir": "o", "bf16": True, "gradient_accumulation_steps": 4, "per_device_train_batch_size": 8,
        "num_generations": 8, "num_train_epochs": 1,
    },
}  # fmt: skip
FLAGS = ["--devices", "8", "--per-device", "4", "--steps", "5", "--sequence-length", "64"]


def plan(path):
    return CliRunner().invoke(main, ["plan", "--from", str(path), *FLAGS])


@pytest.mark.parametrize("name", FILES)
def test_a_tool_that_is_not_read_is_named(tmp_path, name):
    path = tmp_path / "settings"
    path.write_text(json.dumps(FILES[name]))
    result = plan(path)
    assert result.exit_code == 2
    assert f"{path}:1: this is a file of {name}" in result.stderr


def test_every_tool_has_an_example():
    assert [name.partition(" (whose")[0] for name, _ in TOOLS] == list(FILES)


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

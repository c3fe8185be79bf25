"""Files of other tools that train a part of a model are never priced as full training."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

AXOLOTL = """
base_model: some/model-8b
output_dir: ./out
sequence_len: 2048
adapter: qlora
lora_r: 16
lora_target_linear: true
load_in_4bit: true
gradient_accumulation_steps: 8
micro_batch_size: 1
num_epochs: 1
"""
LLAMA_FACTORY = """
stage: sft
finetuning_type: lora
lora_rank: 16
lora_target: all
quantization_bit: 4
cutoff_len: 2048
dataset: a
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
num_train_epochs: 1
"""
ARGUMENTS = """
output_dir: out
use_peft: true
lora_r: 16
lora_target_modules: all-linear
load_in_4bit: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
num_train_epochs: 1
learning_rate: 1e-4
"""
LITGPT = """
checkpoint_dir: checkpoints/meta-llama/Llama-2-7b-hf
out_dir: out
quantize: bnb.nf4
devices: 8
lora_r: 16
lora_query: true
lora_key: true
lora_value: true
lora_projection: true
lora_mlp: true
lora_head: false
train: {global_batch_size: 64, micro_batch_size: 1, epochs: 1, max_seq_length: 2048}
"""
TORCHTUNE = """
model:
  _component_: torchtune.models.llama2.qlora_llama2_7b
  lora_attn_modules: [q_proj, k_proj, v_proj, output_proj]
  apply_lora_to_mlp: true
  lora_rank: 16
optimizer: {_component_: torch.optim.AdamW}
batch_size: 1
gradient_accumulation_steps: 8
epochs: 1
"""
FILES = {"axolotl": AXOLOTL, "llama-factory": LLAMA_FACTORY, "arguments": ARGUMENTS, "litgpt": LITGPT,
         "torchtune": TORCHTUNE}  # fmt: skip


def cost(tmp_path, text, *flags):
    path = tmp_path / "tool.yaml"
    path.write_text(text)
    given = ["--devices", "8xA100", "--corpus", "10000 samples", "--sequence-length", "2048"]
    found = CliRunner().invoke(main, ["plan", "--from", str(path), *given, *flags, "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)["cost"]


@pytest.mark.parametrize("name", FILES)
def test_a_qlora_run_is_counted(tmp_path, name):
    found = cost(tmp_path, FILES[name], "--model", "llama-7b")
    assert found["trained_parameters"] == 39_976_960
    assert found["flops_per_token_at"]["2048"] == 42_863_689_728 - 2 * 6_607_077_376 + 6 * 39_976_960
    assert found["states_bytes"] < 5 * 2**30


@pytest.mark.parametrize("name", FILES)
def test_without_a_model_nothing_is_known(tmp_path, name):
    found = cost(tmp_path, FILES[name])
    assert (found["flops"], found["memory_bytes"], found["wall_hours"]) == (None, None, None)

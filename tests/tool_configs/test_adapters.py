"""What other tools' files train of a model, as a recipe says it."""

import pytest

from dist_epochs.recipe import make_recipe
from dist_epochs.settings.document import Document
from dist_epochs.settings.section import read_section
from dist_epochs.tool_configs.adapters import litgpt_adapter, partly_trained_settings, torchtune_adapter

TRL = """
use_peft: true
lora_r: 16
lora_target_modules: [q_proj, v_proj]
load_in_4bit: true
"""
AXOLOTL = """
adapter: qlora
lora_r: 32
lora_target_linear: true
lora_modules_to_save: [embed_tokens, lm_head]
load_in_4bit: true
load_in_8bit: false
"""
LLAMA_FACTORY = """
finetuning_type: lora
lora_rank: 8
lora_target: all
quantization_bit: 8
"""
PEFT = """
peft_type: LORA
r: 8
target_modules: [q_proj, v_proj]
modules_to_save: null
"""
EXAMPLES = """
use_peft_lora: true
lora_r: 8
lora_target_modules: "q_proj,k_proj,v_proj"
use_4bit_quantization: true
"""


def read(tmp_path, text):
    path = tmp_path / "tool.yaml"
    path.write_text(text)
    return partly_trained_settings(read_section(path))


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        (TRL, {"adapter": {"kind": "lora", "rank": 16, "targets": ["q_proj", "v_proj"]}, "quantization": {"bits": 4}}),
        (AXOLOTL, {"adapter": {"kind": "qlora", "rank": 32, "targets": "all-linear",
                               "modules_to_save": ["embed_tokens", "lm_head"]}, "quantization": {"bits": 4}}),
        (LLAMA_FACTORY, {"adapter": {"kind": "lora", "rank": 8, "targets": "all-linear"}, "quantization": {"bits": 8}}),
        (PEFT, {"adapter": {"kind": "lora", "rank": 8, "targets": ["q_proj", "v_proj"]}}),
        (EXAMPLES, {"adapter": {"kind": "lora", "rank": 8, "targets": ["q_proj", "k_proj", "v_proj"]},
                    "quantization": {"bits": 4}}),
        ("adapter: qlora", {"adapter": {"kind": "qlora"}, "quantization": {"bits": 4}}),
        ("finetuning_type: oft", {"adapter": {"kind": "other"}}),
        ("use_peft: true\nlora_r: 8\nuse_dora: true", {"adapter": {"kind": "other", "rank": 8}}),
        ("finetuning_type: freeze\nfreeze_trainable_layers: 2", {"frozen": {}}),
        ("unfrozen_parameters: ['lm_head.*']", {"frozen": {}}),
        ("use_peft: true\nlora_target_modules: '.*(q|v)_proj'", {"adapter": {"kind": "lora"}}),
        ("use_peft: true\nquantization_config: {load_in_4bit: true}",
         {"adapter": {"kind": "lora"}, "quantization": {"bits": 4}}),
        ("use_peft: false\nlora_r: 16", {}),
        ("finetuning_type: full\nlora_rank: 8", {}),
        ("learning_rate: 1e-4", {}),
        ("lora_r: 16", {}),  # without the switch TRL trains all parameters
    ],
)  # fmt: skip
def test_what_is_trained(tmp_path, text, sections):
    found = read(tmp_path, text)
    assert {name: stated.value for name, stated in found.items()} == sections
    assert all(stated.origin.line for stated in found.values())


LITGPT = """
quantize: bnb.nf4
lora_r: 32
lora_query: true
lora_key: false
lora_value: true
lora_projection: false
lora_mlp: true
lora_head: false
"""
TORCHTUNE = """
model:
  _component_: torchtune.models.llama3.qlora_llama3_8b
  lora_attn_modules: [q_proj, v_proj, output_proj]
  apply_lora_to_mlp: true
  apply_lora_to_output: false
  lora_rank: 8
"""


def test_litgpt(tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_text(LITGPT)
    targets = ["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]
    assert {name: stated.value for name, stated in litgpt_adapter(read_section(path)).items()} == {
        "adapter": {"kind": "lora", "rank": 32, "targets": targets},
        "quantization": {"bits": 4},
    }
    path.write_text("lora_r: 32\n")  # which modules it adapts is then litgpt's default
    assert litgpt_adapter(read_section(path))["adapter"].value == {"kind": "lora", "rank": 32}
    path.write_text("precision: bf16-true\n")
    assert litgpt_adapter(read_section(path)) == {}


def test_torchtune(tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_text(TORCHTUNE)
    targets = ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    found = torchtune_adapter(read_section(path).section("model"))
    assert {name: stated.value for name, stated in found.items()} == {
        "adapter": {"kind": "lora", "rank": 8, "targets": targets},
        "quantization": {"bits": 4},
    }
    path.write_text(TORCHTUNE.replace("qlora_", "lora_").replace("lora_rank: 8", "lora_rank: 8\n  use_dora: true"))
    assert torchtune_adapter(read_section(path).section("model"))["adapter"].value["kind"] == "other"
    path.write_text(TORCHTUNE.replace("qlora_", "lora_"))
    assert "quantization" not in torchtune_adapter(read_section(path).section("model"))
    path.write_text(TORCHTUNE.replace("qlora_", ""))
    assert torchtune_adapter(read_section(path).section("model")) == {}


@pytest.mark.parametrize("text", [TRL, AXOLOTL, LLAMA_FACTORY, PEFT, EXAMPLES, "adapter: qlora", "adapter: ia3"])
def test_a_recipe_takes_it(tmp_path, text):
    document = Document("flags")
    for name, stated in read(tmp_path, text).items():
        document.put(("model", name), stated.value, stated.where)
    document.put(("batch", "global_batch"), 8, next(iter(read(tmp_path, text).values())).where)
    document.put(("budget", "steps"), 8, next(iter(read(tmp_path, text).values())).where)
    document.put(("phases",), [{"sequence_length": 16}], next(iter(read(tmp_path, text).values())).where)
    assert make_recipe(document, tmp_path / "flags").model.is_partly_trained

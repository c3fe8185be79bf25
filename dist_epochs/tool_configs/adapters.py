"""Which part of a model other tools' files train, as the recipe says it: adapters, frozen weights, quantized ones.

Tools that stand on PEFT (TRL, Axolotl, LLaMA-Factory, PEFT's own examples and its `adapter_config.json`) have a key for
each of the same few facts, and no key of one means something else in another. What a file leaves out is not filled in:
the rows that it decides are then not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from dist_epochs.recipe.adapters import ALL_LINEAR
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated

__all__ = ["TrainedPart", "litgpt_adapter", "partly_trained_settings", "torchtune_adapter"]

METHODS = ("adapter", "finetuning_type", "peft_type")
"""Keys that name what is trained."""

SWITCHES = ("use_peft", "use_peft_lora", "use_lora")
"""Keys that turn LoRA on."""

IN_FULL = ("", "full", "none", "null", "false")
"""Words of a method that trains all parameters."""

RANKS = ("r", "lora_r", "lora_rank")
TARGETS = ("target_modules", "lora_target_modules", "lora_target")
MODULES = ("modules_to_save", "lora_modules_to_save", "additional_target")
OTHER_KINDS = ("use_dora", "peft_use_dora", "use_vera")
"""Switches that make another adapter of LoRA."""

BITS = {
    "load_in_4bit": 4,
    "use_4bit_quantization": 4,
    "load_in_8bit": 8,
    "use_8bit_quantization": 8,
}
"""Switches that quantize the frozen weights."""

LITGPT = {
    "lora_query": ["q_proj"],
    "lora_key": ["k_proj"],
    "lora_value": ["v_proj"],
    "lora_projection": ["o_proj"],
    "lora_mlp": ["gate_proj", "up_proj", "down_proj"],
    "lora_head": ["lm_head"],
}
"""Switches of litgpt, and what transformers calls the modules that they adapt."""

TORCHTUNE = {
    "apply_lora_to_mlp": ["gate_proj", "up_proj", "down_proj"],
    "apply_lora_to_output": ["lm_head"],
}
"""The same of torchtune, which lists those of attention."""

ALL = ("all", ALL_LINEAR)

Data = Mapping[str, Any]
"""Keys and values of a recipe's section."""


class TrainedPart(TypedDict, total=False):
    """What is trained of a model: sections of a recipe's model, none where it is all of it."""

    adapter: Stated[Data]
    frozen: Stated[Data]
    quantization: Stated[Data]


def partly_trained_settings(top: Section) -> TrainedPart:
    """What a file trains of the model: `adapter`, `frozen` and `quantization` of a recipe's model, each as it is there.

    Empty where all parameters are trained.

    Raises:
        InputError: If a value cannot be used.
    """
    method = _method(top)
    if method is None:
        unfrozen = [key for key in ("unfrozen_parameters", "freeze_trainable_layers") if top.states(key)]
        return TrainedPart(frozen=Stated({}, top.where(unfrozen[0]))) if unfrozen else TrainedPart()
    if method.value == "freeze":
        return TrainedPart(frozen=Stated({}, method.where))
    found, bits = TrainedPart(adapter=Stated(_adapter(top, method), method.where)), _bits(top, method)
    if bits is not None:
        found["quantization"] = Stated({"bits": bits.value}, bits.where)
    return found


def litgpt_adapter(top: Section) -> TrainedPart:
    """The same of litgpt's `finetune_lora`, whose joint projection of queries, keys and values has an adapter for each.

    Raises:
        InputError: If a value cannot be used.
    """
    rank, word = top.count("lora_r"), top.text("quantize")
    if rank is None:
        return TrainedPart()
    data: dict[str, Any] = {"kind": "lora", "rank": rank.value}
    targets = [name for key, names in LITGPT.items() if top.is_on(key) for name in names]
    if targets and all(top.states(key) for key in LITGPT):
        data["targets"] = targets
    found = TrainedPart(adapter=Stated(data, rank.where))
    if word is not None and word.value.startswith("bnb."):
        found["quantization"] = Stated({"bits": 8 if "int8" in word.value else 4}, word.where)
    return found


def torchtune_adapter(model: Section) -> TrainedPart:
    """The same of torchtune, from its `model`: whether the builder is one with LoRA.

    Raises:
        InputError: If a value cannot be used.
    """
    component = model.text("_component_")
    if component is None or "lora_" not in component.value:
        return TrainedPart()
    listed = [word.value.replace("output_proj", "o_proj") for word in model.words("lora_attn_modules")]
    more = [name for key, names in TORCHTUNE.items() if model.is_on(key) for name in names]
    rank, is_quantized = model.count("lora_rank"), "qlora_" in component.value or model.is_on("quantize_base")
    data: dict[str, Any] = {"kind": "other" if model.is_on("use_dora") else "lora"}
    if rank is not None:
        data["rank"] = rank.value
    if listed or more:
        data["targets"] = listed + more
    found = TrainedPart(adapter=Stated(data, component.where))
    if is_quantized:
        found["quantization"] = Stated({"bits": 4}, component.where)
    return found


def _method(top: Section) -> Stated[str] | None:
    """What is trained, in lower case; None for all parameters."""
    named = next((word for key in METHODS if (word := top.text(key)) is not None), None)
    if named is not None:
        name = named.value.lower()
        return None if name in IN_FULL else Stated(name, named.where)
    switched = next((key for key in SWITCHES if top.is_on(key)), None)
    return None if switched is None else Stated("lora", top.where(switched))


def _adapter(top: Section, method: Stated[str]) -> Data:
    """An adapter as a recipe says it."""
    is_lora = method.value in ("lora", "qlora") and not any(top.is_on(key) for key in OTHER_KINDS)
    found: dict[str, Any] = {"kind": method.value if is_lora else "other"}
    rank = next((count for key in RANKS if (count := top.count(key)) is not None), None)
    targets = [ALL_LINEAR] if top.is_on("lora_target_linear") else _names(top, TARGETS)
    modules = _names(top, MODULES)
    if rank is not None:
        found["rank"] = rank.value
    if targets:
        found["targets"] = ALL_LINEAR if any(name in ALL for name in targets) else targets
    return found | ({"modules_to_save": modules} if modules else {})


def _names(top: Section, keys: tuple[str, ...]) -> list[str]:
    """Names of modules, as a list or with commas between them; none where they are a pattern."""
    words = next((found for key in keys if (found := top.words(key))), ())
    names = [name for word in words for name in word.value.split(",") if name]
    return names if all(name.replace("_", "").replace(".", "").replace("-", "").isalnum() for name in names) else []


def _bits(top: Section, method: Stated[str]) -> Stated[int] | None:
    """Bits of the frozen weights; QLoRA's are 4 (Dettmers et al., arXiv:2305.14314)."""
    stated = top.count("quantization_bit")
    if stated is not None:
        return stated
    for part in (top, top.section("quantization_config")):
        switched = next((key for key in BITS if part.is_on(key)), None)
        if switched is not None:
            return Stated(BITS[switched], part.where(switched))
    return Stated(4, method.where) if method.value == "qlora" else None

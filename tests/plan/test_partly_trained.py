"""Plans of runs that train adapters, or a part of the model's own weights."""

from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.render.plan import plan_text
from dist_epochs.settings.document import Document

RUN = {"steps": 100, "per_device": 1, "sequence_length": 2048, "devices": "8xA100-80GB", "precision": "bf16"}
QV = ("adapter.rank=8", "adapter.targets=[q_proj, v_proj]")
LINEAR = 6_607_077_376 - 131_072_000
"""Weights of llama-7b's linear layers, without the output head."""


def plan(*model, **flags):
    document = Document("flags")
    apply_flags(document, {name: str(text) for name, text in (RUN | flags).items() if text is not None})
    for setting in model:
        document.override(f"model.{setting}")
    return make_plan(make_recipe(document, Path("flags")))


def rows(made):
    lines = (line.strip() for line in plan_text(made).splitlines())
    return {line.split()[0]: line.partition(" ")[2].strip() for line in lines if line}


@pytest.mark.parametrize(
    ("model", "flags", "trained"),
    [
        (QV, {"model": "llama-7b"}, 32 * 8 * 4 * 4096),  # as PEFT prints of it: 4,194,304
        (("adapter.rank=16", "adapter.targets=all-linear"), {"model": "llama-7b"}, 39_976_960),
        (
            ("adapter.rank=8", "adapter.targets=[q_proj, v_proj]"),
            {"model": "llama3-8b"},
            32 * 8 * (2 * 4096 + 4096 + 1024),
        ),
        ((*QV, "adapter.modules_to_save=[lm_head]"), {"model": "llama-7b"}, 4_194_304 + 32000 * 4096),
        (("adapter.rank=4", "adapter.targets=[c_attn]"), {"model": "gpt2", "sequence_length": 512}, 12 * 4 * 4 * 768),
        (("adapter.rank=4", "adapter.targets=[embed_tokens]"), {"model": "llama-7b"}, 4 * (32000 + 4096)),
        (("adapter.parameters=40M",), {"parameters": "7B"}, 40_000_000),
        (("adapter.parameters=4.2M", *QV), {"model": "llama-7b"}, 4_194_304),
        (("frozen.layers=32",), {"model": "llama-7b"}, 4096 * 32000 + 4096),
        (("frozen.trained=1B",), {"parameters": "7B"}, 1_000_000_000),
    ],
)
def test_what_is_trained(model, flags, trained):
    made = plan(*model, **flags)
    assert made.cost.trained == trained
    assert plan_json(made)["cost"]["trained_parameters"] == trained
    assert "of them trained" in rows(made)["parameters"]


@pytest.mark.parametrize(
    ("model", "flags", "flops"),
    [
        # full training has 6 × 6,607,077,376 and 12 × 32 × 4096 × 2048 for attention
        ((), {"model": "llama-7b"}, 42_863_689_728),
        (QV, {"model": "llama-7b"}, 42_863_689_728 - 2 * 6_607_077_376 + 6 * 4_194_304),
        ((*QV, "quantization.bits=4"), {"model": "llama-7b"}, 42_863_689_728 - 2 * 6_607_077_376 + 6 * 4_194_304),
        ((*QV, "adapter.modules_to_save=[lm_head, embed_tokens]"), {"model": "llama-7b"},
         42_863_689_728 - 2 * (6_607_077_376 - 32000 * 4096) + 6 * 4_194_304),
        (("adapter.parameters=40M",), {"parameters": "7B"}, 4 * 7 * 10**9 + 6 * 40 * 10**6),
        (("frozen.trained=1B",), {"parameters": "7B"}, 4 * 7 * 10**9 + 2 * 10**9),
        # gradients reach the last norm alone: a forward pass, and one back through the head
        (("frozen.layers=32",), {"model": "llama-7b"}, 42_863_689_728 // 3 + 4 * 32000 * 4096),
    ],
)  # fmt: skip
def test_flops_count_the_gradients_of_what_is_trained(model, flags, flops):
    assert plan(*model, **flags).cost.flops_per_token == {2048: flops}


@pytest.mark.parametrize(
    ("model", "flags", "held"),
    [
        (QV, {}, 2 * 6_738_415_616 + 16 * 4_194_304),
        (QV, {"zero_stage": 2}, 2 * 6_738_415_616 + (2 + 14 / 8) * 4_194_304),
        (QV, {"zero_stage": 3}, (2 * 6_738_415_616 + 16 * 4_194_304) / 8),
        (QV, {"precision": "fp32"}, 4 * 6_738_415_616 + 16 * 4_194_304),
        ((*QV, "quantization.bits=4"), {}, LINEAR / 2 + 2 * (6_738_415_616 - LINEAR) + 16 * 4_194_304),
        ((*QV, "quantization.bits=8"), {}, LINEAR + 2 * (6_738_415_616 - LINEAR) + 16 * 4_194_304),
        (("frozen.layers=32",), {}, 2 * (6_738_415_616 - 131_076_096) + 16 * 131_076_096),
        (("adapter.parameters=40M", "quantization.bits=4"), {"model": None, "parameters": "70B"},
         70 * 10**9 / 2 + 16 * 40 * 10**6),
    ],
)  # fmt: skip
def test_memory_keeps_frozen_weights_and_the_states_of_the_trained(model, flags, held):
    assert plan(*model, **({"model": "llama-7b"} | flags)).cost.memory.states == held


def test_the_states_of_a_quantized_model_of_65_billion_fit_on_one_device_of_48_gb():
    """As QLoRA (arXiv:2305.14314, section 1) does it; full training takes more than 780 GB there."""
    flags = {"model": "llama-65b", "devices": "1xL40S", "sequence_length": 512}
    quantized = plan("adapter.rank=16", "adapter.targets=all-linear", "quantization.bits=4", **flags)
    assert quantized.cost.memory.states / 2**30 < 40
    assert plan(**flags).cost.memory.states > 780 * 10**9


@pytest.mark.parametrize(
    ("model", "flags", "part", "missing"),
    [
        (("adapter.kind=lora",), {"model": "llama-7b"}, "adapters", "adapter.rank and targets"),
        (("adapter.rank=16",), {"model": "llama-7b"}, "adapters", "adapter.rank and targets"),
        (QV, {"parameters": "7B"}, "adapters", "adapter.parameters are not stated"),
        (("adapter.kind=other", "adapter.parameters=1M"), {"parameters": "7B"}, "adapters", "kind is other"),
        (QV, {}, "adapters", "the model is not stated"),
        (('config={"model_type": "qwen2"}', "adapter.parameters=1M"), {}, "adapters", "plan with --exact"),
        (("frozen={}",), {"model": "llama-7b"}, "frozen parameters", "frozen.trained is not stated"),
        (("frozen.layers=2",), {"parameters": "7B"}, "frozen parameters", "frozen.layers (with a model"),
    ],
)
def test_what_is_not_known_is_never_priced_as_full_training(model, flags, part, missing):
    made = plan(*model, **flags, price=2)
    cost = plan_json(made)["cost"]
    assert not any(cost[name] for name in ("flops", "wall_hours", "price", "memory_bytes", "trained_parameters"))
    found = rows(made)
    assert (found["compute"].split(), found["memory"].split()) == (["not", "known", "for", *part.split()],) * 2
    assert "time" not in found
    notes = {warning.rule: warning.message for warning in made.warnings}
    assert missing in notes["partly-trained-not-counted"]
    assert f"not known for {part}" in notes["not-priced"]


def test_hours_are_known_of_a_measured_speed():
    made = plan("adapter.kind=other", model="llama-7b", tokens_per_second="10k", price=2)
    assert made.cost.wall_hours.point == made.positions / made.cost.speed.positions_per_second / 3600
    assert (made.cost.utilization, made.cost.flops) == (None, None)


@pytest.mark.parametrize("unit", ["flops", "hours", "money"])
def test_a_budget_in_what_is_not_known(unit):
    with pytest.raises(InputError) as caught:
        plan("adapter.kind=other", model="llama-7b", steps=None, price=2, **{unit: "1000"})
    assert "adapters" in f"{caught.value.asked} {caught.value.rule}"


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (
            ("adapter.rank=8", "adapter.targets=[q_proj, v_prj]"),
            "model.adapter.targets: the model has no module 'v_prj'",
        ),
        ((*QV, "adapter.modules_to_save=[head]"), "model.adapter.modules_to_save: the model has no module 'head'"),
        ((*QV, "adapter.parameters=40M"), "model.adapter.parameters is 40M"),
        (("adapter.parameters=1.5",), "model.adapter.parameters is 1.5"),
        (("frozen.layers=33",), "model.frozen.layers is 33"),
        (("frozen.trained=7B",), "model.frozen.trained is 7B"),
    ],
)
def test_what_does_not_fit_the_model(model, asked):
    with pytest.raises(InputError) as caught:
        plan(*model, model="llama-7b")
    assert caught.value.asked == asked
    assert caught.value.rule

"""A recipe to begin with: a model that the corpus can teach and the devices can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from dist_epochs.arithmetic.text import short
from dist_epochs.plan.cost.architecture import Architecture
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.hardware import Device
from dist_epochs.plan.cost.memory import Fit, device_memory, fit
from dist_epochs.recipe.model_sizes import SIZES
from dist_epochs.settings.yaml_writing import yaml_text

__all__ = ["AtHand", "first_recipe"]

TOKENS_PER_PARAMETER = 20
"""About compute-optimal. Source: Hoffmann et al. 2022, arXiv:2203.15556, table 3."""
MOST_EPOCHS = 4
"""Repeats up to here are nearly as good as new data. Source: Muennighoff et al. 2023, arXiv:2305.16264, section 6."""
USUAL_STEPS = 3000
"""The batch is made so large that about this many steps remain, within its bounds."""
LEAST_BATCH, LARGEST_BATCH = 2**11, 2**19
"""Positions of a global batch; half a million is what GPT-3's smallest models had (arXiv:2005.14165, table 2.1)."""
LARGEST_MICRO_BATCH = 64
SHARED_STAGE = 3

LEARNING_RATES = ((13e9, 1e-4), (6.7e9, 1.2e-4), (2.7e9, 1.6e-4), (1.3e9, 2e-4), (76e7, 2.5e-4), (35e7, 3e-4),
                  (1e8, 6e-4), (0, 1e-3))  # fmt: skip
"""From how many parameters on. Source: Brown et al. 2020, arXiv:2005.14165, table 2.1; below it, our own choice."""


def _bert(layers: int, hidden: int) -> Mapping[str, Any]:
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": hidden // 64}
    return {"model_type": "bert", **sizes, "intermediate_size": 4 * hidden}


MASKED = (*(_bert(*size) for size in ((2, 128), (4, 256), (4, 512), (8, 512))), SIZES["bert-base"], SIZES["bert-large"])
"""BERT from tiny to large. Source of the small ones: Turc et al. 2019, arXiv:1908.08962, table 1."""
CAUSAL = (
    *({"model_type": "gpt2", "n_layer": n, "n_embd": wide, "n_head": wide // 64} for n, wide in ((2, 128), (4, 256))),
    *(SIZES[name] for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "llama-7b", "llama-13b", "llama-33b")),
    SIZES["llama-65b"],
)
"""Causal models from two layers on, smallest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtHand:
    """What a first recipe is made for.

    Attributes:
        corpus: The recipe's `corpus`, as plain data.
        tokens: Tokens of one pass.
        objective: What the tokenizer is for.
        vocabulary: Ids of the tokenizer; None for that of the model's family.
        sequence_length: Positions of a sample.
        devices: How many there are.
        device: What they are; None for a CPU.
        has_held_out: Whether documents were kept for evaluation.
    """

    corpus: Mapping[str, Any]
    tokens: int
    objective: Literal["masked", "causal"]
    vocabulary: int | None
    sequence_length: int
    devices: int
    device: Device | None
    has_held_out: bool


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A model with its place on the devices; `rank` says which of the sizes that were looked at it is."""

    config: Mapping[str, Any]
    parameters: int
    per_device: int
    zero_stage: int
    rank: str = "largest"


def first_recipe(at_hand: AtHand, name: str) -> str:
    """A recipe as YAML, with the reason for each choice.

    The model is the largest of a few published sizes that the tokens can teach and the devices can hold.

    Args:
        at_hand: Corpus and devices.
        name: Of the recipe.
    """
    chosen = _choose(at_hand)
    drawn = min(TOKENS_PER_PARAMETER * chosen.parameters, MOST_EPOCHS * at_hand.tokens)
    samples = _global_batch(at_hand, drawn)
    per_device = min(chosen.per_device, max(1, samples // at_hand.devices))
    steps = max(1, round(drawn / (samples * at_hand.sequence_length)))
    parts: list[tuple[str, dict[str, Any]]] = [
        ("", {"name": name, "seed": 0}),
        ("", {"corpus": dict(at_hand.corpus)}),
        (
            f"{short(samples * at_hand.sequence_length)} positions a step; a device takes at most {per_device} samples",
            {"batch": {"global_batch": samples, "per_device": per_device, "devices": at_hand.devices}},
        ),
        (_why_budget(at_hand, chosen, drawn), {"budget": _budget(at_hand, drawn)}),
        ("", {"phases": [{"sequence_length": at_hand.sequence_length}]}),
        (
            f"{short(chosen.parameters)} parameters, the {chosen.rank} of a few usual sizes for this corpus",
            {"model": {"objective": at_hand.objective, "config": _config(at_hand, chosen.config)}},
        ),
        (
            "after GPT-3's table 2.1; try it larger and smaller",
            {
                "optimizer": {
                    "learning_rate": _learning_rate(chosen.parameters),
                    "warmup_steps": max(1, steps // 100),
                    "decay": "cosine",
                }
            },
        ),
        ("", {"precision": _precision(at_hand.device)}),
        *_hardware(at_hand, chosen),
        *([("on the held-out documents", {"evaluation": {"every": f"{max(1, steps // 10)} steps"}})]
          if at_hand.has_held_out else []),
    ]  # fmt: skip
    return "\n".join(f"# {why}\n{yaml_text(data)}" if why else yaml_text(data) for why, data in parts)


def _choose(at_hand: AtHand) -> _Chosen:
    """The largest model that the corpus can teach and a device can hold; the smallest, if none is."""
    sizes = MASKED if at_hand.objective == "masked" else CAUSAL
    placed = [chosen for config in sizes if (chosen := _placed(at_hand, config)) is not None]
    enough = MOST_EPOCHS * at_hand.tokens / TOKENS_PER_PARAMETER
    smallest = replace(placed[0], rank="smallest")
    return next((chosen for chosen in reversed(placed) if chosen.parameters <= enough), smallest)


def _placed(at_hand: AtHand, config: Mapping[str, Any]) -> _Chosen | None:
    """A model with the micro-batch that fits; None if not even one sample does, with its states sharded."""
    architecture = read_architecture(_config(at_hand, config), where="model.config")
    capacity = at_hand.device.memories_gb[0] if at_hand.device is not None else None
    if capacity is None:
        return _Chosen(config, architecture.parameters, 8, 0)
    for stage in (0, SHARED_STAGE) if at_hand.devices > 1 else (0,):
        fitting = [size for size in _micro_batches() if _fits(at_hand, architecture, size, stage, capacity)]
        if fitting:
            return _Chosen(config, architecture.parameters, fitting[-1], stage)
    return None


def _fits(at_hand: AtHand, architecture: Architecture, samples: int, stage: int, capacity: Fraction) -> bool:
    memory = device_memory(
        architecture,
        samples=samples,
        sequence_length=at_hand.sequence_length,
        precision=_precision(at_hand.device),
        stage=stage,
        data_parallel_size=at_hand.devices,
    )
    return fit(memory, capacity) is Fit.FITS


def _micro_batches() -> list[int]:
    return [1 << power for power in range(LARGEST_MICRO_BATCH.bit_length())]


def _global_batch(at_hand: AtHand, drawn: int) -> int:
    """Samples of a step: a power of two for each device, so that a usual number of steps remains."""
    positions = min(max(drawn // USUAL_STEPS, LEAST_BATCH), LARGEST_BATCH)
    share = max(1, positions // (at_hand.sequence_length * at_hand.devices))
    return at_hand.devices << (share.bit_length() - 1)


def _budget(at_hand: AtHand, drawn: int) -> dict[str, Any]:
    if drawn < at_hand.tokens:
        return {"tokens": f"{drawn} tokens"}
    return {"epochs": f"{drawn / at_hand.tokens:.2g}"}


def _why_budget(at_hand: AtHand, chosen: _Chosen, drawn: int) -> str:
    if drawn == MOST_EPOCHS * at_hand.tokens:
        return f"more than {MOST_EPOCHS} epochs teach less and less: dist-epochs explain repeated-data"
    return f"about {TOKENS_PER_PARAMETER} tokens a parameter: dist-epochs explain tokens-per-parameter"


def _config(at_hand: AtHand, config: Mapping[str, Any]) -> dict[str, Any]:
    """The model's configuration for this vocabulary and length."""
    places = {"gpt2": "n_positions"}.get(config["model_type"], "max_position_embeddings")
    default = {"bert": 512, "gpt2": 1024}.get(config["model_type"], 2048)
    found = dict(config) | ({"vocab_size": at_hand.vocabulary} if at_hand.vocabulary is not None else {})
    if at_hand.sequence_length > config.get(places, default):
        found[places] = at_hand.sequence_length
    return found


def _learning_rate(parameters: int) -> float:
    return next(rate for least, rate in LEARNING_RATES if parameters >= least)


def _precision(device: Device | None) -> str:
    """bf16, where the device has it; a CPU has nothing faster than fp32 for small models."""
    if device is None:
        return "fp32"
    return next((each for each in ("bf16", "fp16") if device.dense_tflops.get(each)), "fp32")


def _hardware(at_hand: AtHand, chosen: _Chosen) -> Iterator[tuple[str, dict[str, Any]]]:
    if at_hand.device is not None:
        stage = {"zero_stage": chosen.zero_stage} if chosen.zero_stage else {}
        why = "one device does not hold it: FSDP2 shards it over all" if stage else ""
        yield why, {"hardware": {"device": at_hand.device.name, **stage}}

"""TRL: TrainingArguments with other defaults, and keys for `accelerate launch`.

Read in its code of 2026 (`trainer/base_config.py`, `trl/cli`, `grpo_trainer.py`). bf16 and activation checkpointing are
on unless they are turned off. What TRL does not know it hands on to the launcher: `num_processes` may stand here. The
batch of GRPO and RLOO counts completions. A generation makes `num_generations` of each of its prompts, and is trained
on in `steps_per_generation` micro-steps. A pass takes whole generations, and is repeated `num_iterations` times.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

from dist_epochs.arithmetic.batch import nearest_batches
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.complete import data_parallel_size
from dist_epochs.tool_configs.keys import count, marks
from dist_epochs.tool_configs.passes import Given, counted
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings, merge
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import assumed, by_default
from dist_epochs.tool_configs.trainer_defaults import with_trainer_defaults

__all__ = ["GRPO", "TRL"]

STRATEGIES = {"bfd": "bfd", "bfd_split": "bfd_split", "bfd-requeue": "bfd_split", "wrapped": "wrapped"}
"""How `corpus.packing` calls TRL's strategies; `bfd-requeue` is an earlier name."""

NAME, OF_COMPLETIONS = "TRL", "TRL's GRPO or RLOO"


def _arguments(top: Section, tool: str) -> LaunchSettings:
    """TrainingArguments with TRL's own defaults, which all of its trainers share."""
    stated = training_arguments_settings(top)
    saves, precision = stated.activation_checkpointing, stated.precision
    if precision is None:
        top.note("bf16", f"not stated: on, as {tool} takes it")
        precision = assumed(tool, "bf16")
    saves = saves or by_default(top, "gradient_checkpointing", True, tool)
    return replace(stated, precision=precision, activation_checkpointing=saves)


def trl_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """What a file for TRL's SFT, DPO, KTO or reward training states."""
    length, packing = None, None
    if top.is_true("packing"):
        length = top.count("max_length") or by_default(top, "max_length", 1024, NAME)
        packing = _packing(top, length)
    launch = LaunchSettings(devices=own.devices, sequence_length=length, packing=packing)
    return merge([with_trainer_defaults(top, _arguments(top, NAME), given), launch])


def _packing(top: Section, length: Stated[int] | None) -> Stated[str] | None:
    """The strategy that packs as TRL does, and what to know of it."""
    stated = top.text("packing_strategy") or by_default(top, "packing_strategy", "bfd", NAME)
    assert stated is not None and length is not None  # noqa: PT018
    name = STRATEGIES.get(stated.value)
    if name is None:
        top.note("packing_strategy", f"no strategy here packs as {stated.value} does")
        return None
    told = f"corpus.packing: {name} makes the same samples of a store"
    told += f" (`dist-epochs tokenize … --sequence-length {length.value} --packing {name}`)"
    processes = top.count("dataset_num_proc")
    if top.is_on("shuffle_dataset"):
        told += ", but for rows that are shuffled before they are packed"
    elif processes is not None and processes.value > 1:
        told += f", but for rows that {processes.value} processes pack apart"
    top.note("packing_strategy", told)
    return Stated(name, stated.where)


def grpo_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """What a file for GRPO or RLOO states: samples are completions.

    Raises:
        InputError: If a value cannot be used, or a generation does not divide into prompts.
    """
    generations = top.count("num_generations") or by_default(top, "num_generations", 8, OF_COMPLETIONS)
    each, accumulation, arguments = own.per_device, own.gradient_accumulation, _arguments(top, OF_COMPLETIONS)
    assert generations is not None and each is not None and accumulation is not None  # noqa: PT018
    own = replace(
        arguments,
        devices=own.devices or arguments.devices,
        per_device=each,
        gradient_accumulation=accumulation,
        epochs=arguments.epochs or assumed(OF_COMPLETIONS, Fraction(3)),
        uneven=None,
    )
    of_each = f"a sample is a completion, {generations.value} of each prompt"
    top.note("num_generations", f"{of_each}; the corpus is taken to be stated in prompts")
    if top.is_on("use_vllm"):
        top.note("use_vllm", "the devices of a vLLM server train nothing, and are not among those of the run")
    told: dict[str, Stated[Any]] = {"unit": Stated("completions", generations.where)}
    size = data_parallel_size(own)
    if size is not None:
        of_step = each.value * size * accumulation.value
        prompts = Fraction(of_step, generations.value)
        told["prompts_per_step"] = Stated(prompts if prompts.denominator > 1 else int(prompts), each.where)
        made = f"{of_step:,} a step are {float(prompts):g} prompts × {generations.value}"
        steps = _steps(top, own, given, each.value * size, generations)
        top.note("per_device_train_batch_size", f"counts completions: {made}")
        if steps is not None:
            numbers = {"completions": steps.value * of_step, "samples": steps.value * of_step // generations.value}
            told |= {name: Stated(number, steps.where) for name, number in numbers.items()}
            own = replace(own, counted_steps=steps)
    if given.samples is not None:
        completed = Origin(f"{given.samples:,} prompts × {generations.value} ({generations.where})")
        own = replace(own, corpus_samples=Stated(given.samples * generations.value, completed))
    return replace(own, told=told)


def _steps(top: Section, own: LaunchSettings, given: Given, round_: int, each: Stated[int]) -> Stated[int] | None:
    """⌈passes × ⌈⌊prompts of the corpus ÷ those of a generation⌋ × iterations × micro-steps ÷ accumulation⌉⌉."""
    of_generation, batch = top.count("steps_per_generation"), top.count("generation_batch_size")
    assert own.gradient_accumulation is not None
    accumulation = own.gradient_accumulation.value
    micro_steps = of_generation.value if of_generation else batch.value // round_ if batch else accumulation
    if not of_generation and batch and batch.value % round_:
        top.refuse("generation_batch_size", f"a multiple of the {round_:,} completions of a micro-step")
    completions, passes, samples = round_ * micro_steps, given.passes(own), given.samples
    prompts, rest = divmod(completions, each.value)
    if rest:
        rule = f"each prompt has {each.value} of them ({each.where}), and TRL stops at its start"
        fixes = [f"{fit:,} completions" for fit in nearest_batches(completions, each.value)]
        asked = f"a generation of {completions:,} completions is no whole number of prompts"
        raise InputError(asked, rule=rule, fixes=fixes)
    if samples is None or passes is None:
        return None
    iterations = top.count("num_iterations")
    repeats, whole = iterations.value if iterations else 1, samples // prompts
    if not whole:
        raise InputError(f"{samples:,} prompts are less than the {prompts:,} of one generation", fixes="fewer devices")
    a_pass = ceil(Fraction(whole * repeats * micro_steps, accumulation))
    rule = f"⌊{samples:,} prompts ÷ {prompts:,}⌋ generations a pass"
    rule += f" ({samples % prompts:,} left out)" if samples % prompts else ""
    rule += f", each trained on {repeats} times" if repeats > 1 else ""
    return counted(ceil(passes.value * a_pass), f"{rule}: {a_pass:,} steps a pass", passes, OF_COMPLETIONS)


TRL = Tool(
    NAME,
    marks(
        (1, "dataset_name dataset_mixture datasets"),
        (1, "max_length assistant_only_loss completion_only_loss dataset_text_field max_prompt_length eos_token "
            "packing_strategy padding_free loss_type"),
        (1, "per_device_train_batch_size num_train_epochs output_dir max_steps"),
        never="num_generations generation_batch_size steps_per_generation reward_funcs base_model",
    ),
    {"devices": count("num_processes")},
    trl_rules,
    framework="transformers",
    notes={"num_processes": f"{NAME} hands it on to accelerate launch"},
)  # fmt: skip
GRPO = Tool(
    OF_COMPLETIONS,
    marks(
        (1, "num_generations generation_batch_size steps_per_generation reward_funcs"),
        (1, "per_device_train_batch_size gradient_accumulation_steps num_train_epochs output_dir "
            "max_completion_length"),
    ),
    {
        "devices": count("num_processes"),
        "per_device": count("per_device_train_batch_size", default=8),
        "gradient_accumulation": count("gradient_accumulation_steps", default=1),
    },
    grpo_rules,
)  # fmt: skip

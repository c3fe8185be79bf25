"""TRL's GRPO and RLOO: TrainingArguments whose batch counts completions, several of each prompt.

Read in TRL's code of 2026 (`grpo_config.py`, `grpo_trainer.py`). A generation makes `num_generations` completions of
each of its prompts, and is trained on in `steps_per_generation` micro-steps. A pass takes whole generations, and is
repeated `num_iterations` times; the Trainer then cuts it into steps.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.batch import nearest_batches
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.complete import data_parallel_size
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Given, Tool, Top, default, factor, have

__all__ = ["GRPO"]

NAME = "TRL's GRPO or RLOO"
BY_DEFAULT = Origin("TRL, by default")


def _is_its(top: Top) -> bool:
    return have(top, 1, "num_generations", "generation_batch_size", "steps_per_generation", "reward_funcs") and have(
        top, 1, "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "output_dir",
        "max_completion_length",
    )  # fmt: skip


def grpo_settings(top: Section, given: Given) -> LaunchSettings:
    """What a file for GRPO or RLOO states: samples are completions.

    Raises:
        InputError: If a value cannot be used, or a generation does not divide into prompts.
    """
    generations = top.count("num_generations") or default(top, "num_generations", 8, NAME)
    arguments = training_arguments_settings(top)
    per_device = arguments.per_device or factor(top, "per_device_train_batch_size", given.batch.per_device, 8, NAME)
    accumulation = arguments.gradient_accumulation or factor(
        top, "gradient_accumulation_steps", given.batch.gradient_accumulation, 1, NAME
    )
    epochs = arguments.epochs or Stated(Fraction(3), BY_DEFAULT)
    own = replace(
        arguments,
        per_device=per_device,
        gradient_accumulation=accumulation,
        epochs=None if arguments.steps else epochs,
        precision=arguments.precision or Stated("bf16", BY_DEFAULT),
        activation_checkpointing=arguments.activation_checkpointing or Stated(True, BY_DEFAULT),
        uneven=None,
    )
    top.note(
        "num_generations",
        f"a sample is a completion, {generations.value} of each prompt; the corpus is taken to be stated in prompts",
    )
    if top.is_on("use_vllm"):
        top.note("use_vllm", "the devices of a vLLM server train nothing, and are not among those of the run")
    size = data_parallel_size(replace(own, devices=given.batch.devices))
    if size is not None and per_device is not None and accumulation is not None:
        round_ = per_device.value * size
        of_generation = _steps_per_generation(top, round_, accumulation.value)
        prompts, rest = divmod(round_ * of_generation, generations.value)
        if rest:
            raise _no_whole_prompts(round_ * of_generation, generations)
        top.note(
            "per_device_train_batch_size",
            f"counts completions: {round_ * accumulation.value:,} a step are "
            f"{float(Fraction(round_ * accumulation.value, generations.value)):g} prompts × {generations.value}",
        )
        passes = given.passes(epochs, arguments.steps)
        if given.samples is not None and passes is not None:
            steps = _steps(top, given.samples, prompts, of_generation, accumulation.value, passes)
            own = replace(own, counted_steps=steps)
    if given.samples is not None:
        completions = Origin(f"{given.samples:,} prompts × {generations.value} ({generations.where})")
        own = replace(own, corpus_samples=Stated(given.samples * generations.value, completions))
    return replace(own, notes=tuple(dict.fromkeys(top.remarks.notes)), ignored=tuple(top.remarks.ignored))


def _steps_per_generation(top: Section, round_: int, accumulation: int) -> int:
    """Micro-steps that are trained on one generation: stated, of a stated batch, or those of a step."""
    stated, batch = top.count("steps_per_generation"), top.count("generation_batch_size")
    if stated is not None:
        return stated.value
    if batch is None:
        return accumulation
    if batch.value % round_:
        top.refuse("generation_batch_size", f"a multiple of the {round_:,} completions of a micro-step")
    return batch.value // round_


def _no_whole_prompts(completions: int, generations: Stated[int]) -> InputError:
    return InputError(
        f"a generation of {completions:,} completions is no whole number of prompts",
        rule=f"each prompt has {generations.value} of them ({generations.where}), and TRL stops at its start",
        fixes=[f"{fit:,} completions" for fit in nearest_batches(completions, generations.value)],
    )


def _steps(
    top: Section, samples: int, prompts: int, of_generation: int, accumulation: int, passes: Stated[Fraction]
) -> Stated[int]:
    """⌈passes × ⌈⌊prompts of the corpus ÷ those of a generation⌋ × iterations × micro-steps ÷ accumulation⌉⌉."""
    iterations = top.count("num_iterations")
    repeats = iterations.value if iterations else 1
    generations = samples // prompts
    a_pass = ceil(Fraction(generations * repeats * of_generation, accumulation))
    steps = ceil(passes.value * a_pass)
    if steps < 1:
        raise InputError(f"{samples:,} prompts are less than the {prompts:,} of one generation", fixes="fewer devices")
    rule = f"⌊{samples:,} prompts ÷ {prompts:,}⌋ = {generations:,} generations a pass"
    if repeats > 1:
        rule += f", each trained on {repeats} times"
    return Stated(steps, Origin(f"{passes.where}: {rule}: {a_pass:,} steps a pass, {steps:,} in all"))


GRPO = Tool(NAME, _is_its, grpo_settings)

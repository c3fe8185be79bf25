"""TRL's GRPO and RLOO: TrainingArguments whose batch counts completions, several of each prompt.

Read in TRL's code of 2026 (`grpo_config.py`, `grpo_trainer.py`). A generation makes `num_generations` completions of
each of its prompts, and is trained on in `steps_per_generation` micro-steps. A pass takes whole generations, and is
repeated `num_iterations` times; the Trainer then cuts it into steps.
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
from dist_epochs.tool_configs.keys import by_default, count, marks
from dist_epochs.tool_configs.passes import Given, counted
from dist_epochs.tool_configs.readers.trl_sft import trl_arguments
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool

__all__ = ["GRPO"]

NAME = "TRL's GRPO or RLOO"
KEYS = {
    "devices": count("num_processes"),
    "per_device": count("per_device_train_batch_size", default=8),
    "gradient_accumulation": count("gradient_accumulation_steps", default=1),
}


def grpo_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """What a file for GRPO or RLOO states: samples are completions.

    Raises:
        InputError: If a value cannot be used, or a generation does not divide into prompts.
    """
    generations = top.count("num_generations") or by_default(top, "num_generations", 8, NAME)
    each, accumulation, arguments = own.per_device, own.gradient_accumulation, trl_arguments(top, NAME)
    assert generations is not None
    assert each is not None
    assert accumulation is not None
    epochs = arguments.epochs or Stated(Fraction(3), Origin(f"{NAME}, by default"))
    devices = own.devices or arguments.devices
    own = replace(
        arguments, devices=devices, per_device=each, gradient_accumulation=accumulation, epochs=epochs, uneven=None
    )
    top.note(
        "num_generations",
        f"a sample is a completion, {generations.value} of each prompt; the corpus is taken to be stated in prompts",
    )
    if top.is_on("use_vllm"):
        top.note("use_vllm", "the devices of a vLLM server train nothing, and are not among those of the run")
    told: dict[str, Stated[Any]] = {"unit": Stated("completions", generations.where)}
    size = data_parallel_size(own)
    if size is not None:
        round_ = each.value * size
        of_generation = _steps_per_generation(top, round_, accumulation.value)
        prompts, rest = divmod(round_ * of_generation, generations.value)
        if rest:
            raise _no_whole_prompts(round_ * of_generation, generations)
        of_step = Fraction(round_ * accumulation.value, generations.value)
        told["prompts_per_step"] = Stated(of_step if of_step.denominator > 1 else int(of_step), each.where)
        top.note(
            "per_device_train_batch_size",
            f"counts completions: {round_ * accumulation.value:,} a step are {float(of_step):g} prompts × "
            f"{generations.value}",
        )
        passes = given.passes(own)
        if given.samples is not None and passes is not None:
            steps = _steps(top, given.samples, prompts, of_generation, accumulation.value, passes)
            completions = steps.value * round_ * accumulation.value
            told |= {
                "completions": Stated(completions, steps.where),
                "samples": Stated(completions // generations.value, steps.where),
            }
            own = replace(own, counted_steps=steps)
    if given.samples is not None:
        completed = Origin(f"{given.samples:,} prompts × {generations.value} ({generations.where})")
        own = replace(own, corpus_samples=Stated(given.samples * generations.value, completed))
    return replace(own, told=told)


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
    generations, rest = divmod(samples, prompts)
    a_pass = ceil(Fraction(generations * repeats * of_generation, accumulation))
    if not generations:
        raise InputError(f"{samples:,} prompts are less than the {prompts:,} of one generation", fixes="fewer devices")
    rule = f"⌊{samples:,} prompts ÷ {prompts:,}⌋ generations a pass"
    rule += f" ({rest:,} left out)" if rest else ""
    rule += f", each trained on {repeats} times" if repeats > 1 else ""
    return counted(ceil(passes.value * a_pass), f"{rule}: {a_pass:,} steps a pass", passes, NAME)


GRPO = Tool(
    NAME,
    marks(
        (1, "num_generations generation_batch_size steps_per_generation reward_funcs"),
        (1, "per_device_train_batch_size gradient_accumulation_steps num_train_epochs output_dir "
            "max_completion_length"),
    ),
    KEYS,
    grpo_rules,
)  # fmt: skip

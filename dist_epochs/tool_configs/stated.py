"""What other tools' files state about a launch, with the place of each setting, and several files merged into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal

from dist_epochs.arithmetic.loader import LastWindow, Uneven
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.value import KeyOrigin, SettingValue, Stated

__all__ = ["BATCH", "LaunchSettings", "Precision", "agree", "merge"]

Precision = Literal["fp32", "bf16", "fp16"]

BATCH = (
    "devices",
    "per_device",
    "gradient_accumulation",
    "global_batch",
    "tensor_parallel",
    "pipeline_parallel",
    "context_parallel",
    "expert_parallel",
)
"""Factors of the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchSettings:
    """What is stated about a launch. None means not stated: no tool's default is assumed.

    Attributes:
        devices: World size: all processes over all machines.
        machines: Machines.
        per_device: Samples of one micro-batch, on one device.
        gradient_accumulation: Micro-steps per step.
        global_batch: Samples per step, over all devices.
        precision: Arithmetic of the forward and backward passes.
        tensor_parallel: Devices that share each layer.
        pipeline_parallel: Devices that share the stack of layers.
        context_parallel: Devices that share each sequence, by context or (Ulysses) sequence parallelism.
        expert_parallel: Devices that share the experts; they see different data.
        zero_stage: What data-parallel devices share, 0 to 3; FSDP's full shard is 3.
        steps: Optimizer steps of the run.
        epochs: Passes over the data, as the Trainer counts them.
        counted_steps: Optimizer steps that the tool's own rule makes of its passes, whose rounding is no policy of a
            plan.
        warmup_steps: Steps over which the learning rate rises.
        uneven: What happens where the devices do not divide the data.
        last_window: What happens to a partial accumulation window at the end of a pass.
        corpus_samples: Samples that a pass really has, where the tool draws others than the corpus has.
        sequence_length: Positions of a sample.
        packing: How documents become samples, as `corpus.packing` says it.
        activation_checkpointing: Whether activations are computed again in the backward pass.
        ramp: A batch that grows, as Megatron-LM writes it.
        replacement: Whether samples are drawn with replacement, so that there are no passes.
        seed: Seed of the run.
        adapter: Adapters that are trained beside the model, as `model.adapter` of a recipe says it.
        frozen: Weights that are not trained, as `model.frozen` says it.
        quantization: The bits of the frozen weights, as `model.quantization` says it.
        shard_size: Devices that share one copy of the model, where there are several copies.
        told: Further numbers of the tool, by name, that no plan is made of: the steps that the file states where the
            loop makes others, the micro-steps of a pass.
        tools: The tools whose files these are.
        framework: What `--like` calls the framework that runs the loop, where a file's kind says it.
        ignored: Where keys stand that bear on the count and could not be used, such as DeepSpeed's "auto".
        notes: What to know about the settings, each with its place.
        quoted: Where numbers stand in quotes that the tool computes with as they are.
    """

    devices: Stated[int] | None = None
    machines: Stated[int] | None = None
    per_device: Stated[int] | None = None
    gradient_accumulation: Stated[int] | None = None
    global_batch: Stated[int] | None = None
    precision: Stated[Precision] | None = None
    tensor_parallel: Stated[int] | None = None
    pipeline_parallel: Stated[int] | None = None
    context_parallel: Stated[int] | None = None
    expert_parallel: Stated[int] | None = None
    zero_stage: Stated[int] | None = None
    steps: Stated[int] | None = None
    epochs: Stated[Fraction] | None = None
    counted_steps: Stated[int] | None = None
    warmup_steps: Stated[int] | None = None
    uneven: Stated[Uneven] | None = None
    last_window: Stated[LastWindow] | None = None
    corpus_samples: Stated[int] | None = None
    sequence_length: Stated[int] | None = None
    packing: Stated[str] | None = None
    activation_checkpointing: Stated[bool] | None = None
    ramp: Stated[str] | None = None
    replacement: Stated[bool] | None = None
    seed: Stated[int] | None = None
    adapter: Stated[Mapping[str, Any]] | None = None
    frozen: Stated[Mapping[str, Any]] | None = None
    quantization: Stated[Mapping[str, Any]] | None = None
    shard_size: Stated[int] | None = None
    told: Mapping[str, Stated[Any]] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    framework: str | None = None
    ignored: tuple[Origin, ...] = ()
    notes: tuple[str, ...] = ()
    quoted: tuple[KeyOrigin, ...] = ()

    def stated(self) -> Mapping[str, Stated[Any]]:
        """The settings that are stated, by name."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, Stated)}


def merge(settings: Sequence[LaunchSettings]) -> LaunchSettings:
    """Merge several files. A setting may stand in two of them if both have the same value.

    Two rules of the tools apply: bf16 or fp16 wins over a file that only leaves mixed precision off, and steps win over
    epochs, as the Trainer's `max_steps` does. Both leave a note.

    Raises:
        InputError: If two files state different values, with both places.

    Examples:
        >>> first = LaunchSettings(per_device=Stated(4, Origin("a.json", 1)))
        >>> second = LaunchSettings(devices=Stated(8, Origin("b.yaml", 2)))
        >>> sorted(merge([first, second]).stated())
        ['devices', 'per_device']
    """
    merged: dict[str, Stated[Any]] = {}
    notes = [note for given in settings for note in given.notes]
    ignored = [key for given in settings for key in given.ignored]
    quoted = tuple(dict.fromkeys(key for given in settings for key in given.quoted))
    for given in settings:
        for name, stated in given.stated().items():
            known = merged.get(name, stated)
            if name == "precision" and "fp32" in (known.value, stated.value) and known.value != stated.value:
                mixed, plain = (stated, known) if known.value == "fp32" else (known, stated)
                merged[name] = mixed
                notes.append(f"{mixed.where}: {mixed.value}, although {plain.where} leaves mixed precision off")
            else:
                merged[name] = agree(name, known, stated)
    if "steps" in merged and "epochs" in merged:
        epochs = merged.pop("epochs")
        ignored.append(epochs.where)
        notes.append(f"{merged['steps'].where}: {merged['steps'].value} steps override the epochs of {epochs.where}")
    tools = tuple(tool for given in settings for tool in given.tools)
    return LaunchSettings(
        **merged,
        told={name: stated for given in settings for name, stated in given.told.items()},
        tools=tools,
        framework=next((given.framework for given in settings if given.framework is not None), None),
        notes=tuple(dict.fromkeys(notes)),
        ignored=tuple(dict.fromkeys(ignored)),
        quoted=quoted,
    )


def agree(name: str, first: Stated[SettingValue], second: Stated[SettingValue]) -> Stated[SettingValue]:
    """The one value of a setting that is stated twice.

    Raises:
        InputError: If the values differ.
    """
    if first.value != second.value:
        raise InputError(
            f"{name} is {first.value} in {first.where}, and {second.value} in {second.where}",
            rule="a run has one value of it",
            fixes=("making them equal", 'leaving one out (DeepSpeed leaves it to the others with "auto")'),
        )
    return first

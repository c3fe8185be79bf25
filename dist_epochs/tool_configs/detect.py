"""Which tool a settings file belongs to, by its keys; the file's name does not matter.

A key that many tools have (`optimizer`, `output_dir`, `max_grad_norm`) never decides alone: a file is read as a tool's
if it has one key that only this tool has, or two that it shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dist_epochs.errors import InputError, close_matches
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.value import Located, key_name
from dist_epochs.tool_configs.readers.accelerate_settings import accelerate_settings
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.readers.other_tools import other_tool
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["read_settings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """A kind of file, and the keys that only it has.

    Attributes:
        name: What to call it.
        typical: Examples of its keys, for the error where no file is recognised.
        keys: Keys that no other kind has.
        shared: Those of `keys` that tools which are not read here have too: one of them alone decides nothing.
        mappings: Used where none of `keys` is there: names of sections, each with a key that shows it is of this kind.
        flags: Used where none of `keys` is there: keys with true or false, of which two are needed.
        read: Its reader.
        open_word: Text that leaves a value open in it.
    """

    name: str
    typical: tuple[str, ...]
    keys: frozenset[str]
    shared: frozenset[str] = frozenset()
    mappings: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    read: Callable[[Section], LaunchSettings]
    open_word: str | None = None

    def marks(self, top: Mapping[str, object]) -> list[str]:
        """The keys of a file that show it is of this kind."""
        return [key for key in top if key in self.keys]

    def hints(self, top: Mapping[str, object]) -> list[str]:
        """The keys that show it where none of `keys` is there."""
        sections = [
            key for key, inner in self.mappings.items() if isinstance(found := top.get(key), Mapping) and inner in found
        ]
        flags = [key for key in top if key in self.flags and (key in NUMBERS or isinstance(top[key], bool))]
        return sections or (flags if len(flags) > 1 else [])

    def is_sure(self, marks: Sequence[str]) -> bool:
        """Whether so many keys are enough."""
        return len(marks) > 1 or not self.shared & set(marks)


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


KINDS = (
    _Kind(
        name="an Accelerate configuration",
        typical=("distributed_type", "num_processes", "compute_environment"),
        keys=_keys(
            "compute_environment deepspeed_config distributed_type downcast_bf16 dynamo_config ec2_instance_type "
            "enable_cpu_affinity machine_rank main_process_ip main_process_port main_training_function "
            "megatron_lm_config mpirun_config num_machines num_processes rdzv_backend same_network "
            "tpu_use_cluster"
        ),
        read=accelerate_settings,
    ),
    _Kind(
        name="a DeepSpeed configuration",
        typical=("train_batch_size", "train_micro_batch_size_per_gpu", "zero_optimization"),
        keys=_keys(
            "autotuning bfloat16 curriculum_learning data_efficiency elasticity flops_profiler gradient_clipping "
            "sequence_parallel_size steps_per_print tensor_parallel train_batch_size train_micro_batch_size_per_gpu "
            "wall_clock_breakdown zero_allow_untested_optimizer zero_force_ds_cpu_optimizer zero_optimization"
        ),
        shared=_keys("gradient_clipping tensor_parallel"),
        mappings={"bf16": "enabled", "fp16": "enabled", "optimizer": "type", "scheduler": "type"},
        read=deepspeed_settings,
        open_word=OPEN,
    ),
    _Kind(
        name="TrainingArguments",
        typical=("per_device_train_batch_size", "num_train_epochs", "max_steps"),
        keys=_keys(
            "accelerator_config auto_find_batch_size dataloader_num_workers eval_strategy "
            "evaluation_strategy gradient_checkpointing logging_steps lr_scheduler_type max_grad_norm max_steps "
            "num_train_epochs output_dir per_device_eval_batch_size per_device_train_batch_size "
            "per_gpu_train_batch_size save_steps save_strategy warmup_ratio warmup_steps"
        ),
        shared=_keys(
            "eval_strategy gradient_checkpointing logging_steps lr_scheduler_type max_grad_norm max_steps output_dir "
            "save_steps save_strategy warmup_ratio warmup_steps"
        ),
        flags=_keys("bf16 fp16 gradient_accumulation_steps"),
        read=training_arguments_settings,
    ),
)
NUMBERS = ("gradient_accumulation_steps",)
"""Those of `flags` that hold a number instead."""

COUNTED = (
    "gradient_accumulation_steps",
    "max_steps",
    "num_machines",
    "num_processes",
    "num_train_epochs",
    "per_device_train_batch_size",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
)
"""Keys that decide the count, so that a misspelled one is reported."""

COUNTED_ELSEWHERE = (
    "batch_size", "epochs", "global_batch_size", "max_epochs", "micro_batch_size", "num_epochs", "train_iters",
)  # fmt: skip
"""Keys that decide the count in other tools: in a file of a tool that is read, each is reported as not read."""

REFUSED = (
    (
        {"log_history", "global_step"},
        "what a Trainer did so far (trainer_state.json), not what it was told: it has neither the devices nor the "
        "accumulation",
        "the TrainingArguments as JSON or YAML",
    ),
    ({"corpus", "batch"}, "a recipe of dist-epochs", "giving it as the RECIPE"),
    ({"model_type", "architectures"}, "a model's configuration, which states no batch", "the launch's files"),
)


def read_settings(path: Path) -> LaunchSettings:
    """Read a DeepSpeed or Accelerate configuration, or TrainingArguments, with the files it names.

    Args:
        path: A JSON or YAML file.

    Raises:
        InputError: If it cannot be read, is none of the three, seems to be several of them, or holds a value that
            cannot be used.
    """
    top = read_section(path)
    for keys, what, fix in REFUSED:
        if keys <= top.values.keys():
            raise InputError(f"this is {what}", fixes=fix, origin=top.origin)
    values = _without_places(top.values)
    if (tool := other_tool(values)) is not None:
        raise InputError(
            f"this is a file of {tool}, which is not read here",
            rule="its batch and its length are counted by other rules",
            fixes="flags, such as --devices, --per-device, --gradient-accumulation and --steps",
            origin=top.origin,
        )
    found = [(kind, marks) for kind in KINDS if (marks := kind.marks(values))]
    found = found or [(kind, hints) for kind in KINDS if (hints := kind.hints(values))]
    if len(found) > 1:
        named = ", and ".join(f"{top.where(marks[0])} of {kind.name}" for kind, marks in found)
        raise InputError(
            f"keys of several tools stand in one file: {named}",
            rule="no tool reads both, so it is not known which of them count",
            fixes="a file of its own for each tool",
            origin=top.origin,
        )
    if not found or not found[0][0].is_sure(found[0][1]):
        raise _unknown(top)
    kind = found[0][0]
    settings = kind.read(replace(top, open_word=kind.open_word))
    return replace(settings, tools=(kind.name,), notes=(*settings.notes, *_misspelled(top)))


def _misspelled(top: Section) -> Iterator[str]:
    """Notes on keys that no tool has and that resemble one that counts; the tool may ignore or refuse them."""
    known = frozenset().union(*(kind.keys for kind in KINDS))
    for key in top.values:
        close = close_matches(key, COUNTED, likeness=0.9)
        if close and key != close[0] and key not in known:
            yield f"{top.where(key)}: not read; did you mean {close[0]}?"
        elif key in COUNTED_ELSEWHERE:
            yield f"{top.where(key)}: not read: it is no key of this tool, and would change the count of another"


def _without_places(values: Mapping[str, Located]) -> dict[str, object]:
    return {
        key: _without_places(item.value) if isinstance(item.value, Mapping) else item.value
        for key, item in values.items()
    }


def _unknown(top: Section) -> InputError:
    """The error for a file that belongs to no known tool."""
    looked = "; ".join(f"{kind.name} ({', '.join(kind.typical)}, …)" for kind in KINDS)
    asked, rule = "none of the files that are read here", f"looked at the top for keys of {looked}"
    for key, item in top.values.items():
        for kind in KINDS:
            if isinstance(item.value, Mapping) and (marks := kind.marks(item.value)):
                found = f"{rule}; {marks[0]} of {kind.name} stands under {key_name(key)}"
                return InputError(asked, rule=found, fixes="giving that part as a file of its own", origin=top.origin)
    return InputError(asked, rule=rule, fixes="such a file, or stating the batch with flags", origin=top.origin)

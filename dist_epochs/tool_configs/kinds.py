"""DeepSpeed, Accelerate and TrainingArguments: files that are told by how many of their keys speak for each.

A key that many tools have (`optimizer`, `output_dir`, `max_grad_norm`) never decides alone: a file is read as a tool's
if it has one key that only this tool has, or two that it shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import key_name
from dist_epochs.tool_configs.accelerate_settings import accelerate_settings
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["KINDS", "TRAINING_ARGUMENTS", "Kind", "kind_of_file", "unknown_file"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of file, and the keys that only it has.

    Attributes:
        name: What to call it.
        typical: Examples of its keys, for the error where no file is recognised.
        keys: Keys that no other kind has.
        shared: Those of `keys` and `mappings` that other tools have too: one of them among others decides nothing.
        mappings: Names of sections, each with a key that shows it is of this kind.
        flags: Used where none of these is there: keys with true or false, of which two are needed.
        also: Further keys that it may have, which show nothing.
        read: Its reader.
        open_word: Text that leaves a value open in it.
        framework: What `--like` calls the framework that runs its loop.
    """

    name: str
    typical: tuple[str, ...]
    keys: frozenset[str]
    shared: frozenset[str] = frozenset()
    mappings: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    read: Callable[[Section], LaunchSettings]
    open_word: str | None = None
    framework: str | None = None

    def marks(self, top: Mapping[str, object]) -> list[str]:
        """The keys of a file that show it is of this kind, and sections that do."""
        return [key for key in top if key in self.keys or self._is_section(key, top[key])]

    def _is_section(self, key: str, value: object) -> bool:
        inner = self.mappings.get(key)
        return inner is not None and isinstance(value, Mapping) and inner in value

    def hints(self, top: Mapping[str, object]) -> list[str]:
        """The keys that show it where there are no such marks: two of `flags`."""
        flags = [key for key in top if key in self.flags and (key in NUMBERS or isinstance(top[key], bool))]
        return flags if len(flags) > 1 else []

    def is_sure(self, marks: Sequence[str], top: Mapping[str, object]) -> bool:
        """Whether these marks are enough: two, one that only this tool has, or one without a foreign key beside it."""
        own = self.keys | self.also | self.mappings.keys() | self.flags
        return len(marks) > 1 or not self.shared & set(marks) or all(key in own for key in top)


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


TRAINING_ARGUMENTS = Kind(
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
    framework="transformers",
)

KINDS = (
    Kind(
        name="an Accelerate configuration",
        typical=("distributed_type", "num_processes", "compute_environment"),
        keys=_keys(
            "compute_environment deepspeed_config distributed_type downcast_bf16 dynamo_config ec2_instance_type "
            "enable_cpu_affinity machine_rank main_process_ip main_process_port main_training_function "
            "megatron_lm_config mpirun_config num_machines num_processes rdzv_backend same_network "
            "tpu_use_cluster"
        ),
        shared=_keys("num_processes"),
        read=accelerate_settings,
    ),
    Kind(
        name="a DeepSpeed configuration",
        typical=("train_batch_size", "train_micro_batch_size_per_gpu", "zero_optimization"),
        keys=_keys(
            "autotuning bfloat16 curriculum_learning data_efficiency elasticity flops_profiler gradient_clipping "
            "sequence_parallel_size steps_per_print tensor_parallel train_batch_size train_micro_batch_size_per_gpu "
            "wall_clock_breakdown zero_allow_untested_optimizer zero_force_ds_cpu_optimizer zero_optimization"
        ),
        shared=_keys("gradient_clipping optimizer scheduler sequence_parallel_size tensor_parallel train_batch_size"),
        mappings={"bf16": "enabled", "fp16": "enabled", "optimizer": "type", "scheduler": "type"},
        also=_keys(
            "activation_checkpointing amp checkpoint comms_logger communication_data_type compression_training "
            "csv_monitor data_types dataloader_drop_last expert_parallel gradient_accumulation_steps "
            "gradient_predivide_factor hybrid_engine pipeline prescale_gradients sparse_attention tensorboard wandb"
        ),
        read=deepspeed_settings,
        open_word=OPEN,
    ),
    TRAINING_ARGUMENTS,
)
NUMBERS = ("gradient_accumulation_steps",)
"""Those of `flags` that hold a number instead."""


def kind_of_file(top: Section, values: Mapping[str, object]) -> tuple[Kind, list[str]]:
    """The kind that most marks of a file speak for, with notes on the others; one stray key decides nothing.

    Raises:
        InputError: If it is of no kind, or of several.
    """
    found = [(kind, marks) for kind in KINDS if (marks := kind.marks(values))]
    found = found or [(kind, hints) for kind in KINDS if (hints := kind.hints(values))]
    found.sort(key=lambda each: len(each[1]), reverse=True)
    if not found:
        raise unknown_file(top)
    (kind, marks), *others = found
    if others and len(marks) < 2 * sum(len(other) for _, other in others):
        named = ", and ".join(f"{top.where(keys[0])} of {each.name}" for each, keys in found)
        raise InputError(
            f"keys of several tools stand in one file: {named}",
            rule="no tool reads both, so it is not known which of them count",
            fixes="a file of its own for each tool",
            origin=top.origin,
        )
    if not kind.is_sure(marks, values):
        raise unknown_file(top)
    why = f"not read: it is a key of {{}}, and {len(marks)} keys here are those of {kind.name}"
    return kind, [f"{top.where(key)}: {why.format(other.name)}" for other, keys in others for key in keys]


def unknown_file(top: Section) -> InputError:
    """The error for a file that belongs to no known tool."""
    looked = "; ".join(f"{kind.name} ({', '.join(kind.typical)}, …)" for kind in KINDS)
    asked, rule = "none of the files that are read here", f"looked at the top for keys of {looked}"
    for key, item in top.values.items():
        for kind in KINDS:
            if isinstance(item.value, Mapping) and (marks := kind.marks(item.value)):
                found = f"{rule}; {marks[0]} of {kind.name} stands under {key_name(key)}"
                return InputError(asked, rule=found, fixes="giving that part as a file of its own", origin=top.origin)
    return InputError(asked, rule=rule, fixes="such a file, or stating the batch with flags", origin=top.origin)

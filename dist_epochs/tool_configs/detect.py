"""Which tool a settings file belongs to, by its keys; the file's name does not matter.

A key that many tools have (`optimizer`, `output_dir`, `max_grad_norm`) never decides alone: a file is read as a tool's
if it has one key that only this tool has, or two that it shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dist_epochs.errors import InputError, close_matches
from dist_epochs.settings.located import read_text
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.value import key_name, plain_value, printable
from dist_epochs.tool_configs.readers.accelerate_settings import accelerate_settings
from dist_epochs.tool_configs.readers.axolotl import AXOLOTL
from dist_epochs.tool_configs.readers.composer import COMPOSER
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.readers.gpt_neox import GPT_NEOX
from dist_epochs.tool_configs.readers.launchers import launched
from dist_epochs.tool_configs.readers.litgpt import LITGPT
from dist_epochs.tool_configs.readers.llama_factory import LLAMA_FACTORY
from dist_epochs.tool_configs.readers.megatron import MEGATRON
from dist_epochs.tool_configs.readers.nanogpt import NANOGPT
from dist_epochs.tool_configs.readers.other_tools import FAIRSEQ, other_tool
from dist_epochs.tool_configs.readers.script import UnknownText, looks_like_script, read_script
from dist_epochs.tool_configs.readers.torchtitan import TORCHTITAN
from dist_epochs.tool_configs.readers.torchtune import TORCHTUNE
from dist_epochs.tool_configs.readers.training_arguments import read_flags, training_arguments_settings
from dist_epochs.tool_configs.readers.trl import GRPO
from dist_epochs.tool_configs.readers.trl_sft import TRL
from dist_epochs.tool_configs.stated import LaunchSettings, merge
from dist_epochs.tool_configs.tool import Given, Tool

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

TOOLS: tuple[Tool, ...] = (GPT_NEOX, LITGPT, COMPOSER, TORCHTUNE, TORCHTITAN, AXOLOTL, LLAMA_FACTORY, GRPO, TRL)
"""Tools with rules of their own; the first whose file it is is taken, before the kinds above."""

BY_FLAGS: tuple[Tool, ...] = (MEGATRON, TORCHTITAN, GRPO, LLAMA_FACTORY)
"""Tools whose programs take flags, beside TrainingArguments."""

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

COUNT = _keys(
    "accumulate_grad_batches batch_size context_parallel_size dp_size epochs generation_batch_size global_batch_size "
    "global_train_batch_size gradient_accumulation gradient_accumulation_steps limit_train_batches max_duration "
    "max_epochs max_iters max_samples max_steps max_steps_per_epoch max_tokens max_train_samples max_train_steps "
    "micro_batch_size mix_strategy n_epochs neat_packing num_epochs num_generations num_iterations num_processes "
    "num_samples num_train_epochs packing per_device_batch_size per_device_train_batch_size "
    "pipeline_parallel_size ramp rampup_batch_size sample_packing seq_parallel_size sequence_parallel_degree "
    "sequence_parallel_size steps_per_epoch steps_per_generation stop_after stop_at streaming tensor_parallel_size "
    "total_steps train_batch_size train_epochs train_iters train_samples train_subset_num_batches val_set_size "
    "val_size world_size"
)
"""Keys that change the count in some tool: where one is not read, that is said."""

COUNTED_FLAGS = _keys(
    "block_size context_parallel_size expert_model_parallel_size pipeline_model_parallel_size seq_length "
    "tensor_model_parallel_size"
)
"""Flags of programs that change a number, and are no keys of `COUNT`."""

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


def read_settings(path: Path, given: Given | None = None) -> LaunchSettings:
    """Read a configuration of another tool, with the files it names.

    Args:
        path: The file.
        given: What flags and recipe state, which a tool's own rules need.

    Raises:
        InputError: If it cannot be read, belongs to no tool that is read, seems to be of several, or holds a value that
            cannot be used.
    """
    if looks_like_script(path, read_text(path)):
        return _read_script(path, given or Given())
    top = read_section(path)
    for keys, what, fix in REFUSED:
        if keys <= top.values.keys():
            raise InputError(f"this is {what}", fixes=fix, origin=top.origin)
    values = plain_value(top.values)
    tools = (NANOGPT,) if path.suffix.lower() == ".py" else TOOLS
    tool = next((tool for tool in tools if tool.is_its(values)), None)
    if tool is not None:
        settings = tool.read(top, given or Given())
        notes = dict.fromkeys((*settings.notes, *_not_read(top, tool.name)))
        return replace(settings, tools=(tool.name,), notes=tuple(notes))
    if (other := other_tool(values)) is not None:
        raise other.refusal(top)
    kind, strays = _kind(top, values)
    settings = kind.read(replace(top, open_word=kind.open_word))
    notes = dict.fromkeys((*settings.notes, *strays, *_misspelled(top), *_not_read(top, kind.name)))
    return replace(settings, tools=(kind.name,), notes=tuple(notes))


def _read_script(path: Path, given: Given) -> LaunchSettings:
    """The command of a script that trains: its launcher's devices, and its program's flags as keys and values."""
    arguments = read_script(path)
    flags = _without_unknown(arguments.flags)
    launch = launched(arguments, read_settings)
    if given.batch.devices is not None and arguments.launcher == "python":
        launch = replace(launch, devices=None)  # what is given is known better than that nothing is launched
    known = merge([given.batch, LaunchSettings(devices=launch.devices)])
    values = plain_value(flags.values)
    tool = next((tool for tool in BY_FLAGS if tool.is_its(values)), None)
    if tool is None and arguments.program == "fairseq-train":
        raise FAIRSEQ.refusal(flags)
    if tool is None:
        kind, _ = _kind(flags, values)
        tool = Tool(kind.name, lambda _: True, read_flags) if kind.read is training_arguments_settings else None
    if tool is None:
        raise _unknown(flags)
    settings = merge([tool.read(flags, replace(given, batch=known)), launch])
    read = {key for section in (arguments.launching, flags) for _, key in section.remarks.read}
    shell = [note for key, note in arguments.defaults.items() if key in read]
    for key in read & (arguments.flags.values.keys() - flags.values.keys()):
        shell.append(f"{arguments.flags.where(key)}: its value is known to the running shell only, and is not used")
    own = (*arguments.launching.remarks.notes, *flags.remarks.notes)
    notes = dict.fromkeys((*own, *settings.notes, *sorted(shell), *_not_read(flags, tool.name)))
    return replace(settings, tools=(tool.name,), notes=tuple(notes))


def _without_unknown(flags: Section) -> Section:
    """Flags without those whose values only the running shell knows, where they do not count.

    Raises:
        InputError: If one counts.
    """
    kept = dict(flags.values)
    for key, found in flags.values.items():
        if not isinstance(found.value, UnknownText):
            continue
        if key in COUNT or key in COUNTED_FLAGS:
            raise InputError(
                f"--{key} is {printable(found.value)}, which only the running shell knows",
                rule="the script is read, and not run",
                fixes=("writing the number there", "the value as a flag of plan, with the line removed"),
                origin=found.origin,
            )
        del kept[key]
    return replace(flags, values=kept)


def _kind(top: Section, values: Mapping[str, object]) -> tuple[_Kind, list[str]]:
    """The kind that most marks of a file speak for, with notes on the others; one stray key decides nothing.

    Raises:
        InputError: If it is of no kind, or of several.
    """
    found = [(kind, marks) for kind in KINDS if (marks := kind.marks(values))]
    found = found or [(kind, hints) for kind in KINDS if (hints := kind.hints(values))]
    found.sort(key=lambda each: len(each[1]), reverse=True)
    if not found or not found[0][0].is_sure(found[0][1]):
        raise _unknown(top)
    (kind, marks), *others = found
    if others and len(marks) < 2 * sum(len(other) for _, other in others):
        named = ", and ".join(f"{top.where(keys[0])} of {each.name}" for each, keys in found)
        raise InputError(
            f"keys of several tools stand in one file: {named}",
            rule="no tool reads both, so it is not known which of them count",
            fixes="a file of its own for each tool",
            origin=top.origin,
        )
    why = f"not read: it is a key of {{}}, and {len(marks)} keys here are those of {kind.name}"
    return kind, [f"{top.where(key)}: {why.format(other.name)}" for other, keys in others for key in keys]


def _misspelled(top: Section) -> Iterator[str]:
    """Notes on keys that no tool has and that resemble one that counts; the tool may ignore or refuse them."""
    known = frozenset().union(*(kind.keys for kind in KINDS))
    for key in top.values:
        close = close_matches(key, COUNTED, likeness=0.9)
        if close and key != close[0] and key not in known:
            yield f"{top.where(key)}: not read; did you mean {close[0]}?"


def _not_read(top: Section, name: str, section: Section | None = None) -> Iterator[str]:
    """Notes on keys that change a number in some tool, and were not read here; in the sections that were read too."""
    section = section or top
    for key, item in section.values.items():
        is_read = section.was_read(key)
        if isinstance(item.value, Mapping):
            if is_read:
                yield from _not_read(top, name, section.section(key))
        elif key in COUNT and not is_read and item.value not in (None, False, 0, ""):
            yield f"{section.where(key)}: not read; it could change a number here: {name} is read by other keys"


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

"""Tools whose files are not read here. Their keys identify them, so that no such file is taken for one that is read.

The keys are those of the tools' own argument parsers. None that many tools have decides alone, such as `optimizer`,
`output_dir`, `precision` or `batch_size`. The error shows the flags that say the same, where a key's meaning is that
of a flag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Located
from dist_epochs.tool_configs.tool import Top, have

__all__ = ["FAIRSEQ", "OtherTool", "other_tool"]


@dataclass(frozen=True, slots=True)
class OtherTool:
    """A tool whose files are known and not read.

    Attributes:
        name: What to call it.
        is_its: Whether a file's keys show that it is this tool's.
        flags: Flags of `plan` by the dotted key that means the same: whole numbers in the same unit and scope.
        rule: What its own loop does that no flag says, or how else the flags follow.
    """

    name: str
    is_its: Callable[[Top], bool]
    flags: Mapping[str, str] = field(default_factory=dict)
    rule: str = "its batch and its length are counted by other rules"

    def refusal(self, top: Section) -> InputError:
        """The error of a file of it."""
        said = [
            f"{flag} {found.value}"
            for key, flag in self.flags.items()
            if (found := _found(top.values, key.split("."))) is not None and _is_count(found)
        ]
        flags = " ".join(said) or "--devices, --per-device, --gradient-accumulation and --steps"
        return InputError(
            f"this is a file of {self.name}, which is not read here",
            rule=self.rule,
            fixes=f"{'the flags that say the same:' if said else 'flags, such as'} {flags}",
            origin=top.origin,
        )


def _found(values: Mapping[str, Located], path: list[str]) -> Located | None:
    inner = values.get(path[0])
    if inner is None or len(path) == 1:
        return inner
    return _found(inner.value, path[1:]) if isinstance(inner.value, Mapping) else None


def _is_count(found: Located) -> bool:
    return isinstance(found.value, int) and not isinstance(found.value, bool) and found.value > 0


FAIRSEQ = OtherTool(
    "fairseq",
    lambda top: have(
        top,
        2,
        "optimization.update_freq",
        "optimization.max_update",
        "optimization.max_epoch",
        "dataset.max_tokens",
        "dataset.batch_size",
        "task._name",
    ),
    {
        "dataset.batch_size": "--per-device",
        "distributed_training.distributed_world_size": "--devices",
        "task.tokens_per_sample": "--sequence-length",
        "optimization.max_update": "--steps",
    },
    "max_tokens bounds sentences × the longest of them, so the samples of a batch vary; update_freq is the "
    "accumulation: --gradient-accumulation",
)

TOOLS: tuple[OtherTool, ...] = (
    OtherTool(
        "LLaMA-Factory's version 1",
        lambda top: (
            have(top, 2, "train_dataset", "micro_batch_size")
            and have(top, 1, "cutoff_len", "dist_config", "batching_strategy", "cp_size")
        ),
        {
            "micro_batch_size": "--per-device",
            "global_batch_size": "--global-batch",
            "cp_size": "--context-parallel",
            "num_train_epochs": "--epochs",
        },
        "its passes leave out what does not fill a batch on each device: --last-window drop --uneven drop",
    ),
    OtherTool(
        "nanotron",
        lambda top: (
            have(top, 1, "tokens.batch_accumulation_per_replica")
            or have(top, 2, "parallelism.dp", "tokens.micro_batch_size")
        ),
        {
            "tokens.micro_batch_size": "--per-device",
            "tokens.batch_accumulation_per_replica": "--gradient-accumulation",
            "parallelism.tp": "--tensor-parallel",
            "parallelism.pp": "--pipeline-parallel",
            "parallelism.context_parallel_size": "--context-parallel",
            "tokens.sequence_length": "--sequence-length",
            "tokens.train_steps": "--steps",
        },
        "its devices are dp × tp × pp × context_parallel_size of parallelism: give them as --devices",
    ),
    OtherTool(
        "OLMo",
        lambda top: (
            have(top, 1, "model.max_sequence_length")
            and have(top, 1, "global_train_batch_size", "device_train_microbatch_size")
        ),
        {
            "global_train_batch_size": "--global-batch",
            "device_train_microbatch_size": "--per-device",
            "model.max_sequence_length": "--sequence-length",
            "max_duration": "--steps",
        },
        'max_duration is steps as a bare number, tokens with "T" (2e12T: --tokens), passes with "ep" (--epochs)',
    ),
    OtherTool(
        "OLMo-core",
        lambda top: (
            have(top, 1, "data_loader.global_batch_size")
            and have(top, 1, "train_module.rank_microbatch_size", "trainer.max_duration")
        ),
        {"train_module.max_sequence_length": "--sequence-length", "dataset.sequence_length": "--sequence-length"},
        "global_batch_size and rank_microbatch_size are tokens: --global-batch 'N tokens', and --per-device of "
        "rank_microbatch_size ÷ the sequence length",
    ),
    OtherTool(
        "Megatron-Bridge",
        lambda top: (
            have(top, 1, "train.global_batch_size")
            and have(top, 1, "train.train_iters", "train.train_samples", "train.num_epochs")
        ),
        {
            "train.global_batch_size": "--global-batch",
            "train.micro_batch_size": "--per-device",
            "model.tensor_model_parallel_size": "--tensor-parallel",
            "model.pipeline_model_parallel_size": "--pipeline-parallel",
            "model.context_parallel_size": "--context-parallel",
            "model.seq_length": "--sequence-length",
            "train.train_iters": "--steps",
        },
        "it overrides a recipe in Python, which may hold what the file does not say",
    ),
    OtherTool(
        "NeMo",
        lambda top: (
            have(top, 1, "trainer.devices", "trainer.num_nodes")
            and have(top, 1, "model.micro_batch_size", "model.global_batch_size", "model.tensor_model_parallel_size")
        ),
        {
            "model.global_batch_size": "--global-batch",
            "model.micro_batch_size": "--per-device",
            "model.tensor_model_parallel_size": "--tensor-parallel",
            "model.pipeline_model_parallel_size": "--pipeline-parallel",
            "model.context_parallel_size": "--context-parallel",
            "model.encoder_seq_length": "--sequence-length",
            "trainer.max_steps": "--steps",
        },
        "--devices is trainer.devices × trainer.num_nodes, and accumulate_grad_batches is not the accumulation",
    ),
    OtherTool(
        "Levanter",
        lambda top: (
            have(top, 1, "trainer.train_batch_size")
            or have(
                top, 2, "trainer.num_train_steps", "trainer.per_device_parallelism", "trainer.model_axis_size",
                "trainer.tensor_parallel_axes", "trainer.mp",
            )
        ),
        {
            "trainer.train_batch_size": "--global-batch",
            "trainer.per_device_parallelism": "--per-device",
            "trainer.model_axis_size": "--tensor-parallel",
            "model.seq_len": "--sequence-length",
            "trainer.num_train_steps": "--steps",
        },
        "a single source without epochs ends after one pass, whatever num_train_steps says",
    ),
    FAIRSEQ,
)  # fmt: skip
"""Tools that are not read; the first that fits is taken."""


def other_tool(top: Top) -> OtherTool | None:
    """The tool that a file belongs to, if it is one that is known and not read here.

    Args:
        top: The file's keys and values.

    Examples:
        >>> found = other_tool({"tokens": {"batch_accumulation_per_replica": 4}})
        >>> found.name, other_tool({"optimizer": {"type": "Adam"}})
        ('nanotron', None)
    """
    return next((tool for tool in TOOLS if tool.is_its(top)), None)

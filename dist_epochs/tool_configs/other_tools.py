"""Tools whose files are not read here. Their keys identify them, so that no such file is taken for one that is read.

The keys are those of the tools' own argument parsers. None that many tools have decides alone, such as `optimizer`,
`output_dir`, `precision` or `batch_size`. The error shows the flags that say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import plain_value
from dist_epochs.tool_configs.keys import Top, marks

__all__ = ["FAIRSEQ", "OtherTool", "other_tool"]

_OLMO_DURATION = re.compile(r"(?P<number>[0-9][0-9.]*(e[0-9]+)?)(?P<unit>|T|ep)")


DROPS = {"--uneven": "drop", "--last-window": "drop"}
"""What passes end with where only full batches are made."""


def _nothing_more(top: Top) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class OtherTool:
    """A tool whose files are known and not read.

    Attributes:
        name: What to call it.
        is_its: Whether a file's keys show that it is this tool's.
        flags: Dotted keys by the flag of `plan` that means the same: whole numbers in the same unit and scope. Of
            several keys the first that is stated counts.
        rule: What its own loop does that no flag says, or how else the flags follow.
        devices: Keys whose product is the devices; absent ones are 1.
        more: Further flags, of values that are no whole numbers.
    """

    name: str
    is_its: Callable[[Top], bool]
    flags: Mapping[str, str] = field(default_factory=dict)
    rule: str = "its batch and its length are counted by other rules"
    devices: str = ""
    more: Callable[[Top], Mapping[str, str]] = _nothing_more

    def refusal(self, top: Section) -> InputError:
        """The error of a file of it."""
        said = self._said(plain_value(top.values))
        flags = " ".join(said) or "--devices, --per-device, --gradient-accumulation and --steps"
        return InputError(
            f"this is a file of {self.name}, which is not read here",
            rule=self.rule,
            fixes=f"{'the flags that say the same:' if said else 'flags, such as'} {flags}",
            origin=top.origin,
        )

    def _said(self, top: Top) -> list[str]:
        """The flags that say what a file says."""
        found: dict[str, Any] = {}
        sizes = [_count(top, key) for key in self.devices.split()]
        if any(sizes):
            found["--devices"] = prod(size or 1 for size in sizes)
        for flag, keys in self.flags.items():
            found[flag] = next((value for key in keys.split() if (value := _count(top, key))), None)
        found |= self.more(top)
        return [f"{flag} {value}" for flag, value in found.items() if value is not None]


def _value(top: Any, key: str) -> Any:
    for part in key.split("."):
        top = top.get(part) if isinstance(top, Mapping) else None
    return top


def _count(top: Top, key: str) -> int | None:
    value = _value(top, key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _olmo_duration(top: Top) -> Mapping[str, str]:
    """Bare steps, tokens with `T`, or passes with `ep`."""
    found = _OLMO_DURATION.fullmatch(str(_value(top, "max_duration")))
    if found is None:
        return {}
    unit = {"": "", "T": " tokens", "ep": ""}[found["unit"]]
    flag = {"": "--steps", "T": "--tokens", "ep": "--epochs"}[found["unit"]]
    return {flag: f"'{found['number']}{unit}'" if unit else found["number"], **(DROPS if flag == "--epochs" else {})}


def _olmo_core_in_tokens(top: Top) -> Mapping[str, str]:
    """Batches in tokens as samples, and a duration by its unit."""
    length = _count(top, "train_module.max_sequence_length") or _count(top, "dataset.sequence_length")
    found: dict[str, str] = {}
    for flag, key in (
        ("--global-batch", "data_loader.global_batch_size"), ("--per-device", "train_module.rank_microbatch_size"),
    ):  # fmt: skip
        tokens = _count(top, key)
        if tokens and length and tokens % length == 0:
            found[flag] = str(tokens // length)
    amount, unit = _count(top, "trainer.max_duration.value"), _value(top, "trainer.max_duration.unit")
    if amount and unit in ("steps", "epochs", "tokens"):
        found[f"--{unit}"] = f"'{amount} tokens'" if unit == "tokens" else str(amount)
    return {**found, **DROPS} if unit == "epochs" else found


def _fairseq_blocks(top: Top) -> Mapping[str, str]:
    """Blocks of one length in a micro-batch: from 8 on a multiple of 8."""
    length = _count(top, "task.tokens_per_sample") or _count(top, "tokens_per_sample")
    tokens = _count(top, "dataset.max_tokens") or _count(top, "max_tokens")
    if not length or not tokens or tokens < length:
        return {}
    each = tokens // length
    return {"--per-device": str(each if each < 8 else each - each % 8)}


MEGATRON_MODEL = {
    "--tensor-parallel": "model.tensor_model_parallel_size",
    "--pipeline-parallel": "model.pipeline_model_parallel_size",
    "--context-parallel": "model.context_parallel_size",
}

FAIRSEQ = OtherTool(
    "fairseq",
    marks((2, "optimization.update_freq optimization.max_update optimization.max_epoch dataset.max_tokens "
              "dataset.batch_size task._name")),
    {
        "--devices": "distributed_training.distributed_world_size distributed_world_size",
        "--per-device": "dataset.batch_size",
        "--gradient-accumulation": "update_freq",
        "--sequence-length": "task.tokens_per_sample tokens_per_sample",
        "--steps": "optimization.max_update max_update",
        "--epochs": "max_epoch",
    },
    "max_tokens bounds sentences × the longest of them, so the samples of a batch vary; update_freq is the "
    "accumulation: --gradient-accumulation",
    more=_fairseq_blocks,
)  # fmt: skip

TOOLS: tuple[OtherTool, ...] = (
    OtherTool(
        "nanotron",
        lambda top: (
            _value(top, "tokens.batch_accumulation_per_replica") is not None
            or marks((2, "parallelism.dp tokens.micro_batch_size"))(top)
        ),
        {
            "--per-device": "tokens.micro_batch_size",
            "--gradient-accumulation": "tokens.batch_accumulation_per_replica",
            "--tensor-parallel": "parallelism.tp",
            "--pipeline-parallel": "parallelism.pp",
            "--context-parallel": "parallelism.context_parallel_size",
            "--sequence-length": "tokens.sequence_length",
            "--steps": "tokens.train_steps",
        },
        "its devices are dp × tp × pp × context_parallel_size of parallelism: give them as --devices",
        "parallelism.dp parallelism.tp parallelism.pp parallelism.context_parallel_size",
    ),
    OtherTool(
        "OLMo",
        marks((1, "model.max_sequence_length"), (1, "global_train_batch_size device_train_microbatch_size")),
        {
            "--global-batch": "global_train_batch_size",
            "--per-device": "device_train_microbatch_size",
            "--sequence-length": "model.max_sequence_length",
        },
        'max_duration is steps as a bare number, tokens with "T" (2e12T: --tokens), passes with "ep" (--epochs)',
        more=_olmo_duration,
    ),
    OtherTool(
        "OLMo-core",
        marks(
            (1, "data_loader.global_batch_size"), (1, "train_module.rank_microbatch_size trainer.max_duration"),
        ),
        {
            "--tensor-parallel": "train_module.tp_config.degree",
            "--pipeline-parallel": "train_module.pp_config.degree",
            "--context-parallel": "train_module.cp_config.degree",
            "--sequence-length": "train_module.max_sequence_length dataset.sequence_length",
        },
        "global_batch_size and rank_microbatch_size are tokens: --global-batch 'N tokens', and --per-device of "
        "rank_microbatch_size ÷ the sequence length",
        more=_olmo_core_in_tokens,
    ),
    OtherTool(
        "Megatron-Bridge",
        marks((1, "train.global_batch_size"), (1, "train.train_iters train.train_samples train.num_epochs")),
        {
            "--global-batch": "train.global_batch_size",
            "--per-device": "train.micro_batch_size",
            **MEGATRON_MODEL,
            "--sequence-length": "model.seq_length dataset.seq_length",
            "--steps": "train.train_iters",
        },
        "it overrides a recipe in Python, which may hold what the file does not say",
    ),
    OtherTool(
        "NeMo",
        marks(
            (1, "trainer.devices trainer.num_nodes"),
            (1, "model.micro_batch_size model.global_batch_size model.tensor_model_parallel_size"),
        ),
        {
            "--global-batch": "model.global_batch_size",
            "--per-device": "model.micro_batch_size",
            **MEGATRON_MODEL,
            "--sequence-length": "model.encoder_seq_length",
            "--steps": "trainer.max_steps",
        },
        "--devices is trainer.devices × trainer.num_nodes, and accumulate_grad_batches is not the accumulation",
        "trainer.devices trainer.num_nodes",
    ),
    OtherTool(
        "Levanter",
        lambda top: (
            _value(top, "trainer.train_batch_size") is not None
            or marks((2, "trainer.num_train_steps trainer.per_device_parallelism trainer.model_axis_size "
                         "trainer.tensor_parallel_axes trainer.mp"))(top)
        ),
        {
            "--global-batch": "trainer.train_batch_size",
            "--per-device": "trainer.per_device_parallelism",
            "--tensor-parallel": "trainer.model_axis_size",
            "--sequence-length": "model.seq_len",
            "--steps": "trainer.num_train_steps",
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

"""Tools whose files are not read here. Their keys identify them, so that no such file is taken for one that is read.

The keys are those of the tools' own argument parsers. None that many tools have decides alone, such as `optimizer`,
`output_dir`, `precision` or `batch_size`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["other_tool"]

Top = Mapping[str, Any]


def _have(top: Top, least: int, *keys: str) -> bool:
    """Whether so many of these keys are there; dots lead into sections, and `-` is `_`."""
    return sum(_find(top, key.split(".")) for key in keys) >= least


def _find(section: Any, path: list[str]) -> bool:
    if not isinstance(section, Mapping):
        return False
    named = {str(key).replace("-", "_"): value for key, value in section.items()}
    return path[0] in named and (len(path) == 1 or _find(named[path[0]], path[1:]))


def _components(top: Top) -> int:
    return sum(isinstance(value, Mapping) and "_component_" in value for value in top.values())


TOOLS: tuple[tuple[str, Callable[[Top], bool]], ...] = (
    (
        "GPT-NeoX",
        lambda top: _have(
            top, 2, "pipe_parallel_size", "model_parallel_size", "train_iters", "train_epochs", "checkpoint_factor",
            "gpt_j_residual", "synchronize_each_layer", "num_layers", "pos_emb", "data_impl", "pack_impl",
            "lr_decay_iters", "lr_decay_style", "keep_last_n_checkpoints",
        ),
    ),
    (
        "litgpt",
        lambda top: (
            _have(top, 2, "train.global_batch_size", "train.micro_batch_size")
            and _have(top, 1, "checkpoint_dir", "model_name", "eval", "devices", "out_dir")
            and not _have(top, 1, "train.train_iters")
        ),
    ),
    (
        "nanotron",
        lambda top: (
            _have(top, 1, "tokens.batch_accumulation_per_replica")
            or _have(top, 2, "parallelism.dp", "tokens.micro_batch_size")
        ),
    ),
    (
        "OLMo",
        lambda top: (
            _have(top, 1, "model.max_sequence_length")
            and _have(top, 1, "global_train_batch_size", "device_train_microbatch_size")
        ),
    ),
    (
        "Composer (llm-foundry)",
        lambda top: (
            _have(top, 1, "global_train_batch_size")
            and _have(top, 1, "train_loader", "max_duration", "device_train_microbatch_size", "max_seq_len")
        ),
    ),
    (
        "OLMo-core",
        lambda top: (
            _have(top, 1, "data_loader.global_batch_size")
            and _have(top, 1, "train_module.rank_microbatch_size", "trainer.max_duration")
        ),
    ),
    (
        "Megatron-Bridge",
        lambda top: (
            _have(top, 1, "train.global_batch_size")
            and _have(top, 1, "train.train_iters", "train.train_samples", "train.num_epochs")
        ),
    ),
    (
        "NeMo",
        lambda top: (
            _have(top, 1, "trainer.devices", "trainer.num_nodes")
            and _have(top, 1, "model.micro_batch_size", "model.global_batch_size", "model.tensor_model_parallel_size")
        ),
    ),
    (
        "Levanter",
        lambda top: (
            _have(top, 1, "trainer.train_batch_size")
            or _have(
                top, 2, "trainer.num_train_steps", "trainer.per_device_parallelism", "trainer.model_axis_size",
                "trainer.tensor_parallel_axes", "trainer.mp",
            )
        ),
    ),
    (
        "torchtune",
        lambda top: (
            _components(top) >= 2
            or (_components(top) == 1 and _have(top, 1, "max_steps_per_epoch", "batch_size", "log_every_n_steps"))
        ),
    ),
    (
        "torchtitan",
        lambda top: (
            _have(top, 1, "training.steps")
            and _have(
                top, 1, "training.seq_len", "training.local_batch_size", "training.batch_size",
                "training.num_tokens_per_microbatch_per_dp_rank", "parallelism.data_parallel_shard_degree",
            )
        ),
    ),
    (
        "fairseq",
        lambda top: _have(
            top, 2, "optimization.update_freq", "optimization.max_update", "optimization.max_epoch",
            "dataset.max_tokens", "dataset.batch_size", "task._name",
        ),
    ),
    (
        "Axolotl",
        lambda top: (
            _have(top, 1, "base_model", "sequence_len")
            and _have(
                top, 2, "base_model", "sequence_len", "micro_batch_size", "num_epochs", "datasets", "sample_packing",
                "adapter",
            )
        ),
    ),
    (
        "TRL's GRPO or RLOO (whose batch counts completions, several for each prompt)",
        lambda top: (
            _have(top, 1, "num_generations", "generation_batch_size", "steps_per_generation")
            and _have(
                top, 1, "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "output_dir",
                "max_completion_length",
            )
        ),
    ),
)  # fmt: skip
"""Tools by name, each with a test of a file's keys; the first that fits is taken."""


def other_tool(top: Top) -> str | None:
    """The tool that a file belongs to, if it is one that is known and not read here.

    Args:
        top: The file's keys and values.

    Examples:
        >>> other_tool({"train_iters": 1000, "lr-decay-style": "cosine"}), other_tool({"optimizer": {"type": "Adam"}})
        ('GPT-NeoX', None)
    """
    return next((name for name, is_its in TOOLS if is_its(top)), None)

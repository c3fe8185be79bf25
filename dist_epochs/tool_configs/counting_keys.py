"""Keys that change a number in some tool: where one is not read, that is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dist_epochs.errors import close_matches
from dist_epochs.settings.section import Section

__all__ = ["COUNT", "misspelled", "not_read"]

_COUNT = """
accumulate_grad_batches batch_size block_size context_parallel_size cp_size dp_size epochs expert_model_parallel_size
generation_batch_size global_batch_size global_train_batch_size gradient_accumulation gradient_accumulation_steps
limit_train_batches max_duration max_epochs max_iters max_samples max_steps max_steps_per_epoch max_tokens
max_train_samples max_train_steps micro_batch_size mix_strategy n_epochs neat_packing nnodes nproc_per_node num_epochs
num_generations num_gpus num_iterations num_nodes num_processes num_samples num_train_epochs num_train_steps packing
per_device_batch_size per_device_train_batch_size pipeline_model_parallel_size pipeline_parallel_size ramp
rampup_batch_size sample_packing seq_length seq_parallel_size sequence_parallel_degree sequence_parallel_size
steps_per_epoch steps_per_generation stop_after stop_at streaming tensor_model_parallel_size tensor_parallel_size
total_steps train_batch_size train_epochs train_iters train_samples train_subset_num_batches val_set_size val_size
world_size
"""
COUNT = frozenset(_COUNT.split())
"""Keys that change the count in some tool: where one is not read, that is said."""

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


def misspelled(top: Section, known: frozenset[str]) -> Iterator[str]:
    """Notes on keys that no tool has and that resemble one that counts; the tool may ignore or refuse them.

    Args:
        top: The file.
        known: Keys that some tool has.
    """
    for key in top.values:
        close = close_matches(key, COUNTED, likeness=0.9)
        if close and key != close[0] and key not in known:
            yield f"{top.where(key)}: not read; did you mean {close[0]}?"


def not_read(section: Section, name: str) -> Iterator[str]:
    """Notes on keys that change a number in some tool, and were not read here; in the sections that were read too.

    Args:
        section: The file, or a section of it.
        name: The tool whose file it is.
    """
    for key, item in section.values.items():
        is_read = section.was_read(key)
        if isinstance(item.value, Mapping):
            if is_read:
                yield from not_read(section.section(key), name)
        elif key in COUNT and not is_read and item.value not in (None, False, 0, ""):
            yield f"{section.where(key)}: not read; it could change a number here: {name} is read by other keys"

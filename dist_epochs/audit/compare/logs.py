"""What other trainers left behind, as it is compared with other runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dist_epochs.audit.compare.evidence import Cause, ComparedRun, Setting
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.records.trainer_states import state_files, training_rows

__all__ = ["logged_run"]

CAUSES_OF_NUMBERS: Mapping[str, tuple[Cause, str]] = {
    "corpus": ("corpus", "samples of the corpus"),
    "sequence_length": ("packing", "sequence length"),
    "devices": ("world", "processes"),
    "data_parallel_size": ("world", "data-parallel size"),
    "tensor_parallel": ("world", "tensor-parallel size"),
    "pipeline_parallel": ("world", "pipeline-parallel size"),
    "context_parallel": ("world", "context-parallel size"),
    "per_device": ("global batch", "samples per device"),
    "gradient_accumulation": ("global batch", "accumulation"),
    "global_batch": ("global batch", "global batch"),
    "largest_batch": ("global batch", "largest batch"),
    "planned_steps": ("learning rate", "steps of the schedule"),
}
"""Numbers of a run, the cause that each is if it differs, and the name that it has in our own runs."""
DERIVED = ("steps_per_epoch", "whole_steps_per_epoch")
REACHED = ("steps", "samples", "tokens", "epochs")


def logged_run(run: FinishedRun) -> ComparedRun:
    """A finished run that an audit reads.

    Args:
        run: What its files say.

    Raises:
        InputError: If its log cannot be read.
    """
    path = Path(run.path)
    states = state_files(path) if path.is_dir() else (path,)
    rows = tuple(training_rows(states)) if run.kind == "hf-trainer" else ()
    return ComparedRun(
        path=run.path,
        kind=run.kind,
        settings=tuple(_settings(run)),
        rows=rows,
        reached={name: _value(run.numbers[name]) for name in REACHED if name in run.numbers},
        notes=tuple(_notes(run)),
    )


def _settings(run: FinishedRun) -> Iterator[Setting]:
    for name, number in run.numbers.items():
        if name in CAUSES_OF_NUMBERS:
            cause, shown = CAUSES_OF_NUMBERS[name]
            yield Setting(cause=cause, name=shown, value=_value(number), interval=number.interval)
        elif name in DERIVED:
            shown = name.replace("_", " ").replace("epoch", "pass")
            yield Setting(
                cause="global batch", name=shown, value=_value(number), interval=number.interval, follows=True
            )
    if run.precision is not None:
        yield Setting(cause="precision", name="precision", value=run.precision)
    skipped = run.further.get("skipped")
    if isinstance(skipped, Number):
        value, interval = _value(skipped), skipped.interval
        yield Setting(cause="skipped", name="skipped steps", value=value, interval=interval, follows=True)


def _value(number: Number) -> int | float:
    """A number that was read, whole where it is."""
    value = number.value
    return int(value) if value.denominator == 1 else float(value)


def _notes(run: FinishedRun) -> Iterator[str]:
    yield "Which samples each step drew is not told, so that samples and their order cannot be compared."
    if run.is_cut:
        yield "Its files may end before it did."

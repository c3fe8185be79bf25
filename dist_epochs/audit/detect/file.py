"""Which trainer wrote a file or a folder, told from its content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dist_epochs.audit.detect.log import MOST_UNKNOWN, read_text_log
from dist_epochs.audit.detect.unsupported import refuse_unsupported
from dist_epochs.audit.readers import (
    lightning_csv,
    llama_factory_log,
    model_card,
    results_json,
    tfevents,
    wandb_summary,
)
from dist_epochs.audit.readers.own_run import read_own_run
from dist_epochs.audit.readers.trainer_state import read_trainer_state
from dist_epochs.audit.readers.wandb_file import MAGIC, read_wandb_files
from dist_epochs.audit.records.contents import HEAD_BYTES, refuse_unread_content
from dist_epochs.audit.records.packed import open_run_file, plain_name, read_head
from dist_epochs.audit.records.record import FinishedRun
from dist_epochs.audit.records.trainer_states import LARGEST_STATE, STATE
from dist_epochs.errors import InputError, Origin

__all__ = ["FILES", "FileReader", "read_file", "unknown"]


class FileReader(Protocol):
    """One kind of file."""

    @property
    def NAMES_OF_FILES(self) -> tuple[str, ...]:
        """What such files are called, with `*` for what differs."""

    def has_marks(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this kind, by its name and first bytes."""

    def read(self, path: Path) -> FinishedRun:
        """Read a file.

        Raises:
            InputError: If it is damaged, or counts nothing.
        """


FILES: Mapping[str, FileReader] = {
    "tfevents": tfevents,
    "llamafactory": llama_factory_log,
    "hf-results": results_json,
    "model-card": model_card,
    "wandb-summary": wandb_summary,
    "lightning": lightning_csv,
}
"""Kinds of files, each told by its own marks; in a folder, the first of them is read for the run."""

MARKS = (
    "global_step and log_history of a Trainer's state (trainer_state.json); train_runtime of its results "
    "(all_results.json); the hyperparameters of its model card; :W&B at the start of wandb's offline file, or "
    "wandb-summary.json; brain.Event of TensorBoard; current_steps of LLaMA-Factory; the columns epoch and step of "
    "Lightning; 'iteration N/ M |' of Megatron-LM, GPT-NeoX and NeMo 2, '[step=N/M]' of OLMo, 'iter N: loss' of "
    "nanoGPT, 'step: N … tps:' of torchtitan, 'step=N, skipped=' of DeepSpeed, or their arguments "
    "('seq_length ..... 2048') in a log; '***** Running training *****' of a Trainer's console; the events of our own "
    "ledger.jsonl"
)
"""What each kind is told by."""

JSON_OBJECT = re.compile(rb"[\xef\xbb\xbf\s]*\{\s*[\"}]")
"""How an object of JSON begins, and no dict that Python printed."""

LINE_OF_LEDGER = b'{"event":'
"""How each line of our ledger begins."""


def read_file(path: Path) -> FinishedRun | None:
    """Read a file of a run, packed or not; None for a file that is not of a run, and may be a claim.

    Raises:
        InputError: If it is damaged, or of a kind that is not read.
    """
    if not path.is_file():
        raise InputError(
            "this is neither a file nor a folder",
            rule="a run is read twice, first to tell its kind, which a pipe or a device does not allow",
            fixes="writing it to a file",
            origin=Origin(str(path)),
        )
    head = read_head(path, HEAD_BYTES)
    refuse_unread_content(path, head)
    if head.startswith(MAGIC):
        return read_wandb_files([path], str(path))
    if head.startswith(LINE_OF_LEDGER):
        if plain_name(path) != path.name:
            raise InputError(
                "a packed ledger is not read", fixes="unpacking it beside its plan.json", origin=Origin(str(path))
            )
        return read_own_run(path)
    for kind in FILES.values():
        if kind.has_marks(path, head):
            return kind.read(path)
    if JSON_OBJECT.match(head):
        return read_trainer_state([path], str(path)) if plain_name(path) == STATE or _names_state(path) else None
    run = read_text_log(path)
    if run is None:
        refuse_unsupported(path)
    return run


def unknown(path: Path) -> InputError:
    """The error for a file that is neither a run nor a claim."""
    return InputError(
        "this is neither a finished run nor a claim",
        rule=f"none of these is in it (of a log, in its first {MOST_UNKNOWN / 10**6:.0f} MB): {MARKS}; title and facts "
        "of a claim",
        fixes="such a file, or the folder that holds it",
        origin=Origin(str(path)),
    )


def _names_state(path: Path) -> bool:
    """Whether the marks of a state stand anywhere in a file of another name."""
    with open_run_file(path) as (file, most):
        tail, left = b"", min(LARGEST_STATE, most)
        while left > 0 and (block := file.read(1 << 20)):
            if b'"log_history"' in tail + block:
                return True
            tail, left = block[-16:], left - len(block)
    return False

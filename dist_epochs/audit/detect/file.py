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

JSON_MARKS = (
    "the files of JSON that are read have global_step and log_history (trainer_state.json), train_runtime "
    "(all_results.json) or current_steps in each line (trainer_log.jsonl)"
)
BINARY_MARKS = (
    "the binary files that are read are wandb's (:W&B at the start of run-ID.wandb) and TensorBoard's (brain.Event)"
)
TEXT_MARKS = (
    "a log is told by lines such as '***** Running training *****' or rows of loss, learning_rate and epoch (a "
    "Trainer's console), 'iteration N/ M |' (Megatron-LM, GPT-NeoX, NeMo 2), '[step=N/M]' (OLMo), 'iter N: loss' "
    "(nanoGPT), 'step: N … tps:' (torchtitan) or 'step=N, skipped=' (DeepSpeed); metrics.csv by its columns epoch and "
    "step; a model card by its hyperparameters; a claim by title and facts"
)
"""What each kind is told by."""

JSON_OBJECT = re.compile(rb"[\xef\xbb\xbf\s]*\{\s*[\"}]")
"""How an object of JSON begins, and no dict that Python printed."""

WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")
"""How text in UTF-16 begins."""

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
    head, origin = read_head(path, HEAD_BYTES), Origin(str(path))
    asked: str = "this is neither a finished run nor a claim"
    fixes: tuple[str, ...] = ("such a file", "the folder that holds it")
    if not head.strip():
        return InputError(f"{asked}: the file is empty", fixes="another record of the same run", origin=origin)
    if JSON_OBJECT.match(head):
        return InputError(asked, rule=JSON_MARKS, fixes=fixes, origin=origin)
    if b"\0" in head and not head.startswith(WIDE_TEXT):
        return InputError(asked, rule=BINARY_MARKS, fixes=fixes, origin=origin)
    if not _is_utf8(head):
        fixes = ("saving it as UTF-8, if it is a text", *fixes)
    if path.stat().st_size > MOST_UNKNOWN:
        asked += f", as far as its first {MOST_UNKNOWN / 10**6:.0f} MB tell"
    return InputError(asked, rule=TEXT_MARKS, fixes=fixes, origin=origin)


def _is_utf8(head: bytes) -> bool:
    """Whether the beginning of a file is text in UTF-8; it may end within a character."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == HEAD_BYTES
    return True


def _names_state(path: Path) -> bool:
    """Whether the marks of a state stand anywhere in a file of another name."""
    with open_run_file(path) as (file, most):
        tail, left = b"", min(LARGEST_STATE, most)
        while left > 0 and (block := file.read(1 << 20)):
            if b'"log_history"' in tail + block:
                return True
            tail, left = block[-16:], left - len(block)
    return False

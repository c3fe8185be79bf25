"""Which trainer wrote a file or a folder, told from its content."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.audit.readers.own_run import read_own_run
from dist_epochs.audit.readers.record import FinishedRun
from dist_epochs.audit.readers.text_log import read_text_log
from dist_epochs.audit.readers.trainer_state import STATE, read_trainer_state, state_files
from dist_epochs.audit.readers.wandb_file import MAGIC
from dist_epochs.audit.readers.wandb_run import read_wandb_files
from dist_epochs.errors import InputError

__all__ = ["read_finished_run", "unknown"]

LOOKED_FOR = (
    "Looked for: global_step and log_history of a Trainer's state (trainer_state.json); :W&B at the start of wandb's "
    "offline file; 'iteration N/ M |' of Megatron-LM and GPT-NeoX, '[step=N/M]' of OLMo, or their arguments "
    "('seq_length ..... 2048') in a log; the events of our own ledger.jsonl"
)
"""What each kind is told by."""

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""How pickles begin, and the archives that torch puts them in."""

EVENT = b'{"event":'
"""How each line of our ledger begins."""

HEAD = 4096
"""Bytes that tell the kind."""


def read_finished_run(path: Path) -> FinishedRun | None:
    """Read a run; None for a file that is none, which may be a claim.

    A folder is read as the first of: a run of our own (`ledger.jsonl`), a Trainer's output or checkpoint
    (`trainer_state.json`), a wandb run (`*.wandb`).

    Raises:
        InputError: If a folder holds none, or what was found is damaged.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(
            f"{path}: neither a file nor a folder. A run is read twice, first to tell its kind, which a pipe or a "
            "device does not allow; so nothing was read. Write it to a file."
        )
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(PICKLES):
        raise InputError(
            f"{path}: a pickle or an archive of one. Loading it can run any code, so it is never opened, whatever it "
            f"holds. Give the text beside it: {STATE}, or a log."
        )
    if head.startswith(MAGIC):
        return read_wandb_files([path], str(path))
    if head.startswith(EVENT):
        return read_own_run(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return read_trainer_state([path], str(path)) if path.name == STATE or _names_state(path) else None
    return read_text_log(path)


def unknown(path: Path) -> InputError:
    """The error for a file that is no run and no claim."""
    return InputError(
        f"{path}: neither a finished run nor a claim. {LOOKED_FOR}; title and facts of a claim. None of them is "
        "there, so nothing can be audited. Give such a file, or the folder that holds it."
    )


def _folder(path: Path) -> FinishedRun:
    if (path / "ledger.jsonl").is_file():
        return read_own_run(path)
    if states := state_files(path):
        return read_trainer_state(states, str(path))
    files = sorted({*path.glob("*.wandb"), *path.glob("*/*.wandb"), *path.glob("wandb/*/*.wandb")})
    if found := [file for file in files if not file.parent.is_symlink()]:  # latest-run points at one of them
        return read_wandb_files(found, str(path))
    raise InputError(
        f"{path}: no finished run in this folder. Looked for ledger.jsonl, {STATE}, checkpoint-*/{STATE}, *.wandb and "
        "offline-run-*/*.wandb. A folder of logs is not searched, since several runs may be in it. Name the log."
    )


def _names_state(path: Path) -> bool:
    """Whether the marks of a state stand anywhere in a file of another name."""
    with path.open("rb") as file:
        tail = b""
        while block := file.read(1 << 20):
            if b'"log_history"' in tail + block:
                return True
            tail = block[-16:]
    return False

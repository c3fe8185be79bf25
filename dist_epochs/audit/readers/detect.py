"""Which trainer wrote a file or a folder, told from its content."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.audit.readers.contents import HEAD_BYTES, refuse_unread_content
from dist_epochs.audit.readers.own_run import read_own_run
from dist_epochs.audit.readers.record import FinishedRun
from dist_epochs.audit.readers.text_log import MOST_UNKNOWN, read_text_log
from dist_epochs.audit.readers.trainer_state import LARGEST_STATE, STATE, read_trainer_state, state_files
from dist_epochs.audit.readers.wandb_file import MAGIC
from dist_epochs.audit.readers.wandb_run import read_wandb_files
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import open_file

__all__ = ["read_finished_run", "unknown"]

MARKS = (
    "global_step and log_history of a Trainer's state (trainer_state.json); :W&B at the start of wandb's "
    "offline file; 'iteration N/ M |' of Megatron-LM, GPT-NeoX and NeMo 2, '[step=N/M]' of OLMo, or their arguments "
    "('seq_length ..... 2048') in a log; '***** Running training *****' of a Trainer's console; the events of our own "
    "ledger.jsonl"
)
"""What each kind is told by."""

LINE_OF_LEDGER = b'{"event":'
"""How each line of our ledger begins."""


def read_finished_run(path: Path) -> FinishedRun | None:
    """Read a run; None for a file that is not a run, and may be a claim.

    A folder is read as the first of: a run of our own (`ledger.jsonl`), a Trainer's output or checkpoint
    (`trainer_state.json`), a wandb run (`*.wandb`).

    Raises:
        InputError: If a folder holds none, or what was found is damaged.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(
            "this is neither a file nor a folder",
            rule="a run is read twice, first to tell its kind, which a pipe or a device does not allow",
            fixes="writing it to a file",
            origin=Origin(str(path)),
        )
    with open_file(path) as file:
        head = file.read(HEAD_BYTES)
    refuse_unread_content(path, head)
    if head.startswith(MAGIC):
        return read_wandb_files([path], str(path))
    if head.startswith(LINE_OF_LEDGER):
        return read_own_run(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return read_trainer_state([path], str(path)) if path.name == STATE or _names_state(path) else None
    return read_text_log(path)


def unknown(path: Path) -> InputError:
    """The error for a file that is neither a run nor a claim."""
    return InputError(
        "this is neither a finished run nor a claim",
        rule=f"none of these is in it (of a log, in its first {MOST_UNKNOWN / 10**6:.0f} MB): {MARKS}; title and facts "
        "of a claim",
        fixes="such a file, or the folder that holds it",
        origin=Origin(str(path)),
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
        "there is no finished run in this folder",
        rule=f"looked for ledger.jsonl, {STATE}, checkpoint-*/{STATE}, *.wandb and offline-run-*/*.wandb; logs are not "
        "searched for, since several runs may be in a folder",
        fixes="the name of the log",
        origin=Origin(str(path)),
    )


def _names_state(path: Path) -> bool:
    """Whether the marks of a state stand anywhere in a file of another name."""
    with path.open("rb") as file:
        tail, left = b"", LARGEST_STATE
        while left > 0 and (block := file.read(1 << 20)):
            if b'"log_history"' in tail + block:
                return True
            tail, left = block[-16:], left - len(block)
    return False

"""The folder in which a store is built: next to its final place, locked, and continued after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dist_epochs.corpus.writer import Draft
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import lock, move, write_json

__all__ = ["finish", "recall", "remember", "workplace"]

PROGRESS = "progress.json"
"""File of an unfinished store with the command that writes it, and the input files that are complete."""


@contextmanager
def workplace(partial: Path, command: str) -> Iterator[None]:
    """Make or continue the folder that a store is built in, and remove it on errors.

    A folder of another command or program, or one that is being written, is left unchanged.
    """
    new_parents = [folder for folder in partial.parents if not folder.exists()]
    if partial.exists():
        _check_ours(partial, command)
    partial.mkdir(parents=True, exist_ok=True)
    with lock(partial, InputError("another process is writing this store", origin=Origin(str(partial)))):
        try:
            if not (partial / PROGRESS).exists():
                write_json(partial / PROGRESS, {"command": command, "finished": 0, "drafts": []})
            yield
        except Exception:
            shutil.rmtree(partial, ignore_errors=True)
            with suppress(OSError):  # it may not be empty any more
                for folder in new_parents:
                    folder.rmdir()
            raise


def _check_ours(partial: Path, command: str) -> None:
    progress = partial / PROGRESS
    try:
        begun_by = json.loads(progress.read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            "a store is built in this folder, and it holds something else",
            fixes=("to move it", "another --out"),
            origin=Origin(str(partial)),
        ) from None
    if begun_by != command:
        raise InputError(
            "this folder holds the unfinished store of another command (other sources, tokenizer or options)",
            fixes=("to finish that command", "to delete the folder"),
            origin=Origin(str(partial)),
        )


def remember(folder: Path, finished: int, drafts: list[Draft]) -> None:
    """Note that the first `finished` input files are complete, with these counts."""
    state: dict[str, Any] = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    write_json(folder / PROGRESS, state | {"finished": finished, "drafts": [asdict(draft) for draft in drafts]})


def recall(folder: Path) -> tuple[int, list[Draft]]:
    """The complete input files and their counts, as `remember` noted them last."""
    state = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    return state["finished"], [Draft(**draft) for draft in state["drafts"]]


def finish(partial: Path, out: Path) -> None:
    """Give the complete store its name."""
    (partial / PROGRESS).unlink()
    move(partial, out)

"""The folder in which a store is built: next to its final place, locked, and continued after a kill or an error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dist_epochs.corpus.tokenizing.made_from import (
    RECORD,
    Command,
    differences,
    has_record,
    is_complete,
    is_earlier,
    remember,
)
from dist_epochs.corpus.tokenizing.part_record import shards_in
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import lock

__all__ = ["empty", "remove", "workplace"]


@contextmanager
def workplace(partial: Path, command: Command) -> Iterator[None]:
    """Make or continue the folder that a store is built in.

    On an error it stays if a shard is complete, and is removed otherwise. A folder of another command or program, or
    one that is being written, is left unchanged.

    Raises:
        InputError: If the folder cannot be used; and in place of an error of the disk.
    """
    new_parents = [folder for folder in partial.parents if not folder.exists()]
    partial.mkdir(parents=True, exist_ok=True)
    with lock(partial, InputError("another process is writing this store", origin=Origin(str(partial)))):
        if not (partial / RECORD).exists():
            if any(path.name != f"{RECORD}.new" for path in partial.iterdir()):
                fixes = ("to move it", "another --out")
                asked = "a store is built in this folder, and it holds something else"
                raise InputError(asked, fixes=fixes, origin=Origin(str(partial)))
            remember(partial, command)
        elif different := differences(partial, command):
            raise InputError(
                f"this folder holds the unfinished store of another command ({different})",
                fixes=("to finish that command", "to delete the folder"),
                origin=Origin(str(partial)),
            )
        elif is_earlier(partial, command):
            raise InputError(
                "this folder holds an unfinished store of an earlier version, which had no parts",
                consequence="nothing in it was changed",
                fixes=("to delete the folder", "another --out", "to finish it with that version"),
                origin=Origin(str(partial)),
            )
        try:
            yield
        except BaseException as error:
            keeps = has_record(partial) and (is_complete(partial, command) or shards_in(partial) > 0)
            if not keeps:
                with suppress(OSError):  # the folders above may not be empty any more
                    remove(partial)
                    for folder in new_parents:
                        folder.rmdir()
            kept = f"what was complete is kept in {partial}: the same command goes on from there" if keeps else ""
            if isinstance(error, InputError | OSError):
                raise _with_consequence(error, partial, kept) from None
            error.add_note(kept or "nothing was written")
            raise


def remove(partial: Path) -> None:
    """Remove an unfinished store: its record last, so that the rest is known for one until then."""
    empty(partial)
    shutil.rmtree(partial)


def empty(partial: Path) -> None:
    """Remove all of an unfinished store but its record."""
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != RECORD:
            path.unlink()


def _with_consequence(error: InputError | OSError, partial: Path, kept: str) -> InputError:
    """An error that says what became of the work until then."""
    if isinstance(error, OSError):
        error = InputError(error.strerror or str(error), origin=Origin(str(error.filename or partial)))
    consequence = "; ".join(part for part in (error.consequence, kept) if part) or "nothing was written"
    return error.but(consequence=consequence)

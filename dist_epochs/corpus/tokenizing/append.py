"""Adds new input to a store: it is tokenized beside it, and the store that holds both takes the place of the old one.

STORE.added       the store of the new input
STORE.appended    the old store and the new input together
STORE.before      the old store, while the new one takes its place; and STORE.added in it, while both are removed

After a kill at any time the same command finishes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import Source
from dist_epochs.corpus.tokenizing.build import counts_in
from dist_epochs.corpus.tokenizing.made_from import Command, differences, has_record
from dist_epochs.corpus.tokenizing.merge import check_apart, check_same, check_ways, merge
from dist_epochs.corpus.tokenizing.parts import Share
from dist_epochs.corpus.tokenizing.shards import Given, open_given, tokenizer_of_stores, wholes_of
from dist_epochs.corpus.tokenizing.store_parts import files_of
from dist_epochs.corpus.tokenizing.tokenize import Progress, Settings, command_of, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.corpus.tokenizing.workplace import remove
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import lock, move

__all__ = ["append", "settings_of"]

ADDED = "added"
ALL = Share(1, 1)
"""The new input is one shard: of some sources it may have no documents, such as none that are held out."""


def settings_of(path: Path) -> tuple[Settings, TextTokenizer]:
    """How the documents of a store became tokens, and the tokenizer.

    Raises:
        InputError: If it is no store, is damaged, or of format 1.
    """
    _finish_the_move(*_folders(path))
    given = open_given(path)
    command = given.record["command"]
    return (
        Settings(
            special_tokens=command["--special-tokens"] == "True",
            held_out=Fraction(command["--held-out"]),
        ),
        tokenizer_of_stores([given]),
    )


def append(
    path: Path,
    sources: Sequence[Source],
    tokenizer: TextTokenizer,
    settings: Settings,
    *,
    workers: int,
    progress: Progress,
) -> dict[str, Any]:
    """Add new input to a store, after what it holds.

    Args:
        path: The store.
        sources: The new input; what has the name of a source of the store is added to that.
        tokenizer: That of the store.
        settings: Those of the store, and how to read the new input.
        workers: Processes.
        progress: Told of what was read.

    Returns:
        The counts of the store as it is now, with `fingerprint_before`, that of the old one.

    Raises:
        InputError: If the store cannot be used, it holds some of the documents already, or something cannot be written.
            The store is unchanged then.
    """
    out, added, appended, before = _folders(path)
    command = command_of(sources, tokenizer, settings, ALL)
    if before.exists():  # a command was killed at its end
        _finish_the_move(out, added, appended, before)
        if _clean(before, added, command):
            return counts_in(out) | {"fingerprint_before": None}
    old = open_given(out)
    check_ways(old.path, old.record["command"], "the new input", command.parts)
    if has_record(added) and (other := differences(added, command)):
        raise InputError(
            f"this folder holds what another command was adding to the store ({other})",
            fixes=("to finish that command", "to delete the folder"),
            origin=Origin(str(added)),
        )
    _check_files(sources, old)
    tokenize(sources, tokenizer, settings, out=added, share=ALL, workers=workers, progress=progress)
    with lock(added, InputError("another process is adding to this store", origin=Origin(str(added)))):
        new = open_given(added)
        try:
            check_same([old, new])
            check_apart(wholes_of([old, new]))
        except InputError:
            remove(added)
            raise
        merge([out, added], appended, workers=workers)
        out.rename(before)
        move(appended, out)
        _clean(before, added, command)
    return counts_in(out) | {"fingerprint_before": old.fingerprint}


def _folders(path: Path) -> tuple[Path, Path, Path, Path]:
    """The store, and the three folders beside it."""
    out = path.resolve()
    added, appended, before = (out.with_name(f"{out.name}.{what}") for what in (ADDED, "appended", "before"))
    return out, added, appended, before


def _finish_the_move(out: Path, _: Path, appended: Path, before: Path) -> None:
    """Let the new store take the place of the old one, if a command was killed in between."""
    if before.exists() and not out.exists():
        move(appended, out)


def _clean(before: Path, added: Path, command: Command) -> bool:
    """Remove what is not needed any more: last, which command added it. Whether that is this one."""
    last = before / ADDED
    if added.exists():
        added.rename(last)
    is_same = has_record(last) and not differences(last, command)
    for path in before.iterdir():
        if path.is_dir() and path != last:
            shutil.rmtree(path)
        elif path != last:
            path.unlink()
    if last.exists():
        remove(last)
    before.rmdir()
    return is_same


def _check_files(sources: Sequence[Source], store: Given) -> None:
    """Refuse files that were read for the store and have not changed since, before they are read again."""
    read = set(files_of(store.parts))
    for source in sources:
        for unit in source.units:
            if unit in read and unit.size:
                raise InputError(
                    "this file is in the store already",
                    rule=f"it has the size and the time that it had when it was read for {store.path}",
                    consequence="nothing was added",
                    fixes="to name the new files alone",
                    origin=Origin(unit.name),
                )

"""Files and folders that are complete or absent, and locks that keep other programs out of a folder.

A file is written under another name, made durable and renamed, so that a crash leaves the old one or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dist_epochs.errors import InputError, Origin

__all__ = [
    "digest_of",
    "digest_of_json",
    "hold",
    "link_or_copy",
    "lock",
    "make_durable",
    "move",
    "named_errors",
    "new_folder",
    "refuse_existing",
    "refuse_no_folder",
    "run_lock",
    "write_bytes",
    "write_json",
    "write_text",
]

BYTES_AT_ONCE = 2**24
"""Bytes of a file that are read at once."""


def digest_of(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file.

    Args:
        path: The file, which is read in pieces.
        progress: Called with the bytes read since the last call.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(BYTES_AT_ONCE):
            digest.update(piece)
            progress(len(piece))
    return digest.hexdigest()


def digest_of_json(data: Any) -> str:
    """SHA-256 of data as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """Name the file in an error of the disk: only errors of opening a file do so by themselves."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(error.filename or path)) from None


def make_durable(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move(path: Path, target: Path) -> None:
    """Give a file or folder another name in one step, and wait until the disk has it.

    Raises:
        OSError: If the target is a folder that is not empty.
    """
    path.replace(target)
    make_durable(target.parent)


def link_or_copy(path: Path, target: Path) -> None:
    """Give a file a second name, or make a durable copy where the disk cannot: of another one, or one without links.

    A file of the same size at the target is taken for what an earlier call has left there, as it gets the name when it
    is complete. The folder of the target is not made durable: there may be many files.
    """
    if target.is_file() and target.stat().st_size == path.stat().st_size:
        return
    new = target.with_name(target.name + ".new")
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(path)
    except OSError:
        with named_errors(target):
            shutil.copyfile(path, new)
            make_durable(new)
    new.replace(target)


def write_text(path: Path, text: str, *, beside: str = ".new", durable: bool = True) -> None:
    """Replace a file in one step.

    Args:
        path: The file.
        text: All of its content.
        beside: What follows the file's name while it is written; where several processes may write it at once, each
            needs its own.
        durable: Whether to wait for the disk, so that a crash of the machine cannot take it back either.
    """
    write_bytes(path, text.encode(), beside=beside, durable=durable)


def write_bytes(path: Path, data: bytes, *, beside: str = ".new", durable: bool = True) -> None:
    """The same with bytes."""
    new = path.with_name(path.name + beside)
    with named_errors(path):
        new.write_bytes(data)
        if not durable:
            new.replace(path)
            return
        make_durable(new)
        move(new, path)


def refuse_existing(path: Path, fix: str) -> None:
    """Refuse to write where something is.

    Args:
        path: Where a new file is to be.
        fix: How to name another.

    Raises:
        InputError: If a file of that name is there, or no file can be made there.
    """
    refuse_no_folder(path)
    if path.exists():
        raise InputError("a file of this name is there, and is not replaced", fixes=fix, origin=Origin(str(path)))


def refuse_no_folder(path: Path) -> None:
    """Refuse to write a file where there is no folder, or where it is a folder itself.

    Raises:
        InputError: If it is so.
    """
    if path.is_dir():
        raise InputError(
            "this is a folder, and a file is to be written", fixes=str(path / "NAME"), origin=Origin(str(path))
        )
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}", fixes=f"mkdir -p {path.parent}", origin=Origin(str(path)))


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(data, indent=1) + "\n")


@contextmanager
def new_folder(path: Path, *, replaces: bool = True) -> Iterator[Path]:
    """A folder that appears under its name only when the block ends well, and is removed otherwise.

    Args:
        path: Its name.
        replaces: Whether a folder that had the name before is replaced. Otherwise it is left as it is, and several
            programs may be making the folder: the first to be ready gets the name.

    Raises:
        OSError: With ENOTEMPTY, if the name is taken and is not to be replaced.
    """
    new = path.with_name(f"{path.name}.new" if replaces else f"{path.name}.{os.getpid()}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        for file in new.iterdir():
            make_durable(file)
        old = path.with_name(path.name + ".old")
        if replaces:
            shutil.rmtree(old, ignore_errors=True)
            if path.is_dir() and any(path.iterdir()):
                path.rename(old)
        move(new, path)
        if replaces:
            shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


@contextmanager
def lock(folder: Path, taken: InputError) -> Iterator[None]:
    """Keep other programs out of a folder while the block runs. A killed program leaves no lock behind.

    The folder may be moved while it is locked.

    Args:
        folder: It must exist.
        taken: The error to raise if another program holds the lock.

    Raises:
        InputError: `taken`.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # its program has moved it since this one looked
        raise taken from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(handle), folder.stat())
        except (BlockingIOError, FileNotFoundError):
            raise taken from None
        if not is_there:
            raise taken
        yield
    finally:
        os.close(handle)


def hold(file: IO[bytes], path: Path, *, alone: bool, wait: bool = True) -> bool:
    """Hold an open file until it is closed everywhere, its mappings in memory included, or the process ends.

    Args:
        file: The open file.
        path: Its name, which it may have lost since it was opened.
        alone: Whether no one else may hold it; several may otherwise.
        wait: Whether to wait for others, who hold it.

    Returns:
        Whether it is held and still has its name.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Keep other programs from writing to a run directory.

    Raises:
        InputError: If another program is writing to it.
    """
    fixes = ("waiting for it", "stopping it")
    taken = InputError("another program is running this run", fixes=fixes, origin=Origin(str(run)))
    with lock(run, taken):
        yield

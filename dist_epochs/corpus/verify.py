"""Are the tokens those that were written? Digests of a whole store, compared once on each machine.

What was found good is remembered in STORE/verified.json, file by file, until a file changes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.damage import damaged, damaged_packing, read_object
from dist_epochs.corpus.manifest import content_fingerprint
from dist_epochs.corpus.packing_checks import DIGESTS, FILES
from dist_epochs.corpus.store import SourceStore, Store
from dist_epochs.errors import InputError
from dist_epochs.runtime.files import write_json

__all__ = ["VERIFIED", "verify_store"]

VERIFIED = "verified.json"
"""File of a store that says what was found good, and where."""

BAR_FROM_BYTES = 2**30
"""Bytes from which on a progress bar is shown."""

BYTES_AT_ONCE = 2**24
"""Bytes read at once."""

Progress = Callable[[int], None]
States = dict[str, list[int] | None]
"""Size and time of change of each file, None where there is none."""

_here: dict[tuple[str, str], States] = {}
"""What this program found good, by machine and store, for stores that cannot be written to."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Files that are checked together.

    Attributes:
        files: All that the outcome depends on.
        check: Reads them, and tells the bytes it read.
    """

    files: tuple[Path, ...]
    check: Callable[[Progress], None]


def verify_store(store: Store, again: bool = False) -> bool:
    """Compare every digest of a store with its files, unless this machine did since they changed last.

    Args:
        store: An opened store.
        again: Compare all of them in any case.

    Returns:
        Whether there was anything to read.

    Raises:
        InputError: If a file is not what was written. Nothing is remembered then.
    """
    parts = [_manifest(store)]
    for source in (*store.sources(), *store.sources(held_out=True)):
        parts += [_shard(store, source, number) for number in range(len(source.entry["shards"]))]
        parts += [_packing(store, source, length) for length in source.packed_lengths()]
    place = (platform.node(), str(store.path.resolve()))
    states = {_name(store, path): _state(path) for part in parts for path in part.files}
    known = {} if again else _remembered(store.path, place)
    new = [
        part
        for part in parts
        if any(known.get(name := _name(store, path)) is None or known[name] != states[name] for path in part.files)
    ]
    if new:
        size = sum((states[_name(store, path)] or [0])[0] for part in new for path in part.files)
        with _bar(size) as progress:
            for part in new:
                part.check(progress)
        _here[place] = states
        with suppress(OSError):  # a store that can only be read is verified by every program
            machine, folder = place
            notes = {"machines": _notes(store.path) | {machine: {"store": folder, "files": states}}}
            write_json(store.path / VERIFIED, notes)
    return bool(new)


def _manifest(store: Store) -> _Part:
    path, tokenizer = store.path / "manifest.json", store.path / "tokenizer" / "tokenizer.json"

    def check(_: Progress) -> None:
        found = content_fingerprint(store.manifest)
        if found != store.manifest["fingerprint"]:
            raise damaged(path, f"its fingerprint is {found} and not {store.manifest['fingerprint']}, as it says")
        found = hashlib.sha256(json.dumps(read_object(tokenizer), sort_keys=True).encode()).hexdigest()
        expected = store.manifest["tokenizer"]["fingerprint"]
        if found != expected:
            raise damaged(
                tokenizer, f"not the tokenizer the tokens were made with: its fingerprint is {found} and not {expected}"
            )

    return _Part((path, tokenizer), check)


def _shard(store: Store, source: SourceStore, number: int) -> _Part:
    path = source.shard(number, "tokens")

    def check(progress: Progress) -> None:
        with _readable(path):
            found = _shard_digest(source, number, progress)
        expected = source.entry["shards"][number]["sha256"]
        if found != expected:
            raise damaged(
                path, f"its tokens are not those that were written: their SHA-256 is {found} and must be {expected}"
            )

    return _Part((store.path / "manifest.json", path, source.shard(number, "lengths")), check)


def _shard_digest(source: SourceStore, number: int, progress: Progress) -> str:
    """SHA-256 over the length (8 bytes) and ids of each document, as it was made when they were written."""
    shards = source.entry["shards"]
    first = sum(shard["documents"] for shard in shards[:number])
    ids = source.shard_tokens(number)
    data = ids.view(np.uint8).data
    digest = hashlib.sha256()
    at = told = 0
    for length in source.lengths[first : first + shards[number]["documents"]].tolist():
        end = at + length * ids.itemsize
        digest.update(length.to_bytes(8, "little"))
        digest.update(data[at:end])
        at = end
        if at - told >= BYTES_AT_ONCE:
            progress(at - told)
            told = at
    progress(at - told)
    return digest.hexdigest()


def _packing(store: Store, source: SourceStore, length: int) -> _Part:
    folder = source.packing_folder(length)
    files = tuple(folder / name for name in FILES)

    def check(progress: Progress) -> None:
        source.packing(length)
        for name, expected in source.packing_counts(length).get(DIGESTS, {}).items():
            with _readable(folder / name):
                found = _file_digest(folder / name, progress)
            if found != expected:
                raise damaged_packing(folder / name, f"its SHA-256 is {found} and must be {expected}")

    lengths = (source.shard(number, "lengths") for number in range(len(source.entry["shards"])))
    return _Part((store.path / "manifest.json", *lengths, folder / "packing.json", *files), check)


def _file_digest(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for data in iter(partial(file.read, BYTES_AT_ONCE), b""):
            digest.update(data)
            progress(len(data))
    return digest.hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A disk that fails to read is told as damage."""
    try:
        yield
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from None


def _name(store: Store, path: Path) -> str:
    return path.relative_to(store.path).as_posix()


def _state(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _remembered(path: Path, place: tuple[str, str]) -> Mapping[str, Any]:
    """What was found good at this place; nothing where the note cannot be read."""
    machine, folder = place
    entry = _notes(path).get(machine)
    written = entry.get("files") if isinstance(entry, dict) and entry.get("store") == folder else None
    return (written if isinstance(written, dict) else {}) | _here.get(place, {})


def _notes(path: Path) -> dict[str, Any]:
    try:
        machines = read_object(path / VERIFIED).get("machines")
    except InputError:
        return {}
    return machines if isinstance(machines, dict) else {}


@contextmanager
def _bar(size: int) -> Iterator[Progress]:
    """A progress bar where there is much to read."""
    if size < BAR_FROM_BYTES:
        yield lambda _: None
        return
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    with tqdm(
        total=size, unit="B", unit_scale=True, desc="verify", disable=None, mininterval=0.2 if on_terminal else 5
    ) as bar:
        yield bar.update

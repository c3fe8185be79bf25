"""Compares the files of a store with their digests, once on each machine.

Files that were compared are noted in STORE/verified.json, with their size and time, until one of them changes.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.packing.packing_checks import DIGESTS, FILES
from dist_epochs.corpus.stores.damage import damaged, damaged_packing, read_object
from dist_epochs.corpus.stores.manifest import content_fingerprint
from dist_epochs.corpus.stores.referred import changed
from dist_epochs.corpus.stores.store import SourceStore, Store
from dist_epochs.corpus.tokenizing.made_from import RECORD, has_record, read_record
from dist_epochs.corpus.tokenizing.store_parts import STORE_PARTS, read_parts
from dist_epochs.corpus.tokenizing.tokenizer import LARGEST_TOKENIZER
from dist_epochs.corpus.tokenizing.writer import LENGTHS
from dist_epochs.errors import InputError
from dist_epochs.runtime.bar import Progress, bar
from dist_epochs.runtime.files import BYTES_AT_ONCE, digest_of, digest_of_json, write_json

__all__ = ["VERIFIED", "verify_store"]

VERIFIED = "verified.json"
"""File of a store with the files that were compared, and on which machine."""

States = dict[str, list[int] | None]
"""Size and modification time of each file; None for a file that does not exist."""

_compared_here: dict[tuple[str, str], States] = {}
"""Files that this program compared, by machine and store, for stores that cannot be written to."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Files that are checked together.

    Attributes:
        files: All files that the result depends on.
        check: Reads them, and reports the bytes that it read.
    """

    files: tuple[Path, ...]
    check: Callable[[Progress], None]


def verify_store(store: Store, again: bool = False) -> bool:
    """Compare every digest of a store with its files, unless this machine has since they last changed.

    Of a store at an address every file is compared when it is fetched; `again` fetches all that are not there.

    Args:
        store: An opened store.
        again: Compare all of them in any case.

    Returns:
        Whether anything was read.

    Raises:
        InputError: If a file is not as it was written. Nothing is noted then.
    """
    if store.remote is not None:
        return _verify_remote(store) if again else False  # each file was compared when it was fetched
    parts = [_manifest_part(store)]
    if has_record(store.path):  # older stores have none
        parts.append(_record_part(store))
    for source in (*store.sources(), *store.sources(held_out=True)):
        if source.version > 1:
            parts.append(_blocks_part(store, source))
        parts += [_shard_part(store, source, number) for number in range(len(source.entry["shards"]))]
        parts += [_packing_part(store, source, *each) for each in source.packings()]
    place = (platform.node(), str(store.path.resolve()))
    states = {_name(store, path): _size_and_time(path) for part in parts for path in part.files}
    known = {} if again else _compared_before(store.path, place)
    new = [
        part
        for part in parts
        if any(known.get(name := _name(store, path)) is None or known[name] != states[name] for path in part.files)
    ]
    if new:
        size = sum((states[_name(store, path)] or [0])[0] for part in new for path in part.files)
        with bar("verify", size) as shown:
            for part in new:
                part.check(shown.update)
        _compared_here[place] = states
        with suppress(OSError):  # every program verifies a store that it cannot write to
            machine, folder = place
            notes = {"machines": _notes(store.path) | {machine: {"store": folder, "files": states}}}
            write_json(store.path / VERIFIED, notes)
    return bool(new)


def _verify_remote(store: Store) -> bool:
    """Compare all that is here of a store at an address, and fetch what is not."""
    assert store.remote is not None
    nothing: Progress = lambda _: None  # noqa: E731
    for source in (*store.sources(), *store.sources(held_out=True)):
        _blocks_part(store, source).check(nothing)
        for length, packing in source.packings():
            _packing_part(store, source, length, packing).check(nothing)
        for number in range(len(source.entry["shards"])):
            store.remote.check_again(source.name, number)
    return True


def _manifest_part(store: Store) -> _Part:
    path, tokenizer = store.path / "manifest.json", store.path / "tokenizer" / "tokenizer.json"

    def check(_: Progress) -> None:
        found = content_fingerprint(store.manifest)
        if found != store.manifest["fingerprint"]:
            raise damaged(path, f"its fingerprint is {found} and not {store.manifest['fingerprint']}, as it says")
        found = digest_of_json(read_object(tokenizer, LARGEST_TOKENIZER))
        expected = store.manifest["tokenizer"]["fingerprint"]
        if found != expected:
            raise damaged(
                tokenizer, f"not the tokenizer the tokens were made with: its fingerprint is {found} and not {expected}"
            )
        for name in ("vocabulary_size", "special_ids"):
            if store.manifest["tokenizer"][name] != getattr(store.tokenizer(), name):
                raise damaged(path, f"tokenizer: {name} is not that of its tokenizer")

    return _Part((path, tokenizer), check)


def _record_part(store: Store) -> _Part:
    def check(_: Progress) -> None:
        record = read_record(store.path)
        if "parts" in record:  # stores of format 1 have none
            read_parts(store.path, record["parts"])

    names = (RECORD, STORE_PARTS) if store.manifest["version"] > 1 else (RECORD,)
    return _Part(tuple(store.path / name for name in names), check)


def _blocks_part(store: Store, source: SourceStore) -> _Part:
    path = source.folder / "blocks"

    def check(progress: Progress) -> None:
        _compare(path, source.entry["blocks"]["sha256"], progress, damaged)

    return _Part((store.path / "manifest.json", path), check)


def _compare(path: Path, expected: str, progress: Progress, error: Callable[[Path, str], InputError]) -> None:
    with _errors_as_damage(path):
        found = digest_of(path, progress)
    if found != expected:
        raise error(path, f"its SHA-256 is {found} and must be {expected}")


def _shard_part(store: Store, source: SourceStore, number: int) -> _Part:
    path = source.shard(number, "tokens")

    def check(progress: Progress) -> None:
        with _errors_as_damage(path):
            found = _shard_digest(source, number, progress)
        shard = source.entry["shards"][number]
        if found != (expected := shard["sha256"]):
            refers = "file" in shard
            what = f"from byte {shard['offset']:,} on its tokens" if refers else "its tokens"
            asked = f"{what} are not those that were written: their SHA-256 is {found} and must be {expected}"
            raise (changed if refers else damaged)(path, asked)

    return _Part((store.path / "manifest.json", path, source.shard(number, "lengths")), check)


def _shard_digest(source: SourceStore, number: int, progress: Progress) -> str:
    """SHA-256 as when they were written: over the ids, then the lengths (uint32); of format 1, document by document."""
    if source.version > 1:
        return _digest_of_both(source, number, progress)
    ids = source.shard_tokens(number)
    data = ids.view(np.uint8).data
    digest = hashlib.sha256()
    at = reported = 0
    for length in source.shard_lengths(number).tolist():
        end = at + length * ids.itemsize
        digest.update(length.to_bytes(8, "little"))
        digest.update(data[at:end])
        at = end
        if at - reported >= BYTES_AT_ONCE:
            source.files.used(at - reported)
            progress(at - reported)
            reported = at
    progress(at - reported)
    return digest.hexdigest()


def _digest_of_both(source: SourceStore, number: int, progress: Progress) -> str:
    data = source.shard_tokens(number).view(np.uint8).data
    digest = hashlib.sha256()
    for start in range(0, len(data), BYTES_AT_ONCE):
        piece = data[start : start + BYTES_AT_ONCE]
        digest.update(piece)
        source.files.used(len(piece))
        progress(len(piece))
    digest.update(source.shard_lengths(number).astype(LENGTHS).tobytes())
    return digest.hexdigest()


def _packing_part(store: Store, source: SourceStore, length: int, packing: str) -> _Part:
    folder = source.packing_folder(length, packing)
    files = tuple(folder / name for name in FILES[source.version])

    def check(progress: Progress) -> None:
        source.packing(length, packing)
        for name, expected in source.packing_counts(length, packing).get(DIGESTS, {}).items():
            _compare(folder / name, expected, progress, damaged_packing)

    lengths = (source.shard(number, "lengths") for number in range(len(source.entry["shards"])))
    return _Part((store.path / "manifest.json", *lengths, folder / "packing.json", *files), check)


@contextmanager
def _errors_as_damage(path: Path) -> Iterator[None]:
    """Turn an error of the disk into the error of a damaged store."""
    try:
        yield
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from None


def _name(store: Store, path: Path) -> str:
    return (path.relative_to(store.path) if path.is_relative_to(store.path) else path).as_posix()


def _size_and_time(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _compared_before(path: Path, place: tuple[str, str]) -> Mapping[str, Any]:
    """The files that were compared on this machine in this folder; none if the note cannot be read."""
    machine, folder = place
    entry = _notes(path).get(machine)
    written = entry.get("files") if isinstance(entry, dict) and entry.get("store") == folder else None
    return (written if isinstance(written, dict) else {}) | _compared_here.get(place, {})


def _notes(path: Path) -> dict[str, Any]:
    try:
        machines = read_object(path / VERIFIED).get("machines")
    except InputError:
        return {}
    return machines if isinstance(machines, dict) else {}

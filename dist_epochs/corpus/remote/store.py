"""Opens a store at an address: its manifest and indices are fetched once, its shards when they are needed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.packing.packed import BlockPacking
from dist_epochs.corpus.packing.packed_spans import SpanPacking
from dist_epochs.corpus.packing.packing_checks import DIGESTS, check_counts
from dist_epochs.corpus.remote.cache import Cache, default_folder
from dist_epochs.corpus.remote.fetching import UPLOAD, Unreachable, fetch
from dist_epochs.corpus.remote.transfer import Absent, Remote
from dist_epochs.corpus.stores.blocks import BLOCKS
from dist_epochs.corpus.stores.manifest import STORE_VERSION, check_manifest, content_fingerprint
from dist_epochs.corpus.stores.source_store import packing_name
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing.tokenizer import COMPANIONS
from dist_epochs.corpus.tokenizing.writer import LENGTHS
from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe.corpus import CacheRecipe
from dist_epochs.recipe.values import read_bytes
from dist_epochs.runtime.bar import Progress, bar
from dist_epochs.runtime.files import BYTES_AT_ONCE, digest_of_json, write_bytes
from dist_epochs.runtime.mapped_files import MappedFiles, most_kept
from dist_epochs.runtime.recent import Recent
from dist_epochs.settings.address import Address

__all__ = ["RemoteShards", "open_remote"]

PROCESSES = 4
"""Processes of a rank, such as workers of a data loader, that may hold their shards in half of the rank's cache."""

CONNECTIONS = 16
"""Files with lengths, which are small, that are fetched at once."""

Wrong = Callable[[IO[bytes]], str]
"""Says what is wrong with a complete file; nothing, if it is right."""


def open_remote(
    address: Address, lengths: Iterable[int], settings: CacheRecipe | None = None, packing: str = BEST_FIT
) -> Store:
    """Open a store at an address.

    Args:
        address: The folder that `dist-epochs tokenize` wrote, wherever it was copied to.
        lengths: Sequence lengths whose packings are fetched, as far as the store has them.
        settings: The folder where files are kept, and its limit.
        packing: How documents became these samples.

    Raises:
        InputError: If there is no store, it cannot be reached and is not in the folder either, or it is damaged.
    """
    settings = settings or CacheRecipe()
    folder = Path(settings.folder) if settings.folder else default_folder()
    remote = Remote(address)
    cache = Cache(folder, read_bytes(settings.limit))
    folder.mkdir(parents=True, exist_ok=True)
    mirror, manifest = _manifest(remote, folder)
    _check_readable(manifest, address)
    _Indices(remote, cache, mirror).fetch(manifest, lengths, packing)
    return Store(mirror, RemoteShards(remote, cache, mirror, manifest))


class RemoteShards:
    """The shards of a store at an address.

    Args:
        remote: The address.
        cache: Where files are kept.
        mirror: The folder of this store in it.
        manifest: What is to be found there.

    Attributes:
        address: The address, to be shown.
        bytes_ahead: Bytes that this process may fetch before they are needed: with those of the other processes of the
            machine half of the cache, whose other half is for what is being read.
    """

    def __init__(self, remote: Remote, cache: Cache, mirror: Path, manifest: Mapping[str, Any]) -> None:
        self.address = remote.address
        self._made_from = remote, cache, mirror, manifest
        self._remote, self._cache, self._mirror = remote, cache, mirror
        self._token_bytes: int = manifest["token_bytes"]
        self._shards: dict[str, list[Any]] = {entry["name"]: entry["shards"] for entry in manifest["sources"]}
        largest = self._token_bytes * max(shard["tokens"] for shards in self._shards.values() for shard in shards)
        self.bytes_ahead = cache.limit // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        most = self.bytes_ahead // largest // PROCESSES
        self._tokens: Recent[NDArray[Any]] = Recent(max(1, min(most_kept(), most)))

    def __reduce__(self) -> tuple[type[RemoteShards], tuple[Any, ...]]:
        return RemoteShards, self._made_from

    def tokens(self, source: str, number: int, files: MappedFiles) -> NDArray[Any]:
        """The ids of a shard, which is held until others have been used."""
        kind = np.dtype(f"<u{self._token_bytes}")
        return self._tokens.get((source, number), lambda: files.map(self.open(source, number, "tokens"), kind))

    def open(self, source: str, number: int, what: str, ahead: Event | None = None) -> IO[bytes]:
        """A file of a shard, `tokens` or `lengths`; fetched and compared with its digest, if it is not there.

        Args:
            source: The source.
            number: The shard.
            what: Which of its files.
            ahead: Where the file is fetched before it is needed: set when it is no longer wanted.

        Raises:
            Full: If the cache is full of shards that are being read.
            InputError: If it cannot be fetched, or is damaged at the address.
        """
        shard = self._shards[source][number]
        name = self._name(source, number, what)
        size = self.bytes_of(source, number) if what == "tokens" else shard["documents"] * shard["length_bytes"]

        def fetched(file: IO[bytes]) -> None:
            try:
                fetch(self._remote, name, file, size=size, wrong=lambda: self._wrong(file, source, number, what),
                      closed=ahead)  # fmt: skip
            except Absent as error:
                raise _missing(self._remote, name, error) from None

        return self._cache.shard(self._mirror / name, size, fetched, waits=ahead is None)

    def bring_lengths(self, source: str, numbers: Iterable[int]) -> None:
        """Fetch the lengths of some shards, many at once."""
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            for file in threads.map(lambda number: self.open(source, number, "lengths"), numbers):
                file.close()

    def bytes_of(self, source: str, number: int) -> int:
        """Bytes of the tokens of a shard."""
        return int(self._shards[source][number]["tokens"]) * self._token_bytes

    def check_again(self, source: str, number: int) -> None:
        """Fetch a shard if it is not there, compare it with its digest if it is, and fetch it again if it differs."""
        for what in ("lengths", "tokens"):
            with self.open(source, number, what) as file:
                wrong = self._wrong(file, source, number, what)
            if wrong:
                self._cache.discard(self._mirror / self._name(source, number, what))
                self.open(source, number, what).close()

    def _wrong(self, file: IO[bytes], source: str, number: int, what: str) -> str:
        shard = self._shards[source][number]
        digest = _digest(file)
        if what == "lengths":
            return _difference(digest.hexdigest(), shard["lengths_sha256"])
        with self.open(source, number, "lengths") as lengths:
            of_documents = np.frombuffer(lengths.read(), f"<u{shard['length_bytes']}")
        digest.update(of_documents.astype(LENGTHS).tobytes())
        return _difference(digest.hexdigest(), shard["sha256"])

    def _name(self, source: str, number: int, what: str) -> str:
        shard = self._shards[source][number]
        return f"sources/{source}/{shard.get('name', f'{number:05d}')}.{what}"


class _Indices:
    """Fetches everything of a store but its manifest and shards, once."""

    def __init__(self, remote: Remote, cache: Cache, mirror: Path) -> None:
        self._remote, self._cache, self._mirror = remote, cache, mirror

    def fetch(self, manifest: Mapping[str, Any], lengths: Iterable[int], packing: str) -> None:
        self._tokenizer(manifest["tokenizer"]["fingerprint"])
        files: dict[str, tuple[int, str]] = {}  # bytes and digest of each index
        counts: dict[str, bytes] = {}  # packing.json, which is written last
        for entry in manifest["sources"]:
            folder, blocks = f"sources/{entry['name']}", entry["blocks"]
            files[f"{folder}/blocks"] = blocks["rows"] * BLOCKS.itemsize, blocks["sha256"]
            for length in sorted(set(lengths)):
                path = f"{folder}/{packing_name(length, packing)}"
                if (found := self._packing(path, packing, length, entry["tokens"])) is not None:
                    counts[f"{path}/packing.json"], of_packing = found
                    files |= {f"{path}/{name}": file for name, file in of_packing.items()}
        missing = {name: file for name, file in files.items() if not (self._mirror / name).exists()}
        with bar("fetch indices", sum(size for size, _ in missing.values())) as shown:
            for name, (size, digest) in missing.items():
                self._keep(name, _by_digest(digest), size, shown.update)
        for path, written in counts.items():
            write_bytes(self._mirror / path, written, beside=_beside())

    def _tokenizer(self, fingerprint: str) -> None:
        path = "tokenizer/tokenizer.json"
        if (self._mirror / path).exists():
            return
        for name in COMPANIONS:  # before the tokenizer, whose presence says that they were asked for
            with suppress(Absent):
                self._fetch(f"tokenizer/{name}", lambda file: _parsed(file)[1])

        def wrong(file: IO[bytes]) -> str:
            data, problem = _parsed(file)
            return problem or _difference(digest_of_json(data), fingerprint)

        self._keep(path, wrong)

    def _packing(
        self, folder: str, packing: str, length: int, tokens: int
    ) -> tuple[bytes, dict[str, tuple[int, str]]] | None:
        """The counts of a packing as they are written, and bytes and digest of its files.

        None if it is complete here, or the store is not packed so.
        """
        path = f"{folder}/packing.json"
        if (self._mirror / path).exists():
            return None
        try:
            written = _small(self._remote, path, _wrong_digest)
        except Absent:
            return None
        try:
            counts = check_counts(json.loads(written), Path(path), packing, length, tokens, STORE_VERSION)
        except InputError as error:
            raise error.but(origin=self._remote.where(path), fixes=UPLOAD) from None
        sizes = (BlockPacking if packing == BEST_FIT else SpanPacking).sizes(counts)
        return written, {name: (size, counts[DIGESTS][name]) for name, size in sizes.items()}

    def _keep(self, name: str, wrong: Wrong, size: int | None = None, progress: Progress = lambda _: None) -> None:
        try:
            self._fetch(name, wrong, size, progress)
        except Absent as error:
            raise _missing(self._remote, name, error) from None

    def _fetch(self, name: str, wrong: Wrong, size: int | None = None, progress: Progress = lambda _: None) -> None:
        def fetched(file: IO[bytes]) -> None:
            fetch(self._remote, name, file, size=size, wrong=lambda: wrong(file), progress=progress)

        self._cache.keep(self._mirror / name, fetched)


def _manifest(remote: Remote, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The manifest that is at the address now, or, where that cannot be reached, was last; and the folder of it."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", remote.address.partition("://")[2])[-40:].strip("-.")
    home = folder / f"{readable}-{hashlib.sha256(remote.address.encode()).hexdigest()[:12]}"
    known = sorted((path.stat().st_mtime_ns, path.parent) for path in home.glob("*/manifest.json"))
    name = "manifest.json"
    try:
        written = _small(remote, name, _wrong_digest, waits=() if known else None)
    except Unreachable:
        if not known:
            raise
        mirror = known[-1][1]
        return mirror, json.loads((mirror / name).read_bytes())
    except Absent as error:
        raise InputError(
            f"not a token store: it has no {name} ({error})",
            fixes="the address of the folder that `dist-epochs tokenize` wrote",
            origin=Origin(remote.address),
        ) from None
    manifest = json.loads(written)
    try:
        check_manifest(manifest, Path(name))
    except InputError as error:
        raise error.but(origin=remote.where(name)) from None
    mirror = home / digest_of_json(manifest)[:16]
    mirror.mkdir(parents=True, exist_ok=True)
    if (mirror / name).is_file() and (mirror / name).read_bytes() == written:
        os.utime(mirror / name)  # the newest is that of the address
    else:
        write_bytes(mirror / name, written, beside=_beside())
    return mirror, manifest


def _small(remote: Remote, name: str, wrong: Wrong, waits: tuple[float, ...] | None = None) -> bytes:
    """The content of a small file."""
    file = BytesIO()
    fetch(remote, name, file, wrong=lambda: wrong(file), waits=waits)
    return file.getvalue()


def _check_readable(manifest: Mapping[str, Any], address: Address) -> None:
    """Refuse stores that need files of the machine where they were made, or all lengths at once."""
    origin = Origin(address)
    if manifest["version"] == 1:
        raise InputError(
            "a store of format 1 is read from a folder only",
            fixes=("a copy on this machine", "to make it again with `dist-epochs tokenize`"),
            origin=origin,
        )
    if any("file" in shard for entry in manifest["sources"] for shard in entry["shards"]):
        raise InputError(
            "it refers to files of the machine where it was made",
            rule="a store at an address has its tokens in itself",
            fixes="to make it again with `dist-epochs tokenize`, without --refer",
            origin=origin,
        )
    if (found := content_fingerprint(manifest)) != manifest["fingerprint"]:
        raise InputError(
            f"its fingerprint is {found} and not {manifest['fingerprint']}, as its manifest says",
            consequence="the store is damaged",
            fixes="to upload it again",
            origin=origin,
        )


def _missing(remote: Remote, name: str, error: Absent) -> InputError:
    return InputError(
        f"is missing: {error}",
        consequence="the store at this address is not complete",
        fixes=UPLOAD,
        origin=remote.where(name),
    )


def _digest(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(BYTES_AT_ONCE):
        digest.update(piece)
    return digest


def _by_digest(expected: str) -> Wrong:
    return lambda file: _difference(_digest(file).hexdigest(), expected)


def _difference(found: str, expected: str) -> str:
    return "" if found == expected else f"its SHA-256 is {found} and must be {expected}"


def _parsed(file: IO[bytes]) -> tuple[dict[str, Any], str]:
    """The JSON object in a file, and what is wrong with it."""
    file.seek(0)
    try:
        data = json.loads(file.read())
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON: {error}"
    return (data, "") if isinstance(data, dict) else ({}, "it is not a JSON object")


def _wrong_digest(file: IO[bytes]) -> str:
    """What is wrong with a manifest, or the counts of a packing, by the digest in it."""
    data, problem = _parsed(file)
    found = digest_of_json({name: value for name, value in data.items() if name != "digest"})
    return problem or _difference(found, str(data.get("digest", found)))


def _beside() -> str:
    """What follows the name of a file that several processes may write."""
    return f".{os.getpid()}.new"

"""Archives of the npm registry: pinned by their digests, fetched once and kept."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import read_bytes

__all__ = ["NpmArchive", "read_members"]

REGISTRY = "https://registry.npmjs.org"
MOST = 2**27
"""Bytes that an archive, or one of its files, has at most."""
SECONDS = 60


@dataclass(frozen=True, slots=True)
class NpmArchive:
    """One version of a package.

    Attributes:
        name: Of the package.
        version: The pinned one.
        integrity: Digest of its archive, as the registry and npm's lock files state it.
    """

    name: str
    version: str
    integrity: str

    @property
    def file(self) -> str:
        """The name that `npm pack` gives the archive."""
        return f"{self.name}-{self.version}.tgz"

    @property
    def address(self) -> str:
        """Where the registry has it."""
        return f"{REGISTRY}/{self.name}/-/{self.file}"

    def fetch(self, cache: Path | None = None) -> Path:
        """The archive, from the cache or from the registry.

        Args:
            cache: Folder that keeps it; without it `dist_epochs` in the user's cache.

        Raises:
            InputError: If it is not in the cache and cannot be fetched, or what was fetched has another digest.
        """
        folder = _user_cache() if cache is None else cache
        kept = folder / self.file
        if kept.is_file() and _integrity(read_bytes(kept, MOST, "an archive of npm")) == self.integrity:
            return kept
        elsewhere = f"`npm pack {self.name}@{self.version}` where there is a network, then --{self.name} {self.file}"
        origin = Origin(self.address)
        try:
            with urllib.request.urlopen(self.address, timeout=SECONDS) as answer:
                content = answer.read(MOST)
        except OSError as error:
            asked = f"{self.file} cannot be fetched ({getattr(error, 'reason', None) or error})"
            rule = "the file is fetched once from the npm registry, and kept"
            raise InputError(asked, rule=rule, fixes=elsewhere, origin=origin) from None
        if (found := _integrity(content)) != self.integrity:
            asked = f"what was fetched is not {self.file}"
            raise InputError(asked, rule=f"its digest is {self.integrity}, not {found}", fixes=elsewhere, origin=origin)
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{self.file}.{os.getpid()}"
        new.write_bytes(content)
        new.replace(kept)
        return kept


def read_members(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Files of an archive, by their names in the package.

    Raises:
        InputError: If it cannot be read.
        KeyError: If one of them is missing.
        tarfile.TarError: If it is no archive; `EOFError` or `OSError` if it is damaged.
    """
    content = read_bytes(path, MOST, "an archive of npm")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return {name: _member(archive, f"package/{name}") for name in names}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(name)
    file = archive.extractfile(member)
    if file is None or member.size > MOST:
        raise KeyError(name)
    return file.read()


def _integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dist_epochs"

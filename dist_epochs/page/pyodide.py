"""Pyodide, which is Python for browsers: the pinned archive of the npm registry, or a local one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import read_bytes

__all__ = ["ARCHIVE", "FILES", "INTEGRITY", "VERSION", "Pyodide", "fetch_archive", "read_archive"]

VERSION = "314.0.7"
"""The pinned version; its Python is 3.14."""
INTEGRITY = "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
"""Digest of its archive, as the npm registry states it."""
ARCHIVE = f"pyodide-{VERSION}.tgz"
ADDRESS = f"https://registry.npmjs.org/pyodide/-/{ARCHIVE}"

FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
"""What a page needs of the archive."""

MOST = 2**27
"""Bytes that the archive, or one of its files, has at most."""
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Pyodide:
    """What a page needs of Pyodide.

    Attributes:
        version: As its `package.json` says.
        files: The content of each of `FILES`.
    """

    version: str
    files: dict[str, bytes]


def fetch_archive(cache: Path | None = None) -> Path:
    """The pinned archive, from the cache or from the npm registry.

    Args:
        cache: Folder that keeps it; without it `dist_epochs` in the user's cache.

    Raises:
        InputError: If it is not in the cache and cannot be fetched, or what was fetched has another digest.
    """
    folder = _user_cache() if cache is None else cache
    kept = folder / ARCHIVE
    if kept.is_file() and _integrity(read_bytes(kept, MOST, "Pyodide")) == INTEGRITY:
        return kept
    try:
        with urllib.request.urlopen(ADDRESS, timeout=SECONDS) as answer:
            content = answer.read(MOST)
    except OSError as error:
        said = getattr(error, "reason", None) or error
        raise InputError(
            f"{ARCHIVE} cannot be fetched ({said})",
            rule="the page runs Python in the browser, by a file of the npm registry that is fetched once",
            fixes=[f"`npm pack pyodide@{VERSION}` where there is a network, then --pyodide {ARCHIVE}"],
            origin=Origin(ADDRESS),
        ) from None
    if _integrity(content) != INTEGRITY:
        raise InputError(
            f"what was fetched is not {ARCHIVE}",
            rule=f"its digest must be {INTEGRITY}, and is {_integrity(content)}",
            fixes=[f"--pyodide {ARCHIVE}, fetched in another way"],
            origin=Origin(ADDRESS),
        )
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{ARCHIVE}.{os.getpid()}"
    new.write_bytes(content)
    new.replace(kept)
    return kept


def read_archive(path: Path) -> Pyodide:
    """What a page needs of an npm archive of Pyodide.

    Raises:
        InputError: If it cannot be read, or is not one.
    """
    content = read_bytes(path, MOST, "Pyodide")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            found = {name: _member(archive, f"package/{name}") for name in (*FILES, "package.json")}
        package = json.loads(found.pop("package.json"))
        if package["name"] != "pyodide":
            raise KeyError(package["name"])
        return Pyodide(str(package["version"]), found)
    except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            "this is not Pyodide's archive of the npm registry",
            rule=f"it holds {', '.join(FILES)} and package.json under package/ ({error})",
            fixes=[f"`npm pack pyodide@{VERSION}`", "leaving --pyodide out, if there is a network"],
            origin=Origin(str(path)),
        ) from None


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(name)
    file = archive.extractfile(member)
    if file is None or member.size > MOST:
        raise KeyError(name)
    return file.read()


def _integrity(content: bytes) -> str:
    """A digest in the form of npm's lock files."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dist_epochs"

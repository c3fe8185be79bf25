"""What a checkpoint says of itself, and whether its files are what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError, Origin

__all__ = ["MANIFEST", "Damaged", "Manifest", "digest_of", "read_manifest"]

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
BYTES_AT_ONCE = 2**22


class Damaged(InputError):
    """A checkpoint is not what was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        step: Steps drawn when it was made: the cursor of the run.
        applied: Steps applied among them.
        plan: Fingerprint of the plan.
        run: Name of the run.
        world_size: Ranks that wrote it; any number can read it.
        scaler: State of fp16's loss scale, where there is one.
        files: SHA-256 of each file beside the manifest.
    """

    step: int
    applied: int
    plan: str
    world_size: int
    run: str | None = None
    scaler: Mapping[str, float] | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """The file: the content, and a digest of it."""
        content = {"format": FORMAT_VERSION, **asdict(self)}
        return json.dumps({**content, "digest": _digest(content)}, indent=1) + "\n"

    def check_files(self, folder: Path) -> None:
        """Compare every file with its digest.

        Raises:
            Damaged: With the first file that differs.
        """
        for name, expected in self.files.items():
            try:
                found = digest_of(folder / name)
            except OSError as error:
                raise Damaged(error.strerror or str(error), origin=Origin(str(folder / name))) from None
            if found != expected:
                raise Damaged("its bytes are not those that were written", origin=Origin(str(folder / name)))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a checkpoint.

    Raises:
        Damaged: If it is missing, or not as it was written.
    """
    path = folder / MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        digest = content.pop("digest")
        if digest != _digest(content):
            raise ValueError("its content does not fit its digest")
        if content.pop("format") != FORMAT_VERSION:
            raise ValueError("it has the format of another version")
        return Manifest(**content)
    except OSError as error:
        raise Damaged(error.strerror or str(error), origin=Origin(str(path))) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"damaged: {error}", origin=Origin(str(path))) from None


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(BYTES_AT_ONCE):
            digest.update(piece)
    return digest.hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

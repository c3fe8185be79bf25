"""The manifest of a checkpoint: what it holds, and the digests that its files are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.errors import Origin
from dist_epochs.runtime.files import digest_of_json
from dist_epochs.train.checkpoints.tensor_file import Damaged, TensorFile

__all__ = ["MANIFEST", "Manifest", "read_manifest"]

MANIFEST = "manifest.json"
FORMAT_VERSION = 3
READABLE = (1, 2, FORMAT_VERSION)
"""Formats that can be read. The first had SHA-256 digests only, the first two whole tensors only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a checkpoint holds.

    Attributes:
        step: Steps drawn when it was made: the cursor of the run.
        applied: Steps of those that were applied.
        plan: Fingerprint of the plan.
        run: Id of the run.
        world_size: Ranks that wrote it; any number of ranks can read it.
        scaler: State of fp16's loss scale, if there is one.
        files: Digest of each file of tensors, as `TensorFile.check` takes it.
    """

    step: int
    applied: int
    plan: str
    world_size: int
    run: str | None = None
    scaler: Mapping[str, float] | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """The content of manifest.json: the fields, and a digest of them."""
        content = {"format": FORMAT_VERSION, **asdict(self)}
        return json.dumps({**content, "digest": digest_of_json(content)}, indent=1) + "\n"

    def check_files(self, folder: Path) -> None:
        """Compare every file with its digest.

        Raises:
            Damaged: With the first file that differs.
        """
        for name, digest in self.files.items():
            file = TensorFile(folder / name)
            file.check(digest)
            file.close()


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a checkpoint.

    Raises:
        Damaged: If it is missing, or not as it was written.
    """
    path = folder / MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        digest = content.pop("digest")
        if digest != digest_of_json(content):
            raise ValueError("its content does not match its digest")
        if content.pop("format") not in READABLE:
            raise ValueError("it has the format of another version")
        return Manifest(**content)
    except OSError as error:
        raise Damaged(error.strerror or str(error), origin=Origin(str(path))) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"damaged: {error}", origin=Origin(str(path))) from None

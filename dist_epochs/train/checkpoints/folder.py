"""The checkpoints of a run directory: written completely by all ranks or not at all, found again, and pruned.

RUN/checkpoints/step-000000100/manifest.json        its step, and the digest of each file; written last
                               part-00000-of-00002.safetensors   one per rank
RUN/checkpoints/step-000000100.new/                 being written; never read
RUN/checkpoints/step-000000100.refused/             damaged, or later than the one that the run was set back to
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from dist_epochs.runtime.files import move, write_text
from dist_epochs.runtime.peers import Peers, on_first
from dist_epochs.train.checkpoints.finite import NotFinite
from dist_epochs.train.checkpoints.manifest import MANIFEST, Manifest, read_manifest
from dist_epochs.train.checkpoints.storage import write_part
from dist_epochs.train.checkpoints.tensor_file import Damaged, TensorFile
from dist_epochs.train.shared_folder import SHARED, WRITE_TOGETHER

__all__ = ["Checkpoints", "Found"]

NEW, REFUSED, GONE = ".new", ".refused", ".gone"

READERS = 4
"""Files that a rank reads at once: a disk of many machines answers several faster than one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint whose files were compared with their digests.

    Attributes:
        folder: Its folder.
        manifest: Its manifest.
        files: The files of its tensors, open, so that the compared bytes are those that are loaded.
    """

    folder: Path
    manifest: Manifest
    files: tuple[TensorFile, ...]

    def close(self) -> None:
        """Let go of the files, which otherwise stay on the disk when the checkpoint is pruned."""
        for file in self.files:
            file.close()


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run, in a folder that all ranks see. Every rank calls every method.

    Attributes:
        folder: `RUN/checkpoints`.
        ranks: All ranks.
        keep: How many are kept, the newest included.
    """

    folder: Path
    ranks: Peers
    keep: int

    def save(self, manifest: Manifest, tensors: Mapping[str, Tensor]) -> Path:
        """Write a checkpoint. It gets its name when all of it is on the disk; only then older ones are removed.

        Args:
            manifest: Its manifest, without the files.
            tensors: All tensors, on every rank the same names.

        Raises:
            NotFinite: If a tensor holds NaN or infinite values; the older ones are unchanged, as after the next.
            RanksDiffer: If it failed on any rank.
        """
        place = self.folder / f"step-{manifest.step:09d}"
        unnamed = place.with_name(place.name + NEW)
        size = self.ranks.size
        file = unnamed / f"part-{self.ranks.rank:05d}-of-{size:05d}.safetensors"

        try:
            on_first(self.ranks, lambda: _make_empty(unnamed))
            part = write_part(file, tensors, self.ranks)
            told = self.ranks.share(json.dumps([file.name, part.digest, part.not_finite]))
            written = [json.loads(text) for text in told]
            if found := [tensor for _, _, tensor in written if tensor]:
                raise NotFinite(f"{found[0]} is not finite after step {manifest.step}")
            files = {name: digest for name, digest, _ in written}
            on_first(self.ranks, lambda: _commit(unnamed, place, replace(manifest, world_size=size, files=files)))
        except BaseException:
            if self.ranks.rank == 0:
                shutil.rmtree(unnamed, ignore_errors=True)
            raise
        on_first(self.ranks, self._prune)
        return place

    def newest(self, usable: Callable[[Manifest], str | None]) -> tuple[Found | None, list[str]]:
        """The newest checkpoint that is undamaged and usable, the same on every rank.

        Each rank compares its share of the files.

        Args:
            usable: Returns why an undamaged one cannot be used; None if it can.

        Returns:
            The checkpoint, and why newer ones were refused.
        """
        refused: list[str] = []
        names = on_first(self.ranks, lambda: json.dumps([folder.name for folder in self._newest_first()]))
        for name in json.loads(names):
            folder = self.folder / name
            found, problem = self._checked(folder, usable)
            reasons = [reason for reason in self.ranks.share(problem) if reason]
            if found and not reasons:
                return found, refused
            refused.append(f"{name}: {reasons[0]}")
        return None, refused

    def set_aside(self, after: int) -> None:
        """Rename all checkpoints after a step as refused: the run will write those steps again."""

        def rename() -> None:
            for folder in self._newest_first():
                if _step_of(folder) > after:
                    _remove(folder.with_name(folder.name + REFUSED))
                    move(folder, folder.with_name(folder.name + REFUSED))

        on_first(self.ranks, rename)

    def _checked(self, folder: Path, usable: Callable[[Manifest], str | None]) -> tuple[Found | None, str]:
        """A checkpoint, if this rank can use it and its share of the files is undamaged; else None, and why."""
        try:
            manifest = read_manifest(folder)
            found = Found(folder, manifest, tuple(TensorFile(folder / name) for name in sorted(manifest.files)))
            mine = found.files[self.ranks.rank :: self.ranks.size]
            with ThreadPoolExecutor(READERS) as readers:
                list(readers.map(lambda file: file.check(manifest.files[file.path.name]), mine))
        except Damaged as error:
            return None, str(error)
        problem = usable(manifest)
        return (None, problem) if problem else (found, "")

    def _newest_first(self) -> list[Path]:
        names = [entry for entry in _entries(self.folder) if not entry.suffix and entry.name.startswith("step-")]
        return sorted(names, key=_step_of, reverse=True)

    def _prune(self) -> None:
        for folder in self._newest_first()[self.keep :]:
            gone = folder.with_name(folder.name + GONE)
            move(folder, gone)  # a kill while it is deleted must not leave half a checkpoint under its name
        for entry in _entries(self.folder):
            if entry.suffix in (NEW, REFUSED, GONE):
                _remove(entry)


def _make_empty(folder: Path) -> None:
    _remove(folder)
    folder.mkdir(parents=True)


def _commit(unnamed: Path, place: Path, manifest: Manifest) -> None:
    """Give the folder its name once everything in it is on the disk."""
    for name in manifest.files:
        if not (unnamed / name).is_file():
            raise FileNotFoundError(
                f"{unnamed / name}: another rank wrote it, and rank 0 cannot see it. {WRITE_TOGETHER}. Try {SHARED}."
            )
    write_text(unnamed / MANIFEST, manifest.to_text())
    move(unnamed, place)


def _entries(folder: Path) -> Iterable[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _step_of(folder: Path) -> int:
    digits = folder.name.removeprefix("step-").partition(".")[0]
    return int(digits) if digits.isdigit() else -1


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)

"""The files of a folder, and what of it is not read, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["NotRead", "files_under"]


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file or folder inside a source that is not read.

    Attributes:
        path: Its path.
        reason: Why.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def files_under(folder: Path) -> tuple[list[Path], list[NotRead]]:
    """The files of a folder and of the folders in it, in the order of their paths, and what is not read.

    Hidden files and folders are not read, nor links to folders, which may lead out of the folder or in a circle.

    Args:
        folder: The folder. It may be hidden or a link itself.
    """
    files: list[Path] = []
    not_read: list[NotRead] = []
    left = [folder]
    while left:
        here = left.pop()
        try:
            entries = sorted(here.iterdir())
        except OSError as error:
            not_read.append(NotRead(str(here), f"a folder that cannot be read: {error.strerror or error}"))
            continue
        for entry in entries:
            try:
                reason, is_folder = _reason(entry), entry.is_dir()
            except OSError as error:
                reason, is_folder = f"cannot be read: {error.strerror or error}", False
            if reason:
                not_read.append(NotRead(str(entry), reason))
            elif is_folder:
                left.append(entry)
            else:
                files.append(entry)
    return sorted(files), sorted(not_read, key=lambda each: each.path)


def _reason(entry: Path) -> str | None:
    """Why a file or folder is not read; None if it is."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_symlink():
        if not entry.exists():
            return "a link to nothing"
        if entry.is_dir():
            return "a link to a folder"
    if not entry.is_dir() and not entry.is_file():
        return "neither a file nor a folder"
    return None

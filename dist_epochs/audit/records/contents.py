"""Files that stand for others, or can run code: what they are is said, and they are not read."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.errors import InputError, Origin

__all__ = ["HEAD_BYTES", "refuse_unread_content"]

HEAD_BYTES = 4096
"""Bytes that tell the kind."""

GIT_LFS = b"version https://git-lfs.github.com/spec/"
GIT_ANNEX = (b"/annex/objects/", b"../.git/annex/objects/")
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""How pickles begin, and the archives that torch puts them in."""


def refuse_unread_content(path: Path, head: bytes) -> None:
    """Refuse a file by its first bytes.

    Raises:
        InputError: If it is a pointer of Git LFS or git-annex, or is a pickle.
    """
    origin = Origin(str(path))
    if head.startswith(GIT_LFS):
        raise InputError(
            "this is a Git LFS pointer, not the file",
            rule="Git LFS keeps the content elsewhere, and it was not fetched",
            fixes="git lfs pull",
            origin=origin,
        )
    if head.startswith(GIT_ANNEX):
        raise InputError(
            "this is a git-annex pointer, not the file",
            rule="git-annex keeps the content elsewhere, and it was not fetched",
            fixes=f"git annex get {path.name}",
            origin=origin,
        )
    if head.startswith(PICKLES):
        raise InputError(
            "this is a pickle, or an archive of one",
            rule="loading it can run any code, so it is never opened",
            fixes=["the trainer_state.json beside it", "a log of the run"],
            origin=origin,
        )

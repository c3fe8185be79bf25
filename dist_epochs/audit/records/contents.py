"""Files that stand for others, or can run code: what they are is said, and they are not read."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.errors import InputError, Origin

__all__ = ["HEAD_BYTES", "refuse_unread_content"]

HEAD_BYTES = 4096
"""Bytes that tell the kind."""

ZIP, PICKLE_IN_ZIP = b"PK\x03\x04", b"data.pkl"
ELSEWHERE = "{} keeps the content elsewhere, and it was not fetched"
UNREAD = (
    ((b"version https://git-lfs.github.com/spec/",),
     "a Git LFS pointer, not the file", ELSEWHERE.format("Git LFS"), ("git lfs pull",)),
    ((b"/annex/objects/", b"../.git/annex/objects/"),
     "a git-annex pointer, not the file", ELSEWHERE.format("git-annex"), ("git annex get {}",)),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", ZIP),
     "a pickle, or an archive of one", "loading it can run any code, so it is never opened",
     ("the trainer_state.json beside it", "a log of the run")),
)  # fmt: skip
"""How they begin, what they are, why they are not read, and what to do; torch puts pickles in archives."""


UNPACKED = (
    (ZIP,), "an archive, which is not unpacked", "several runs may be in it", ("unzip {}, and what comes out of it",)
)  # fmt: skip
OF_TORCH = (".bin", ".pt", ".pth", ".ckpt")


def refuse_unread_content(path: Path, head: bytes) -> None:
    """Refuse a file by its first bytes.

    Raises:
        InputError: If it is a pointer of Git LFS or git-annex, or is a pickle.
    """
    is_archive = head.startswith(ZIP) and PICKLE_IN_ZIP not in head and path.suffix not in OF_TORCH
    for begins, what, rule, fixes in (UNPACKED, *UNREAD) if is_archive else UNREAD:
        if head.startswith(begins):
            named = [fix.format(path.name) for fix in fixes]
            raise InputError(f"this is {what}", rule=rule, fixes=named, origin=Origin(str(path)))

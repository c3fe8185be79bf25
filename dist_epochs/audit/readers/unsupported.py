"""Logs of trainers that are recognised and not read: their names are said, and what their records would be."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.audit.readers.lines import lines_of
from dist_epochs.errors import InputError, Origin

__all__ = ["refuse_unsupported"]

MOST_BYTES = 1 << 22
"""Bytes within which the marks must stand."""

MARKS = {
    "MLPerf (mlperf_logging)": (b":::MLLOG",),
    "Composer": (b"[batch=", b"Train "),
    "nanotron": (b"| consumed_tokens:", b"| grad_norm:"),
    "nanotron, at its start": (b"| sequence_length:", b"| train_steps:"),
    "fairseq": (b"num_updates", b"wps"),
    "litgpt": (b"| iter ", b"| loss train:"),
    "Keras": (b"/step", b" - loss:"),
}
"""What stands in one line of each."""


def refuse_unsupported(path: Path) -> None:
    """Refuse a log by what stands in its lines.

    Raises:
        InputError: If it is of a trainer that is known and not read.
    """
    left = MOST_BYTES
    for at, line in lines_of(path):
        left -= len(line)
        if left < 0:
            return
        for name, marks in MARKS.items():
            if all(mark in line for mark in marks):
                raise InputError(
                    f"this is a log of {name}, which is not read",
                    rule="its steps are counted in a way that no reader here knows",
                    fixes="stating its numbers as a claim (dist-epochs audit FILE.yaml), or with solve",
                    origin=Origin(str(path), at),
                )

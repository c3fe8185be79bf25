"""Logs of trainers that are recognised and not read: their names are said."""

from __future__ import annotations

import re
from pathlib import Path

from dist_epochs.audit.records.lines import lines_of
from dist_epochs.errors import InputError, Origin

__all__ = ["MARKS", "refuse_unsupported"]

MOST_BYTES = 1 << 22
"""Bytes within which a mark must stand."""

MARKS = {
    "MLPerf (mlperf_logging)": re.compile(rb":::MLLOG \{"),
    "Composer": re.compile(rb"^(?:\[epoch=\d{1,9}\])?\[(?:batch|token|sample)=\d{1,18}/\d{1,18}\]:"),
    "nanotron": re.compile(rb"\biteration: \d{1,18} / \d{1,18} \| consumed_tokens:"),
    "fairseq": re.compile(rb'\bwps(?:=|": ").{0,400}\bnum_updates(?:=|": ")\d'),
    "litgpt": re.compile(rb"\| iter \d{1,18} step \d{1,18} \| loss train:|^batches,epoch,iter,iter_time,"),
    "Keras": re.compile(rb"^\s{0,9}\d{1,12}/(?:\d{1,12}|Unknown)\s.{0,200}s/step - \w{1,40}: "),
}
"""What stands in a line of each."""


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
        for name, mark in MARKS.items():
            if mark.search(line):
                raise InputError(
                    f"this is a log of {name}, which is recognised and not read",
                    fixes=[
                        "another record of the same run",
                        "its numbers as flags: dist-epochs audit --steps 3130 --batch 32 --corpus '10000 samples' "
                        "--epochs 10",
                    ],
                    origin=Origin(str(path), at),
                )

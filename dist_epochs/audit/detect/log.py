"""Text logs, read line by line: which trainer's a line is, by the marks of the readers."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.audit.readers.deepspeed_log import DeepspeedLog
from dist_epochs.audit.readers.hf_console import Console
from dist_epochs.audit.readers.megatron import MegatronLog
from dist_epochs.audit.readers.nanogpt_log import NanoGptLog
from dist_epochs.audit.readers.nemo import NemoLog
from dist_epochs.audit.readers.olmo import OlmoLog
from dist_epochs.audit.readers.torchtitan_log import TorchtitanLog
from dist_epochs.audit.records.lines import lines_of
from dist_epochs.audit.records.log_reading import LineReader
from dist_epochs.audit.records.record import FinishedRun

__all__ = ["MOST_UNKNOWN", "read_text_log"]

MOST_UNKNOWN = 1 << 25
"""Bytes within which a line that is known must come."""

LOGS = (NemoLog, MegatronLog, OlmoLog)
"""Readers of lines with marks that no other log has, the surest first."""
OTHER_LOGS = (NanoGptLog, TorchtitanLog, DeepspeedLog)
"""Readers of lines with marks that may stand in the logs above and on a Trainer's console."""


def read_text_log(path: Path) -> FinishedRun | None:
    """Read a log; None if no line of it is one that is known.

    The file is streamed: memory does not grow with it. A line that ends in the middle counts as far as its last bar.

    Raises:
        InputError: If it cannot be read.
    """
    console, unknown = Console(str(path)), MOST_UNKNOWN
    logs, others = ([log(str(path)) for log in kinds] for kinds in (LOGS, OTHER_LOGS))
    marks = [(mark, log) for log in (*others, *logs) for mark in log.MARKS]
    is_open = True  # until lines are found that go before those of the others
    for at, line in lines_of(path):
        if unknown > 0 and (unknown := unknown - len(line)) <= 0 and not _is_known(console, *logs, *others):
            return None
        for mark, log in marks:
            if mark in line:
                log.read(line, at)
                break
        else:
            console.read(line, at)
        is_console = console.has_head and "planned_steps" in console.numbers
        if is_open and (is_console or any(log.track.last for log in logs)):
            is_open, marks = False, [(mark, log) for log in logs for mark in log.MARKS]
    began = [log for log in logs if log.track.last]
    first: list[LineReader] = [*began]
    if console.has_head:  # else its rows may stand beside lines of DeepSpeed
        first.append(console)
    for reader in (*first, *others, *logs, console):  # beside the lines of others there may be arguments of DeepSpeed
        if (run := reader.finished()) is not None:
            return run
    return None


def _is_known(console: Console, *logs: LineReader) -> bool:
    return bool(console.calls or any(log.numbers or log.track.last for log in logs))

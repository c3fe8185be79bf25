"""Lines of OLMo logs (allenai/OLMo, olmo/train.py).

`[step=1/739328]`, then a line for each number, among them `throughput/total_tokens=4,194,304`.
"""

from __future__ import annotations

import re

from dist_epochs.audit.readers.log_reading import LogReading
from dist_epochs.audit.readers.timeline import Line

__all__ = ["close_step", "read_step"]

_STEP = re.compile(rb"\[step=(\d{1,18})/(\d{1,18})[,\]]")
_TOTAL = re.compile(rb"^\s+throughput/total[_ ]tokens=([\d,]{1,30})\s*$")


def read_step(reading: LogReading, line: bytes, at: int) -> None:
    """A step, or its tokens, which stand on a line of their own a few further down."""
    if match := _STEP.search(line):
        close_step(reading)
        reading.kind = "olmo"
        reading.plan_steps(int(match[2]), at)
        reading.open_step = int(match[1]), at
    elif reading.open_step and (match := _TOTAL.match(line)):
        step, begun = reading.open_step
        reading.track.add(Line(step=step, at=begun, tokens=int(match[1].replace(b",", b"") or b"0")))
        reading.open_step = None


def close_step(reading: LogReading) -> None:
    """A step whose tokens never came counts, too."""
    if reading.open_step:
        step, begun = reading.open_step
        reading.track.add(Line(step=step, at=begun))
        reading.open_step = None

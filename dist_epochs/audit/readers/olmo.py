"""Lines of OLMo and OLMo-core logs (olmo/train.py; train/callbacks/console_logger.py).

`[step=1/739328]`, then a line for each number, among them `throughput/total_tokens=4,194,304`. OLMo-core writes
`[step=5/12,epoch=1,eta=14s]`, the pass that runs from 1 on, and `throughput/total tokens=20,971,520`, only at some
steps; tokens (truncated) and steps a second of one device tell how many there are.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.log_reading import LogReading
from dist_epochs.audit.records.record import Number
from dist_epochs.audit.records.timeline import Line

__all__ = ["close_step", "read_step", "tokens_at_the_end"]

_STEP = re.compile(rb"\[step=(\d{1,18})/(\d{1,18}|\?{3})(?:,epoch=(\d{1,9}))?[,\]]")
_TOTAL = re.compile(rb"^\s+throughput/total[_ ]tokens=([\d,]{1,30})\s*$")
_RATE = re.compile(rb"^\s+throughput/device/(TPS|BPS)=([\d,]{1,20}(?:\.\d{1,9})?)\s*$")


def read_step(reading: LogReading, line: bytes, at: int) -> None:
    """A step, or its tokens and rates, which stand on lines of their own a few further down."""
    if match := _STEP.search(line):
        close_step(reading)
        reading.kind = "olmo"
        if match[2].isdigit():
            reading.plan_steps(int(match[2]), at)
        if match[3] is not None:
            reading.further["passes_begun"] = Number.exact(int(match[3]), reading.place(at, "epoch"))
        reading.open_step = int(match[1]), at
    elif reading.open_step and (match := _TOTAL.match(line)):
        step, begun = reading.open_step
        tokens = int(match[1].replace(b",", b"") or b"0")
        reading.track.add(Line(step=step, at=begun, tokens=tokens))
        reading.open_step = None
        if step and tokens:
            reading.last_tokens = Number.exact(tokens, reading.place(at))
            each = Interval.exact(Fraction(tokens, step))
            reading.further["tokens_per_step"] = Number(each, reading.place(at), f"{tokens:,} ÷ {step:,}")
    elif match := _RATE.match(line):
        _rate(reading, match[1].decode(), match[2].replace(b",", b"").decode(), at)


def _rate(reading: LogReading, name: str, text: str, at: int) -> None:
    """Devices, by the tokens and the steps of a second, where one whole number fits."""
    number = Number.read(text, reading.place(at, name))
    each = reading.further.get("tokens_per_step")
    if number is None or not number.interval.low or not isinstance(each, Number):
        return
    if name == "TPS":
        reading.tokens_per_second = Interval(number.value, number.value, number.value + 1)
    elif reading.tokens_per_second is not None:
        devices = each.interval * number.interval / reading.tokens_per_second
        if ceil(devices.low) == floor(devices.high) > 0:
            reading.numbers["devices"] = Number.exact(ceil(devices.low), number.where)


def close_step(reading: LogReading) -> None:
    """A step whose tokens never came counts, too."""
    if reading.open_step:
        step, begun = reading.open_step
        reading.track.add(Line(step=step, at=begun))
        reading.open_step = None


def tokens_at_the_end(reading: LogReading, steps: Number) -> dict[str, Number]:
    """Where the last step logged none: at least those logged before it, at most those of as many steps as were made."""
    each, last = reading.further.get("tokens_per_step"), reading.last_tokens
    if last is None or not isinstance(each, Number):
        return {}
    most = max(each.value * steps.value, last.value)
    return {"tokens": Number(Interval(last.value, last.value, most), last.where, last.text)}

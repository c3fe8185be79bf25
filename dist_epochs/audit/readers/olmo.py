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
from dist_epochs.audit.records.log_reading import LineReader, whole_of
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.records.timeline import Line

__all__ = ["OlmoLog"]

_STEP = re.compile(rb"\[step=(\d{1,18})/(\d{1,18}|\?{3})(?:,epoch=(\d{1,9}))?[,\]]")
_TOTAL = re.compile(rb"^\s+throughput/total[_ ]tokens=([\d,]{1,30})\s*$")
_RATE = re.compile(rb"^\s+throughput/device/(TPS|BPS)=([\d,]{1,20}(?:\.\d{1,9})?)\s*$")


class OlmoLog(LineReader):
    """What the lines have said so far."""

    KIND, MARKS = "olmo", (b"[step=", b"throughput/")

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._open: tuple[int, int] | None = None  # a step whose tokens have not come yet, and its line
        self._tokens: Number | None = None
        self._each: Number | None = None
        self._rate: Interval | None = None  # tokens a second of one device

    def read(self, line: bytes, at: int) -> None:
        """A step, or its tokens and rates, which stand on lines of their own a few further down."""
        if match := _STEP.search(line):
            self._close()
            if match[2].isdigit():
                self.plan_steps(int(match[2]), at)
            if match[3] is not None:
                self.further["passes_begun"] = Number.exact(int(match[3]), self.place(at, "epoch"))
            self._open = int(match[1]), at
        elif self._open and (match := _TOTAL.match(line)):
            step, tokens = self._open[0], whole_of(match[1])
            self._close(tokens)
            if step and tokens:
                self._tokens = Number.exact(tokens, self.place(at))
                each = Interval.exact(Fraction(tokens, step))
                self._each = self.further["tokens_per_step"] = Number(each, self.place(at), f"{tokens:,} ÷ {step:,}")
        elif match := _RATE.match(line):
            self._devices(match[1].decode(), match[2].replace(b",", b"").decode(), at)

    def _devices(self, name: str, text: str, at: int) -> None:
        """Devices, by the tokens and the steps of a second, where one whole number fits."""
        number = Number.read(text, self.place(at, name))
        if number is None or not number.interval.low or self._each is None:
            return
        if name == "TPS":
            self._rate = Interval(number.value, number.value, number.value + 1)
        elif self._rate is not None:
            devices = self._each.interval * number.interval / self._rate
            if ceil(devices.low) == floor(devices.high) > 0:
                self.numbers["devices"] = Number.exact(ceil(devices.low), number.where)

    def _close(self, tokens: int | None = None) -> None:
        """A step whose tokens never came counts, too."""
        if self._open:
            step, begun = self._open
            self.track.add(Line(step=step, at=begun, tokens=tokens))
            self._open = None

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged.

        Where the last step logged no tokens, they are at least those before it, at most those of as many steps as were
        made.
        """
        self._close()
        last = self.track.last
        if last is not None and last.tokens is None and self._tokens is not None and self._each is not None:
            most = max(self._each.value * last.step, self._tokens.value)
            ends = Interval(self._tokens.value, self._tokens.value, most)
            self.numbers["tokens"] = Number(ends, self._tokens.where, self._tokens.text)
        return super().finished()

"""Console of nanoGPT (karpathy/nanoGPT, train.py) and of modded-nanogpt.

`tokens per iteration will be: 491,520`, printed by every rank; `iter 20: loss 10.8281, time 136.78ms, mfu 0.00%`,
which counts from 0 and is printed after its step; `Overriding: block_size = 16`. Its gradient_accumulation_steps are
micro-steps of all ranks together. modded-nanogpt: `step:5/1000 … train_time:512ms step_avg:102.4ms`, steps done.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.log_reading import LineReader, run_of_track
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.records.timeline import Line

__all__ = ["NanoGptLog"]

SETTINGS = ("gradient_accumulation_steps", "batch_size", "block_size", "max_iters")

_TOKENS = re.compile(rb"\btokens per iteration will be: ([\d,]{1,26})\s*$")
_ITERATION = re.compile(rb"\biter (\d{1,15}): loss [^,]{1,20}, time (\d{1,12}\.\d\d)ms, mfu ")
_EVALUATION = re.compile(rb"\bstep (\d{1,15}): train loss [^,]{1,20}, val loss ")
_SETTING = re.compile(rb"\bOverriding: (" + "|".join(SETTINGS).encode() + rb") = (\d{1,15})\s*$")
_MODDED = re.compile(rb"\bstep:(\d{1,15})/(\d{1,15}) .{0,200}?\btrain_time:\d{1,15}ms step_avg:(\d{1,9}\.\d{1,3})ms")


class NanoGptLog(LineReader):
    """What the lines have said so far."""

    MARKS = (b"tokens per iteration will be", b"iter ", b"train loss ", b"Overriding: ", b"train_time:")

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.settings: dict[str, Number] = {}
        self.planned: Number | None = None
        self.tokens: Number | None = None
        self.ranks = 0
        self.has_begun = False

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        if match := _ITERATION.search(line):
            self._step(int(match[1]) + 1, at, Decimal(match[2].decode()) / 1000)
        elif match := _EVALUATION.search(line):
            self._begin()
        elif match := _MODDED.search(line):
            self.planned = Number.exact(int(match[2]), self.place(at))
            if step := int(match[1]):
                self._step(step, at, Decimal(match[3].decode()) / 1000)
        elif match := _TOKENS.search(line):
            if self.has_begun:
                self.ranks, self.has_begun = 0, False
                self.track.start()
            self.ranks += 1
            self.tokens = Number.exact(int(match[1].replace(b",", b"") or b"0"), self.place(at))
        elif match := _SETTING.search(line):
            key = match[1].decode()
            self.settings[key] = Number.exact(int(match[2]), self.place(at, key))

    def _begin(self) -> None:
        self.has_begun = True

    def _step(self, step: int, at: int, seconds: Decimal) -> None:
        self._begin()
        tokens = int(self.tokens.value) * step if self.tokens else None
        self.track.add(Line(step=step, at=at, tokens=tokens, batch=self._batch, seconds=seconds))

    @property
    def _batch(self) -> int | None:
        """Samples of a step, where they are whole."""
        length = self.settings.get("block_size")
        if self.tokens is None or length is None or not length.value or self.tokens.value % length.value:
            return None
        return int(self.tokens.value / length.value)

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged, or nothing says that it is nanoGPT's."""
        if self.track.last is None or (self.tokens is None and self.planned is None):
            return None
        numbers: dict[str, Number] = {}
        for key, name in (("batch_size", "per_device"), ("block_size", "sequence_length")):
            if key in self.settings and self.settings[key].value:
                numbers[name] = self.settings[key]
        if most := self.settings.get("max_iters"):  # the loop ends where iter_num > max_iters
            numbers["planned_steps"] = Number.exact(int(most.value) + 1, most.where)
        elif self.planned is not None:
            numbers["planned_steps"] = self.planned
        numbers |= self._layout()
        further = {"tokens_per_step": self.tokens} if self.tokens is not None else {}
        note = "nanoGPT draws its batches at random, with replacement: it has no passes, and epochs are expectations."
        return run_of_track("nanogpt", self.path, self.track, numbers, further=further, notes=(note,))

    def _layout(self) -> dict[str, Number]:
        """Devices by the ranks that printed; if only one did, others may have been silent."""
        shared = self.settings.get("gradient_accumulation_steps")
        if not self.ranks or shared is None or not shared.value:
            return {}
        assert self.tokens is not None
        ranks, all_of_them = Fraction(self.ranks), shared.value
        most = ranks if self.ranks > 1 else all_of_them
        devices = Interval(ranks, ranks, max(ranks, most))
        share = Interval(all_of_them / ranks, min(all_of_them / devices.high, all_of_them / ranks), all_of_them / ranks)
        where = self.tokens.where
        return {
            "devices": Number(devices, where, str(self.ranks)),
            "gradient_accumulation": Number(share, shared.where, f"{shared.text} ÷ {self.ranks}"),
        }

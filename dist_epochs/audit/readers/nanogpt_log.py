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
from dist_epochs.audit.records.log_reading import LineReader, samples_of, whole_of
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.records.timeline import Line

__all__ = ["NanoGptLog"]

SETTINGS = {
    b"gradient_accumulation_steps": "gradient_accumulation",
    b"batch_size": "per_device",
    b"block_size": "sequence_length",
    b"max_iters": "planned_steps",
}

_TOKENS = re.compile(rb"\btokens per iteration will be: ([\d,]{1,26})\s*$")
_ITERATION = re.compile(rb"\biter (\d{1,15}): loss [^,]{1,20}, time (\d{1,12}\.\d\d)ms, mfu ")
_EVALUATION = re.compile(rb"\bstep (\d{1,15}): train loss [^,]{1,20}, val loss ")
_SETTING = re.compile(rb"\bOverriding: (" + b"|".join(SETTINGS) + rb") = (\d{1,15})\s*$")
_MODDED = re.compile(rb"\bstep:(\d{1,15})/(\d{1,15}) .{0,200}?\btrain_time:\d{1,15}ms step_avg:(\d{1,9}\.\d{1,3})ms")


class NanoGptLog(LineReader):
    """What the lines have said so far."""

    KIND = "nanogpt"
    MARKS = (b"tokens per iteration will be", b"iter ", b"train loss ", b"Overriding: ", b"train_time:")

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._tokens: Number | None = None
        self._shared: Number | None = None
        self._ranks = 0
        self._has_begun = self._counts_from_0 = False

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        if match := _ITERATION.search(line):
            self._counts_from_0 = True
            self._step(int(match[1]) + 1, at, match[2])
        elif _EVALUATION.search(line):
            self._has_begun = True
        elif match := _MODDED.search(line):
            self.tell("planned_steps", match[2], at)
            if step := int(match[1]):
                self._step(step, at, match[3])
        elif match := _TOKENS.search(line):
            if self._has_begun:
                self._ranks, self._has_begun = 0, False
                self.track.start()
            self._ranks += 1
            self._tokens = self.further["tokens_per_step"] = Number.exact(whole_of(match[1]), self.place(at))
        elif match := _SETTING.search(line):
            name, value = SETTINGS[match[1]], int(match[2])  # the loop ends where iter_num > max_iters
            self.tell(name, value + (name == "planned_steps"), at, match[1].decode())
            self._shared = self.numbers.pop("gradient_accumulation", self._shared)

    def _step(self, step: int, at: int, milliseconds: bytes) -> None:
        self._has_begun = True
        tokens = int(self._tokens.value) * step if self._tokens else None
        batch = samples_of(self._tokens, self.numbers.get("sequence_length"))
        seconds = Decimal(milliseconds.decode()) / 1000
        self.track.add(Line(step=step, at=at, tokens=tokens, batch=batch, seconds=seconds))

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged, or nothing says that it is nanoGPT's."""
        if self.track.last is None or (self._tokens is None and "planned_steps" not in self.numbers):
            return None
        self._layout()
        notes = [
            "nanoGPT draws its batches at random, with replacement: it has no passes, and epochs are expectations."
        ]
        if self._counts_from_0:
            notes.append("It counts iterations from 0: a run that ends makes max_iters + 1 of them.")
        return self.run(notes)

    def _layout(self) -> None:
        """Devices by the ranks that printed; if only one did, others may have been silent."""
        if self._shared is None or self._tokens is None:
            return
        ranks, all_of_them = Fraction(self._ranks), self._shared.value
        devices = Interval(ranks, ranks, max(ranks, ranks if self._ranks > 1 else all_of_them))
        share = Interval(all_of_them / ranks, min(all_of_them / devices.high, all_of_them / ranks), all_of_them / ranks)
        text = f"{self._shared.text} ÷ {self._ranks}"
        self.numbers["devices"] = Number(devices, self._tokens.where, str(self._ranks))
        self.numbers["gradient_accumulation"] = Number(share, self._shared.where, text)

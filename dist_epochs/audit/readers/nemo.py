"""Lines of NeMo 2 logs (NVIDIA/NeMo, nemo/lightning/pytorch/callbacks/progress_printer.py).

`Training epoch 0, iteration 527/999 | lr: 0.0001 | global_batch_size: 32 | global_step: 527 | … | train_step_timing in
s: 4.022 | consumed_samples: 16896`: iteration and global_step count from 0, so that 528 of 1,000 steps are made. Where
not each step is logged, every value but global_step is a mean since the line before.
"""

from __future__ import annotations

import re
from decimal import Decimal

from dist_epochs.audit.records.log_reading import LineReader
from dist_epochs.audit.records.timeline import Line

__all__ = ["NemoLog"]

_ITERATION = re.compile(rb"\bTraining epoch \d{1,18}, iteration (\d{1,18})/(\d{1,18}) \|")
_FIELD = re.compile(
    rb"\b(global_step|global_batch_size|consumed_samples|train_step_timing in s): (\d{1,18}(?:\.\d{1,9})?)"
    rb"(?=\s*+(?:\||$))"
)


class NemoLog(LineReader):
    """What the lines have said so far."""

    KIND, MARKS = "nemo", (b"Training epoch ",)

    def read(self, line: bytes, at: int) -> None:
        """A line of fields between bars; one that was cut before its global_step tells nothing."""
        begins = _ITERATION.search(line)
        found = {key.decode(): text.decode() for key, text in _FIELD.findall(line)}
        if begins is None or not found.get("global_step", "").isdecimal():
            return
        self.plan_steps(int(begins[2]) + 1, at)
        step, before = int(found["global_step"]) + 1, self.track.last
        counts = {key: int(text) for key, text in found.items() if text.isdecimal()}
        is_one_step = before is not None and step == before.step + 1
        seconds = found.get("train_step_timing in s")
        self.track.add(
            Line(
                step=step,
                at=at,
                samples=counts.get("consumed_samples") if is_one_step else None,
                batch=counts.get("global_batch_size"),
                seconds=Decimal(seconds) if seconds else None,
            )
        )

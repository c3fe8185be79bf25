"""The progress bar: loss, rate, time left and the epoch by the ledger."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

__all__ = ["ProgressBar"]


class ProgressBar:
    """A bar over the steps of a run; silent on every rank but 0.

    Args:
        steps: Steps of the run.
        done: Steps that were taken before.
        shown: Whether this rank shows it.
    """

    def __init__(self, steps: int, *, done: int = 0, shown: bool) -> None:
        on_terminal = sys.stderr.isatty()
        self._every = 0.2 if on_terminal else 5.0
        self._last = 0.0
        self._bar = tqdm(
            total=steps, initial=done, unit="step", disable=not shown, mininterval=float("inf"),
            dynamic_ncols=on_terminal, smoothing=0.1, ascii=not on_terminal,
        )  # fmt: skip
        self.due = shown
        """Whether the numbers on the bar are old enough to be replaced."""

    def step(self) -> None:
        """Advance by one step; it is drawn with the next numbers, so that both are of the same step."""
        self._bar.update()
        self.due = not self._bar.disable and time.monotonic() - self._last >= self._every

    def show(self, *, epoch: float | None, loss: float | None) -> None:
        """Put new numbers on the bar."""
        self._last = time.monotonic()
        numbers = {"epoch": epoch, "loss": loss}
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in numbers.items() if value is not None})

    def close(self) -> None:
        """End the bar, and leave it on the terminal."""
        self._bar.close()

"""Copies of numbers from a device to the host."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["HostCopy"]


class HostCopy:
    """A copy of a small tensor to the host. It begins at once, and only reading it waits for the device.

    Args:
        values: One dimension, on any device.
    """

    def __init__(self, values: Tensor) -> None:
        self._host = values
        self._event: torch.cuda.Event | None = None
        if values.is_cuda:
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host = pinned.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    @property
    def arrived(self) -> bool:
        """Whether reading it would not wait."""
        return self._event is None or self._event.query()

    def read(self) -> list[int] | list[float]:
        """The numbers; waits for this copy alone."""
        if self._event is not None:
            self._event.synchronize()
        numbers: list[int] | list[float] = self._host.tolist()
        return numbers

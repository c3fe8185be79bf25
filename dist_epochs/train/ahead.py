"""Makes batches in the background, ahead of the steps that train on them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import fields
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from dist_epochs.corpus.streaming.stream import MicroBatch, Window
from dist_epochs.train.loss import DeviceBatch

__all__ = ["Ahead"]

ITEMS_AHEAD = 4
"""Windows and micro-batches that wait to be used: two steps of one micro-batch each, or four micro-batches of one."""

Ready = tuple[DeviceBatch, "torch.cuda.Event | None"]
"""A micro-batch on the device, and the end of its copy."""

Item = TypeVar("Item", "Window | None", Ready)


class Ahead:
    """Inside its `with` block, a thread makes the windows of a run and copies their micro-batches to the device.

    Each window comes before the micro-batches of the one before it, which is the order in which the loop asks: the
    ledger adds up the counts of a step over the ranks while the step before it runs. What is made ahead is not counted;
    the order of the batches is that of `windows`, and where a run resumes follows from its step alone.

    On CUDA the thread copies on a stream of its own. The loop's stream waits for a copy, and the host does not.

    Args:
        windows: This rank's windows, in order.
        to_device: Copies one micro-batch, without waiting; called in the thread.
        device: Where to.

    Attributes:
        waited: Seconds that the loop has waited so far for windows and micro-batches that were not ready.
    """

    def __init__(
        self, windows: Iterable[Window], to_device: Callable[[MicroBatch], DeviceBatch], device: torch.device
    ) -> None:
        self._source, self._to_device = windows, to_device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._made: SimpleQueue[Window | Ready | BaseException | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # has an entry for each item that may be made
        for _ in range(ITEMS_AHEAD):
            self._room.put(None)
        self._closed = False
        self._windows: deque[Window | None] = deque()
        self._batches: deque[Ready] = deque()
        self._thread = threading.Thread(target=self._work, daemon=True, name="batches")
        self.waited = 0.0

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._room.put(None)
        self._thread.join()  # a thread that still uses torch while Python ends would abort the process

    def windows(self) -> Iterator[Window]:
        """The windows, in order.

        Raises:
            Exception: The error of the thread, with its traceback.
        """
        while (window := self._next(self._windows)) is not None:
            yield window

    def batches(self, window: Window) -> Iterator[DeviceBatch]:
        """The micro-batches of a window on the device, in order; windows are asked for in their own order.

        Raises:
            Exception: The error of the thread, with its traceback.
        """
        for _ in window.micro_batches:
            batch, copied = self._next(self._batches)
            if copied is not None:
                stream = torch.cuda.current_stream(batch.input_ids.device)
                stream.wait_event(copied)
                for tensor in _tensors(batch):
                    tensor.record_stream(stream)  # its memory belongs to the thread's stream until this one is done
            yield batch

    def _next(self, ready: deque[Item]) -> Item:
        """The next item of one kind; those of the other kind that come before it are kept."""
        while not ready:
            began = time.perf_counter()
            item = self._made.get()
            self.waited += time.perf_counter() - began
            self._room.put(None)
            if isinstance(item, BaseException):
                self._made.put(item)  # nothing follows it, however often the loop asks
                raise item
            if isinstance(item, tuple):
                self._batches.append(item)
            else:
                self._windows.append(item)
        return ready.popleft()

    def _work(self) -> None:
        try:
            with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
                for item in self._items():
                    self._room.get()
                    if self._closed:
                        return
                    self._made.put(item)
        except BaseException as error:
            self._made.put(error)  # raised in the loop

    def _items(self) -> Iterator[Window | Ready | None]:
        """Everything in the order in which the loop asks for it; None after the last window."""
        before: Window | None = None
        for window in self._source:
            yield window
            yield from self._copies(before)
            before = window
        yield None
        yield from self._copies(before)

    def _copies(self, window: Window | None) -> Iterator[Ready]:
        for micro_batch in window.micro_batches if window is not None else ():
            batch = self._to_device(micro_batch)
            yield batch, None if self._stream is None else self._stream.record_event()


def _tensors(batch: DeviceBatch) -> Iterator[Tensor]:
    for field in fields(batch):
        if isinstance(value := getattr(batch, field.name), Tensor):
            yield value

"""Batches made ahead: the same ones in the same order, at most a few, and no thread that stays."""

from __future__ import annotations

import threading
import time
import traceback
from contextlib import nullcontext, suppress
from types import SimpleNamespace

import pytest
import torch

from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.train.ahead import ITEMS_AHEAD, Ahead
from dist_epochs.train.loss import DeviceBatch

CPU = torch.device("cpu")


def window(step, micro_batches=2):
    parts = tuple(f"{step}.{index}" for index in range(micro_batches))
    return SimpleNamespace(step=step, micro_batches=parts, counts={})


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "batches"]


def wait_until(happened):
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert not threads()


@pytest.mark.parametrize("steps", [0, 1, 2, 9])
@pytest.mark.parametrize("micro_batches", [1, 3, 20])
def test_the_order_is_that_of_the_windows(tmp_path, steps, micro_batches):
    """As the loop asks: the ledger takes a window ahead of the step whose micro-batches are trained on."""
    ledger, trained = RunLedger(tmp_path), []
    with Ahead(
        (window(step, micro_batches) for step in range(steps)), lambda batch: f"on device {batch}", CPU
    ) as ahead:
        for drawn in ledger.watch(ahead.windows()):
            trained += ahead.batches(drawn.window)
            ledger.book(drawn, applied=True)
    assert trained == [f"on device {step}.{index}" for step in range(steps) for index in range(micro_batches)]


def test_windows_may_be_asked_for_long_before_their_micro_batches():
    with Ahead(map(window, range(5)), str, CPU) as ahead:
        windows = list(ahead.windows())
        assert [batch for each in windows for batch in ahead.batches(each)] == [
            f"{step}.{index}" for step in range(5) for index in range(2)
        ]


def test_only_a_few_are_made_ahead():
    """Each window is counted when it is made, and each micro-batch when it is copied; one of them may be in hand."""
    made = []

    def windows():
        for step in range(100):
            made.append(step)
            yield window(step)

    with Ahead(windows(), lambda batch: made.append(batch) or batch, CPU) as ahead:
        wait_until(lambda: len(made) == ITEMS_AHEAD + 1)
        time.sleep(0.05)
        assert made == [0, 1, "0.0", "0.1", 2]
        first = next(ahead.windows())
        wait_until(lambda: len(made) == ITEMS_AHEAD + 2)
        assert list(ahead.batches(first)) == ["0.0", "0.1"]


def test_leaving_early_ends_the_thread():
    """After a stop vote, or an error of the loop, with everything ahead still unused."""
    with suppress(ArithmeticError), Ahead(map(window, range(10**9)), str, CPU) as ahead:
        next(ahead.windows())
        assert threads()
        raise ArithmeticError


def test_leaving_before_anything_was_used():
    with Ahead(map(window, range(10**9)), str, CPU):
        pass


def test_an_error_reaches_the_loop_where_its_batch_would_have_been():
    def broken_reader(step):
        if step == 2:
            raise OSError("the store is gone")
        return window(step)

    seen = []
    with Ahead(map(broken_reader, range(9)), str, CPU) as ahead:
        with pytest.raises(OSError, match="the store is gone") as raised:
            seen.extend(each.step for each in ahead.windows())
        with pytest.raises(OSError, match="the store is gone"):
            list(ahead.windows())  # it does not wait for what will never come
    assert seen == [0, 1]
    assert "broken_reader" in "".join(traceback.format_exception(raised.value))


def test_an_error_of_a_copy_reaches_the_loop():
    def full_device(batch):
        raise RuntimeError(f"no room for {batch}")

    with Ahead(map(window, range(9)), full_device, CPU) as ahead:
        windows = ahead.windows()
        first, _ = next(windows), next(windows)
        with pytest.raises(RuntimeError, match=r"no room for 0\.0"):
            list(ahead.batches(first))


def test_on_a_gpu_the_stream_of_the_loop_waits_and_the_host_does_not(monkeypatch):
    """Copies run on a stream of the thread; their memory stays until the loop's stream is done with it."""
    done = []

    class Stream:
        def __init__(self, device=None):
            self.name = "of the thread" if device else "of the loop"

        def record_event(self):
            return f"copied {self.name}"

        def wait_event(self, event):
            done.append((self.name, "waits", event))

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())

    def keep(tensor, stream):
        done.append((stream.name, "keeps", len(tensor)))

    monkeypatch.setattr(torch.Tensor, "record_stream", keep)
    batch = DeviceBatch(torch.zeros(1), None, torch.zeros(2), torch.zeros(3))
    with Ahead([window(0, 1)], lambda _: batch, torch.device("cuda")) as ahead:
        (only,) = ahead.windows()
        assert list(ahead.batches(only)) == [batch]
    assert done == [
        ("of the loop", "waits", "copied of the thread"),
        *(("of the loop", "keeps", size) for size in (1, 2, 3)),
    ]


def test_what_the_loop_waits_is_measured():
    gate = threading.Event()

    def slow():
        gate.wait()
        yield window(0)

    with Ahead(slow(), str, CPU) as ahead:
        threading.Timer(0.2, gate.set).start()
        first = next(ahead.windows())
        assert 0.15 < ahead.waited < 20
        wait_until(lambda: ahead._made.qsize() == 3)
        waited = ahead.waited
        list(ahead.windows())
        assert list(ahead.batches(first)) == ["0.0", "0.1"]
        assert ahead.waited - waited < 0.1

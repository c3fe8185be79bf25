"""Shares work among several processes of this machine, and gives its results in order.

The processes are forked: they begin with all that the work needs, and none uses a pool of threads that another one
began. A worker ends with the program that started it, even if that is killed, so that nobody writes to a store
afterwards; a worker that is killed ends the work with an error.
"""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from dist_epochs.errors import InputError

__all__ = ["cores_at_hand", "in_order", "threads_of_the_tokenizer"]

PARALLEL, THREADS = "TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"
"""Variables of the environment: whether the tokenizer uses threads of its own, and how many."""
WAITING = 8
"""Results for each process that wait for the first one."""
END_WITH_PARENT = 1
"""Linux: PR_SET_PDEATHSIG."""
QUOTAS = (
    ("/sys/fs/cgroup/cpu.max", ""),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Files in which a container's share of the processors stands, in both versions of control groups."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Tell = Callable[..., None]
"""Told by the work of how far it is, with whatever arguments it has for that."""


def cores_at_hand() -> int:
    """Cores that this process may use, by its affinity and by the limit of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in QUOTAS:
        with suppress(OSError, ValueError, IndexError):
            numbers = " ".join(Path(path).read_text() for path in (quota, period) if path).split()
            if int(numbers[0]) > 0:
                cores = min(cores, math.ceil(int(numbers[0]) / int(numbers[1])))
    return max(1, cores)


@contextmanager
def threads_of_the_tokenizer(count: int) -> Iterator[None]:
    """Have the tokenizer use so many threads, unless the environment says otherwise already."""
    wanted = {PARALLEL: "true" if count > 1 else "false", THREADS: str(count)}
    added = [name for name in wanted if name not in os.environ]
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _nobody(*_: Any) -> None:
    """Told of nothing."""


def in_order(
    work: Callable[[Item, Tell], Result], items: Sequence[Item], workers: int, tell: Tell = _nobody
) -> Iterator[Result]:
    """The results of some work, in the order of what it is done to; several processes share it.

    Args:
        work: Takes an item, and whom to tell of how far it is. It is not sent to the processes, which have it from the
            beginning; its results are.
        items: What it is done to.
        workers: The most processes; one does the work here, as do systems that cannot fork.
        tell: Told here what the work tells.

    Raises:
        Exception: What the work raises for the first item for which it does; the results before it are given.
        InputError: If a worker was killed.
    """
    processes = min(workers, len(items))
    can_fork = sys.platform == "linux" and not multiprocessing.current_process().daemon
    if processes <= 1 or not can_fork:
        for item in items:
            yield work(item, tell)
        return
    team = _Team(work, items, tell)
    try:
        team.start(processes)
        for number in range(len(items)):
            yield team.result(number)
    finally:
        team.end()


class _Team(Generic[Item, Result]):
    """Processes that each take the next item when they have done one."""

    def __init__(self, work: Callable[[Item, Tell], Result], items: Sequence[Item], tell: Tell) -> None:
        self._work = work
        self._items = items
        self._tell = tell
        self._results: dict[int, Result] = {}
        self._errors: dict[int, BaseException] = {}
        self._next = 0
        self._at: dict[Connection, int] = {}
        self._idle: list[Connection] = []
        self._processes: dict[Connection, BaseProcess] = {}

    def start(self, processes: int) -> None:
        """Fork the processes, in which Ctrl-C does nothing: it is for the program, which ends them."""
        fork = multiprocessing.get_context("fork")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            for _ in range(processes):
                here, there = fork.Pipe()
                process = fork.Process(target=self._serve, args=(here, there, os.getpid()), daemon=True)
                self._processes[here] = process
                process.start()
                there.close()
                self._idle.append(here)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def result(self, number: int) -> Result:
        """The result for an item, which is asked for in order."""
        while number not in self._results:
            if number in self._errors:
                raise self._errors[number]
            self._hand_out(number + WAITING * len(self._processes))
            for ready in wait(list(self._at)):
                assert isinstance(ready, Connection)
                self._hear(ready)
        return self._results.pop(number)

    def end(self) -> None:
        """End the processes."""
        for process in self._processes.values():
            if process.pid is not None:
                process.kill()
        for connection, process in self._processes.items():
            if process.pid is not None:
                process.join()
            connection.close()

    def _hand_out(self, stop: int) -> None:
        """Give those who have nothing to do the next items before one; none after an error."""
        while self._idle and self._next < min(stop, len(self._items)) and not self._errors:
            connection = self._idle.pop()
            self._at[connection] = self._next
            self._next += 1
            with suppress(OSError):  # it was killed, which is seen next
                connection.send(self._at[connection])

    def _hear(self, connection: Connection) -> None:
        number = self._at[connection]
        try:
            kind, told = connection.recv()
        except (EOFError, OSError):
            process = self._processes[connection]
            process.join()
            asked = f"a worker was killed (exit code {process.exitcode}), perhaps for the memory that it took"
            kind, told = "error", InputError(asked, fixes="fewer --workers")
        if kind == "told":
            self._tell(*told)
            return
        del self._at[connection]
        if kind == "done":
            self._results[number] = told
            self._idle.append(connection)
        else:
            self._errors[number] = told

    def _serve(self, here: Connection, there: Connection, parent: int) -> None:
        """What a worker does until it is ended."""
        ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for other in {here, *self._processes}:
            other.close()  # so that only the worker itself holds its end
        os.environ[PARALLEL] = "false"
        with suppress(EOFError, OSError):  # a program that is killed closes the pipe a moment before this process is
            while True:
                number = there.recv()
                try:
                    result = self._work(self._items[number], lambda *told: there.send(("told", told)))
                    answer: tuple[str, Any] = ("done", result)
                except Exception as error:
                    answer = ("error", _portable(error))
                there.send(answer)
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """An error that can be sent to another process."""
    text = "".join(traceback.format_exception(error))
    if not isinstance(error, InputError | OSError):
        error.add_note(text)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error

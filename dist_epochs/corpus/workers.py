"""Runs the parts of a corpus on several processes of this machine, and says how far they are.

A worker ends with the program that started it, even if that is killed, so that nobody writes to the store afterwards.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from dist_epochs.corpus.document import BadDocument
from dist_epochs.corpus.parts import Part
from dist_epochs.corpus.tokenize_part import Job, Outcome, Progress, tokenize_part
from dist_epochs.errors import InputError

__all__ = ["cores_at_hand", "in_order", "run_parts"]

PARALLEL = "TOKENIZERS_PARALLELISM"
"""Variable of the environment that says whether the tokenizer uses threads of its own."""
THREADS = "RAYON_NUM_THREADS"
WAITING = 8
"""Results for each process that wait for the first one."""
END_WITH_PARENT = 1
"""Linux: PR_SET_PDEATHSIG."""


def cores_at_hand() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _can_fork() -> bool:
    """Whether workers are forked here; elsewhere the one process uses the tokenizer's threads."""
    return sys.platform == "linux"


def run_parts(parts: Sequence[Part], job: Job, workers: int, progress: Progress) -> list[Outcome]:
    """Tokenize all parts; what came of each, in their order.

    Args:
        parts: The parts. Those that are complete are only told of.
        job: What is the same for all.
        workers: The most processes; one does the work here.
        progress: Told of what was read.

    Raises:
        InputError: Of the first document in the corpus that cannot be read; or if a worker was killed.
    """
    processes = min(workers, len(parts))
    if processes <= 1 or not _can_fork():
        with _threads(workers > 1):
            return [tokenize_part(part, job, progress) for part in parts]
    return _Team(parts, job, processes, workers // processes, progress).run()


@contextmanager
def _threads(several: bool) -> Iterator[None]:
    """Whether the tokenizer uses threads of its own, unless the environment says so already."""
    before = os.environ.get(PARALLEL)
    if before is None:
        os.environ[PARALLEL] = "true" if several else "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[PARALLEL]


class _Team:
    """Processes that each take the next part when they have done one."""

    def __init__(self, parts: Sequence[Part], job: Job, processes: int, threads: int, progress: Progress) -> None:
        self._parts = parts
        self._progress = progress
        self._outcomes: dict[int, Outcome] = {}
        self._errors: dict[int, Exception] = {}
        self._next = 0
        self._at: dict[Connection, int] = {}
        self._processes: dict[Connection, Any] = {}
        fork = multiprocessing.get_context("fork")
        for _ in range(processes):
            here, there = fork.Pipe()
            process = fork.Process(target=_work, args=(there, parts, job, threads, os.getpid()), daemon=True)
            self._processes[here] = (process, there)

    def run(self) -> list[Outcome]:
        try:
            for connection, (process, there) in self._processes.items():
                process.start()
                there.close()
                self._hand_out(connection)
            while self._at:
                for ready in wait(list(self._at)):
                    assert isinstance(ready, Connection)
                    self._hear(ready)
                first = min(self._errors, default=len(self._parts))
                if not any(number < first for number in self._at.values()) and self._errors:
                    raise self._errors[first]  # every part before it is done: it is the first of the corpus
        finally:
            for process, _ in self._processes.values():
                if process.pid is not None:
                    process.kill()
                    process.join()
        return [self._outcomes[number] for number in range(len(self._parts))]

    def _hand_out(self, connection: Connection) -> None:
        """Give a worker the next part; none after an error, and none where all are given."""
        self._at.pop(connection, None)
        if self._next < len(self._parts) and not self._errors:
            self._at[connection] = self._next
            connection.send(self._next)
            self._next += 1

    def _hear(self, connection: Connection) -> None:
        number = self._at[connection]
        try:
            kind, told = connection.recv()
        except EOFError:
            process, _ = self._processes[connection]
            process.join()
            asked = f"a worker was killed (exit code {process.exitcode}), perhaps for the memory that it took"
            kind, told = "error", InputError(asked, fixes="fewer --workers")
        if kind == "progress":
            self._progress(*told)
        elif kind == "done":
            self._outcomes[number] = told
            self._hand_out(connection)
        else:
            self._errors[number] = told if isinstance(told, Exception) else _error(*told)
            self._at.pop(connection)


def _work(connection: Connection, parts: Sequence[Part], job: Job, threads: int, parent: int) -> None:
    """What a worker does until its parent ends it."""
    _end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the parent, too
    os.environ[PARALLEL] = "true" if threads > 1 else "false"
    os.environ[THREADS] = str(threads)

    def progress(read: int, documents: int = 0, tokens: int = 0) -> None:
        connection.send(("progress", (read, documents, tokens)))

    while True:
        number = connection.recv()
        try:
            answer: tuple[str, Any] = ("done", tokenize_part(parts[number], job, progress))
        except InputError as error:
            answer = ("error", (isinstance(error, BadDocument), error.parts))
        except OSError as error:
            answer = ("error", (OSError, (error.errno, error.strerror, error.filename)))
        except Exception:
            answer = ("error", (RuntimeError, (traceback.format_exc(),)))
        connection.send(answer)


def _end_with_parent(parent: int) -> None:
    """Have this process killed when the one that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _error(kind: Any, told: Any) -> Exception:
    """The error that a worker told of."""
    if isinstance(kind, bool):
        return (BadDocument if kind else InputError)(**told)
    made: Exception = kind(*told)
    return made


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """The results of some work, in the order of what it is done to; several processes share it.

    Args:
        work: It is not sent to the processes, which have it from the beginning; its results are.
        items: Of which a few hundred results, at most, wait for the first.
        workers: The most processes.
    """
    if workers <= 1 or len(items) <= 1 or not _can_fork():
        yield from map(work, items)
        return
    global _work_here  # noqa: PLW0603: what a forked process begins with
    _work_here = work
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(min(workers, len(items)), fork, _begin, (os.getpid(),)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_do, item))
                if len(waiting) > WAITING * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_work_here: Callable[[Any], Any]


def _begin(parent: int) -> None:
    _end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _do(item: Any) -> Any:
    return _work_here(item)

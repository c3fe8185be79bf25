"""A command in this process, with a limit on its time and on the memory that it may take."""

from __future__ import annotations

import io
import resource
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from dist_epochs.cli.main import main

SECONDS = 5.0
"""Processor time of a case: the machine may be busy with other things."""
BYTES = 1 << 30
"""Memory that a case may take beyond what the process has."""

_WHITE = str.maketrans("", "", "\n\t")


class TooLongError(BaseException):
    """The limit on time. No handler of errors may catch it."""


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        code: Its exit code; None if it ended with an exception.
        out: Standard output.
        err: Standard error, or the traceback.
    """

    code: int | None
    out: str
    err: str

    @property
    def fault(self) -> str | None:
        """What no input may lead to; None if nothing of it happened."""
        if self.code is None:
            return f"ended with an exception\n{self.err}"
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}"
        if self.code == 2 and not (self.err and ("error: " in self.err or '"errors"' in self.err)):
            return f"exit code 2 without an error: {self.err!r}"
        for text in (self.out, self.err):
            if not (plain := text.translate(_WHITE)).isprintable():
                bad = next(character for character in plain if not character.isprintable())
                return f"sent {bad!r} to the terminal"
        return None


def run(words: Sequence[str]) -> Outcome:
    """Run a command."""
    out, err = io.StringIO(), io.StringIO()
    code: int | None = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            with _limited():
                main.main(list(words), prog_name="dist-epochs")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        except (Exception, TooLongError):
            return Outcome(None, out.getvalue(), traceback.format_exc(limit=-12))
    return Outcome(code, out.getvalue(), err.getvalue())


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError(f"more than {SECONDS:g} seconds")

    before = signal.signal(signal.SIGPROF, stop)
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + BYTES, limit[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_DATA, limit)

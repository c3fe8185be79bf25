"""The one kind of error a user can cause, and how an entry point prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["EXIT_DISAGREES", "EXIT_INPUT", "InputError", "exit_on_input_error"]

EXIT_DISAGREES = 1
"""Exit code when the numbers do not add up."""
EXIT_INPUT = 2
"""Exit code when the input is wrong."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message has four parts: what was asked, the rule with its numbers, the consequence, and the
    nearest fixes. Messages about files start with `path:line`.
    """


@contextmanager
def exit_on_input_error(*, speaks: bool = True) -> Iterator[None]:
    """Turn an `InputError` (or an operating-system error, such as a full disk) into exit code 2.

    Args:
        speaks: Whether this process prints the message; in a multi-rank run only rank 0 does.
    """
    try:
        yield
    except InputError as error:
        message = str(error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        message = f"{place}{error.strerror or error}"
    else:
        return
    if speaks:
        print(f"error: {message}", file=sys.stderr)
    raise SystemExit(EXIT_INPUT)

"""The one kind of error a user can cause, and how an entry point prints it."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["EXIT_DISAGREES", "EXIT_INPUT", "InputError", "exit_on_input_error", "nearest"]

TRAIN_EXTRA = ("accelerate", "datasets", "numpy", "tokenizers", "torch", "tqdm", "transformers", "wandb")

PATIENCE = 15.0
"""Seconds that silent ranks stay: a launcher ends all ranks when the first exits, and rank 0 must speak first."""

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
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN_EXTRA:
            raise
        message = f"this needs {error.name}, which is not installed: pip install 'dist-epochs[train]'"
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        message = f"{place}{error.strerror or error}"
    else:
        return
    if speaks:
        print(f"error: {message}", file=sys.stderr, flush=True)
    else:
        time.sleep(PATIENCE)
    raise SystemExit(EXIT_INPUT)


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    candidates = list(words)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(candidates)}" if candidates else ""

r"""The one way in which text reaches a terminal or a pipe.

Text from files and flags may hold control characters: a title could clear the screen, or colour it. They are shown as
`\x1b` and never sent. What the other end cannot encode becomes a replacement character, and an end that closed the
pipe has seen enough.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from dist_epochs.errors import EXIT_INPUT, PATIENCE, as_input_error, error_json, error_text

__all__ = [
    "clear_screen",
    "exit_on_input_error",
    "forget_output",
    "replace_unknown_characters",
    "show",
    "visible",
    "visible_json",
]

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters but for tabs and line ends, what turns the direction of text around, and halves of characters."""


_COLOURS = (
    (31, re.compile(r"^(?:error:|INCONSISTENT\b)", re.MULTILINE)),
    (33, re.compile(r"^(?:warning\b|CONSISTENT ONLY IF\b|UNDERDETERMINED\b)", re.MULTILINE)),
    (32, re.compile(r"^(?:CONSISTENT(?! ONLY IF)\b|plan = ledger in every unit$)", re.MULTILINE)),
    (2, re.compile(r"^note\b", re.MULTILINE)),
)
"""What a line begins with, and the SGR code that it is shown in: red, yellow, green, faint."""


def _takes_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and nobody said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(text: str) -> str:
    """Text with the words that it is scanned for in colour; the words stay, for who sees no colour."""
    for code, pattern in _COLOURS:
        text = pattern.sub(f"\x1b[{code}m\\g<0>\x1b[0m", text)
    return text


def visible(text: str) -> str:
    r"""Text whose control characters are written out.

    Examples:
        >>> print(visible("\x1b[2JA card\n\u202eB"))
        \x1b[2JA card
        \u202eB
    """
    return _UNSEEN.sub(_written_out, text)


def visible_json(text: str) -> str:
    r"""The same for a text of JSON, which stays JSON with the same content.

    Examples:
        >>> print(visible_json('{"title": "\x9b2J"}'))
        {"title": "\u009b2J"}
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clear_screen() -> None:
    """Empty the terminal, so that what is shown next stands at its top."""
    sys.stdout.write("\x1b[H\x1b[2J")


def show(text: str, *, err: bool = False, as_json: bool = False) -> None:
    """Print text and a line end to standard output, or to standard error.

    Args:
        text: The text, of which nothing can change the state of a terminal.
        err: Whether it goes to standard error, where a reader that is gone is no reason to stop.
        as_json: Whether the text is JSON.

    Raises:
        BrokenPipeError: If nobody reads standard output any more.
        OSError: If it cannot be written, as on a full disk.
    """
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if stream is None:
        return
    replace_unknown_characters(stream)
    try:
        shown = (visible_json if as_json else visible)(text)
        stream.write((_coloured(shown) if _takes_colour(stream) and not as_json else shown) + "\n")
        stream.flush()
    except BrokenPipeError:
        if not err:
            raise
        forget_output(stream)


def replace_unknown_characters(stream: TextIO | None) -> None:
    """Let a stream write a replacement character for what its encoding lacks, as in a C locale or on cp949."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors != "replace":
        stream.reconfigure(errors="replace")


def forget_output(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, so that the end of the program does not try again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


@contextmanager
def exit_on_input_error(*, speaks: bool = True, late: str = "", as_json: bool = False) -> Iterator[None]:
    """Turn an `InputError` (or an operating-system error, such as a full disk) into exit code 2.

    Args:
        speaks: Whether this process prints the message; in a multi-rank run only rank 0 does.
        late: Where this process runs, if it prints the message after all: later, since rank 0 may not have the error.
        as_json: Whether it is printed as an object.
    """
    try:
        yield
        return
    except Exception as error:
        recognized = as_input_error(error)
        if recognized is None:
            raise
        found = recognized
    if speaks:
        text = json.dumps(error_json(found), ensure_ascii=False, indent=1) if as_json else error_text(found)
        show(text, err=True, as_json=as_json)
    else:
        time.sleep(PATIENCE)
        if late:
            show(error_text(found.but(consequence=f"on {late}")), err=True)
    raise SystemExit(EXIT_INPUT)

"""The one kind of error that a user can cause: its parts as fields, and the one way in which it is printed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

__all__ = [
    "EXIT_DISAGREES",
    "EXIT_INPUT",
    "InputError",
    "Origin",
    "as_input_error",
    "close_matches",
    "error_json",
    "error_text",
    "nearest",
]

TRAIN_EXTRA = (
    "accelerate",
    "datasets",
    "fsspec",
    "numpy",
    "pyarrow",
    "tokenizers",
    "torch",
    "tqdm",
    "transformers",
    "wandb",
)

PATIENCE = 15.0
"""Seconds that silent ranks stay: a launcher ends all ranks when the first exits, and rank 0 must speak first."""

EXIT_DISAGREES = 1
"""Exit code when the numbers do not add up."""
EXIT_INPUT = 2
"""Exit code when the input is wrong."""

NARROWEST, WIDEST = 40, 100
"""Columns of an error on a terminal."""
UNBOUNDED = 10**9


@dataclass(frozen=True, order=True, slots=True)
class Origin:
    """Where something was stated.

    Attributes:
        name: The file, or the flag.
        line: The line of a file, from 1; None for flags and whole files.
        column: The column, from 1, where it helps.

    Examples:
        >>> str(Origin("r.yaml", 3)), str(Origin("--devices"))
        ('r.yaml:3', '--devices')
    """

    name: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.name, self.line, self.column) if part is not None)

    @property
    def order(self) -> tuple[str, int, int]:
        """By file, then by line."""
        return self.name, self.line or 0, self.column or 0


class InputError(ValueError):
    """Something the user gave cannot be used.

    Code that handles an error looks at its fields; `str` joins them to one paragraph for people.

    Args:
        asked: What was asked and cannot be done, in a few words: the first line.
        rule: The rule it breaks, with its numbers.
        consequence: What would come of it, or did, where a reader could fear something.
        fixes: What to do instead, the nearest first.
        origin: Where it was stated, as `path:line` or a flag.

    Examples:
        >>> print(InputError("batch 64 cannot be built on 6 devices", rule="6 × k = 60, 66", fixes=["60", "66"]))
        batch 64 cannot be built on 6 devices: 6 × k = 60, 66. Try 60, or 66.
    """

    def __init__(
        self,
        asked: str,
        *,
        rule: str = "",
        consequence: str = "",
        fixes: Iterable[str] | str = (),
        origin: Origin | None = None,
    ) -> None:
        super().__init__(asked)
        self.asked = asked
        self.rule = rule
        self.consequence = consequence
        self.fixes: tuple[str, ...] = (fixes,) if isinstance(fixes, str) else tuple(fixes)
        self.origin = origin
        self._several: tuple[InputError, ...] = ()

    @property
    def errors(self) -> tuple[InputError, ...]:
        """The single errors: this one, or those that were put together."""
        return self._several or (self,)

    @classmethod
    def together(cls, errors: Iterable[InputError]) -> InputError:
        """Several errors as one, by file and line, each once."""
        each = {str(inner): inner for error in errors for inner in error.errors}
        made = cls("")
        made._several = tuple(sorted(each.values(), key=lambda error: (error.origin or Origin("")).order))
        return made if len(made._several) > 1 else made._several[0]

    @property
    def parts(self) -> dict[str, Any]:
        """The arguments that make this error again; of several errors, those of none."""
        return {name: getattr(self, name) for name in ("asked", "rule", "consequence", "fixes", "origin")}

    def but(self, **parts: Any) -> Self:
        """The same error with some of its parts changed."""
        return type(self)(**self.parts | parts)

    def __str__(self) -> str:
        if self._several:
            return "\n".join(map(str, self._several))
        place = f"{self.origin}: " if self.origin else ""
        text = f"{place}{self.asked}"
        if self.rule:
            text += f"{' ' if text.endswith(CLOSED) else ': '}{self.rule}"
        if self.consequence:
            text = f"{_closed(text)} {self.consequence[:1].upper()}{self.consequence[1:]}"
        if self.fixes:
            text = f"{_closed(text)} Try {', or '.join(self.fixes)}."
        return text


CLOSED = (".", "?", "!", ":", "…")


def _closed(text: str) -> str:
    """A text as a sentence that has ended."""
    return text if text.endswith(CLOSED) else f"{text}."


def error_text(error: InputError, width: int | None = None) -> str:
    """An error as it is printed: what is wrong, then rule, consequence and fixes on lines of their own.

    Args:
        error: The error.
        width: Columns to wrap to. Without it those of the terminal; a file or a pipe gets each part on one line.
    """
    if width is None:
        columns = shutil.get_terminal_size().columns
        width = min(max(columns, NARROWEST), WIDEST) if sys.stderr is not None and sys.stderr.isatty() else UNBOUNDED
    lines = []
    for each in error.errors:
        place = f"{each.origin}: " if each.origin else ""
        lines += _wrapped(f"error: {place}{each.asked}", "", width)
        for part in (each.rule, each.consequence):
            lines += _wrapped(part, "  ", width)
        for fix in each.fixes:
            lines += _wrapped(f"  try {fix}", "", width)
    return "\n".join(lines)


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    """Lines of a text, continued two columns further in."""
    return [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(
            indent + paragraph if paragraph.strip() else "",
            width,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def error_json(error: InputError) -> dict[str, Any]:
    """An error as an object, for `--json`."""
    return {
        "errors": [
            {
                "place": str(each.origin) if each.origin else None,
                **{name: part for name, part in each.parts.items() if name != "origin"},
            }
            for each in error.errors
        ]
    }


def as_input_error(error: Exception) -> InputError | None:
    """An error as one of the input: also a missing package, or the operating system's, such as a full disk.

    Returns:
        The error, or None where it is another one.
    """
    if isinstance(error, InputError):
        return error
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in TRAIN_EXTRA:
        return InputError(f"this needs {error.name}, which is not installed", fixes="pip install 'dist-epochs[train]'")
    if isinstance(error, OSError):
        origin = Origin(str(error.filename)) if error.filename else None
        return InputError(error.strerror or str(error), origin=origin)
    return None


def close_matches(word: str, words: Iterable[str], most: int = 1, likeness: float = 0.6) -> list[str]:
    """Known words that a mistyped one may stand for, the nearest first.

    Args:
        word: The mistyped word.
        words: Those that are known.
        most: How many at most.
        likeness: How alike they must be: 0 for anything, 1 for the same.
    """
    import difflib  # only where something is mistyped: commands start without it

    return difflib.get_close_matches(word, list(words), n=most, cutoff=likeness)


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    candidates = list(words)
    close = close_matches(word, candidates)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(candidates)}" if candidates else ""

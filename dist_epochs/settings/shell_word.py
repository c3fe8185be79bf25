"""A word of a shell script, of which a part may be known to the running shell only."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MARKS", "Word", "joined_words", "split_word", "unknown_word"]

_FROM, _TO = "\ue000", "\ue001"
"""Marks around what is unknown: characters that stand in no text."""
MARKS = (_FROM, _TO)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command.

    Attributes:
        marked: Its text, with variables replaced, and with marks around what is unknown.
        line: The line of the script on which it stands, from 1.
        defaults: Variables whose default (`${NAME:-4}`) was taken.
    """

    marked: str
    line: int
    defaults: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its text; of what is unknown as it stands in the script."""
        return self.marked.replace(_FROM, "").replace(_TO, "")

    @property
    def is_known(self) -> bool:
        """Whether all of it is known."""
        return _FROM not in self.marked

    @property
    def may_be_several(self) -> bool:
        """Whether it is one unknown value, which may be any number of words."""
        return self.marked.startswith(_FROM) and self.marked.endswith(_TO) and self.marked.count(_FROM) == 1


def split_word(text: str) -> list[str]:
    """A text at its spaces, not in what is unknown; one at an end leaves an empty part, as it ends the word before.

    Examples:
        >>> split_word("a b "), split_word("")
        (['a', 'b', ''], [''])
    """
    return re.split(rf"[ \t\n]+(?![^{_FROM}]*{_TO})", text)


def unknown_word(text: str, line: int) -> Word:
    """A word that only the running shell knows, as it stands in the script."""
    return Word(f"{_FROM}{text}{_TO}", line)


def joined_words(words: list[Word], line: int) -> Word:
    """Parts of one word, put together."""
    defaults = tuple(name for word in words for name in word.defaults)
    return Word("".join(word.marked for word in words), line, defaults)

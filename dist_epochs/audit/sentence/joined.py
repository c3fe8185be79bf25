r"""A text as it was meant: words and numbers that a PDF or LaTeX broke are joined, each character knows its place.

Every change is one piece for another, and what stands in the new text keeps the place of what it was made of, so a
span in the text that is read is a span in the text that was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Joined", "join"]


@dataclass(frozen=True, slots=True)
class Joined:
    """A text to read, and where its characters stood.

    Attributes:
        text: What is read.
        given: What was given.
        starts: Of each character of `text`, where it starts in `given`.
        ends: And where it ends there.
    """

    text: str
    given: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The span in the text that was given of a span in the text that is read, which is not empty."""
        return self.starts[start], self.ends[end - 1]


_CHARACTERS = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if code != 0xFF0C},
    **{ord(sign): " " for sign in "\t\x0b\x0c\u00a0\u2007\u3000`\u2002\u2003\u2004\u2005\u2006\u2008\u205f"},
    **{ord(sign): "-" for sign in "\u2010\u2011\u2012\u2013\u2014\u2212"},
    **{ord(sign): "~" for sign in "≈∼〜≃≅"},
    **{ord(sign): "×" for sign in "✕⨯╳"},
    **{ord(sign): "'" for sign in "’‘"},
}
"""Signs of one character that are read as another."""

_LATEX: tuple[tuple[str, str], ...] = (
    (r"\\(?:times|cdot)(?![A-Za-z])", "×"),
    (r"\\(?:approx|sim|simeq)(?![A-Za-z])", "~"),
    (r"\\(?:text|textbf|textit|mathrm|emph|mathbf)\{([^{}]*)\}", r"\1"),
    (r"(?<=\d)\{,\}(?=\d)", ","),
    (r"(?<=\d)\\[,;:! ](?=\d{3}(?!\d))", ","),
    (r"\\([%$#&_])", r"\1"),
    (r"\\[,;:! ]", " "),
    (r"\^\{(\d+)\}", r"^\1"),
    (r"\$(?=\S)([^$\n]{1,60}?)(?<=\S)\$", r"\1"),
)
"""Mathematics in LaTeX, and what it says."""

_BROKEN: tuple[tuple[str, str], ...] = (
    ("[\u200b\u2060\ufeff\u00ad\u200c\u200d]", ""),
    (r"\r\n?", "\n"),
    (r"(?<=[^\W\d_])-[ ]*\n[ ]*(?=[a-zß-ÿ])", ""),
    (r"(?<=\d),-?[ ]*\n[ ]*(?=\d{3}(?!\d))", ","),
    (r"(?<![*\d])\*\*(?=\S)|(?<=\S)\*\*(?!\d)", ""),
)
"""Words and numbers that go on in the next line, characters that nobody sees, and bold type."""

_SPACES = ((r"[\u2009\u202f](?=\d{3}(?!\d))(?<=\d[\u2009\u202f])", ","), (r"[\u2009\u202f]", " "))


def join(given: str) -> Joined:
    r"""A text with its words and numbers in one piece.

    Examples:
        >>> joined = join("252 bil-\nlion to-\nkens")
        >>> joined.text, joined.place(4, 11)
        ('252 billion tokens', (4, 13))
        >>> join(r"$500k$ steps, $10^{5}$ of $10{,}000$").text
        '500k steps, 10^5 of 10,000'
    """
    text, starts, ends = given, tuple(range(len(given))), tuple(range(1, len(given) + 1))
    joined = Joined(text.translate(_CHARACTERS), given, starts, ends)
    for pattern, new in (*_BROKEN, *_SPACES, *(_LATEX if "$" in given or "\\" in given else ())):
        joined = _replaced(joined, re.compile(pattern), new)
    return joined


def _replaced(joined: Joined, pattern: re.Pattern[str], new: str) -> Joined:
    """A text with every match replaced; of a group that is kept, each character keeps its place."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    last = 0
    for match in pattern.finditer(joined.text):
        pieces.append(joined.text[last : match.start()])
        starts += joined.starts[last : match.start()]
        ends += joined.ends[last : match.start()]
        made = match.expand(new)
        pieces.append(made)
        for start, end in _places(joined, match, made):
            starts.append(start)
            ends.append(end)
        last = match.end()
    if not pieces:
        return joined
    pieces.append(joined.text[last:])
    starts += joined.starts[last:]
    ends += joined.ends[last:]
    return Joined("".join(pieces), joined.given, tuple(starts), tuple(ends))


def _places(joined: Joined, match: re.Match[str], made: str) -> Iterator[tuple[int, int]]:
    """Where each character of what was made comes from: from its own in the group, or from the whole match."""
    whole = joined.starts[match.start()], joined.ends[match.end() - 1]
    kept = match[1] if match.re.groups else ""
    at = made.rfind(kept) if kept else len(made)
    for index in range(len(made)):
        if kept and at <= index < at + len(kept):
            place = match.start(1) + index - at
            yield joined.starts[place], joined.ends[place]
        else:
            yield whole

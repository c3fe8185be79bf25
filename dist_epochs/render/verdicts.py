"""How verdicts are said in colour, and a text in pieces by its facts: for the page and for reports, from JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["marked_pieces", "said_verdict"]

VERDICTS: Mapping[str, tuple[str, str]] = {
    "consistent": ("Consistent", "good"),
    "consistent-with-rounding": ("Consistent within the digits that are printed", "good"),
    "consistent-only-if": ("Consistent only if", "between"),
    "inconsistent": ("Inconsistent", "poor"),
    "underdetermined": ("Underdetermined", "plain"),
}
"""How each verdict is written, and the kind of its colour."""


def said_verdict(data: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict of an audit with its condition, and the kind of its colour: good, between, poor or plain.

    Args:
        data: The object of `dist-epochs audit --json`.

    Examples:
        >>> said_verdict({"verdict": "consistent-only-if", "only_if": "a word is one token"})
        ('Consistent only if a word is one token', 'between')
    """
    said, kind = VERDICTS[data["verdict"]]
    return (f"{said} {data['only_if']}" if data["only_if"] else said), kind


def marked_pieces(text: str, facts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """The text in pieces, each with the role of its number, or None; spans count Python's characters.

    Examples:
        >>> list(marked_pieces("40 epochs.", [{"span": [0, 9], "role": "epochs"}]))
        [('', None), ('40 epochs', 'epochs'), ('.', None)]
    """
    at = 0
    for fact in sorted(facts, key=lambda fact: fact["span"][0]):
        begin, end = fact["span"]
        if begin >= at:
            yield text[at:begin], None
            yield text[begin:end], fact["role"].replace("_", " ")
            at = end
    yield text[at:], None

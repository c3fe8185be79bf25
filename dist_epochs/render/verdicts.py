"""How verdicts are said, everywhere; and a text in pieces by its facts, for the page and for reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dist_epochs.audit.check import Verdict
from dist_epochs.names import in_words

__all__ = ["marked_pieces", "name_of", "said_verdict", "word_of"]

TONES: Mapping[Verdict, str] = {
    Verdict.CONSISTENT: "good",
    Verdict.WITH_ROUNDING: "good",
    Verdict.ONLY_IF: "between",
    Verdict.INCONSISTENT: "poor",
    Verdict.UNDERDETERMINED: "plain",
}
"""The kind of each verdict's colour."""


def name_of(verdict: Verdict) -> str:
    """A verdict by itself, as a heading.

    Examples:
        >>> name_of(Verdict.WITH_ROUNDING), name_of(Verdict.ONLY_IF)
        ('consistent with rounding', 'consistent only if')
    """
    return verdict.replace("-", " ")


def word_of(verdict: Verdict) -> str:
    """A verdict as the beginning of a sentence, which goes on with its condition, or with how well the digits fit."""
    return name_of(Verdict.CONSISTENT if verdict is Verdict.WITH_ROUNDING else verdict)


def said_verdict(data: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict of an audit with its condition, and the kind of its colour: good, between, poor or plain.

    Args:
        data: The object of `dist-epochs audit --json`.

    Examples:
        >>> said_verdict({"verdict": "consistent-only-if", "only_if": "a word is one token"})
        ('Consistent only if a word is one token', 'between')
    """
    verdict = Verdict(data["verdict"])
    rest = "within the digits that are printed" if verdict is Verdict.WITH_ROUNDING else data["only_if"] or ""
    return f"{word_of(verdict).capitalize()} {rest}".rstrip(), TONES[verdict]


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
            yield text[begin:end], in_words(fact["role"])
            at = end
    yield text[at:], None

"""Where a number stands: its clause, what is before and after it, and whether it belongs to a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dist_epochs.audit.sentence.lexicon import after_number, before_number, device_name
from dist_epochs.audit.sentence.numerals import Numeral

__all__ = ["Context", "Places", "contexts"]

_ABBREVIATIONS = (
    "e.g", "i.e", "ca", "approx", "vs", "et al", "Fig", "Tab", "Sec", "Eq", "resp", "Mio", "Mrd", "w", "incl", "excl",
    "max", "min",
)  # fmt: skip
_NO_ABBREVIATION = "".join(rf"(?<!\b{re.escape(each)})" for each in _ABBREVIATIONS)
_BOUNDARY = re.compile(
    rf"{_NO_ABBREVIATION}[.!?](?=\s|$)|[。！？；;]|\n\s*(?:[•·▪*+-]|\d{{1,2}}[.)])\s+|\n\s*\n| [-•] (?=[A-Z])"
    r"|\n(?=\||\s*[A-Za-z][\w /()-]{0,40}[:=])"
)
"""Ends of sentences and of list items."""

_NAME_BEFORE = re.compile(
    r"[A-Za-zΑ-Ωα-ω_#@]\Z|[A-Za-zΑ-Ωα-ω][-/._]\Z|[A-Za-z_]\d+[-/._]\Z|\d[./:]\Z|[A-Za-z]-[\w-]*-\Z"
)
_TIMES = re.compile(r"\d\s?x\Z")
_AFTER_NAME = re.compile(r"[A-Za-zΑ-Ωα-ω]|:\d|-[A-Za-z]|[-/]\d")

MOST_BEFORE = 160
MOST_AFTER = 120
"""Characters around a number that are looked at."""


@dataclass(frozen=True, slots=True)
class Context:
    """A number and what stands around it.

    Attributes:
        numeral: The number.
        clause: The number of its clause.
        sentence: The clause.
        before: Its clause up to the number.
        near: What stands between the number before, in the same clause, and this one.
        after: Its clause after the number.
        noun: The noun after it, if there is one.
        key: The key before it, if there is one.
        is_name: Whether its digits belong to a name, a date or a time.
    """

    numeral: Numeral
    clause: int
    sentence: str
    before: str
    near: str
    after: str
    noun: re.Match[str] | None
    key: re.Match[str] | None
    is_name: bool

    def since(self, used: int) -> Context:
        """The same number where its text up to a place, of `near`, belongs to the number before it."""
        near = self.near[max(used, 0) :]
        return replace(self, near=near, key=before_number().search(near))

    @property
    def category(self) -> str:
        """The category of the noun after it, or nothing."""
        return (self.noun.lastgroup or "") if self.noun is not None else ""

    @property
    def key_name(self) -> str:
        """The category of the key before it, or nothing."""
        if self.key is None:
            return ""
        return next((name for name, found in self.key.groupdict().items() if found is not None and name != "link"), "")

    @property
    def tail(self) -> str:
        """What follows the noun, or the number."""
        return self.after[self.noun.end() :] if self.noun is not None else self.after

    @property
    def modifiers(self) -> str:
        """The words between the number and its noun."""
        return self.noun["modifiers"] or "" if self.noun is not None else ""


@dataclass(frozen=True, slots=True)
class Places:
    """The clauses of a text: where each starts and ends."""

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> Places:
        """Split a joined text."""
        spans, last = [], 0
        for match in _BOUNDARY.finditer(text):
            spans.append((last, match.end()))
            last = match.end()
        spans.append((last, len(text)))
        return cls(tuple(spans))

    def index(self, place: int) -> int:
        """The number of the clause that a place is in."""
        from bisect import bisect_right

        return bisect_right([start for start, _ in self.spans], place) - 1


def contexts(text: str, found: Sequence[Numeral], places: Places) -> list[Context]:
    """The context of each number."""
    made: list[Context] = []
    starts = [start for start, _ in places.spans]
    from bisect import bisect_right

    for at, numeral in enumerate(found):
        clause = bisect_right(starts, numeral.first) - 1
        first, last = places.spans[clause]
        previous = found[at - 1].end if at else 0
        following = found[at + 1].start if at + 1 < len(found) else len(text)
        before = text[max(first, numeral.start - MOST_BEFORE) : numeral.start]
        near = (
            text[max(first, previous, numeral.start - MOST_BEFORE) : numeral.start] if previous <= numeral.start else ""
        )
        after = text[numeral.end : min(last, numeral.end + MOST_AFTER)]
        until = _until_next(found, at, text, last)
        noun = after_number().match(text, numeral.end, until)
        if noun is not None and noun["modifiers"] and re.search(r"\n\n", noun[0]):
            noun = None
        noun = after_number().match(after) if noun is not None else None
        if noun is not None and noun.end() > until - numeral.end:
            noun = None
        key = before_number().search(near)
        made.append(
            Context(
                numeral, clause, text[first:last], before, near, after, noun, key,
                _is_name(text, numeral, noun) or (following < numeral.end),
            )
        )  # fmt: skip
    return made


def _until_next(found: Sequence[Numeral], at: int, text: str, last: int) -> int:
    """How far a noun may go: to the next number that is no part of a device's name."""
    end = found[at].end
    for other in found[at + 1 : at + 6]:
        start = other.first
        while start > end and re.match(r"[\w-]", text[start - 1]) and text[start - 1].isascii():
            start -= 1
        if re.match(r"[xX×]\s?[A-Z]", text[start : start + 3]):
            start += 1
        is_memory = re.match(r"\d+\s?GB?\b", text[other.first : other.first + 8]) is not None
        word = text.rfind(" ", 0, max(start - 1, 0)) + 1  # TPU v3
        is_named = re.fullmatch(r"[A-Z]\w*-", text[start : other.first]) is not None  # 2 SA-1B epochs
        if not (is_memory or is_named or device_name(text, start) or (word > end and device_name(text, word))):
            return min(other.start, last)
    return last


_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|"
    r"Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|"
    r"Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember|janvier|février|"
    r"mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre)\.?"
)
_DATE_BEFORE = re.compile(rf"{_MONTH}\s*$|{_MONTH}\s\d{{1,2}},?\s*$|[年月]\s*$|년\s*$|월\s*$")
_DATE_AFTER = re.compile(
    rf"\s*年|\s*(?:年|月)\s*\d|\s*月(?!\d)|\s*[日号](?!间)|\s*년|\s*월|\.?\s*{_MONTH}(?!\w)|\s?(?:am|pm)\b|:\d\d"
)
_REFERENCE_BEFORE = re.compile(
    r"(?i)(?:\b(?:tables?|tab\.|figures?|fig\.|sections?|sec\.|§|eq\.|"
    r"equations?|appendix|chapter|page|p\.|pp\.|line|version|ref\.|arxiv:?|"
    r"stage|phase|étape|Stufe|Phase|step|part|run|experiment|seed|layer|"
    r"epoch|day|week|hour|iteration|item|no\.)\s*|\[)$"
)
_REFERENCE_AFTER = re.compile(r"\s*[\],](?:\s*\d+\s*[\],])*")
_ORDINAL_AFTER = re.compile(r"(?:st|nd|rd|th)\b|단계|번째|\s*(?:层|層|层|층)")


def _is_name(text: str, numeral: Numeral, noun: re.Match[str] | None) -> bool:
    """Whether the digits of a number are part of a name, a date, a time or a reference."""
    head = text[max(0, numeral.first - 24) : numeral.first]
    rest = text[numeral.end : numeral.end + 24]
    if numeral.is_word:
        return False
    if _NAME_BEFORE.search(head) and not _TIMES.search(head) and not re.search(r"(?:^|[\s(])[x×]$", head):
        return not re.search(r"[A-Za-z]{2,}-$", head) or noun is None or re.search(r"[A-Z]\w*-$", head) is not None
    if noun is None and _AFTER_NAME.match(rest) and not re.match(r"[x×]\s?\d|-\s|/(?:GPU|device|step)", rest):
        return True
    if _DATE_AFTER.match(rest) and noun is None:
        return True
    if re.match(r"\s*[年月日](?!间|間)", rest) or _ORDINAL_AFTER.match(rest):
        return True
    if _DATE_BEFORE.search(head) and noun is None:
        return True
    if _REFERENCE_BEFORE.search(head) and (noun is None or noun["modifiers"] != ""):
        return True
    return bool(head.endswith("[") and _REFERENCE_AFTER.match(rest) and rest.lstrip()[:1] in "],")

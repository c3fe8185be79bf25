"""Numbers in running text: where they stand, what the number parser makes of them, and how exactly they are meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from dist_epochs.arithmetic.quantity import Quantity, parse
from dist_epochs.arithmetic.spelling import SCALE
from dist_epochs.errors import InputError

__all__ = ["ABOUT", "LESS", "MORE", "Numeral", "numerals"]

ABOUT, MORE, LESS = "about", "more than", "less than"

BEFORE: Mapping[str, str] = {
    ABOUT: r"~\s*=|=~|~|about|around|approximately|approx\.?|roughly|circa|ca\.|c\.|nearly|almost|close to|some(?= \d)"
    r"|on the order of|大约|大約|约为|约|約|およそ|ほぼ|약|대략|ungefähr|etwa|rund|zirka"
    r"|environ|quelque|à peu près|près de",
    MORE: r"(?:just |a little |slightly |well )?(?:more than|over|above|exceeding|"
    r"exceeds|in excess of)|at least|no fewer than"
    r"|no less than|(?<!\w)>=?|≥|超过|超過|至少|超えて|최소|mehr als|mindestens|über|plus de|au moins",
    LESS: r"(?:just |a little |slightly |well )?(?:less than|fewer than|under|"
    r"below)|at most|(?<!warmed )(?<!warming )(?<!ramped )(?<!ramping )(?<!scaled )(?<!stepped )up to|"
    r"no more than|(?<!\w)<=?|≤"
    r"|不到|至多|最多|최대|weniger als|höchstens|bis zu|knapp|moins de|au plus|jusqu'à",
}
"""Words before a number that say how exactly it is meant."""

AFTER: Mapping[str, str] = {MORE: r"余り?|多(?=[个万亿])|以上|이상|강|\+(?!\s*\d)", LESS: r"以下|未満|이하|미만"}
"""And after it."""

_WORDS: Mapping[str, str] = {
    "half a": "0.5",
    "a": "1",
    "an": "1",
    "single": "1",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "sixteen": "16",
    "twenty": "20",
    "thirty": "30",
    "thirty-two": "32",
    "forty": "40",
    "fifty": "50",
    "sixty-four": "64",
    "zwei": "2",
    "drei": "3",
    "vier": "4",
    "acht": "8",
    "zehn": "10",
    "deux": "2",
    "trois": "3",
    "quatre": "4",
    "huit": "8",
    "dix": "10",
}
"""Numbers that are written as words, before a scale or a noun of the field."""

_SCALES = r"thousand|million|billion|trillion"
_FOREIGN: Mapping[str, str] = {
    "tausend": "thousand",
    "mille": "thousand",
    "millionen": "million",
    "million": "million",
    "mio.": "million",
    "milliarden": "billion",
    "milliarde": "billion",
    "mrd.": "billion",
    "billionen": "trillion",
    "millions": "million",
    "milliards": "billion",
    "milliard": "billion",
    "billions": "billion",
}
"""Scales of German and French, which count a milliard where English has a billion."""

_DIGITS = (
    r"\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?|\d{1,3}(?:\.\d{3}){2,}(?!\d)|"
    r"\d+(?:_\d{3})+|\d+(?:[.,]\d+)?|\.\d+"
)
_POWER = (
    r"(?:\s?[x×*·]\s?10\s?(?:\*\*|\^)\s?\d+|[eE][+-]?\d+(?!\w)|\s?[x×]\s?10[⁰¹²³⁴⁵⁶⁷⁸⁹]+|"
    r"(?<=[^\d.,]2)[⁰¹²³⁴⁵⁶⁷⁸⁹]+|(?<=^2)[⁰¹²³⁴⁵⁶⁷⁸⁹]+|(?<=[^\d.,]10)[⁰¹²³⁴⁵⁶⁷⁸⁹]+|"
    r"(?:\*\*|\^)\d+)"
)
_FOREIGN_SCALE = "|".join(re.escape(word) for word in sorted(_FOREIGN, key=len, reverse=True))
_SPACED = r"\d{1,3}(?: \d{3})+(?![\d.,])|[1-9]\d{0,2}(?:\.\d{3})+(?![\d.,]\d)"
"""Thousands set apart by spaces, as in French, or by points, as in German."""
_FOREIGN_TEXT = re.compile(
    r"\b(?:und|auf|mit|einer|wird|wurde|das|der|avec|pendant|sur|les|sont|est|Schritten?|Epochen|époques|étapes)\b"
)
"""Words of German and French, whose thousands are set apart by points or spaces."""
_REST = (
    rf"(?P<power>{_POWER})?"
    rf"(?P<mark>(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
    rf"(?:(?P<gap>[ -]?|\n)(?P<scale>{SCALE}|(?i:{_FOREIGN_SCALE})(?![A-Za-z])))?(?P<percent>\s?%|\s?per ?cent\b)?"
)
_NUMBER = re.compile(rf"(?P<digits>{_DIGITS}){_REST}")
_WORD = re.compile(
    rf"(?<![\w-])(?P<word>{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?=[ \n])"
    rf"(?:[ \n](?P<scale>(?:{_SCALES})s?)\b)?",
    re.IGNORECASE,
)
_BOUND = {
    name: re.compile(rf"(?:(?<![A-Za-z])(?:{words}))\s*(?:of\s+)?$", re.IGNORECASE) for name, words in BEFORE.items()
}
_BOUND_AFTER = {name: re.compile(rf"\s*(?:{words})") for name, words in AFTER.items()}
_BEFORE_OVER = re.compile(
    r"(?i)(?:^|[(,:;]|\b(?:for|of|with|to|is|was|are|were|has|have|had|at|took|takes?|used?|uses|using|needs?|requires?"
    r"|contains?|comprises?|totall?ing|sees?|saw|consum\w+|process\w+|reach\w*|cost\w*|in|than|and|by|lasted|lasts"
    r"|gives?|makes?|made))\s*$"
)
"""Words after which `over` is a bound: `for over 3 epochs`, and not `40 epochs over 3.3B words`."""
_RANGE = re.compile(r"\s*(?:-|to|bis|à|~)\s*$")
_BETWEEN = re.compile(r"(?i)\bbetween\s*$")
_BATCH_BEFORE = re.compile(r"(?i)\bbatch(?:[- ]?sizes?)?(?:\s*[:=]|\s+of)?\s*$")
"""Before a batch that grows: `batch size 720 → 1080`. After other numbers an arrow shows what follows from them."""
_AND = re.compile(r"\s*(?:and|with|over|for|in|during)\b")
"""Words after a number that are no noun of it."""
LONGEST_BOUND = 40
"""Characters before a number in which a word for its tolerance is looked for."""


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number in a text.

    Attributes:
        start: Where it starts in the joined text, with the word for its tolerance.
        first: Where its digits start.
        end: Where it ends, scale and sign of per cent included.
        quantity: The number without a unit; of a range, the lower end.
        upper: The upper end of a range.
        bound: `ABOUT`, `MORE`, `LESS`, or nothing.
        is_word: Whether it is written as a word.
        is_percent: Whether it is a share in per cent.
        spelling: Its digits and scale as they stand in the text.
    """

    start: int
    first: int
    end: int
    quantity: Quantity
    spelling: str
    bound: str = ""
    upper: Quantity | None = None
    is_word: bool = False
    is_percent: bool = False

    @property
    def value(self) -> Fraction:
        """The number."""
        return self.quantity.value


def numerals(text: str, is_noun: Callable[[str, int], bool]) -> Iterator[Numeral]:
    """The numbers of a joined text, in order.

    Digits that belong to a name (`A100`, `GPT-3`) are found too; whoever reads roles leaves names out.

    Args:
        text: The joined text.
        is_noun: Whether what must stand behind a number that is written as a word without a scale is at a place.
    """
    found = sorted((*_digits(text), *_words(text, is_noun)), key=lambda numeral: numeral.first)
    at = 0
    while at < len(found):
        numeral = found[at]
        following = found[at + 1] if at + 1 < len(found) else None
        if following is not None and _is_range(text, numeral, following):
            yield Numeral(
                numeral.start,
                numeral.first,
                following.end,
                _in_scale(numeral, following),
                text[numeral.first : following.end],
                numeral.bound,
                following.quantity,
                is_percent=following.is_percent,
            )
            at += 2
            continue
        yield numeral
        at += 1


def _in_scale(lower: Numeral, upper: Numeral) -> Quantity:
    """The lower end of a range, in the scale of the upper one if it has none: `3-5M`."""
    scale = re.search(r"[^\d.,\s%]+\s*%?$", upper.spelling)
    if scale is None or re.search(r"[^\d.,]$", lower.spelling):
        return lower.quantity
    try:
        scaled = parse(f"{lower.spelling}{scale[0]}")
    except InputError:
        return lower.quantity
    return scaled if scaled.value <= upper.value else lower.quantity


def _is_range(text: str, lower: Numeral, upper: Numeral) -> bool:
    between = text[lower.end : upper.start]
    if re.fullmatch(r"\s+and\s+", between):
        return _BETWEEN.search(text[: lower.start]) is not None and lower.value < upper.value
    if re.fullmatch(r"\s*(?:→|-{1,2}>)\s*", between):
        is_bare = re.match(r"[\s-]*[A-Za-z]", text[upper.end : upper.end + 3]) is None or _AND.match(text, upper.end)
        return bool(_BATCH_BEFORE.search(text[: lower.start]) and lower.value < upper.value and is_bare)
    if not between or upper.is_word or lower.is_word or not _RANGE.fullmatch(between):
        return False
    if between.strip() in ("to", "bis", "à") and not re.search(
        r"(?i)\b(?:from|between|von|de)\s*$", text[: lower.start]
    ):
        return bool(re.match(r"[\s-]*[A-Za-z]", text[upper.end : upper.end + 3])) and lower.value < upper.value
    return lower.value < upper.value


def _digits(text: str) -> Iterator[Numeral]:
    is_foreign = _FOREIGN_TEXT.search(text) is not None
    pattern = _spaced_number() if is_foreign else _NUMBER
    for match in pattern.finditer(text):
        quantity = _read(match, is_foreign)
        if quantity is None:
            continue
        end = match.end()
        if match["mark"] and match["scale"] is None and not match["percent"]:
            end = match.start("mark")
        start, bound = _bound(text, match.start(), end)
        yield Numeral(
            start, match.start(), end, quantity, text[match.start() : end], bound, is_percent=bool(match["percent"])
        )


@cache
def _spaced_number() -> re.Pattern[str]:
    return re.compile(rf"(?P<digits>{_SPACED}|{_DIGITS}){_REST}")


def _read(match: re.Match[str], is_foreign: bool) -> Quantity | None:
    """What the number parser makes of a number; None for what it does not read."""
    digits, scale = match["digits"], match["scale"] or ""
    if scale in ("m", "b", "t") and match["gap"]:
        scale = ""
    power = match["power"] or ""
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+", digits) and (is_foreign or digits.count(".") > 1):
        digits = digits.replace(".", "")
    elif re.fullmatch(r"\d+,\d+", digits) and not re.fullmatch(r"\d{1,3},\d{3}", digits):
        digits = digits.replace(",", ".")
    try:
        return parse(
            f"{digits.replace(' ', '')}{power}{_FOREIGN.get(scale.lower(), scale)}{'%' if match['percent'] else ''}"
        )
    except InputError:
        return None


def _words(text: str, is_noun: Callable[[str, int], bool]) -> Iterator[Numeral]:
    for match in _WORD.finditer(text):
        word, scale = match["word"].lower(), match["scale"]
        is_article = word in ("a", "an", "half a")
        is_range = _BETWEEN.search(text[: match.start()]) and re.match(r"\s+and\s+", text[match.end() :])
        if scale is None and (is_article or not (is_range or is_noun(text, match.end()))):
            continue
        start, bound = _bound(text, match.start(), match.end())
        yield Numeral(
            start,
            match.start(),
            match.end(),
            parse(f"{_WORDS[word]} {scale or ''}".strip()),
            match[0],
            bound,
            is_word=True,
        )


def _bound(text: str, first: int, end: int) -> tuple[int, str]:
    """Where a number starts with the words for its tolerance, and what they say."""
    start, said = first, ""
    for _ in range(2):  # `roughly ~33`
        window = text[max(0, start - LONGEST_BOUND) : start]
        for name, pattern in _BOUND.items():
            match = pattern.search(window)
            if match is not None and not (
                match[0].lower().startswith("over") and not _BEFORE_OVER.search(window[: match.start()])
            ):
                start, said = start - len(window) + match.start(), said or name
                break
    after = next((name for name, pattern in _BOUND_AFTER.items() if pattern.match(text, end)), "")
    return start, said or after

"""How people spell numbers: scales, digits and signs of other scripts, and what to write for what is not read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dist_epochs.errors import InputError

__all__ = ["BINARY", "HEXADECIMAL", "SCALE", "QuantityError", "instead", "plain", "scale_of", "thousands_by_points"]


class QuantityError(InputError):
    """A number that cannot be read, or has the wrong unit."""


_HAN = {"": 1, "十": 10, "百": 10**2, "千": 10**3}
_HANGUL = {"": 1, "십": 10, "백": 10**2, "천": 10**3}
_EAST_ASIAN: Mapping[str, int] = {
    "百": 10**2, "千": 10**3, "백": 10**2, "천": 10**3, "万亿": 10**12, "萬億": 10**12,
    **{f"{tens}{scale}": ten * 10**4 for tens, ten in _HAN.items() for scale in "万萬"},
    **{f"{tens}{scale}": ten * 10**8 for tens, ten in _HAN.items() for scale in "亿億"},
    **{f"{tens}만": ten * 10**4 for tens, ten in _HANGUL.items()},
    **{f"{tens}억": ten * 10**8 for tens, ten in _HANGUL.items()},
    **{f"{tens}조": ten * 10**12 for tens, ten in _HANGUL.items()},
}  # fmt: skip
"""Chinese, Japanese and Korean scales. `兆` is missing: it is 10¹² in Japan and Taiwan, and 10⁶ in mainland China."""

_LETTERS: Mapping[str, int] = {"K": 10**3, "k": 10**3, "M": 10**6, "m": 10**6, "B": 10**9, "b": 10**9, "T": 10**12}
_WORDS: Mapping[str, int] = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "mn": 10**6, "mln": 10**6, "bn": 10**9, "bln": 10**9, "tn": 10**12, "trn": 10**12,
}  # fmt: skip
"""In any case, and in the plural."""

BINARY: Mapping[str, int] = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
"""Scales of whoever counts to the last unit, in any case: `1Mi tokens` are 1,048,576, and never some million."""

_LOWER_T = r"t(?=\s+(?!per\b|an?\b)[A-Za-z])"
"""`2t tokens` are trillions; a bare `2t` could be tokens, and is not read."""

SCALE = (
    rf"(?:{'|'.join(sorted(_EAST_ASIAN, key=len, reverse=True))}"
    rf"|(?i:(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})s?|{'|'.join(BINARY)})(?![A-Za-z])"
    rf"|(?:[{''.join(_LETTERS)}]|{_LOWER_T})(?![A-Za-z]))"
)
"""A pattern for what may follow a number."""


def scale_of(spelling: str) -> int:
    """The factor that a scale stands for; 1 for none.

    Examples:
        >>> scale_of("M"), scale_of("m"), scale_of("Ki"), scale_of("Billion"), scale_of("천만"), scale_of("")
        (1000000, 1000000, 1024, 1000000000, 10000000, 1)
    """
    if spelling in _EAST_ASIAN or spelling in _LETTERS:
        return _EAST_ASIAN.get(spelling) or _LETTERS[spelling]
    word = spelling.lower()
    return {**BINARY, **_WORDS, "t": 10**12}.get(word) or _WORDS.get(word.removesuffix("s"), 1)


_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SIGNS = {"≈": "~", "〜": "~", "∼": "~", "−": "-", "–": "-", "✕": "×", "⨯": "×", "\u2009": "\u202f", "\u00a0": "\u202f",
          "\u2007": "\u202f", "\u2008": "\u202f", "\u2006": "\u202f", "\u3000": " ",
          "\u200b": "", "\u2060": "", "\ufeff": ""}  # fmt: skip
_PLAIN = str.maketrans({**{chr(code): chr(ascii_code) for code, ascii_code in _WIDE.items()}, **_SIGNS})
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_POWER = re.compile(f"(?<=[0-9])[{_SUPERSCRIPTS}]+")
_GROUPED = re.compile(r"(?<![\d.,_])\d{1,3}(?:\u202f\d{3})+(?!\d)")
_SCIENTIFIC = re.compile(r"(?<![\d.,_])([1-9](?:\.\d+)?)\s*[xX×*]\s*10\*\*(\d+)")
_ABOUT = re.compile(r"^\s*[約约약]\s*(?=\d)")


def plain(text: str) -> str:
    r"""A spelling with the digits and signs that the number parser reads.

    Full-width and other decimal digits become ASCII; thin and no-break spaces between groups of three digits become
    commas; `2^20` and `2²⁰` become `2**20`, and `3×10⁸` becomes `3e8`.

    Examples:
        >>> plain("２５６×５１２"), plain("1\u202f000\u202f000"), plain("2^20"), plain("2.5×10⁸"), plain("約40")
        ('256×512', '1,000,000', '2**20', '2.5e8', '~40')
    """
    if not text.isascii():
        text = _ABOUT.sub("~", text.translate(_PLAIN))
        text = "".join(str(int(sign)) if sign.isdecimal() and not sign.isascii() else sign for sign in text)
        text = _POWER.sub(lambda match: f"**{''.join(str(_SUPERSCRIPTS.index(sign)) for sign in match[0])}", text)
        text = _GROUPED.sub(lambda match: match[0].replace("\u202f", ","), text).replace("\u202f", " ")
    return _SCIENTIFIC.sub(r"\1e\2", text.replace("^", "**")).strip()


HEXADECIMAL = re.compile(r"(?<![\d.,_])0[xX][0-9A-Fa-f]")

_USUAL = "numbers are written 1M, 3.3B words, 256x512, 2**16, 1/3 or 90%"
_NUMBER = r"\d[\d.,_]*"


def instead(spelling: str) -> tuple[str, tuple[str, ...]]:
    """Why a spelling is not read, and spellings that are.

    Examples:
        >>> instead("1.000.000"), instead("15t")[1]
        (('a point is before decimals, and thousands are set apart by commas', ('1,000,000',)), ('15T', "'15 tokens'"))
    """
    if HEXADECIMAL.search(spelling):
        return "it looks hexadecimal; write it with decimal digits", ()
    if spelling.startswith("-"):
        return "nothing here counts below zero", ()
    if match := re.search(rf"({_NUMBER})\s*(G|t|兆)(?![A-Za-z])", spelling):
        why, scales = _AMBIGUOUS[match[2]]
        return why, tuple(each.format(match[1]) for each in scales)
    about, rest = ("~", spelling[1:].strip()) if spelling.startswith("~") else ("", spelling)
    if match := re.fullmatch(r"(\d[\d.,_]*)\s*[xX×]?\s*[A-Z]{1,4}\d{2,4}[\w-]*", rest):
        return "it names a kind of device, and a plain number is asked", (match[1],)
    if match := re.fullmatch(rf"({_NUMBER}\s*{SCALE}?)\s*(?:-|to\b|…)\s*({_NUMBER}\s*{SCALE}?.*)", rest):
        return "a range is two numbers, and one is asked", (f"one of its ends, {_as_one_word(match[2].strip())}",)
    if match := _MILLIONS.match(rest):
        scale = "B" if match["billions"] else "M"
        said = f"{match['number'].replace(',', '.')}{scale} {rest[match.end() :].strip()}".strip()
        return f"{match['billions'] or match['millions']} is written {scale}", (_as_one_word(about + said),)
    digits = re.match(r"\d(?:[\d.,_'’ ]*\d)?", rest)
    if digits is not None:
        after = rest[digits.end() :]
        for pattern, why, write in _GROUPINGS:
            if re.fullmatch(pattern, digits[0]) and re.fullmatch(r"\s*[^\W\d_%]*%?(?: [^\W\d_]+)*", after):
                return why, (_as_one_word(f"{about}{write(digits[0])}{after}"),)
    if total := _sum_of_scales(rest):
        return "a number has one scale", (f"{total:,}",)
    return _USUAL, ()


def thousands_by_points(spelling: str) -> tuple[str, str] | None:
    """What `10.000` may mean, ten thousand and ten, each spelled so that nobody can doubt it; None for any other.

    Whoever writes ten to three decimals is rare, and whoever sets thousands apart by points is not: where things are
    counted, nothing tells the two apart. A scale says that the point is before decimals: `1.024M`.

    Examples:
        >>> thousands_by_points("10.000 steps"), thousands_by_points("1.280M"), thousands_by_points("0.125")
        (("'10,000 steps'", "'10 steps'"), None, None)
    """
    text = plain(spelling)
    match = re.match(rf"(~?\s*)([1-9]\d{{0,2}})\.(\d{{3}})(?![\d_eE*])(?!\s*(?:{SCALE}|%))", text)
    if match is None:
        return None
    about, whole, decimals = match.groups()
    few = whole if decimals == "000" else f"{whole}.{decimals}"
    after = text[match.end() :]
    return _as_one_word(f"{about}{whole},{decimals}{after}"), _as_one_word(f"{about}{few}{after}")


def _as_one_word(text: str) -> str:
    """As it is typed in a shell."""
    return f"'{text}'" if " " in text else text


def _sum_of_scales(text: str) -> int | None:
    """`3億5000万`, which is 350 million; None if it is not written so."""
    parts = [(int(match[1]), scale_of(match[2] or "")) for match in _PART.finditer(text)]
    scales = [scale for _, scale in parts]
    is_whole = re.fullmatch(rf"(?:{_PART.pattern}\s*)+", text) is not None
    if not is_whole or len(parts) < 2 or scales != sorted(set(scales), reverse=True):
        return None
    return sum(digits * scale for digits, scale in parts)


_PART = re.compile(rf"(\d+)\s*({'|'.join(sorted(_EAST_ASIAN, key=len, reverse=True))})?")

_MILLIONS = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)?)\s*"
    r"(?:(?P<billions>mrd|mia|milliard(?:en|s|i|o)?)|(?P<millions>mio|mill|million(?:en|s|i|e)?))\b\.?",
    re.IGNORECASE,
)
"""A million and a milliard, as other languages write them."""

_AMBIGUOUS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "G": ("for 10⁹ write B, for 2³⁰ write Gi", ("{0}B", "{0}Gi")),
    "t": ("t could be trillion or tokens", ("{0}T", "'{0} tokens'")),
    "兆": ("it is 10¹² in some languages and 10⁶ in others", ("{0}T", "{0}M")),
}

_GROUPINGS = (
    (
        r"\d{1,3}(?:\.\d{3}){2,}",
        "a point is before decimals, and thousands are set apart by commas",
        lambda text: text.replace(".", ","),
    ),
    (
        r"\d{1,3}(?:\.\d{3})*,\d{1,2}",
        "a comma sets thousands apart, and a point is before decimals",
        lambda text: text.replace(".", "").replace(",", "."),
    ),
    (r"\d{1,3}(?:[ '’]\d{3})+", "thousands are set apart by commas", lambda text: re.sub("[ '’]", ",", text)),
    (
        r"\d{1,2}(?:,\d{2})*,\d{3}",
        "commas stand before groups of three digits",
        lambda text: f"{int(text.replace(',', '')):,}",
    ),
)
"""Digits grouped as elsewhere: a pattern, why it is not read, and how the same number is written here."""

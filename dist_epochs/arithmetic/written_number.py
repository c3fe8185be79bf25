"""Numbers as they are written, without their unit: `3.3B`, `256x512`, `2**16`, `1/3`, with what rounds to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.spelling import BINARY, SCALE, QuantityError, scale_of

__all__ = ["LARGEST", "PRODUCT", "WrittenNumber", "written_number"]

LARGEST = 10**40
"""Beyond this a number is a typing error."""

LARGEST_EXPONENT = 400
"""What is checked before a power is computed."""

_DIGITS = r"\d+(?:_\d+)*"
_NUMBER = rf"(?:(?:\d{{1,3}}(?:,\d{{3}})+(?![\d,])|{_DIGITS})(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?\d+)?"
_LITERAL = rf"{_NUMBER}(?:\*\*\d+)?\s*(?:{SCALE}|%)?"
PRODUCT = rf"{_LITERAL}(?:\s*[xX×*/]\s*{_LITERAL})*"
"""A pattern for one number, or several that are multiplied or divided."""

_PIECE = re.compile(rf"(?P<sign>[xX×*/])?\s*(?P<number>{_NUMBER})(?:\*\*(?P<power>\d+))?\s*(?P<scale>{SCALE}|t|%)?")


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """What a product of numbers stands for.

    Attributes:
        number: The point as written, and both ends of what rounds to it.
        half: Half a unit of the last digit: what rounds to the point lies within it.
        factors: The factors of a product such as `256x512`, else the point alone.
        is_product: Whether it is written as several numbers, multiplied or divided.
    """

    number: Interval
    half: Fraction
    factors: tuple[Fraction, ...]
    is_product: bool


def written_number(product: str, *, is_about: bool, spelling: str, what: str) -> WrittenNumber:
    """Read what `PRODUCT` matches.

    Args:
        product: The text.
        is_about: Whether `~` stands before it.
        spelling: All of what was written, for messages.
        what: The name of the number, for messages.

    Raises:
        QuantityError: If it divides by zero, or is beyond anything that is counted.
    """
    pieces = [_piece(match, is_about, what) for match in _PIECE.finditer(product)]
    number = printed = Interval.exact(1)
    for piece in pieces:
        point, half, tolerance = piece.point, piece.half, piece.tolerance
        if piece.divides and not point:
            raise QuantityError(f"{what} {spelling!r} divides by zero")
        if piece.divides:
            number /= Interval.exact(point)
        else:
            printed *= Interval(point, point - half, point + half)
            number *= Interval(point, max(point - tolerance, Fraction(0)), point + tolerance)
    if any(piece.divides for piece in pieces):  # 1/3 is a ratio of exact numbers
        number = printed = number.exactly()
    if number.point > LARGEST or 0 < number.point < Fraction(1, LARGEST):
        raise QuantityError(f"{what} {spelling!r} is beyond anything this tool counts")
    factors = tuple(piece.point for piece in pieces if not piece.divides)
    return WrittenNumber(
        number=number,
        half=printed.high - printed.point,
        factors=factors if prod(factors) == number.point else (number.point,),
        is_product=len(pieces) > 1,
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """One number of a product.

    Attributes:
        divides: Whether it stands behind `/`.
        point: The number.
        half: Half a unit of its last digit.
        tolerance: What rounds to it lies within.
    """

    divides: bool
    point: Fraction
    half: Fraction
    tolerance: Fraction


def _piece(match: re.Match[str], is_about: bool, what: str) -> _Piece:
    digits = match["number"].replace("_", "").replace(",", "")
    mantissa, _, exponent = digits.lower().partition("e")
    power = int(match["power"] or 1)
    if abs(int(exponent or 0)) > LARGEST_EXPONENT or power > LARGEST_EXPONENT:
        raise QuantityError(f"{what} {match.group().strip()!r} is beyond anything this tool counts")
    decimals = len(mantissa.partition(".")[2])
    scale = Fraction(1, 100) if match["scale"] == "%" else Fraction(scale_of(match["scale"] or ""))
    number = Fraction(digits) ** power * scale
    is_exact = match["power"] is not None or ((match["scale"] or "").lower() in BINARY and not is_about)
    half = Fraction(0) if is_exact else Fraction(10) ** (int(exponent or 0) - decimals) * scale / 2
    is_wider = is_about and len(mantissa.replace(".", "").lstrip("0")) > 1
    return _Piece(match["sign"] == "/", number, half, half * (1 + is_wider))

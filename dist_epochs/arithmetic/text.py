"""Numbers as text: the one place where they are written for people."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["lossless", "number", "percent", "precise", "rounded", "scaled", "short"]

LARGEST_SCALED = 10**15
"""From here on scales are no longer read as words."""

SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


def number(value: int | float | Fraction | None) -> str:
    """A number in full: whole numbers exactly, others to four decimals.

    Examples:
        >>> number(1000000), number(39.71878), number(None)
        ('1,000,000', '39.7188', 'not known')
    """
    if value is None:
        return "not known"
    exact = Fraction(value)
    if exact.denominator == 1:
        return f"{int(exact):,}"
    return f"{float(exact):,.4f}" if abs(exact) >= Fraction(1, 1000) else f"{float(exact):.4g}"


def precise(value: Fraction) -> str:
    """A number of a derivation: whole ones in full, others in at least six significant digits.

    Examples:
        >>> precise(Fraction(1000000)), precise(Fraction(32768, 825)), precise(Fraction(1, 3))
        ('1,000,000', '39.7188', '0.333333')
    """
    if value.denominator == 1:
        return f"{int(value):,}"
    return f"{float(value):,.4f}" if value >= 1 else f"{float(value):.6g}"


def short(value: int | float | Fraction) -> str:
    """A large number in four digits, smaller ones in full.

    Examples:
        >>> short(42598400000), short(128000)
        ('42.6B', '128,000')
    """
    if value >= LARGEST_SCALED:
        return f"{float(value):.4g}"
    for size, letter in SCALES:
        if value >= size:
            return f"{float(value) / size:.4g}{letter}"
    return number(value)


def scaled(value: int | float | Fraction) -> str:
    """A number of any size in four digits, large ones with their scale.

    Examples:
        >>> scaled(Fraction(212992, 20625)), scaled(2400), scaled(71526), scaled(3.5e9)
        ('10.33', '2,400', '71,526', '3.5B')
    """
    if value >= 10**6 or (value >= 1000 and Fraction(value).denominator == 1):
        return short(value)
    return f"{float(value):,.0f}" if value >= 1000 else f"{float(value):.4g}"


def lossless(value: Fraction) -> str:
    """A number with nothing rounded away: with its scale where that takes at most four digits, else in full.

    Beyond twelve digits, which nobody reads, it is rounded to them.

    Examples:
        >>> lossless(Fraction(22 * 10**11)), lossless(Fraction(26214400000)), lossless(Fraction(15, 2))
        ('2.2T', '26,214,400,000', '7.5')
    """
    for size, letter in SCALES:
        if size <= value < LARGEST_SCALED and (value * 1000 / size).denominator == 1 and value < 10**4 * size:
            digits = f"{float(value / size):.12g}"
            if len(digits.replace(".", "")) <= 4:
                return f"{digits}{letter}"
    if value.denominator == 1 and value < LARGEST_SCALED:
        return f"{int(value):,}"
    return f"{float(value):,.12g}"


def rounded(value: Fraction | None) -> str:
    """A number of a message: whole ones in full, others in four digits.

    Examples:
        >>> rounded(Fraction(128)), rounded(Fraction(1, 3)), rounded(None)
        ('128', '0.3333', 'an unknown number of')
    """
    if value is None:
        return "an unknown number of"
    if value.denominator == 1:
        return f"{int(value):,}"
    return f"{float(value):,.1f}" if value >= 1000 else f"{float(value):.4g}"


def percent(share: Fraction | float) -> str:
    """A share as per cent, in three digits where it is below ten.

    Examples:
        >>> percent(Fraction(39, 10)), percent(Fraction(1, 3)), percent(0.0488)
        ('390 %', '33 %', '4.88 %')
    """
    hundredths = float(share) * 100
    return f"{hundredths:,.0f} %" if hundredths >= 10 else f"{hundredths:.3g} %"

"""Sums of whole numbers, as scripts and simple Python files write them: + - * / and brackets. Nothing is evaluated."""

from __future__ import annotations

import re

__all__ = ["whole_sum"]

_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9][0-9_]*)|(?P<sign>//|[-+*/()]))")
DEEPEST = 50
"""Brackets inside each other."""
LARGEST = 10**18


def whole_sum(text: str) -> int | None:
    """The value of a sum; None where it holds anything else, or is too large.

    A quotient is rounded down.

    Examples:
        >>> whole_sum("2 * (3+4)"), whole_sum("5/2"), whole_sum("x + 1"), whole_sum("1/0")
        (14, 2, None, None)
    """
    tokens: list[str] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        tokens.append(found["number"] or found["sign"])
        at = found.end()
    try:
        value, rest = _terms(tokens, 0, 0)
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return value if rest == len(tokens) and abs(value) <= LARGEST else None


def _terms(tokens: list[str], at: int, depth: int) -> tuple[int, int]:
    value, at = _factors(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "+-":
        sign = 1 if tokens[at] == "+" else -1
        other, at = _factors(tokens, at + 1, depth)
        value += sign * other
    return value, at


def _factors(tokens: list[str], at: int, depth: int) -> tuple[int, int]:
    value, at = _atom(tokens, at, depth)
    while at < len(tokens) and tokens[at] in ("*", "/", "//"):
        sign = tokens[at]
        other, at = _atom(tokens, at + 1, depth)
        is_rounded_alike = sign == "*" or (value >= 0 and other >= 0)  # below zero a shell rounds up, Python down
        value = value * other if sign == "*" else value // other
        if abs(value) > LARGEST or not is_rounded_alike:
            raise ValueError
    return value, at


def _atom(tokens: list[str], at: int, depth: int) -> tuple[int, int]:
    if depth > DEEPEST:
        raise ValueError
    token = tokens[at]
    if token == "-":
        value, at = _atom(tokens, at + 1, depth + 1)
        return -value, at
    if token == "(":
        value, at = _terms(tokens, at + 1, depth + 1)
        if tokens[at] != ")":
            raise ValueError
        return value, at + 1
    if len(token) > 18 or (token[0] == "0" and len(token) > 1):  # which a shell takes for octal
        raise ValueError
    return int(token.replace("_", "")), at + 1

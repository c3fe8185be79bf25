"""The grammar of formulas: text to an expression, by rules, never evaluated as code.

    sum     = product (("+" | "-") product)*
    product = power (("*" | "×" | "/" | "÷") power)*
    power   = atom (("**" | "^") whole number)?
    atom    = number | name | ("ceil" | "floor")? "(" sum ")"

Numbers are spelled as everywhere (`1M`, `3.3B`, `2**16`), without units; names are those of the claim's facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dist_epochs.arithmetic.interval import LARGEST_POWER
from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.expression import FUNCTIONS, Binary, Expression, Name, Number, Power, Rounded
from dist_epochs.errors import InputError

__all__ = ["parse_expression"]

DEEPEST = 50
LONGEST = 5_000
"""Characters of a formula: enough for a mixture of a hundred sources, written out."""
MOST_PARTS = 300
"""Numbers and names in it."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d[\d,_]*(?:\.\d+)?(?:[eE][+-]?\d+)?(?:[KMBTk]i?(?![A-Za-z0-9_]))?%?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>\*\*|[-+*/×÷−()^]))"
)
_SIGNS: Mapping[str, str] = {"×": "*", "÷": "/", "−": "-", "^": "**"}


def parse_expression(text: str) -> Expression:
    """Read a formula.

    Raises:
        InputError: If it is none, with the place where it stops being one.

    Examples:
        >>> from dist_epochs.audit.expression import written
        >>> written(parse_expression("steps*(batch + 1)/corpus"))
        'steps × (batch + 1) ÷ corpus'
    """
    if len(text) > LONGEST:
        raise InputError(f"the formula has {len(text):,} characters", rule=f"at most {LONGEST:,} are read")
    return _Parser(text).whole()


class _Parser:
    """One formula, read from the left."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth, self.parts = text, 0, 0, 0

    def whole(self) -> Expression:
        """The formula, to its end."""
        found = self.sum()
        if self.peek() is not None:
            self.refuse("an operator")
        return found

    def peek(self) -> re.Match[str] | None:
        match = _TOKEN.match(self.text, self.at)
        if match is None and self.text[self.at :].strip():
            self.refuse("a number, a name, or one of + - * / ** ( )")
        return match

    def sign(self, *wanted: str) -> str | None:
        match = self.peek()
        found = None if match is None else _SIGNS.get(match["sign"], match["sign"])
        if match is None or found not in wanted:
            return None
        self.at = match.end()
        return found

    def sum(self) -> Expression:
        found = self.product()
        while sign := self.sign("+", "-"):
            found = Binary(sign, found, self.product())  # type: ignore[arg-type]
        return found

    def product(self) -> Expression:
        found = self.power()
        while sign := self.sign("*", "/"):
            found = Binary(sign, found, self.power())  # type: ignore[arg-type]
        return found

    def power(self) -> Expression:
        base = self.atom()
        if self.sign("**") is None:
            return base
        match = self.peek()
        if match is None or not (match["number"] or "").isdigit():
            self.refuse("a whole exponent")
        assert match is not None
        self.at = match.end()
        return Power(base, self.exponent(match["number"]))

    def exponent(self, digits: str) -> int:
        if len(digits) > len(str(LARGEST_POWER)) or int(digits) > LARGEST_POWER:
            raise InputError(
                f"the formula {self.text!r} has a power of {digits}",
                rule=f"whole exponents from 0 to {LARGEST_POWER} are read",
            )
        return int(digits)

    def atom(self) -> Expression:
        match = self.peek()
        if match is None:
            self.refuse("a number or a name")
        assert match is not None
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise InputError("the formula has too many numbers and names", rule=f"at most {MOST_PARTS} are read")
        if match["number"]:
            self.at = match.end()
            parse(match["number"], what="the formula's number")
            return Number(match["number"])
        if match["name"]:
            self.at = match.end()
            if match["name"] in FUNCTIONS and self.sign("("):
                return Rounded(match["name"], self.inside())  # type: ignore[arg-type]
            return Name(match["name"])
        if self.sign("(") is None:
            self.refuse("a number or a name")
        return self.inside()

    def inside(self) -> Expression:
        """What stands in brackets of which the first is read, with the last."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise InputError("the formula has too many nested brackets", rule=f"at most {DEEPEST} are read")
        inner = self.sum()
        self.depth -= 1
        if self.sign(")") is None:
            self.refuse("a closing bracket")
        return inner

    def refuse(self, wanted: str) -> None:
        rest = self.text[self.at :].strip()
        place = f"before {rest[:20]!r}" if rest else "at its end"
        raise InputError(f"the formula {self.text!r} needs {wanted} {place}")

"""Numbers that may be powers of two: K as 1,024 and M as 2^20."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from dist_epochs.arithmetic.text import number
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.sentence.change import Change, quantity_like
from dist_epochs.audit.sentence.draft import Draft

__all__ = ["powers_of_two"]


def powers_of_two(draft: Draft) -> Iterator[Change]:
    """K as 1,024 and M as 2^20: everywhere, or in what is printed for a result."""
    facts, letters = {}, set()
    for name, fact in draft.facts.items():
        binary = _binary(fact)
        if binary is not None and draft.roles[name][0] in _IN_KI:
            facts[name], letter = binary
            letters.add(letter)
    for name, fact in draft.facts.items():
        power = _whole_power(fact) if draft.roles[name][0] == "steps" else None
        if power is not None:
            said = f"the {fact.number.text} steps are read as 2^{power}"
            changed = Fact(number=quantity_like(fact.number, Fraction(2**power)), exact=True)
            yield Change("powers", "K is 1,000 and M is 1,000,000", said, {name: changed}, is_small=True)
    stated = {}
    for check in draft.contradictions:
        if check.stated is not None and check.result in _IN_KI:
            binary = _binary(check.stated) or _binary_of_thousands(check.stated)
            if binary is not None:
                stated[check.name] = binary[0]
    if facts:
        said = " and ".join(f"{letter} is {_POWERS[letter]}" for letter in sorted(letters))
        yield Change("powers", "K is 1,000 and M is 1,000,000", f"a {said}", facts, {}, is_small=True)
        if stated:
            yield Change(
                "powers", "K is 1,000 and M is 1,000,000", f"a {said} throughout", facts, stated, is_small=True
            )
    for name, fact in stated.items():
        printed = next(check.stated for check in draft.contradictions if check.name == name)
        assert printed is not None
        text = f"{printed.number.text} is {_in_binary(fact.number.value)}"
        yield Change("powers", "K is 1,000 and M is 1,000,000", text, {}, {name: fact}, is_small=True)


_IN_KI = ("global_batch", "sequence_length", "batch_tokens", "steps", "per_device", "tokens")
_POWERS = {"K": "1,024", "M": "2^20"}


def _binary(fact: Fact) -> tuple[Fact, str] | None:
    """A number with a K or M, as a power of two."""
    match = re.search(r"\d\s*([KkMm])$", fact.number.text)
    if match is None:
        return None
    letter = match[1].upper()
    return _scaled(fact, Fraction(1024, 1000) ** (1 if letter == "K" else 2)), letter


def _whole_power(fact: Fact) -> int | None:
    """The power of two that a round number of thousands stands for: 19 for 500K, of which 1,024s make 512,000."""
    value, binary = fact.number.value, _binary(fact)
    if binary is None or value.denominator != 1 or value < 1:
        return None
    power = int(value).bit_length()
    is_near = 1 < Fraction(2**power) / value <= Fraction(1024, 1000) ** 2
    return power if is_near and binary[0].number.value != 2**power else None


def _binary_of_thousands(fact: Fact) -> tuple[Fact, str] | None:
    """A number in full that ends in three zeros, as so many times 1,024."""
    value = fact.number.value
    if value.denominator != 1 or value % 1000 or not fact.number.is_written_out:
        return None
    return _scaled(fact, Fraction(1024, 1000) ** (2 if value % 10**6 == 0 else 1)), "K"


def _in_binary(value: Fraction) -> str:
    for power, scale in ((20, "1,048,576"), (10, "1,024")):
        if value % 2**power == 0:
            return f"{number(value / 2**power)} × {scale}"
    return number(value)


def _scaled(fact: Fact, factor: Fraction) -> Fact:
    value = fact.number.value * factor
    return Fact(number=quantity_like(fact.number, value), exact=True)

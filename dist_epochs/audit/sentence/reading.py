"""The numbers of a text with their roles, and those that have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.audit.sentence.numerals import Numeral

__all__ = ["Found", "Reading", "Unused"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A number that states something of a run.

    Attributes:
        role: What it is: `steps`, `global_batch`, `corpus`, …
        unit: What it counts, in the words of the text where it says so.
        numeral: The number.
        start: Where it starts in the text that was given, with the words that belong to it.
        end: Where it ends there.
        text: The text between.
        clause: The number of the sentence or list item it stands in.
        place: Where its digits start in the joined text.
        words: What is said of it beside: `effective`, `total`, `each`, `bare`.
    """

    role: str
    unit: str
    numeral: Numeral
    start: int
    end: int
    text: str
    clause: int
    place: int
    words: frozenset[str] = field(default=frozenset())

    def to_json(self) -> dict[str, Any]:
        """The fact as the audit's JSON shows it."""
        value: Any = json_number(self.numeral.value)
        if self.numeral.upper is not None:
            value = [value, json_number(self.numeral.upper.value)]
        return {"role": self.role, "value": value, "unit": self.unit, "text": self.text, "span": [self.start, self.end]}


@dataclass(frozen=True, kw_only=True)
class Unused:
    """A number that is no fact of a run, and why.

    Attributes:
        text: The number with its noun.
        start: Where it starts in the text that was given.
        end: Where it ends there.
        why: What it is, as far as it is known.
    """

    text: str
    start: int
    end: int
    why: str

    def to_json(self) -> Mapping[str, Any]:
        """The number as the audit's JSON shows it."""
        return {"text": self.text, "span": [self.start, self.end], "why": self.why}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was understood of a text.

    Attributes:
        given: The text.
        facts: Its facts, in order.
        unused: Its other numbers, in order.
    """

    given: str
    facts: tuple[Found, ...]
    unused: tuple[Unused, ...]

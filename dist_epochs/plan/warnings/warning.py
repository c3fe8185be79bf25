"""What a rule finds in a plan."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Warning"]


@dataclass(frozen=True, slots=True)
class Warning:
    """Something to know about a plan.

    Attributes:
        rule: Its name, for `dist-epochs explain`.
        message: What it is here, with numbers.
        is_note: Whether it only informs; `--strict` fails on the others.
    """

    rule: str
    message: str
    is_note: bool = False

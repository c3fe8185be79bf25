"""Something that will go wrong at a launch, or that is to be known of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that will go wrong at a launch, or that is to be known of it.

    Attributes:
        where: `path:line` in the launch file.
        message: What will happen, with its numbers.
        fix: A line or a command that works.
        rule: Name of the rule that found it, for `dist-epochs explain`.
        is_note: Whether it only informs; the exit code is 1 for the others.
        is_of_trainer: Whether only this package's trainer minds, and another program may well run so.
    """

    where: str
    message: str
    fix: str
    rule: str = ""
    is_note: bool = False
    is_of_trainer: bool = False

"""Numbers under the keys of a format, each read as our name for it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dist_epochs.audit.records.passes import logged_epoch
from dist_epochs.audit.records.record import Number, whole

__all__ = ["Keys", "read_keys"]

Keys = Mapping[str, tuple[str, ...]]
"""Under which keys a format has a number, by our name for it, the surest first."""

FRACTIONS = ("planned_epochs", "total_flops")
"""What need not be whole."""


def read_keys(data: Mapping[str, Any], keys: Keys, place: Callable[[str], str]) -> dict[str, Number]:
    """What stands under known keys: counts from 1 on, the Trainer's epoch, and a few numbers with a fraction.

    Args:
        data: The values, by key.
        keys: Where each number stands.
        place: The place of a key.
    """
    found = {}
    for name, candidates in keys.items():
        for key in candidates:
            value = data.get(key)
            if value is not None and (number := _read(name, value, place(key))) is not None:
                found[name] = number
                break
    return found


def _read(name: str, value: object, where: str) -> Number | None:
    if name == "epochs":
        return logged_epoch(value, where)
    if name not in FRACTIONS:
        return whole(value, where)
    number = Number.read(value, where)
    return number if number is not None and number.value else None

"""The progress bar of work on files."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Progress", "bar"]

PATIENCE = 2.0
"""Seconds after which a bar appears; most work is done by then."""

Progress = Callable[[int], Any]
"""Called with what was done since the last call."""


def bar(what: str, total: int | None, unit: str = "B") -> tqdm[Any]:
    """A bar with rate and time left: on a terminal, and of the first rank alone.

    Args:
        what: What is done.
        total: How much there is to do; None if that is not known.
        unit: What is counted.
    """
    from tqdm import tqdm

    hidden = None if os.environ.get("RANK", "0") == "0" else True  # None: where nobody looks
    return tqdm(total=total, unit=unit, unit_scale=True, desc=what, disable=hidden, delay=PATIENCE)

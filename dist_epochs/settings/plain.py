"""Settings without a number: text, and yes or no."""

from __future__ import annotations

from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.settings.fields import Value

__all__ = ["FLAG", "TEXT"]


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise InputError(f"it must be text, not {data!r}", fixes="quotes around it")
    return data


def _flag(data: Any) -> bool:
    if not isinstance(data, bool):
        raise InputError(f"it must be true or false, not {data!r}")
    return data


TEXT = Value(_text, ("string",))
FLAG = Value(_flag, ("boolean",))

"""What the columns of a table of models hold, by their headers: those of Epoch AI's tables, now and before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["COMPARED", "NUMBERS", "TEXTS", "columns_of", "is_model_table"]

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "parameters": ("parameters", "number of parameters", "params"),
    "compute": ("training compute (flop)", "training compute (flops)", "training compute", "total training compute"),
    "data": (
        "training dataset size (total)",
        "training dataset size (gradients)",
        "training dataset size (datapoints)",
        "training dataset size",
        "dataset size",
        "training tokens",
        "(deprecated) training dataset size (datapoints)",
    ),
    "epochs": ("epochs",),
    "hours": ("training time (hours)", "training time in hours", "training hours"),
    "devices": ("hardware quantity", "number of chips", "chips"),
    "chip_hours": ("training chip-hours", "training chip hours", "chip-hours"),
    "utilization": ("hardware utilization (mfu)", "hardware utilization", "mfu"),
    "hardware_utilization": ("hardware utilization (hfu)", "hfu"),
    "fine_tuning": ("finetune compute (flop)", "fine-tuning compute (flop)", "finetune compute"),
    "lower": ("training compute lower bound",),
    "upper": ("training compute upper bound",),
}
"""Columns of numbers: their headers in lower case, those that are preferred first."""

TEXTS: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "system", "model name", "name"),
    "domain": ("domain",),
    "hardware": ("training hardware", "hardware"),
    "format": ("numerical format", "precision"),
    "base": ("base model",),
    "method": ("training compute estimation method",),
    "confidence": ("confidence",),
    "parameters_notes": ("parameters notes",),
    "compute_notes": ("training compute notes",),
}
"""Columns of words, likewise."""

COMPARED = ("parameters", "compute", "data", "epochs", "hours", "devices", "utilization", "hardware")
"""Columns without which something is not compared."""


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """The place of each column that is known, by its name here."""
    places: dict[str, int] = {}
    for at, cell in enumerate(header):
        places.setdefault(_folded(cell), at)
    found = {}
    for name, headers in {**NUMBERS, **TEXTS}.items():
        place = next((places[said] for said in headers if said in places), None)
        if place is not None:
            found[name] = place
    return found


def is_model_table(header: Sequence[str]) -> bool:
    """Whether a table has models in its rows: columns of compute or of parameters, and of what they go with.

    Examples:
        >>> is_model_table(["System", "Parameters", "Training compute (FLOP)"]), is_model_table(["Source", "Tokens"])
        (True, False)
    """
    found = columns_of(header)
    return "compute" in found or ("parameters" in found and bool({"hours", "devices", "hardware", "data"} & set(found)))


def _folded(header: str) -> str:
    return re.sub(r"[\s_]+", " ", header).strip().strip("*").strip().lower()

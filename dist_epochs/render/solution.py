"""The answer of `dist-epochs solve`, as text and as JSON."""

from __future__ import annotations

from typing import Any

from dist_epochs.arithmetic.identity import Solution
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.text import number

__all__ = ["solution_json", "solution_text"]

AGREEMENTS = {
    "exact": "the numbers agree exactly",
    "rounds": "the numbers agree: what follows rounds to what is stated",
    "overlaps": "the numbers agree within the digits they were written with",
    "contradicts": "the numbers contradict each other",
}


def solution_text(solution: Solution) -> str:
    """Derivation first, answer last."""
    lines = [f"  {line}" for line in solution.derivation]
    if solution.value is not None and solution.unknown is not None:
        value = solution.value
        unit = f"{value.unit}s" if value.unit else ""
        named = "" if unit in ("", solution.unknown) else f" {unit}"
        lines.append(f"{solution.unknown.replace('_', ' ')}: {number(value.value)}{named}")
        if value.value.denominator != 1:
            lines.append(f"  exactly {value.value}")
        if value.low != value.high:
            lines.append(f"  {number(value.low)} to {number(value.high)}, from the digits the others were written with")
    else:
        assert solution.agreement is not None
        lines.append(f"  {solution.formula}")
        ratio = "" if solution.ratio is None else f" (steps × batch ÷ (corpus × epochs) = {float(solution.ratio):.6g})"
        lines.append(f"{AGREEMENTS[solution.agreement]}{ratio}")
    return "\n".join(lines)


def solution_json(solution: Solution) -> dict[str, Any]:
    """The object of `dist-epochs solve --json`."""
    value = solution.value
    return {
        "unknown": solution.unknown,
        "unit": str(value.unit) if value and value.unit else None,
        "value": json_number(value.value) if value else None,
        "exact": str(value.value) if value else None,
        "low": json_number(value.low) if value else None,
        "high": json_number(value.high) if value else None,
        "formula": solution.formula,
        "agreement": solution.agreement,
        "ratio": json_number(solution.ratio),
        "derivation": list(solution.derivation),
        "numbers": {name: json_number(quantity.value) for name, quantity in solution.numbers.items()},
    }

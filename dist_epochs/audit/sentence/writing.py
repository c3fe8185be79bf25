"""A claim that was read from a text, as a claim file for editing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Quantity, parse
from dist_epochs.audit.claim import CheckText, Claim
from dist_epochs.audit.expression import written
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.sentence.audited import SentenceAudit
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import refuse_existing, write_text
from dist_epochs.settings.yaml_writing import yaml_text

__all__ = ["claim_yaml", "write_claim"]


def write_claim(found: SentenceAudit, path: Path) -> None:
    """Write what was understood of a text to a claim file.

    Raises:
        InputError: If nothing in it can be checked, or a file of that name is there.
    """
    if found.claim is None:
        raise InputError("there is no claim to write", rule=found.audit.missing or "", origin=Origin("--write"))
    refuse_existing(path, "another name")
    write_text(path, claim_yaml(found.claim, found.reading.given))


def claim_yaml(claim: Claim, text: str) -> str:
    """A claim as YAML, with the text that it was read from."""
    shown = " ".join(text.split())
    data: dict[str, Any] = {
        "title": shown if len(shown) <= 200 else f"{shown[:199]}…",
        "facts": {name: _fact(fact) for name, fact in claim.facts.items()},
    }
    if claim.assumes:
        data["assumes"] = dict(claim.assumes)
    data["checks"] = {name: _check(check) for name, check in (claim.checks or {}).items()}
    readings: dict[str, dict[str, Any]] = {}
    for name, reading in (claim.readings or {}).items():
        readings[name] = {"assumes": dict(reading.assumes or {})}
        if reading.facts:
            readings[name]["facts"] = {each: _fact(fact) for each, fact in reading.facts.items()}
        if reading.checks:
            readings[name]["checks"] = {each: _check(check) for each, check in reading.checks.items()}
    return yaml_text({**data, "readings": readings} if readings else data)


def _check(check: CheckText) -> dict[str, Any]:
    found: dict[str, Any] = (
        {"formula": written(check.formula).replace("×", "*").replace("÷", "/")} if check.formula is not None else {}
    )
    return found | ({"stated": _fact(check.stated)} if check.stated is not None else {})


def _fact(fact: Fact) -> dict[str, Any]:
    """A fact with everything that its number and its precision are."""
    found: dict[str, Any] = {"number": _spelled(fact.number, fact.is_about)}
    if fact.between is not None:
        return found | {"between": [_spelled(end, False) for end in fact.between]}
    if fact.digits is not None:
        found["digits"] = fact.digits
    elif fact.exact is not None and not (fact.is_about and fact.exact):
        found["exact"] = fact.exact
    return found


def _spelled(number: Quantity, is_about: bool) -> str:
    """A number as it is printed, with the unit that it counts."""
    value = number.value
    counted = f" {number.unit}s" if number.unit is not None else ""
    about = "~" if is_about else ""
    text = f"{about}{number.text.removeprefix('~')}{counted}"
    try:
        if parse(text).value == value:
            return text
    except InputError:
        pass  # a time, or a spelling of another language
    return f"{about}{value.numerator if value.denominator == 1 else float(value)}{counted}"

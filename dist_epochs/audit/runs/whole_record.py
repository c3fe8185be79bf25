"""Everything that a run's files say and that follows from them alone, as one table of numbers with their places."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.names import NAMES
from dist_epochs.audit.records.record import Number, Place
from dist_epochs.audit.runs.counts import TRAINERS
from dist_epochs.audit.runs.evidence import RunEvidence

__all__ = ["record_json"]

HELPERS = ("rated_steps", "paced_steps", "segment_samples", "segment_batches", "whole_steps_per_epoch")
"""Numbers that only checks use."""


def record_json(evidence: RunEvidence, *, is_open: bool) -> dict[str, dict[str, Any]]:
    """The numbers by name, as in `record` of `dist-epochs audit --json`.

    Args:
        evidence: The run, audited with nothing claimed.
        is_open: Whether its data may have had no length, so that its epoch may count none.
    """
    run = evidence.run
    found: dict[str, dict[str, Any]] = {
        name: _logged(number) for name, number in run.numbers.items() if name not in HELPERS
    }
    if "steps_per_epoch" not in found and "whole_steps_per_epoch" in run.numbers:
        found["steps_per_epoch"] = _logged(run.numbers["whole_steps_per_epoch"])
    if run.kind in TRAINERS and "timed_samples" in found:
        found.setdefault("planned_samples", found["timed_samples"])
    if is_open and (epoch := found.get("epochs") or found.get("stream_epoch")) is not None:
        found |= {"epochs": epoch, "stream_epoch": epoch}
    for name, value in run.further.items():
        found[name] = _logged(value) if isinstance(value, Number) else _entry(value, value, value, None)
    for name, derived, how in _derived(evidence):
        entry = _entry(_plain(derived.point), _plain(derived.low), _plain(derived.high), Place(run.path))
        found.setdefault(name, entry | {"how": how})
    return found


def _derived(evidence: RunEvidence) -> Iterator[tuple[str, Interval, str]]:
    """What follows from the logged numbers."""
    for check in evidence.checks:
        name = {"steps a pass": "steps_per_epoch"}.get(check.name, check.name)
        if name not in NAMES and name != "micro_steps_per_pass":
            continue
        known = evidence.values.get(name)
        is_settled = known is not None and known.origin == "derived" and known.interval.is_exact
        interval = known.interval if known is not None and is_settled else check.derived
        if name != "global_batch" or interval.point.denominator == 1:  # samples ÷ steps are then no step's batch
            yield name, interval, check.how
    if evidence.run.counts_passes and evidence.has("corpus", "per_device", "devices", "gradient_accumulation"):
        yield from _first_pass(evidence)


def _first_pass(evidence: RunEvidence) -> Iterator[tuple[str, Interval, str]]:
    """Steps of the first pass, whose last window may be partial."""
    corpus, one, devices, window = (
        evidence.values[name].count for name in ("corpus", "per_device", "devices", "gradient_accumulation")
    )
    if evidence.ending != "carry" and corpus and one and devices and window:
        micro_steps = ceil(Fraction(corpus, one * devices))
        steps = Interval.exact(ceil(Fraction(micro_steps, window)))
        yield "steps_of_first_pass", steps, f"⌈{micro_steps:,} ÷ {window:,}⌉"


def _logged(number: Number) -> dict[str, Any]:
    ends = number.interval
    return _entry(_plain(ends.point), _plain(ends.low), _plain(ends.high), number.where)


def _entry(value: Any, low: Any, high: Any, where: str | None) -> dict[str, Any]:
    place = where if isinstance(where, Place) else None
    return {
        "value": value,
        "low": low,
        "high": high,
        "file": place.file if place is not None else None,
        "line": place.line if place is not None else None,
        "how": str(where) if where is not None else None,
    }


def _plain(number: Fraction) -> int | float:
    """A whole number as it is."""
    return int(number) if number.denominator == 1 else float(number)

"""What a claim that is a recipe states: results of the run, and epochs of its sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.claim import UNITS
from dist_epochs.audit.fact import Fact, FactReader
from dist_epochs.errors import nearest
from dist_epochs.settings.fields import Place, Problem, Table

__all__ = ["NEEDS", "SOURCES", "Stated", "StatedReader"]

SOURCES = "sources"
"""The key of what is stated of single sources."""

NEEDS = {
    "steps": "phases",
    "samples": "phases",
    "micro_steps": "phases",
    "global_batch": "the batch",
    "positions": "the sequence length",
    "tokens": "the sequence length",
    "parameters": "the model",
    "flops": "the model and the sequence length",
    "flops_per_token": "the model and the sequence length",
    "hours": "the model and the hardware",
    "device_hours": "the model and the hardware",
    "price": "the hardware and its price",
    "epochs": "the size of the corpus",
}
"""What may be stated of a plan, and what it cannot be derived without."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What the work says comes out.

    Attributes:
        results: Of the whole run, by the names of `NEEDS`.
        sources: Epochs of single sources, by their names.
    """

    results: Mapping[str, Fact]
    sources: Mapping[str, Fact]


class StatedReader:
    """Results of a plan by name, and under `sources` the epochs of each source."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """What is stated, or None and what a plan does not know, or counts otherwise."""
        if not isinstance(data, dict) or not data:
            instead = f", not {data!r}" if data else "; it is empty"
            problems.append(Problem(place, f"names and values of what the work says comes out{instead}"))
            return None
        results, sources = {}, {}
        for name, value in data.items():
            if name == SOURCES:
                rows = value if isinstance(value, dict) else {}
                if not rows:
                    problems.append(Problem((*place, name), "the epochs of each of corpus.sources, by name"))
                for source, epochs in rows.items():
                    sources[source] = _stated_number(epochs, (*place, name, source), (Unit.EPOCH,), problems)
            elif name in NEEDS:
                results[name] = _stated_number(value, (*place, name), UNITS.get(name, ()), problems)
            else:
                hint = nearest(name, (*NEEDS, SOURCES))
                problems.append(Problem((*place, name), f"a plan does not know it{hint}"))
        return Stated(results=results, sources=sources)

    def schema(self) -> dict[str, Any]:
        """JSON schema of what may be stated."""
        number = FactReader().schema()
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(NEEDS, number) | {SOURCES: Table(FactReader()).schema()},
        }


def _stated_number(value: Any, place: Place, known: Sequence[Unit], problems: list[Problem]) -> Any:
    if value is None:
        problems.append(Problem(place, "it is empty"))
        return None
    fact = FactReader().read(value, place, problems)
    unit = fact.number.unit if isinstance(fact, Fact) else None
    if unit is not None and unit not in known:
        wanted = f"it counts {' or '.join(f'{each}s' for each in known)}" if known else "it has no such unit"
        problems.append(Problem(place, f"{fact.number.text} counts {unit}s; {wanted}"))
    return fact

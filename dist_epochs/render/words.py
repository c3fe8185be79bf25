"""A word as textbooks and frameworks use it, with the numbers of one run."""

from __future__ import annotations

from typing import Any

from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.text import number
from dist_epochs.frameworks.words.methods import METHODS, Convention, Updates, count_updates
from dist_epochs.frameworks.words.systems import SYSTEMS, Shown, shown_by
from dist_epochs.frameworks.words.terms import Term
from dist_epochs.render.text import table

__all__ = ["term_json", "term_text"]

CONVENTIONS: dict[Convention, str] = {
    "textbook": "as textbooks count (an epoch is one update)",
    "framework": "as frameworks count (an epoch is a pass over the data)",
}


def term_text(term: Term, examples: int | None, epochs: int | None, batch_size: int | None) -> str:
    """What a word means everywhere, and, with numbers given, what each system shows."""
    parts = [f"{term.word}, here: {term.here}", ""]
    width = max(len(system.name) for system in SYSTEMS)
    parts += [*(f"  {system.name:<{width}}  {system.words[term.word]}" for system in SYSTEMS), ""]
    if examples is None or epochs is None or batch_size is None:
        parts.append(f"With numbers: dist-epochs explain {term.name} --examples 100 --epochs 500 --batch-size 5")
        return "\n".join(parts)
    given = {"examples": examples, "epochs": epochs, "batch_size": batch_size}
    parts.append(f"{number(examples)} examples, {number(epochs)} epochs, mini-batches of {number(batch_size)}")
    for convention, title in CONVENTIONS.items():
        parts += ["", title, _methods([count_updates(method, convention, **given) for method in METHODS])]
    parts += ["", "what systems show for the mini-batches"]
    parts.append(_systems(term, [shown_by(system, **given) for system in SYSTEMS]))
    return "\n".join(parts)


def term_json(term: Term, examples: int | None, epochs: int | None, batch_size: int | None) -> dict[str, Any]:
    """The same as one object; `methods` and `systems` have numbers only where they were given."""
    result: dict[str, Any] = {
        "topic": term.name,
        "here": term.here,
        "words": {system.name: system.words[term.word] for system in SYSTEMS},
    }
    if examples is None or epochs is None or batch_size is None:
        return result
    given = {"examples": examples, "epochs": epochs, "batch_size": batch_size}
    return result | {
        "given": given,
        "methods": [
            _method_json(count_updates(method, convention, **given)) for convention in CONVENTIONS for method in METHODS
        ],
        "systems": [_system_json(shown_by(system, **given)) for system in SYSTEMS],
    }


def _methods(rows: list[Updates]) -> str:
    header = ["method", "batch", "updates an epoch", "updates", "one example is drawn", "spread", "never drawn"]
    cells = [
        [
            row.method,
            *(number(count) for count in (row.batch, row.per_epoch, row.updates)),
            f"{number(row.mean)} times{' on average' if row.spread else ''}",
            f"± {row.spread:.3g}" if row.spread else "0",
            _share(row.never),
        ]
        for row in rows
    ]
    return table(header, cells)


def _share(share: float) -> str:
    return "0%" if share == 0 else f"{share:.2%}" if share >= 0.0001 else f"{100 * share:.1e}%"


def _systems(term: Term, rows: list[Shown]) -> str:
    """What systems show; what they call an iteration, only where that is the question."""
    header = ["system", "updates an epoch", "updates", "one example is drawn"]
    cells = [[row.system.name, number(row.per_epoch), number(row.updates), f"{number(row.mean)} times"] for row in rows]
    if term.name == "iteration":
        header[1:1] = ["iterations it shows", "counted over"]
        for line, row in zip(cells, rows, strict=True):
            line[1:1] = [number(row.iterations), row.system.counts]
    return table(header, cells)


def _method_json(row: Updates) -> dict[str, Any]:
    return {
        "method": row.method,
        "reading": row.convention,
        "batch": row.batch,
        "updates_per_epoch": row.per_epoch,
        "updates": row.updates,
        "draws_per_example": json_number(row.mean),
        "spread": row.spread,
        "never_drawn": row.never,
    }


def _system_json(row: Shown) -> dict[str, Any]:
    return {
        "system": row.system.name,
        "iterations": row.iterations,
        "iterations_count": row.system.counts,
        "updates_per_epoch": json_number(row.per_epoch),
        "updates": row.updates,
        "draws_per_example": json_number(row.mean),
    }

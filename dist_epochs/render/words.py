"""A word as textbooks and frameworks use it, with the numbers of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.text import number
from dist_epochs.frameworks.words.methods import METHODS, USUAL_MINI_BATCH, Convention, Method, Updates, count_updates
from dist_epochs.frameworks.words.systems import SYSTEMS, Shown, shown_by
from dist_epochs.frameworks.words.terms import Term
from dist_epochs.render.text import table

__all__ = ["Numbers", "methods_json", "methods_text", "term_json", "term_text"]

READINGS: Mapping[Convention, tuple[str, str]] = {
    "framework": ("student", "an epoch is a pass"),
    "textbook": ("teacher", "an epoch is one update"),
}
"""Whose reading each is, and what it takes an epoch for; frameworks count as the student does."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a run: examples, epochs, and examples of a mini-batch, if they are stated."""

    examples: int
    epochs: int
    stated_batch: int | None = None

    @property
    def batch(self) -> int:
        """Examples of a mini-batch."""
        return min(USUAL_MINI_BATCH, self.examples) if self.stated_batch is None else self.stated_batch

    @property
    def given(self) -> dict[str, int]:
        """The three, as functions take them."""
        return {"examples": self.examples, "epochs": self.epochs, "batch_size": self.batch}


def term_text(term: Term, numbers: Numbers | None) -> str:
    """What a word means everywhere, and, with numbers given, what each system shows."""
    parts = [f"{term.word}, here: {term.here}", "", *_lines({each.name: each.words[term.word] for each in SYSTEMS}), ""]
    if numbers is None:
        parts += ["how that is known", *_lines({each.name: each.basis for each in SYSTEMS}), ""]
        parts.append(f"With numbers: dist-epochs explain {term.name} --examples 100 --epochs 500")
        return "\n".join(parts)
    parts += [methods_text(numbers), "", "what systems show for the mini-batches"]
    parts.append(_systems(term, [shown_by(system, **numbers.given) for system in SYSTEMS]))
    return "\n".join(parts)


def methods_text(numbers: Numbers) -> str:
    """Updates and draws of each method in both readings, side by side, and where each reading is met."""
    rows = {method: _both(method, numbers) for method in METHODS}
    header = ["method", "batch", *["updates", "× batch", "one example is drawn"] * 2, "never drawn"]
    cells = [
        [
            method,
            number(student.batch),
            *(cell for row in (student, teacher) for cell in _counts(row)),
            _share(teacher.never),
        ]
        for method, (student, teacher) in rows.items()
    ]
    lines = table(header, cells).splitlines()
    second = lines[0].index("updates", lines[0].index("updates") + 1)
    titles = [f"{who}: {what}" for who, what in READINGS.values()]
    first = lines[0].index("updates") - 2
    stated = "" if numbers.stated_batch is not None else " (an example; --batch-size states another)"
    said = [
        f"{number(numbers.examples)} examples, {number(numbers.epochs)} epochs, "
        f"mini-batches of {number(numbers.batch)}{stated}",
        "",
        f"{' ' * first}{titles[0]:<{second - first - 2}}{titles[1]}",
        *lines,
        "",
    ]
    return "\n".join([*said, *_remainder(rows["mini-batch"][0], numbers), *_lines(_met(rows, numbers))])


def _both(method: Method, numbers: Numbers) -> tuple[Updates, Updates]:
    student, teacher = (count_updates(method, convention, **numbers.given) for convention in READINGS)
    return student, teacher


def _counts(row: Updates) -> tuple[str, str, str]:
    spread = f" ± {row.spread:.3g}" if row.spread else ""
    return number(row.updates), number(row.updates * row.batch), f"{number(row.mean)}{spread} times"


def _remainder(row: Updates, numbers: Numbers) -> Iterator[str]:
    """Where batches do not divide the data, iterations × batch is more than what is drawn."""
    if left := numbers.examples % row.batch:
        yield (
            f"  The last batch of a pass has {number(left)} examples, so {number(row.draws)} are drawn, "
            f"not {number(row.updates * row.batch)}."
        )
        yield ""


def _met(rows: Mapping[Method, tuple[Updates, Updates]], numbers: Numbers) -> dict[str, str]:
    """In whose words either reading is met."""
    epochs, batch, examples = number(numbers.epochs), number(numbers.batch), number(numbers.examples)
    (_, one), (many, _), (student, teacher) = (rows[method] for method in METHODS)
    return {
        "Keras": f"an epoch is an iteration over the data: {epochs} are {number(student.updates)} updates with "
        f"batch_size={batch}, {number(one.updates)} with {examples}",
        "TensorFlow 1": f"an update is a step: {epochs} steps are the teacher's {number(teacher.updates)} updates, "
        "whatever the batch",
        "scikit-learn": f"max_iter is a number of passes: {epochs} are {number(many.updates)} updates in "
        f"SGDClassifier, {number(student.updates)} in MLPClassifier",
    }


def _lines(texts: Mapping[str, str]) -> list[str]:
    width = max(map(len, texts))
    return [f"  {name:<{width}}  {text}" for name, text in texts.items()]


def term_json(term: Term, numbers: Numbers | None) -> dict[str, Any]:
    """The same as one object; `methods` and `systems` have numbers only where they were given."""
    result: dict[str, Any] = {
        "topic": term.name,
        "here": term.here,
        "words": {system.name: system.words[term.word] for system in SYSTEMS},
        "basis": {system.name: system.basis for system in SYSTEMS},
    }
    if numbers is None:
        return result
    systems = [_system_json(shown_by(system, **numbers.given)) for system in SYSTEMS]
    return result | methods_json(numbers) | {"systems": systems}


def methods_json(numbers: Numbers) -> dict[str, Any]:
    """The numbers of a run, and each method in both readings."""
    conventions: tuple[Convention, ...] = ("textbook", "framework")
    counted = [count_updates(method, convention, **numbers.given) for convention in conventions for method in METHODS]
    return {
        "given": numbers.given | {"batch_size_is_an_example": numbers.stated_batch is None},
        "methods": [_method_json(row) for row in counted],
    }


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
        "whose": READINGS[row.convention][0],
        "batch": row.batch,
        "updates_per_epoch": row.per_epoch,
        "updates": row.updates,
        "updates_times_batch": row.updates * row.batch,
        "draws": row.draws,
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
        "basis": row.system.basis,
    }

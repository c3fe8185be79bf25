"""The words that `dist-epochs explain` defines, and what this project means by each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TERMS", "Term", "find_term"]


@dataclass(frozen=True, slots=True)
class Term:
    """A word.

    Attributes:
        name: The word, as topics are written.
        word: Its key in each system's words.
        here: What it means in this project.
    """

    name: str
    word: str
    here: str


TERMS: tuple[Term, ...] = (
    Term(
        "step", "step", "an optimizer update, over all devices. Two uses stand in texts: steps per epoch, and in all."
    ),
    Term("iteration", "iteration", "not used: it means an update in some places and a batch of an epoch in others."),
    Term("epoch", "epoch", "samples trained ÷ samples of the corpus: any fraction, added over phases and sources."),
    Term("batch-size", "batch size", "the global batch: samples of one step over all devices and micro-steps."),
    Term("batches", "number of batches", "a pass has samples ÷ global batch of them; they run on across passes."),
)


def find_term(name: str) -> Term | None:
    """The term of a topic, `batch size` and `batch_size` alike; None if it is none."""
    wanted = name.strip().lower().replace(" ", "-").replace("_", "-")
    aliases = {"number-of-batches": "batches", "batch": "batch-size", "steps": "step", "epochs": "epoch"}
    aliases["iterations"] = "iteration"
    return next((term for term in TERMS if term.name == aliases.get(wanted, wanted)), None)

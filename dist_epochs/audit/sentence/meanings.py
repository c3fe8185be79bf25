"""What a number may mean beside its role: tried where it agrees, each by its name, and never to accuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dist_epochs.audit.sentence.reading import Found
from dist_epochs.audit.sentence.relations import RELATIONS, Relation
from dist_epochs.audit.sentence.runs import Run

__all__ = ["Meaning", "other_meanings"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """Another meaning of a number, and what would follow.

    Attributes:
        relation: What it would be checked with.
        names: The names of facts by role, with the number in its other role.
        stated: The number that would follow.
        brings: What it takes for granted.
    """

    relation: Relation
    names: Mapping[str, str]
    stated: Found
    brings: str


def other_meanings(run: Run, names: Mapping[str, str], formulas: Mapping[str, str]) -> Iterator[Meaning]:
    """What the size of the data may be beside: samples that were drawn, those of a batch, or the tokens of one pass.

    Args:
        run: The run.
        names: Its facts by role.
        formulas: Roles that others make up, such as a batch of its parts.
    """
    known = {*names, *formulas}
    if "corpus" not in names or "corpus" in run.borrowed or len(run.facts["corpus"]) > 1:
        return
    (corpus,) = run.facts["corpus"]
    spelled = f"{corpus.numeral.spelling} {corpus.unit}"
    if "either" in corpus.words and "samples" not in known and {"steps", "global_batch"} <= known:
        yield Meaning(_relation("steps * global_batch"), names, corpus, f"{spelled} are those drawn, not the data")
    if "either" in corpus.words and "global_batch" not in known and "steps" in names:
        as_batch = {**names, "global_batch": names["corpus"]}
        for relation in (_relation("steps * global_batch * sequence_length"), _relation("steps * global_batch")):
            is_own = relation.needs <= as_batch.keys() and not relation.needs & run.borrowed
            if is_own and relation.result in run.facts:
                brings = f"{spelled} are those of a batch, not the data"
                yield Meaning(relation, as_batch, run.facts[relation.result][0], brings)
    is_pass = corpus.unit == "tokens" and not known & {"tokens", "epochs", "steps"}
    if is_pass and {"flops", "parameters"} <= names.keys() - run.borrowed:
        as_drawn = {**names, "tokens": names["corpus"]}
        yield Meaning(_relation("6 * parameters * tokens"), as_drawn, run.facts["flops"][0], "the corpus is seen once")
    for relation in RELATIONS:
        is_rate = relation.identity == "rate" and relation.result == "tokens"
        if is_pass and is_rate and relation.needs <= known - run.borrowed:
            yield Meaning(relation, names, corpus, "the corpus is seen once")


def _relation(formula: str) -> Relation:
    return next(relation for relation in RELATIONS if relation.formula == formula)

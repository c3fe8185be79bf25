"""The plan as text: every derived number beside the formula it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.arithmetic.repeats import unique_equivalents
from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.sensitivity import ChangedAssumption
from dist_epochs.render.packing import packing_words
from dist_epochs.render.plan_rows import plan_rows
from dist_epochs.render.text import aligned, table
from dist_epochs.render.wrapping import paragraph

__all__ = ["plan_head", "plan_text", "warnings_text"]

OBJECTIVES = {"masked": "masked LM", "causal": "causal LM"}


def plan_text(plan: Plan, moves: Sequence[ChangedAssumption] = ()) -> str:
    """The whole plan, for a terminal."""
    parts = [*plan_head(plan), "", aligned(plan_rows(plan))]
    if len(plan.sources) > 1:
        parts += ["", _sources(plan)]
    if plan.phase_sources:
        parts += ["", _phase_sources(plan)]
    if moves:
        told = [(move.change, f"{scaled(move.value)} {move.unit}", move.rule) for move in moves]
        parts += ["", "Sensitivity  (dist-epochs explain …)", aligned(told)]
    if plan.warnings:
        parts += ["", warnings_text(plan)]
    return "\n".join(parts)


def warnings_text(plan: Plan) -> str:
    """What to know about the plan, a line each; `dist-epochs explain NAME` says more."""
    told = (f"{'note' if w.is_note else 'warning'} {w.rule}: {w.message}" for w in plan.warnings)
    return "\n".join(line for text in told for line in paragraph(text, "  "))


def plan_head(plan: Plan) -> Iterator[str]:
    """The title and the corpus, a line each."""
    model = plan.recipe.model
    title = plan.name + (f", {OBJECTIVES[model.objective]}" if model and model.objective else "")
    facts, corpus = plan.facts, plan.recipe.corpus
    if facts is not None:
        yield title
        words = f"{number(facts.words)} words × {facts.tokens / facts.words:.4f} tokens/word = " if facts.words else ""
        yield f"corpus  {number(facts.documents)} documents, {words}{number(facts.tokens)} tokens, counted"
        for length in plan.lengths:
            if all(length in source.samples for source in facts.sources):
                packed = facts.packed(length).to_json(corpus.packing, length)
                name = "" if corpus.packing == BEST_FIT else f" by {corpus.packing}"
                samples = f"{number(packed['samples'])} samples of length {length}{name} a pass"
                yield f"        {samples}, {packing_words(packed)}"
    elif corpus.words is not None and corpus.tokens_per_word is not None and plan.corpus_size is not None:
        ratio = corpus.tokens_per_word.value
        yield f"{title}     {short(corpus.words.value)} words × {scaled(ratio)} tokens/word = {_tokens(plan)}"
    elif plan.corpus_size is not None:
        yield f"{title}     corpus of {_tokens(plan)}"
    else:
        yield f"{title}     corpus not stated"


def _tokens(plan: Plan) -> str:
    size = plan.corpus_size
    assert size is not None
    return f"{short(size.value)} {size.unit}s"


def _sources(plan: Plan) -> str:
    unit = "tokens" if plan.counts_tokens or plan.facts is not None else "samples"
    rows = [
        [
            source.name,
            f"{float(source.share):.4g}",
            short(source.size),
            short(source.tokens if source.tokens is not None and unit == "tokens" else source.samples),
            scaled(source.epochs),
            f"{unique_equivalents(source.epochs) / float(source.epochs):.3f}" if source.epochs else "",
            f"{float(source.fitting_share):.4f}" if source.fitting_share is not None else "",
        ]
        for source in plan.sources
    ]
    drawn = unit if all(source.tokens is not None for source in plan.sources) else "samples"
    header = ["source", "share", unit, f"{drawn} drawn", "epochs", "equivalent ÷ epochs", "fitting share"]
    if all(source.fitting_share is None for source in plan.sources):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return table(header, rows)


def _phase_sources(plan: Plan) -> str:
    """What each phase of the recipe draws; a ramp, which makes several phases of one, is one here."""
    rows: list[list[str]] = []
    for stretch in dict.fromkeys(plan.stretches):
        mine = [at for at, of in enumerate(plan.stretches) if of == stretch]
        steps, length = sum(plan.phases[at].steps for at in mine), plan.phases[mine[0]].sequence_length
        label = f"{number(steps)} steps" + (f" at length {length}" if plan.has_positions else "")
        for several in zip(*(plan.phase_sources[at] for at in mine), strict=True):
            epochs = sum((source.epochs for source in several), Fraction(0))
            samples = sum(source.samples for source in several)
            rows.append([label, several[0].name, f"{float(several[0].share):.4g}", number(samples), scaled(epochs)])
            label = ""
    return table(["phase", "source", "share", "samples drawn", "epochs"], rows)

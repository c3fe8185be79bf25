"""The plan as text: every derived number beside the formula it came from."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.plan.plan import Plan
from dist_epochs.render.text import aligned, number, short

__all__ = ["plan_text"]

Row = tuple[str, str, str]


def plan_text(plan: Plan) -> str:
    """The whole plan, for a terminal."""
    parts = [plan.name, *_corpus(plan), "", aligned(_rows(plan))]
    if len(plan.sources) > 1:
        parts += ["", aligned(_source_rows(plan))]
    for rule, message in plan.notes:
        parts += ["", f"{rule}: {message}"]
    return "\n".join(parts)


def _corpus(plan: Plan) -> Iterator[str]:
    facts = plan.facts
    if facts is not None:
        yield (
            f"corpus  {number(facts.documents)} documents, {number(facts.words)} words × "
            f"{facts.tokens / facts.words:.4f} tokens/word = {number(facts.tokens)} tokens, counted"
        )
        for length in sorted({phase.sequence_length for phase in plan.phases}):
            if all(length in source.samples for source in facts.sources):
                samples = sum(facts.samples(length).values())
                padding = 1 - facts.tokens / (samples * length)
                yield f"        {number(samples)} samples of length {length} a pass, {padding:.2%} padding"
    elif plan.corpus_tokens is not None:
        tokens = plan.corpus_tokens
        yield f"corpus  {short(tokens.value)} tokens, stated ({short(tokens.low)} to {short(tokens.high)})"


def _rows(plan: Plan) -> Iterator[Row]:
    phases, batches = plan.phases, plan.batches
    for phase, batch in _distinct(plan):
        each = -(-phase.global_batch // batch.data_parallel_size)
        per_step = -(-each // batch.gradient_accumulation)
        exact = per_step * batch.gradient_accumulation * batch.data_parallel_size == phase.global_batch
        formula = (
            f"{batch.data_parallel_size} devices × {per_step} per device × {batch.gradient_accumulation} accumulation"
        )
        yield "global batch", number(phase.global_batch), f"{'=' if exact else '≤'} {formula}"
    by_length = " + ".join(f"{number(phase.steps)} at length {phase.sequence_length}" for phase in phases)
    yield "steps", number(plan.steps), f"= {by_length}"
    terms = " + ".join(f"{number(p.steps)} × {b.gradient_accumulation}" for p, b in zip(phases, batches, strict=True))
    yield "micro-steps", number(plan.micro_steps), f"= {terms}, on each device"
    yield (
        "samples",
        number(plan.samples),
        "= " + " + ".join(f"{number(p.steps)} × {number(p.global_batch)}" for p in phases),
    )
    terms = " + ".join(f"{number(phase.samples)} × {phase.sequence_length}" for phase in phases)
    yield "positions", number(plan.positions), f"= {terms}"
    totals = plan.totals
    if totals is not None:
        padding = plan.positions - totals.tokens
        yield (
            "tokens",
            number(totals.tokens),
            f"= {number(plan.positions)} − {number(padding)} padding, from the packed samples",
        )
        yield (
            "loss tokens",
            number(totals.loss_tokens),
            f"= {totals.loss_tokens / totals.tokens:.2%} of the tokens, counted sample by sample",
        )
    yield from _epoch_rows(plan)
    if plan.coverage is not None:
        yield "coverage", f"{float(plan.coverage):.2%}", "of the documents at least once"


def _epoch_rows(plan: Plan) -> Iterator[Row]:
    epochs, facts, totals = plan.epochs, plan.facts, plan.totals
    if epochs["samples"] is not None and facts is not None:
        terms = " + ".join(
            f"{number(p.samples)} ÷ {number(sum(facts.samples(p.sequence_length).values()))}" for p in plan.phases
        )
        yield "epochs", number(epochs["samples"]), f"= {terms}  (samples drawn ÷ samples of the corpus)"
    if epochs["positions"] is not None and plan.corpus_tokens is not None:
        corpus = number(plan.corpus_tokens.value)
        yield (
            "  by positions",
            number(epochs["positions"]),
            f"= {number(plan.positions)} ÷ {corpus}  (as papers print it)",
        )
        if epochs["tokens"] is not None and totals is not None:
            yield "  by tokens", number(epochs["tokens"]), f"= {number(totals.tokens)} ÷ {corpus}"


def _source_rows(plan: Plan) -> Iterator[Row]:
    for source in plan.sources:
        yield (
            source.name,
            number(source.epochs),
            f"epochs = {number(source.samples)} samples, {number(source.tokens)} tokens",
        )


def _distinct(plan: Plan) -> Iterator[tuple[Phase, GlobalBatch]]:
    seen = set()
    for phase, batch in zip(plan.phases, plan.batches, strict=True):
        if phase.global_batch not in seen:
            seen.add(phase.global_batch)
            yield phase, batch

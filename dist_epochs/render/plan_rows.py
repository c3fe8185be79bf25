"""What a plan derives, as rows: each number beside the formula it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.repeats import unique_equivalents
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.plan.plan import Plan
from dist_epochs.render.cost import cost_rows

__all__ = ["plan_rows"]

Row = tuple[str, str, str]

MOST_TERMS = 4
"""Terms of a sum that are written out."""


def plan_rows(plan: Plan) -> Iterator[Row]:
    """Label, number and formula of everything that the plan derives, costs included."""
    yield from _batch_rows(plan)
    yield from _loop_rows(plan) if plan.loop else _step_rows(plan)
    totals = plan.totals
    if totals is not None and plan.positions is not None:
        padding = plan.positions - totals.tokens
        formula = f"= {number(plan.positions)} − {number(padding)} padding, from the packed samples"
        yield "tokens", number(totals.tokens), formula
        share = f"= {totals.loss_tokens / totals.tokens:.2%} of the tokens, counted sample by sample"
        yield "loss tokens", number(totals.loss_tokens), share
    yield from _epoch_rows(plan)
    if plan.coverage is not None:
        by_chance = isinstance(plan.coverage, float) or plan.recipe.batch.replacement
        by_document = plan.facts is not None and not plan.loop and not plan.recipe.batch.replacement
        what = "documents" if by_document else "samples"
        is_guess = plan.coverage != 1 and (plan.loop is not None or len(plan.lengths) > 1) and not by_document
        expected = ", expected" if by_chance or is_guess else ""
        yield "coverage", f"{float(plan.coverage):.2%}", f"of the {what} at least once{expected}"
    yield from cost_rows(plan)


def _batch_rows(plan: Plan) -> Iterator[Row]:
    batch = plan.recipe.batch
    if plan.devices != plan.batches[0].data_parallel_size:
        shared = {name: size for name, size in batch.parallel_sizes.items() if size > 1 and name != "expert"}
        factors = " × ".join(f"{size} {name}" for name, size in shared.items())
        yield (
            "data-parallel size",
            number(plan.batches[0].data_parallel_size),
            f"= {plan.devices} devices ÷ ({factors})",
        )
    distinct = list(_distinct(plan))
    if len(distinct) > MOST_TERMS:
        (first, _), (last, _) = distinct[0], max(distinct, key=lambda pair: pair[0].global_batch)
        span = f"{number(first.global_batch)} → {number(last.global_batch)}"
        yield "global batch", span, f"in {len(distinct)} levels"
        return
    for index, (phase, laid) in enumerate(distinct):
        is_rest = plan.has_partial_step and index == len(distinct) - 1 and len(plan.phases) > 1
        yield "last step" if is_rest else "global batch", number(phase.global_batch), _laid_over_devices(laid)


def _laid_over_devices(batch: GlobalBatch) -> str:
    per_step, count = batch.largest_micro_batch, batch.gradient_accumulation
    exact = per_step * count * batch.data_parallel_size == batch.samples
    devices = f"{batch.data_parallel_size} device{'s' * (batch.data_parallel_size > 1)}"
    return f"{'=' if exact else '≤'} {devices} × {per_step} per device × {count} accumulation"


def _step_rows(plan: Plan) -> Iterator[Row]:
    phases, batches = plan.phases, plan.batches
    whole = _steps_from_amount(plan) if len(phases) == 1 else _sum(_steps_by_length(plan))
    yield "steps", number(plan.steps), whole
    counts = {batch.gradient_accumulation for batch in batches}
    terms = [f"{number(p.steps)} × {b.gradient_accumulation}" for p, b in zip(phases, batches, strict=True)]
    formula = f"= {number(plan.steps)} × {counts.pop()}" if len(counts) == 1 else _sum(terms)
    yield "micro-steps", number(plan.micro_steps), f"{formula}, on each device".removeprefix(", ")
    same_batch = len({phase.global_batch for phase in phases}) == 1
    terms = [f"{number(phase.steps)} × {number(phase.global_batch)}" for phase in phases]
    formula = f"= {number(plan.steps)} × {number(phases[0].global_batch)}" if same_batch else _sum(terms)
    yield "samples", number(plan.samples), formula
    if plan.positions is None:
        return
    by_length = [f"{number(plan.samples_at(length))} × {length}" for length in plan.lengths]
    if same_batch and len(phases) > 1:
        inner = " + ".join(f"{number(phase.steps)} × {phase.sequence_length}" for phase in phases[:MOST_TERMS])
        formula = f"= {phases[0].global_batch} × ({inner})" if len(phases) <= MOST_TERMS else _sum(by_length)
    else:
        formula = _sum(by_length)
    yield "positions", _large(plan, plan.positions), formula


def _loop_rows(plan: Plan) -> Iterator[Row]:
    assert plan.loop is not None
    loader, counts = plan.loop.loader, plan.loop.counts
    rounds = f"{loader.data_parallel_size} × {loader.per_device}"
    short = loader.samples % loader.samples_per_round
    padded = loader.duplicates_per_pass > 0
    how = {"pad": "the last round padded" if padded else "the last one short", "keep": "the last one short"}
    ends = f", {how.get(loader.uneven, 'the last round dropped')}" if short else ""
    what = f"= {number(loader.samples)} samples ÷ ({rounds}){ends}"
    yield "micro-steps a pass", number(loader.micro_steps_per_pass), what
    windows = f"= {number(loader.micro_steps_per_pass)} ÷ {loader.gradient_accumulation}"
    partial = loader.micro_steps_per_pass % loader.gradient_accumulation
    ends = f", {loader.last_window} the last window" if partial else ""
    yield "steps a pass", number(loader.steps_per_pass), f"{windows}{ends}"
    yield "steps", number(plan.steps), _passes(plan)
    left = f", {counts.unstepped_micro_steps} of them without a step" if counts.unstepped_micro_steps else ""
    yield "micro-steps", number(plan.micro_steps), f"on each device{left}"
    yield "samples", number(plan.samples), "trained"
    if counts.drawn != counts.samples or loader.dropped_per_pass:
        passes = number(counts.passes_drawn)
        yield "drawn", number(counts.drawn), f"= {passes} passes of {number(loader.drawn_per_pass)}"
    if plan.positions is not None:
        yield "positions", number(plan.positions), f"= {number(plan.samples)} × {plan.lengths[0]}"


def _passes(plan: Plan) -> str:
    """How the steps of another trainer's loop follow from its passes, where those are asked for."""
    assert plan.loop is not None
    ((name, amount), *_) = plan.amounts
    if name != "epochs":
        return ""
    return f"= {number(amount)} passes × {number(plan.loop.loader.steps_per_pass)}, rounded to whole steps"


def _epoch_rows(plan: Plan) -> Iterator[Row]:
    epochs, totals, corpus = plan.epochs, plan.totals, plan.corpus_tokens
    per_length = [(length, plan.epochs_at(length)) for length in plan.lengths]
    split = ", ".join(f"{scaled(value)} at {length}" for length, value in per_length if value is not None)
    if plan.is_estimate and corpus is not None and epochs["positions"] is not None:
        formula = f"= {_large(plan, plan.positions)} ÷ {short(corpus.value)}"
        yield "epochs", scaled(epochs["positions"]), formula + (f"  ({split})" if len(per_length) > 1 else "")
    elif epochs["samples"] is not None:
        passes = [(length, plan.pass_at(length)) for length in plan.lengths]
        terms = [f"{number(plan.samples_at(length))} ÷ {number(one)}" for length, one in passes]
        yield (
            "epochs",
            number(epochs["samples"]),
            f"{_sum(terms)}  (samples {'trained' if plan.loop else 'drawn'} ÷ samples of the corpus)",
        )
    if plan.facts is not None and corpus is not None and epochs["positions"] is not None:
        size = number(corpus.value)
        yield (
            "  by positions",
            number(epochs["positions"]),
            f"= {number(plan.positions)} ÷ {size}  (as papers print it)",
        )
        if epochs["tokens"] is not None and totals is not None:
            yield "  by tokens", number(epochs["tokens"]), f"= {number(totals.tokens)} ÷ {size}"
    whole = epochs["samples"]
    if whole is not None and whole > 1 and len(plan.sources) < 2:
        yield (
            "  equivalent",
            f"{unique_equivalents(whole):.4f}",
            "unique epochs, by the data-constrained law  (explain repeated-data)",
        )


def _steps_from_amount(plan: Plan) -> str:
    """How one phase's steps follow from what was asked for, where that is no number of steps."""
    (phase,), recipe = plan.phases, plan.recipe
    stated = recipe.phases[0].amount or (recipe.length_budget.amount if recipe.length_budget else None)
    if stated is None:
        return ""
    name, amount = stated
    per_step = f"{number(phase.global_batch)} × {phase.sequence_length}"
    match name:
        case "tokens":
            return f"= {scaled(amount)} ÷ ({per_step}), whole steps"
        case "samples":
            return f"= {number(amount)} ÷ {number(phase.global_batch)}"
        case "epochs" if plan.is_estimate and plan.corpus_size is not None:
            return f"= {number(amount)} × {short(plan.corpus_size.value)} ÷ ({per_step}), whole steps"
        case "epochs":
            return f"= {number(amount)} × {number(plan.pass_at(phase.sequence_length))} ÷ {number(phase.global_batch)}"
        case "hours" | "flops":
            return f"what {scaled(amount)} {'FLOPs' if name == 'flops' else name} pay for, in whole steps"
        case "money":
            return f"what {scaled(amount)} pays for, in whole steps"
    return ""


def _steps_by_length(plan: Plan) -> list[str]:
    """Steps of each recipe phase; ramps change the batch inside one."""
    steps: dict[tuple[int, int], int] = {}
    for phase, stretch in zip(plan.phases, plan.stretches, strict=True):
        place = (stretch, phase.sequence_length)
        steps[place] = steps.get(place, 0) + phase.steps
    if len(steps) == 1 or not plan.has_positions:
        return [f"{number(phase.steps)} of {number(phase.global_batch)}" for phase in plan.phases]
    return [f"{number(count)} at length {length}" for (_, length), count in steps.items()]


def _sum(terms: Sequence[str]) -> str:
    if len(terms) > MOST_TERMS:
        return f"= {terms[0]} + {terms[1]} + … + {terms[-1]}"
    return f"= {' + '.join(terms)}" if terms else ""


def _large(plan: Plan, value: int | Fraction | None) -> str:
    """A count in full where it is exact, in four digits where it is an estimate anyway."""
    return short(value) if value is not None and plan.facts is None else number(value)


def _distinct(plan: Plan) -> Iterator[tuple[Phase, GlobalBatch]]:
    seen = set()
    for phase, batch in zip(plan.phases, plan.batches, strict=True):
        if phase.global_batch not in seen:
            seen.add(phase.global_batch)
            yield phase, batch

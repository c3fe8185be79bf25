"""The plan as JSON: what `dist-epochs plan --json` prints and `plan.json` holds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.counts import Counts
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.repeats import repeat_band, unique_equivalents
from dist_epochs.plan.fingerprint import rules_of
from dist_epochs.plan.history import BEFORE, history_to_json
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.sources import SourcePlan

__all__ = ["counts_json", "plan_json"]


def plan_json(plan: Plan) -> dict[str, Any]:
    """The whole plan; the keys are documented in `docs/formats.md`."""
    totals = plan.totals
    return {
        "name": plan.name,
        "seed": plan.recipe.seed,
        "steps": plan.steps,
        "micro_steps": plan.micro_steps,
        "samples": plan.samples,
        "positions": plan.positions,
        "tokens": totals and totals.tokens,
        "loss_tokens": totals and totals.loss_tokens,
        "epochs": {basis: json_number(value) for basis, value in plan.epochs.items()},
        "epochs_exact": {basis: _text(value) for basis, value in plan.epochs.items()},
        "estimated": plan.is_estimate,
        "coverage": _number(plan.coverage),
        "sources": [
            {
                "name": source.name,
                "samples": source.samples,
                "tokens": source.tokens,
                "epochs": json_number(source.epochs),
                "share": json_number(source.share),
                "fitting_share": json_number(source.fitting_share),
                "unique_equivalents": unique_equivalents(source.epochs),
            }
            for source in plan.sources
        ],
        "global_batch": _batch(plan),
        "phases": _phases(plan),
        "drawn": _drawn(plan),
        "repeats": _repeats(plan),
        "cost": plan.cost.to_json(),
        "corpus": _corpus(plan),
        "passes": None
        if plan.passes is None
        else [
            [key.phase, key.source, key.sequence_length, key.number, *counts_json(counts)]
            for key, counts in sorted(plan.passes.items())
        ],
        "sample_digest": totals and f"{totals.digest:032x}",
        "fingerprint": plan.fingerprint,
        "rules": rules_of(plan.recipe, plan.facts),
        "history": plan.history and history_to_json(plan.history),
        "warnings": [
            {"rule": warning.rule, "message": warning.message, "note": warning.is_note} for warning in plan.warnings
        ],
    }


def counts_json(counts: Counts) -> list[int | str]:
    """Samples, tokens, loss tokens, digest: how counts stand in `plan.json` and in the ledger."""
    return [counts.samples, counts.tokens, counts.loss_tokens, f"{counts.digest:032x}"]


def _batch(plan: Plan) -> dict[str, Any]:
    """The batch of most steps: ramps grow to it, and a partial last step is none of its own."""
    index = max(range(len(plan.phases)), key=lambda at: plan.phases[at].global_batch) if len(plan.phases) > 1 else 0
    if plan.recipe.batch.ramp is None:
        index = 0
    batch, phase = plan.batches[index], plan.phases[index]
    return {
        "samples": batch.samples,
        "positions": batch.samples * phase.sequence_length if plan.has_positions else None,
        "per_device": batch.per_device,
        "gradient_accumulation": batch.gradient_accumulation,
        "data_parallel_size": batch.data_parallel_size,
        "devices": plan.devices,
        **{f"{name}_parallel": size for name, size in plan.recipe.batch.parallel_sizes.items()},
    }


def _phases(plan: Plan) -> list[dict[str, Any]]:
    has_length = plan.has_positions
    if plan.loop:
        (phase,), (batch,) = plan.phases, plan.batches
        counts = [(plan.steps, plan.samples, plan.positions, phase, batch, 0)]
    else:
        counts = [
            (phase.steps, phase.samples, phase.positions if has_length else None, phase, batch, stretch)
            for phase, batch, stretch in zip(plan.phases, plan.batches, plan.stretches, strict=True)
        ]
    return [
        {
            "steps": steps,
            "samples": samples,
            "positions": positions,
            "sequence_length": phase.sequence_length if has_length else None,
            "global_batch": phase.global_batch,
            "gradient_accumulation": batch.gradient_accumulation,
            "recipe_phase": None if stretch == BEFORE else stretch,
            "sources": _phase_sources(plan.phase_sources[index]) if plan.phase_sources else None,
        }
        for index, (steps, samples, positions, phase, batch, stretch) in enumerate(counts)
    ]


def _phase_sources(sources: Sequence[SourcePlan]) -> list[dict[str, Any]]:
    """What a phase draws; its weights are whole numbers, so that the same draws follow from them."""
    weights = Mixture.of({source.name: source.share for source in sources}).weights
    return [
        {
            "name": source.name,
            "weight": weight,
            "share": json_number(source.share),
            "samples": source.samples,
            "tokens": source.tokens,
            "epochs": json_number(source.epochs),
        }
        for source, weight in zip(sources, weights, strict=True)
    ]


def _drawn(plan: Plan) -> dict[str, Any] | None:
    """What another trainer's loop draws, which may be more than it trains."""
    if plan.loop is None:
        return None
    counts, loader = plan.loop.counts, plan.loop.loader
    return {
        "samples": counts.drawn,
        "passes": json_number(counts.passes_drawn),
        "samples_per_pass": loader.drawn_per_pass,
        "duplicates_per_pass": loader.duplicates_per_pass,
        "dropped_per_pass": loader.dropped_per_pass,
        "steps_per_pass": json_number(loader.steps_per_pass),
        "unstepped_micro_steps": counts.unstepped_micro_steps,
        "last_window": loader.last_window,
        "uneven": loader.uneven,
    }


def _repeats(plan: Plan) -> dict[str, Any] | None:
    """The epochs over unique data that the epochs are equivalent to."""
    epochs = plan.epochs["samples"]
    if epochs is None:
        return None
    return {"unique_equivalents": unique_equivalents(epochs), "band": str(repeat_band(epochs))}


def _corpus(plan: Plan) -> dict[str, Any]:
    facts, size = plan.facts, plan.corpus_size
    stated = None if size is None or plan.counts_tokens else json_number(size.value)
    return {
        "tokens": json_number(plan.corpus_tokens.value) if plan.corpus_tokens else None,
        "stated_samples": stated,
        "documents": facts and facts.documents,
        "words": (facts.words or None) if facts else None,
        "store": facts and facts.store,
        "fingerprint": facts and facts.fingerprint,
        "tokenizer": facts and facts.tokenizer,
        "packings": [
            facts.packed(length).to_json(plan.recipe.corpus.packing, length)
            for length in plan.lengths
            if not facts.not_packed([length])
        ]
        if facts
        else [],
        "samples": {
            source.name: {str(length): count for length, count in source.samples.items()}
            for source in (facts.sources if facts else ())
        },
    }


def _number(value: Fraction | float | None) -> int | float | None:
    return value if value is None or isinstance(value, float) else json_number(value)


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)

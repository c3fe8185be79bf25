"""The plan as a value: what will be drawn, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.quantity import Quantity, json_number
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.plan.corpus_facts import CorpusFacts

__all__ = ["Plan", "SourcePlan", "counts_json"]

COST = ("parameters", "flops_per_token", "flops", "device_hours", "wall_hours", "price", "memory_bytes")
"""Keys of the cost, which this version does not estimate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePlan:
    """One source's part of the run."""

    name: str
    samples: int
    tokens: int | None
    epochs: Fraction | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be drawn, over all devices. None means: not known before the corpus is counted.

    Attributes:
        name: The recipe's name.
        phases: Steps, length and global batch of each phase.
        batches: How each phase's batch lies over the devices.
        facts: The counted corpus, if there is one.
        corpus_tokens: Tokens of one pass, counted or stated.
        passes: Exact counts of each pass of each source in each phase.
        sources: Samples, tokens and epochs of each source.
        coverage: Share of the documents drawn at least once.
        fingerprint: Digest of all that decides which samples are drawn.
        notes: What is estimated or missing, by rule name.
    """

    name: str
    phases: tuple[Phase, ...]
    batches: tuple[GlobalBatch, ...]
    facts: CorpusFacts | None
    corpus_tokens: Quantity | None
    passes: Mapping[PassKey, Counts] | None
    sources: tuple[SourcePlan, ...]
    coverage: Fraction | None
    fingerprint: str
    notes: tuple[tuple[str, str], ...]

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return sum(phase.steps for phase in self.phases)

    @property
    def micro_steps(self) -> int:
        """Forward and backward passes on each device."""
        return sum(
            phase.steps * batch.gradient_accumulation for phase, batch in zip(self.phases, self.batches, strict=True)
        )

    @property
    def samples(self) -> int:
        """Samples drawn."""
        return sum(phase.samples for phase in self.phases)

    @property
    def positions(self) -> int:
        """Positions drawn, padding included."""
        return sum(phase.positions for phase in self.phases)

    @property
    def totals(self) -> Counts | None:
        """Exact counts of the whole run."""
        return None if self.passes is None else sum(self.passes.values(), Counts())

    @property
    def epochs(self) -> dict[str, Fraction | None]:
        """Epochs by samples (the definition), by positions (as papers print it), and by tokens."""
        totals, corpus = self.totals, self.corpus_tokens
        by_samples = None
        if self.passes is not None and self.facts is not None:
            by_samples = sum(
                (Fraction(p.samples, sum(self.facts.samples(p.sequence_length).values())) for p in self.phases),
                Fraction(0),
            )
        return {
            "samples": by_samples,
            "positions": self.positions / corpus.value if corpus else None,
            "tokens": totals.tokens / corpus.value if corpus and totals else None,
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as the object that `dist-epochs plan --json` prints and `plan.json` holds."""
        totals, first = self.totals, self.batches[0]
        return {
            "name": self.name,
            "steps": self.steps,
            "micro_steps": self.micro_steps,
            "samples": self.samples,
            "positions": self.positions,
            "tokens": totals and totals.tokens,
            "loss_tokens": totals and totals.loss_tokens,
            "epochs": {basis: json_number(value) for basis, value in self.epochs.items()},
            "epochs_exact": {basis: _text(value) for basis, value in self.epochs.items()},
            "coverage": json_number(self.coverage),
            "sources": [
                {"name": s.name, "samples": s.samples, "tokens": s.tokens, "epochs": json_number(s.epochs)}
                for s in self.sources
            ],
            "global_batch": {
                "samples": first.samples,
                "positions": first.samples * self.phases[0].sequence_length,
                "per_device": first.per_device,
                "gradient_accumulation": first.gradient_accumulation,
                "data_parallel_size": first.data_parallel_size,
            },
            "phases": [
                {
                    "steps": phase.steps,
                    "samples": phase.samples,
                    "positions": phase.positions,
                    "sequence_length": phase.sequence_length,
                    "global_batch": phase.global_batch,
                    "gradient_accumulation": batch.gradient_accumulation,
                }
                for phase, batch in zip(self.phases, self.batches, strict=True)
            ],
            "cost": dict.fromkeys(COST),
            "corpus": self._corpus_json(),
            "passes": None
            if self.passes is None
            else [
                [key.phase, key.source, key.sequence_length, key.number, *counts_json(counts)]
                for key, counts in sorted(self.passes.items())
            ],
            "sample_digest": totals and f"{totals.digest:032x}",
            "fingerprint": self.fingerprint,
            "warnings": [{"rule": rule, "message": message} for rule, message in self.notes],
        }

    def _corpus_json(self) -> dict[str, Any]:
        facts = self.facts
        return {
            "tokens": json_number(self.corpus_tokens.value) if self.corpus_tokens else None,
            "documents": facts and facts.documents,
            "words": facts and facts.words,
            "store": facts and facts.store,
            "fingerprint": facts and facts.fingerprint,
            "samples": {
                source.name: {str(length): count for length, count in source.samples.items()}
                for source in (facts.sources if facts else ())
            },
        }


def counts_json(counts: Counts) -> list[int | str]:
    """Samples, tokens, loss tokens, digest: how counts stand in `plan.json` and in the ledger."""
    return [counts.samples, counts.tokens, counts.loss_tokens, f"{counts.digest:032x}"]


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)

"""The fingerprint of a plan: two runs with the same one draw the same samples, with the same masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.history import History
from dist_epochs.recipe import Recipe

__all__ = ["MASKS", "ORDER", "PACKING", "fingerprint"]

PACKING = "best-fit-decreasing in blocks, 1"
ORDER = "blocks and rows by hash, over lanes, 1"
MASKS = "fixed count by hash, 1"
"""Names of the rules that decide which samples are drawn; another rule has another name."""


def fingerprint(
    recipe: Recipe,
    phases: Iterable[Phase],
    facts: CorpusFacts | None,
    curriculum: Curriculum | None,
    history: History | None = None,
) -> str:
    """Digest of all that decides which samples are drawn, with which masks; never of the devices."""
    model = recipe.model
    decisive: dict[str, Any] = {
        "corpus": facts.fingerprint if facts else None,
        "packing": PACKING,
        "order": ORDER,
        "masks": [MASKS, model.objective, str(model.mask_probability)] if model else None,
        "seed": recipe.seed,
        "mixture": _mixtures(curriculum) if curriculum else None,
        "phases": [[phase.steps, phase.sequence_length, phase.global_batch] for phase in phases],
    }
    if history is not None:
        decisive["lanes"] = sorted(history.lanes.items())
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _mixtures(curriculum: Curriculum) -> list[Any]:
    """Names and weights of the one mixture, or of each phase's, where they differ."""
    listed = [_weights(mixture) for mixture in curriculum.mixtures]
    return listed[0] if curriculum.is_uniform else listed


def _weights(mixture: Mixture) -> list[Any]:
    return list(zip(mixture.names, mixture.weights, strict=True))

"""The fingerprint of a plan: two runs with the same one draw the same samples, with the same masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.packings import PACKING_RULES
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.history import History
from dist_epochs.recipe import Recipe

__all__ = ["ORDER", "fingerprint", "rules_of"]

ORDER = "blocks and rows by hash, over lanes, 2"
"""The order of stores as they are written now."""
MASKS = "fixed count by hash, 1"


def rules_of(recipe: Recipe, facts: CorpusFacts | None) -> dict[str, str]:
    """Names of the rules that decide which samples are drawn; another rule has another name.

    Args:
        recipe: The recipe.
        facts: The counted corpus, which says how it was packed; without it, as it would be now.
    """
    packing, order = (facts.packing, facts.order) if facts else (PACKING_RULES[recipe.corpus.packing], ORDER)
    return {"packing": packing, "order": order, "masks": MASKS}


def fingerprint(
    recipe: Recipe,
    phases: Iterable[Phase],
    facts: CorpusFacts | None,
    curriculum: Curriculum | None,
    history: History | None = None,
) -> str:
    """Digest of all that decides which samples are drawn, with which masks; never of the devices."""
    model, rules = recipe.model, rules_of(recipe, facts)
    decisive: dict[str, Any] = {
        "corpus": facts.fingerprint if facts else None,
        "packing": rules["packing"],
        "order": rules["order"],
        "masks": [rules["masks"], model.objective, str(model.mask_probability)] if model else None,
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

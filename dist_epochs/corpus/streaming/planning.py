"""Plans on a counted corpus: the recipe's arithmetic with the store's exact counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dist_epochs.arithmetic.packings import packing_flag
from dist_epochs.corpus.stores.opening import store_of
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.streaming.objective import Causal, Masked, Objective
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.cost.trained_part import ModelCost
from dist_epochs.plan.history import History
from dist_epochs.plan.mixtures import mixtures_of
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.planner import make_plan
from dist_epochs.plan.scheduling import layout_of
from dist_epochs.recipe import ModelRecipe, Recipe
from dist_epochs.settings.address import Address

__all__ = ["exact_plan", "objective_of", "plan_on_store"]


def objective_of(model: ModelRecipe, store: Store) -> Objective:
    """What the loss counts, with the ids of the store's tokenizer.

    Raises:
        InputError: If masks are asked for and the tokenizer has no mask token.
    """
    if model.objective == "causal":
        return Causal()
    tokenizer = store.tokenizer()
    mask_id = tokenizer.role_id("mask_token")
    if mask_id is None:
        raise InputError(
            "its tokenizer has no mask token, which a masked objective needs",
            fixes=("tokenizing with one that has [MASK] or <mask>", "objective: causal"),
            origin=Origin(store.place),
        )
    special = np.array(store.special_ids, dtype=np.int64)
    ordinary = np.setdiff1d(np.arange(tokenizer.vocabulary_size), special)
    return Masked(model.mask_probability, mask_id, special, ordinary)


def exact_plan(
    recipe: Recipe,
    store: Store,
    objective: Objective,
    devices: int | None,
    model: ModelCost | None = None,
    history: History | None = None,
) -> tuple[Corpus, Plan]:
    """The corpus in the run's order, and the plan with every integer known.

    Args:
        recipe: The recipe.
        store: Its token store.
        objective: What the loss counts.
        devices: Data-parallel size; None takes the recipe's.
        model: The model's cost, where it was measured.
        history: What the run did before its plan was changed.

    Raises:
        InputError: If the store is not packed at a length of the recipe.
    """
    packing = recipe.corpus.packing
    facts = store.facts(packing)
    mixtures = mixtures_of(recipe, facts, history)
    assert mixtures is not None  # a counted corpus has some
    drawn = facts.only(mixtures.names)
    layout = layout_of(recipe, drawn, mixtures, history=history)
    if missing := drawn.not_packed(phase.sequence_length for phase in layout.phases):
        lengths = ",".join(map(str, missing))
        raise InputError(
            f"{facts.store} is not packed at length {lengths} ({packing}), so its samples and tokens are not known",
            fixes=f"`dist-epochs tokenize {facts.store} --sequence-length {lengths}{packing_flag(packing)}`",
        )
    curriculum = mixtures.along(layout)
    corpus = Corpus(
        store,
        schedule=curriculum.schedule,
        lanes=history.lanes if history else None,
        mixture=curriculum.mixtures,
        objective=objective,
        seed=recipe.seed,
        packing=packing,
    )
    plan = make_plan(
        recipe, facts=facts, counter=corpus.counter(), data_parallel_size=devices, model=model, history=history
    )
    return corpus, plan


def plan_on_store(recipe: Recipe, model: ModelCost | None = None, verify: bool = False) -> Plan:
    """The plan of a recipe whose store may not be there, or not be packed, yet: as exact as can be.

    Args:
        recipe: The recipe; its corpus is a store.
        model: The model's cost, where it was measured.
        verify: Compare the digests of the whole store even if this machine did before.

    Raises:
        InputError: If the store is damaged.
    """
    place = recipe.corpus.store
    assert place is not None
    if not isinstance(place, Address) and not Path(place).exists():
        return make_plan(recipe, model=model)
    store = store_of(recipe)
    verify_store(store, again=verify)
    facts, batch = store.facts(recipe.corpus.packing), recipe.batch
    is_counted = not facts.not_packed(phase.sequence_length or 1 for phase in recipe.phases)
    if (
        not is_counted
        or recipe.model is None
        or recipe.model.objective is None
        or batch.is_foreign
        or batch.replacement
    ):
        return make_plan(recipe, facts=facts, model=model)  # masks, or the order, are not known
    return exact_plan(recipe, store, objective_of(recipe.model, store), None, model)[1]

"""Opens a store, on this machine or at an address."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.stores.store import Store
from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe import Recipe
from dist_epochs.recipe.corpus import CacheRecipe
from dist_epochs.settings.address import Address, is_address

__all__ = ["open_store", "store_of"]


def open_store(
    place: str | Path, lengths: Iterable[int], packing: str = BEST_FIT, cache: CacheRecipe | None = None
) -> Store:
    """Open a store.

    Args:
        place: Its folder, or its address.
        lengths: Lengths that are used: of a store at an address no other packings are known.
        packing: How documents became samples.
        cache: Where files of an address are kept.

    Raises:
        InputError: If it is not there, or damaged.
    """
    if isinstance(place, Path) or not is_address(place):
        return Store(Path(place))
    from dist_epochs.corpus.remote.store import open_remote  # networks are for addresses only

    return open_remote(Address(place), lengths, cache, packing)


def store_of(recipe: Recipe, origin: Origin | None = None) -> Store:
    """The store of a recipe.

    Args:
        recipe: The recipe.
        origin: Where it stands, for the error of one that has no store.

    Raises:
        InputError: If it has none, or the store is not there, or damaged.
    """
    corpus = recipe.corpus
    if corpus.store is None:
        raise InputError(
            "corpus.store is not set",
            rule="samples are read from a token store",
            fixes="`dist-epochs tokenize SOURCE --tokenizer T --out STORE`, which makes one",
            origin=origin,
        )
    lengths = {phase.sequence_length for phase in recipe.phases if phase.sequence_length is not None}
    return open_store(corpus.store, lengths, corpus.packing, corpus.cache)

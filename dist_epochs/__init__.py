"""Accounting for distributed pretraining: steps × batch = corpus × epochs.

The package root stays empty so that light commands start fast; its names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dist_epochs.corpus.streaming.dataset import TokenDataset
    from dist_epochs.corpus.streaming.token_stream import TokenStream
    from dist_epochs.integrations.ledger import Ledger

__all__ = ["Ledger", "TokenDataset", "TokenStream", "__version__"]

PLACES = {
    "Ledger": "dist_epochs.integrations.ledger",
    "TokenDataset": "dist_epochs.corpus.streaming.dataset",
    "TokenStream": "dist_epochs.corpus.streaming.token_stream",
}
"""Where the names of the root come from."""

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return getattr(import_module(PLACES[name]), name)
    raise AttributeError(f"module 'dist_epochs' has no attribute {name!r}")

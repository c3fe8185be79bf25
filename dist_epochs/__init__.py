"""Accounting for distributed pretraining: steps × batch = corpus × epochs.

The package root stays empty so that light commands start fast; `Ledger` is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dist_epochs.integrations.ledger import Ledger

__all__ = ["Ledger", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Ledger":
        from dist_epochs.integrations.ledger import Ledger

        return Ledger
    raise AttributeError(f"module 'dist_epochs' has no attribute {name!r}")

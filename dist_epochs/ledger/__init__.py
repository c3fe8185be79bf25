"""What happened: the counter, its file, and the reconciliation with the plan."""

from dist_epochs.ledger.ledger import Drawn, Ledger

__all__ = ["Drawn", "Ledger"]

"""What happened: the counter, its file, and the reconciliation with the plan."""

from dist_epochs.ledger.ledger import Drawn, Ledger
from dist_epochs.ledger.peers import Alone, Peers

__all__ = ["Alone", "Drawn", "Ledger", "Peers"]

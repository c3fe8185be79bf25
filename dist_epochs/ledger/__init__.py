"""What happened: the counter, its file, and the reconciliation with the plan."""

from dist_epochs.ledger.ledger import Ledger
from dist_epochs.ledger.windows import Drawn

__all__ = ["Drawn", "Ledger"]

"""What a run did: the file that grows line by line, its totals, and the reconciliation with the plan."""

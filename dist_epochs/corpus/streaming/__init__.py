"""Which samples each step draws, with their masks and counts; the store for torch loaders."""

"""Exact arithmetic of steps, batches and epochs: standard library only."""

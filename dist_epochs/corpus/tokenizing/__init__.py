"""Turns sources into a store: parts, workers, shards, and stores put together."""

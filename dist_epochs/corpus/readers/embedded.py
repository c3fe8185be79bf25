"""The embedded text: Python's own documentation, which every installation has."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["read_embedded"]


def read_embedded() -> Iterator[str]:
    """The interpreter's own language documentation, one topic a document."""
    from pydoc_data.topics import topics

    for _, text in sorted(topics.items()):
        yield text

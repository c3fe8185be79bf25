"""Makes the manifest of a store from what its parts hold, and the index of the blocks of each source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.corpus.stores import blocks as cutting
from dist_epochs.corpus.stores.manifest import STORE_VERSION, content_fingerprint, sealed
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer, token_type
from dist_epochs.corpus.tokenizing.writer import Draft
from dist_epochs.runtime.files import write_bytes

__all__ = ["manifest_of", "together"]

Entry = dict[str, Any]


def together(names: Iterable[tuple[str, bool]], drafts: Iterable[Draft]) -> list[Draft]:
    """The drafts of all parts as one for each source.

    Args:
        names: The sources in their order, and whether they are held out.
        drafts: What each part adds to a source, in the order of the parts.
    """
    whole = {name: Draft(name=name, held_out=held_out) for name, held_out in names}
    for draft in drafts:
        into = whole[draft.name]
        for each in fields(Draft):
            if each.name not in ("name", "held_out"):
                setattr(into, each.name, getattr(into, each.name) + getattr(draft, each.name))
    return list(whole.values())


def manifest_of(
    drafts: Sequence[Draft],
    tokenizer: TextTokenizer,
    held_out: Fraction,
    adds_special: bool,
    folder: Path | None = None,
) -> dict[str, Any]:
    """The manifest of a store.

    Args:
        drafts: Its sources.
        tokenizer: The tokenizer of its ids.
        held_out: Share of the documents that was held out.
        adds_special: Whether the tokenizer's special tokens were added.
        folder: The folder of the store, where the indices of blocks are written; None writes nothing.
    """
    manifest = {
        "version": STORE_VERSION,
        "sources": [_entry(draft, folder) for draft in drafts],
        "token_bytes": token_type(tokenizer).itemsize,
        "block_tokens": cutting.BLOCK_TOKENS,
        "held_out": str(held_out),
        "tokenizer": {
            "fingerprint": tokenizer.fingerprint,
            "vocabulary_size": tokenizer.vocabulary_size,
            "special_ids": tokenizer.special_ids,
            "special_tokens_added": adds_special,
            **({"repository": tokenizer.repository, "revision": tokenizer.revision} if tokenizer.repository else {}),
        },
    }
    return sealed({**manifest, "fingerprint": content_fingerprint(manifest)})


def _entry(draft: Draft, folder: Path | None) -> Entry:
    """A source in the manifest; the index of its blocks becomes a file of its own."""
    entry = asdict(draft)
    rows = cutting.block_rows([shard.pop("blocks") for shard in entry["shards"]])
    data = rows.tobytes()
    if folder is not None:
        write_bytes(folder / "sources" / draft.name / "blocks", data)
    return entry | {"blocks": {"rows": len(rows), "sha256": hashlib.sha256(data).hexdigest()}}

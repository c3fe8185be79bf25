"""The index of a store of 10T tokens, made without the tokens: sparse files, and numbers that add up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from dist_epochs.corpus.packing.packed import INDEX, SUMS, sample_type
from dist_epochs.corpus.stores.blocks import BLOCK_TOKENS, BLOCKS
from dist_epochs.corpus.stores.manifest import STORE_VERSION, content_fingerprint, sealed
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer

LENGTH = 512
NOTHING = "0" * 64


def huge_store(path: Path, tokens: int = 10**13, shards: int = 9000) -> Path:
    """A store of documents of 500 tokens in one source, packed at 512; digests are not those of any content."""
    each = tokens // shards // BLOCK_TOKENS
    blocks = shards * each
    draw = np.random.default_rng(0)
    rows = np.zeros((shards, each), BLOCKS)
    rows["shard"] = np.arange(shards)[:, None]
    rows["tokens"] = draw.integers(BLOCK_TOKENS - 500, BLOCK_TOKENS, (shards, each))
    rows["documents"] = rows["tokens"] // 500
    for begin, size in (("first_token", "tokens"), ("first_document", "documents")):
        rows[begin] = np.cumsum(rows[size], axis=1) - rows[size]
    folder = path / "sources" / "web"
    packed = folder / f"packed-{LENGTH}"
    packed.mkdir(parents=True)
    rows.tofile(folder / "blocks")
    samples = -(-rows["tokens"].ravel().astype(np.int64) // LENGTH) + draw.integers(0, 5, blocks)
    index = np.zeros(blocks + 1, INDEX)
    index["first_sample"][1:] = np.cumsum(samples)
    index["first_piece"][1:] = np.cumsum(2 * samples)
    index.tofile(packed / "blocks")
    sums = np.zeros(blocks, SUMS)
    sums["high"], sums["low"] = draw.integers(0, 2**63, (2, blocks))
    sums["masked"] = samples * 76
    sums.tofile(packed / "sums")
    counts = {"samples": int(samples.sum()), "pieces": 2 * int(samples.sum())}
    for name, size in (("samples", counts["samples"] * sample_type(LENGTH).itemsize), ("pieces", counts["pieces"] * 4)):
        with (packed / name).open("wb") as file:
            file.truncate(size)
    of_shards = rows["tokens"].sum(axis=1, dtype=np.int64).tolist()
    documents = rows["documents"].sum(axis=1, dtype=np.int64).tolist()
    digests = dict.fromkeys(("blocks", "sums", "samples", "pieces"), NOTHING)
    content = {
        "sequence_length": LENGTH, **counts, "tokens": sum(of_shards), "piece_bytes": 4, "sha256": digests,
        "packing": "best-fit", "blocks": blocks, "documents": sum(documents), "documents_cut": 0,
        "tokens_truncated": 0, "tokens_dropped": 0,
    }  # fmt: skip
    (packed / "packing.json").write_text(json.dumps(sealed(content)))
    tokenizer = TextTokenizer(EMBEDDED)
    tokenizer.save(path / "tokenizer")
    entry = {
        "name": "web", "held_out": False, "documents": sum(documents), "words": 0, "bytes": 0,
        "tokens": sum(of_shards), "empty_documents": 0, "skipped_documents": 0,
        "blocks": {"rows": blocks, "sha256": hashlib.sha256().hexdigest()},
        "shards": [
            {
                "name": f"{part:05d}-000", "documents": d, "tokens": t, "sha256": NOTHING, "length_bytes": 2,
                "lengths_sha256": NOTHING,
            }
            for part, (d, t) in enumerate(zip(documents, of_shards, strict=True))
        ],
    }  # fmt: skip
    manifest = {
        "version": STORE_VERSION, "sources": [entry], "token_bytes": 2, "block_tokens": BLOCK_TOKENS, "held_out": "0",
        "tokenizer": {
            "fingerprint": tokenizer.fingerprint, "vocabulary_size": tokenizer.vocabulary_size,
            "special_ids": tokenizer.special_ids, "special_tokens_added": True,
        },
    }  # fmt: skip
    manifest["fingerprint"] = content_fingerprint(manifest)
    (path / "manifest.json").write_text(json.dumps(sealed(manifest)))
    return path

"""The manifest of a store: its fingerprint and digest, and the checks of what it holds."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dist_epochs.corpus.stores.damage import check_keys, damaged, is_sha256, shown, whole_number
from dist_epochs.corpus.stores.referred import REFERRING, check_referring
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import digest_of_json

__all__ = ["STORE_VERSION", "check_manifest", "content_fingerprint", "is_source_name", "sealed"]

STORE_VERSION = 2
"""The format that is written; 1 is read, too."""
MANIFEST_KEYS = ("version", "fingerprint", "sources", "token_bytes", "held_out", "tokenizer")
BLOCK_SIZE = {1: "block_documents", 2: "block_tokens"}
"""The key that says how large blocks are, by format."""
SOURCE_KEYS = {1: (), 2: ("blocks",)}
SHARD_KEYS = {
    1: ("documents", "tokens", "sha256"),
    2: ("name", "documents", "tokens", "sha256", "length_bytes", "lengths_sha256"),
}
TOKENIZER_KEYS = ("fingerprint", "vocabulary_size", "special_ids", "special_tokens_added")
TOKENIZER_ORIGIN = ("repository", "revision")
"""Where a tokenizer of the Hub is from."""
SHARE = re.compile(r"0|[1-9]\d*/[1-9]\d*", re.ASCII)
SHARD_NAME = re.compile(r"\d{5,9}-\d{3,9}", re.ASCII)
"""Name of the files of a shard: the part of the corpus, and which shard of the part it is."""
LEAST_COUNTS = {"documents": 1, "words": 0, "bytes": 0, "tokens": 1, "empty_documents": 0, "skipped_documents": 0}
"""Counts of a source, and the least each can be."""


def content_fingerprint(manifest: Mapping[str, Any]) -> str:
    """A fingerprint of what decides the samples: tokens, document lengths, source names, tokenizer and blocks."""
    content = [[e["name"], e["held_out"], [shard["sha256"] for shard in e["shards"]]] for e in manifest["sources"]]
    tokenizer = manifest["tokenizer"]
    version = manifest["version"]
    size = manifest[BLOCK_SIZE[version]]
    decisive = [content, tokenizer["fingerprint"], tokenizer["special_tokens_added"], size]
    if version > 1:  # another format has another order
        decisive.append(version)
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the digest of its content."""
    return {**manifest, "digest": digest_of_json(manifest)}


def check_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Check the version of a manifest, the type of each value, the sums and the digest.

    Args:
        manifest: The content of its file.
        path: Its file, for messages.

    Raises:
        InputError: With the first thing that is wrong.
    """
    version = manifest.get("version")
    if type(version) is not int or version not in BLOCK_SIZE:
        raise InputError(
            f"a store of version {shown(version)}",
            rule=f"this program reads versions {' and '.join(map(str, BLOCK_SIZE))}",
            origin=Origin(str(path.parent)),
        )
    check_keys(manifest, (*MANIFEST_KEYS, BLOCK_SIZE[version]), path, may=("digest",))
    if manifest["token_bytes"] not in (2, 4) or type(manifest["token_bytes"]) is not int:
        raise damaged(path, f"token_bytes is {shown(manifest['token_bytes'])} and must be 2 or 4")
    whole_number(manifest, BLOCK_SIZE[version], path, 1)
    if not isinstance(manifest["held_out"], str) or not SHARE.fullmatch(manifest["held_out"]):
        raise damaged(path, f"held_out is {shown(manifest['held_out'])} and must be a share, such as 1/100")
    if not is_sha256(manifest["fingerprint"]):
        raise damaged(path, f"fingerprint is {shown(manifest['fingerprint'])} and must be a SHA-256")
    _check_tokenizer(manifest["tokenizer"], path)
    sources = manifest["sources"]
    if not isinstance(sources, list) or not sources:
        raise damaged(path, f"sources is {shown(sources)} and must be a list of sources")
    for entry in sources:
        _check_source(entry, path, version)
    names = [entry["name"] for entry in sources]
    if len(set(names)) < len(names):
        raise damaged(path, f"two sources have one name among {', '.join(map(shown, names))}")
    digest = digest_of_json({name: value for name, value in manifest.items() if name != "digest"})
    if (found := manifest.get("digest", digest)) != digest:  # older stores have none
        raise damaged(path, f"its digest is {digest} and not {shown(found)}, as it says")


def _check_tokenizer(tokenizer: Any, path: Path) -> None:
    where = "tokenizer: "
    check_keys(tokenizer, TOKENIZER_KEYS, path, where, may=TOKENIZER_ORIGIN)
    for name in TOKENIZER_ORIGIN:
        if not isinstance(tokenizer.get(name, ""), str):
            raise damaged(path, f"{where}{name} is {shown(tokenizer[name])} and must be text")
    whole_number(tokenizer, "vocabulary_size", path, 1, where)
    special = tokenizer["special_ids"]
    if not isinstance(special, list) or not all(type(number) is int and 0 <= number < 2**32 for number in special):
        raise damaged(path, f"{where}special_ids is {shown(special)} and must be a list of token ids")
    if not isinstance(tokenizer["special_tokens_added"], bool):
        raise damaged(
            path, f"{where}special_tokens_added is {shown(tokenizer['special_tokens_added'])} and no yes or no"
        )
    if not is_sha256(tokenizer["fingerprint"]):
        raise damaged(path, f"{where}fingerprint is {shown(tokenizer['fingerprint'])} and must be a SHA-256")


def _check_source(entry: Any, path: Path, version: int) -> None:
    check_keys(entry, ("name", "held_out", "shards", *SOURCE_KEYS[version], *LEAST_COUNTS), path, "a source: ")
    if not is_source_name(entry["name"]):
        raise damaged(path, f"a source is called {shown(entry['name'])}, which is no name of a folder of the store")
    where = f"source {shown(entry['name'])}: "
    if not isinstance(entry["held_out"], bool):
        raise damaged(path, f"{where}held_out is {shown(entry['held_out'])} and must be true or false")
    for name, least in LEAST_COUNTS.items():
        whole_number(entry, name, path, least, where)
    shards = entry["shards"]
    if not isinstance(shards, list) or not shards:
        raise damaged(path, f"{where}shards is {shown(shards)} and must be a list of shards")
    for number, shard in enumerate(shards):
        place = f"{where}shard {number}: "
        check_keys(shard, SHARD_KEYS[version], path, place, may=REFERRING)
        whole_number(shard, "documents", path, 1, place)
        whole_number(shard, "tokens", path, shard["documents"], place)  # documents without a token are left out
        if not is_sha256(shard["sha256"]):
            raise damaged(path, f"{place}sha256 is {shown(shard['sha256'])} and must be a SHA-256")
        if version > 1 and not (isinstance(shard["name"], str) and SHARD_NAME.fullmatch(shard["name"])):
            raise damaged(path, f"{place}name is {shown(shard['name'])} and must be like 00000-000")
        if version > 1 and not is_sha256(shard["lengths_sha256"]):
            raise damaged(path, f"{place}lengths_sha256 is {shown(shard['lengths_sha256'])} and must be a SHA-256")
        if version > 1 and (type(shard["length_bytes"]) is not int or shard["length_bytes"] not in (1, 2, 4)):
            raise damaged(path, f"{place}length_bytes is {shown(shard['length_bytes'])} and must be 1, 2 or 4")
        if shard.keys() & set(REFERRING):
            check_referring(shard, path, place)
    if version > 1:
        blocks = entry["blocks"]
        check_keys(blocks, ("rows", "sha256"), path, f"{where}blocks: ")
        whole_number(blocks, "rows", path, len(shards), f"{where}blocks: ")
        if not is_sha256(blocks["sha256"]):
            raise damaged(path, f"{where}blocks: sha256 is {shown(blocks['sha256'])} and must be a SHA-256")
    if version > 1 and len({shard["name"] for shard in shards}) < len(shards):
        raise damaged(path, f"{where}two shards have one name")
    for name in ("documents", "tokens"):
        found = sum(shard[name] for shard in shards)
        if found != entry[name]:
            raise damaged(path, f"{where}{entry[name]:,} {name}, and its shards have {found:,}")


def is_source_name(name: object) -> bool:
    """Whether a value can be the name of a source: that of a folder inside the store, and not hidden."""
    if not isinstance(name, str) or not name or name.startswith(".") or any(mark in name for mark in "/\\\0"):
        return False
    try:
        return len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:
        return False

"""Counts of corpora that hold tokens already, by what their files say: nothing is tokenized, and little is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.sources import HELD_OUT, Source, Unit
from dist_epochs.corpus.input.token_files import Facts
from dist_epochs.corpus.input.token_formats import FORMATS

__all__ = ["count_tokens", "facts_of", "holds"]

ADDED_UP = ("sequences", "rows", "samples", "positions", "documents_ended", "eot_count", "idx_bytes", "bin_bytes")
"""What files have each of which a corpus has all."""


def count_tokens(sources: Sequence[Source], whole: bool = True) -> dict[str, Any]:
    """The counts of sources, as `dist-epochs tokenize --count-only --json` prints them.

    Args:
        sources: Sources of tokens. Files that are kept for evaluation are counted with the others, and named.
        whole: Check all of an index, and not only its ends.

    Raises:
        InputError: If a file is damaged.
    """
    found: dict[str, list[tuple[Unit, Facts]]] = {}
    for source in sources:
        found.setdefault(source.name, []).extend(facts_of(source, whole))
    merged: dict[str, dict[str, Any]] = {}
    for source in sources:
        own = [name for name in found if name.removesuffix(HELD_OUT) == source.name]
        if not source.held_out:
            merged[source.name] = holds([pair for name in own[::-1] for pair in found[name]])
    for name, files in found.items():
        if name.endswith(HELD_OUT):
            kept = holds(files)
            merged[name.removesuffix(HELD_OUT)]["validation"] = {
                "files": [Path(unit.name).name for unit, _ in files],
                "documents": kept["documents"],
                "tokens": kept["tokens"],
            }
    unknown = {"words": None, "bytes": None, "empty_documents": None, "skipped_documents": 0}
    entries = [
        {"name": name, "documents": each["documents"], "tokens": each["tokens"], **unknown, "holds": each}
        for name, each in merged.items()
    ]
    documents = [entry["documents"] for entry in entries]
    return {
        **unknown,
        "documents": None if None in documents else sum(documents),
        "tokens": sum(entry["tokens"] for entry in entries),
        "tokens_per_word": None,
        "samples": {},
        "packings": [],
        "sources": entries,
        "holds": entries[0]["holds"] if len(entries) == 1 else None,
        "held_out": None,
        "fingerprint": None,
        "written_before": False,
    }


def facts_of(source: Source, whole: bool) -> list[tuple[Unit, Facts]]:
    """What each file of a source says."""
    return [
        (unit, FORMATS[unit.kind].facts(Path(unit.name), source.reading, whole) if unit.kind in FORMATS else
         _counted(source, unit))
        for unit in source.units
    ]  # fmt: skip


def holds(files: Sequence[tuple[Unit, Facts]]) -> dict[str, Any]:
    """What files hold together: sums of what adds up, and what is the same in all of them."""
    shards = [
        {"file": Path(unit.name).name, "tokens": facts.tokens, "documents": facts.documents, **facts.more}
        for unit, facts in files
    ]
    kinds = sorted({unit.kind for unit, _ in files})
    merged: dict[str, Any] = {
        "kind": kinds[0] if len(kinds) == 1 else kinds,
        "documents": _documents(shards),
        "tokens": sum(facts.tokens for _, facts in files),
    }
    for name in dict.fromkeys(name for shard in shards for name in shard if name not in ("file", *merged)):
        values = [shard[name] for shard in shards if name in shard]
        if name in ADDED_UP:
            merged[name] = sum(values)
        elif len(values) == len(shards) and all(value == values[0] for value in values):
            merged[name] = values[0]
    notes = dict.fromkeys(note for _, facts in files for note in facts.notes)
    return merged | {"shards": shards, "notes": list(notes)}


def _documents(shards: Sequence[Mapping[str, Any]]) -> int | None:
    """Documents of files in their order; where an id begins or ends them, they run over files."""
    if any(shard["documents"] is None for shard in shards):
        return None
    if all("eot_place" in shard for shard in shards):
        ends = sum(shard["eot_count"] for shard in shards)
        if shards[0]["eot_place"].startswith("before"):
            return int(ends + (not shards[0]["starts_with_eot"]))
        return int(ends + (not shards[-1]["ends_with_eot"]))
    return int(sum(shard["documents"] for shard in shards))


def _counted(source: Source, unit: Unit) -> Facts:
    """Counts of rows of ids that have no index."""
    documents = tokens = 0
    for document in source.read(unit):
        if isinstance(document, BadDocument):
            raise document
        documents += 1
        tokens += len(document)
    return Facts(tokens=tokens, documents=documents)

"""The token store: every document tokenized once, and packed at one or more lengths.

    STORE/manifest.json                       counts, tokenizer, fingerprint; written last
    STORE/tokenizer/tokenizer.json
    STORE/sources/NAME/00000-000.tokens       ids of the documents, in order; or another tool's file
    STORE/sources/NAME/00000-000.lengths      tokens of each document, in the smallest unsigned type
    STORE/sources/NAME/blocks                 documents and tokens of each block (see `blocks`)
    STORE/sources/NAME/packed-128/            samples of length 128 (see `packed`)
    STORE/verified.json                       files whose digests were compared (see `verify`)

All numbers are little-endian. Nothing in a store is executed or unpickled.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.packings import BEST_FIT, PACKING_RULES
from dist_epochs.corpus.stores.damage import read_object
from dist_epochs.corpus.stores.manifest import check_manifest
from dist_epochs.corpus.stores.source_store import SourceStore
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.corpus_facts import CorpusFacts, SourceFacts
from dist_epochs.plan.fingerprint import ORDER
from dist_epochs.runtime.mapped_files import MappedFiles

if TYPE_CHECKING:
    from dist_epochs.corpus.remote.store import RemoteShards

__all__ = ["SourceStore", "Store"]

PACKING_1, ORDER_1 = "best-fit-decreasing in blocks, 1", "blocks and rows by hash, over lanes, 1"
"""What plans name the rules of stores of format 1."""


class Store:
    """A corpus that was tokenized and counted.

    Args:
        path: Folder written by `dist-epochs tokenize`.
        remote: Where its shards are, if not in the folder.

    Attributes:
        place: Where it is, for messages.

    Raises:
        InputError: If it is not a store, files are missing or cut, or its counts contradict each other. Digests are
            compared by `verify_store`.
    """

    def __init__(self, path: Path, remote: RemoteShards | None = None) -> None:
        if not (path / "manifest.json").is_file():
            hint = "there is no such folder" if not path.exists() else "it has no manifest.json"
            makes = f"`dist-epochs tokenize SOURCE --tokenizer T --out {path}`, which makes one"
            if path.exists():
                makes = f"`dist-epochs tokenize {path} --tokenizer T --out STORE`, if it is a corpus"
            raise InputError(
                f"not a token store: {hint}",
                fixes=makes,
                origin=Origin(str(path)),
            )
        self.path = path
        self.remote = remote
        self.place = str(remote.address if remote else path)
        self.manifest = read_object(path / "manifest.json")
        check_manifest(self.manifest, path / "manifest.json")
        files = MappedFiles()
        self._sources = [
            SourceStore(path / "sources" / entry["name"], self.manifest, entry, files, remote)
            for entry in self.manifest["sources"]
        ]

    def __reduce__(self) -> tuple[type[Store], tuple[Path, RemoteShards | None]]:
        return Store, (self.path, self.remote)  # another process opens it again

    def sources(self, *, held_out: bool = False) -> list[SourceStore]:
        """The sources to train on, or the held-out documents."""
        return [source for source in self._sources if source.entry["held_out"] is held_out]

    def facts(self, packing: str = BEST_FIT) -> CorpusFacts:
        """What the plan needs to know of the corpus, packed by one of `PACKINGS`."""
        is_first = self.manifest["version"] == 1
        return CorpusFacts(
            sources=tuple(
                SourceFacts(
                    name=source.name,
                    documents=source.entry["documents"],
                    words=source.entry["words"],
                    tokens=source.entry["tokens"],
                    packed={length: source.packing_facts(length, packing) for length in source.packed_lengths(packing)},
                )
                for source in self.sources()
            ),
            fingerprint=self.manifest["fingerprint"],
            store=self.place,
            packing=PACKING_1 if is_first and packing == BEST_FIT else PACKING_RULES[packing],
            order=ORDER_1 if is_first else ORDER,
            tokenizer=self._tokenizer_text(),
        )

    def _tokenizer_text(self) -> str:
        """The digest of the tokenizer, and whether it added nothing to the documents."""
        tokenizer = self.manifest["tokenizer"]
        fingerprint: str = tokenizer["fingerprint"]
        return fingerprint if tokenizer["special_tokens_added"] else f"{fingerprint}, no special tokens added"

    @property
    def special_ids(self) -> list[int]:
        """Ids that are never masked."""
        return list(self.manifest["tokenizer"]["special_ids"])

    def tokenizer(self) -> TextTokenizer:
        """The tokenizer that the store was made with, read once."""
        return self._tokenizer

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return TextTokenizer(self.path / "tokenizer")

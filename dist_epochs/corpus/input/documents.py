"""The documents of one input file that hold something, and how many were taken so far."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal, cast

from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.token_files import Ids
from dist_epochs.corpus.tokenizing.writer import Draft
from dist_epochs.errors import InputError, Origin

__all__ = ["Document", "Documents", "content_of"]

SKIPPED_AT_ONCE, SKIPPED_SIZE = 1000, 2**20
"""Documents, or characters, that are compared at once with what was read before."""

Document = str | Ids
"""A document: its text, or its tokens."""


def content_of(document: Document) -> bytes:
    """What makes a document the same as another: its text, or its ids whatever their type."""
    return document.encode() if isinstance(document, str) else document.astype("<i8").tobytes()


class Documents:
    """Gives the documents with text, or tokens, in batches.

    Empty ones are counted in the draft; unreadable ones are counted there too, or are an error.

    Args:
        documents: All documents of the input file.
        draft: The counts of their source.
        on_error: What to do about one that cannot be read.

    Attributes:
        given: Documents taken so far, empty and unreadable ones included.
    """

    def __init__(
        self, documents: Iterator[str | Ids | BadDocument], draft: Draft, on_error: Literal["stop", "skip"]
    ) -> None:
        self.given = 0
        self._documents = documents
        self._draft = draft
        self._on_error = on_error
        self._contents = hashlib.sha256()
        self._lengths = hashlib.sha256()

    @property
    def texts(self) -> str:
        """A digest of the documents taken so far, whatever batches they were given in."""
        return hashlib.sha256(self._contents.digest() + self._lengths.digest()).hexdigest()

    def skip(self, given: int, texts: str, name: str) -> None:
        """Pass over the first documents, which are counted already.

        Args:
            given: How many.
            texts: The digest that they had.
            name: The input file.

        Raises:
            InputError: If they are not the same as then.
        """
        documents, counted = self._documents, self._draft
        self._documents, self._draft = islice(documents, given), replace(counted)
        for _ in self.batches(documents=SKIPPED_AT_ONCE, size=SKIPPED_SIZE):
            pass
        self._documents, self._draft = documents, counted
        if given and (self.given, self.texts) != (given, texts):
            raise InputError(
                f"the first {given:,} documents are not those that were read before",
                fixes="to delete the unfinished store, and begin anew",
                origin=Origin(name),
            )

    def batches(self, *, documents: int, size: int) -> Iterator[list[Document]]:
        """The documents in batches, of which the last may be empty.

        Args:
            documents: The most of a batch.
            size: Characters, or tokens, after which no document is added.
        """
        batch: list[Document] = []
        lengths: list[int] = []
        taken = 0
        for document in self._documents:
            if isinstance(document, BadDocument):
                if self._on_error == "stop":
                    skip = "`--on-error skip`, which counts such documents and continues"
                    raise document.but(fixes=(*document.fixes, skip))
                self._draft.skipped_documents += 1
                lengths.append(-1)
            elif not len(document) or (isinstance(document, str) and document.isspace()):
                self._draft.empty_documents += 1
                lengths.append(0)
            else:
                batch.append(document)
                lengths.append(len(document))
                taken += len(document)
            if len(lengths) >= documents or taken >= size:
                self._note(batch, lengths)
                yield batch
                batch, lengths, taken = [], [], 0
        self._note(batch, lengths)
        yield batch

    def _note(self, batch: list[Document], lengths: list[int]) -> None:
        self.given += len(lengths)
        self._lengths.update(array("q", lengths).tobytes())
        if batch and all(isinstance(document, str) for document in batch):
            self._contents.update("".join(cast(list[str], batch)).encode())
        else:
            for document in batch:
                self._contents.update(content_of(document))

"""The documents of one input file that hold something, and how many were taken so far."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from dist_epochs.corpus.document import BadDocument
from dist_epochs.corpus.token_files import Ids
from dist_epochs.corpus.writer import Draft
from dist_epochs.errors import InputError, Origin

__all__ = ["Document", "Documents", "content_of"]

Document = str | Ids
"""A document: its text, or its tokens."""


def content_of(document: Document) -> bytes:
    """What makes a document the same as another: its text, or its ids whatever their type."""
    return document.encode() if isinstance(document, str) else document.astype("<i8").tobytes()


class Documents:
    """Iterates over the documents with text, or tokens.

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
        self._texts = hashlib.sha256()

    @property
    def texts(self) -> str:
        """SHA-256 of the documents taken so far."""
        return self._texts.hexdigest()

    def skip(self, given: int, texts: str, name: str) -> None:
        """Pass over the first documents, which are counted already.

        Args:
            given: How many.
            texts: SHA-256 that they had.
            name: The input file.

        Raises:
            InputError: If they are not the same as then.
        """
        for document in islice(self._documents, given):
            self._note(document)
        if given and (self.given, self.texts) != (given, texts):
            raise InputError(
                f"the first {given:,} documents are not those that were read before",
                fixes="to delete the unfinished store, and begin anew",
                origin=Origin(name),
            )

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            self._note(document)
            if isinstance(document, BadDocument):
                if self._on_error == "stop":
                    skip = "`--on-error skip`, which counts such documents and continues"
                    raise document.but(fixes=(*document.fixes, skip))
                self._draft.skipped_documents += 1
            elif not (document.strip() if isinstance(document, str) else len(document)):
                self._draft.empty_documents += 1
            else:
                yield document

    def _note(self, document: Document | BadDocument) -> None:
        self.given += 1
        text = b"" if isinstance(document, BadDocument) else content_of(document)
        self._texts.update(len(text).to_bytes(8, "little") + text)

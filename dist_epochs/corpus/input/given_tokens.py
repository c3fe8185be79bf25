"""Checks of corpora that hold tokens already: what can be done with them, and that a tokenizer has their ids."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from dist_epochs.corpus.input.sources import Source, Unit
from dist_epochs.corpus.input.token_files import Ids, Reading
from dist_epochs.corpus.input.token_formats import FORMATS
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin

__all__ = ["check_ids", "check_tokenizer", "check_tokens"]


def check_tokens(
    sources: Sequence[Source], tokenizer: TextTokenizer | None, out: Path | None, *, refer: bool, held_out: Fraction
) -> None:
    """Refuse what cannot be done with text, or with tokens.

    Args:
        sources: Text, or tokens.
        tokenizer: Of text it makes the tokens; of tokens, a store needs it.
        out: Folder of the store, if one is written.
        refer: Whether the store is to refer to the tokens.
        held_out: Share of the documents that is to be held out.

    Raises:
        InputError: With what cannot be done.
    """
    text = [source.name for source in sources if not source.is_tokenized]
    if text and len(text) < len(sources):
        tokens = next(source.name for source in sources if source.is_tokenized)
        raise InputError(f"{text[0]} is text, and {tokens} is tokens", fixes="a store of each")
    check_tokenizer(sources, tokenizer is not None)
    if text and (refer or sources[0].reading != Reading()):
        raise InputError("--eos, --dtype and --refer are for tokens, and this is text", fixes="leaving them out")
    if out is not None and tokenizer is None:
        raise InputError(
            "a store of tokens needs the tokenizer that they were made with",
            rule="training takes the size of the vocabulary, padding and special tokens from it",
            fixes=("--tokenizer FILE", "--count-only, which needs none"),
        )
    if refer:
        copied = [unit.name for source in sources for unit in source.units if not _can_refer(source, unit)]
        if out is None or copied or held_out:
            rule = f"{copied[0]} holds more than its ids one after the other" if copied else ""
            raise InputError(
                "a store cannot refer to the tokens" + (" and hold documents out" if held_out else ""),
                rule=rule or "referring is for a store (--out), whose documents are all trained on",
                fixes="leaving --refer out, which copies them" if out else "--out STORE",
            )


def check_tokenizer(sources: Sequence[Source], has_one: bool) -> None:
    """Refuse text without a tokenizer."""
    if not has_one and not all(source.is_tokenized for source in sources):
        raise InputError("tokens are counted with a tokenizer", fixes=("--tokenizer FILE", "--tokenizer embedded"))


def _can_refer(source: Source, unit: Unit) -> bool:
    return unit.kind in FORMATS and FORMATS[unit.kind].flat(Path(unit.name), source.reading) is not None


def check_ids(ids: Ids, tokenizer: TextTokenizer, unit: Unit) -> None:
    """Refuse ids that the tokenizer does not have, which come of another tokenizer or a wrong type."""
    least, most = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
    if least < 0 or most >= tokenizer.vocabulary_size:
        raise InputError(
            f"token {most if least >= 0 else least:,} is not among the {tokenizer.vocabulary_size:,} of the tokenizer",
            rule="the tokenizer must be the one that the tokens were made with, and their type as their tool wrote it",
            fixes=("another --tokenizer", "--dtype, if the file does not say its type"),
            origin=Origin(unit.name),
        )

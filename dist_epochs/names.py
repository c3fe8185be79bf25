"""Names as people type them, and as they read them: case, spaces, hyphens and underscores make no difference."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["find_name", "folded", "in_words"]

SPELLED = {"mfu": "MFU", "hfu": "HFU", "flops": "FLOPs"}
"""Words of names that are spelled otherwise in a text."""


def folded(name: str) -> str:
    """A name in the one form in which two of them are compared.

    Examples:
        >>> folded(" Batch_Size "), folded("ｽﾃｯﾌﾟ"), folded("배치 크기")
        ('batch-size', 'ステップ', '배치-크기')
    """
    if not name.isascii():
        import unicodedata  # full-width letters, half-width katakana, and syllables that stand in pieces

        name = unicodedata.normalize("NFKC", name)
    return re.sub(r"[\s_-]+", "-", name.casefold()).strip("-")


def find_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that is meant: the same one, or else the one that differs in no more than case and spaces.

    Examples:
        >>> find_name("BERT", ["bert", "bert-mlm"]), find_name("bert mlm", ["bert", "bert-mlm"]), find_name("T5", [])
        ('bert', 'bert-mlm', None)
    """
    names = list(known)
    if name in names:
        return name
    return next((each for each in names if folded(each) == folded(name)), None)


def in_words(name: str) -> str:
    """The name of a fact, a role or a field as a person reads it.

    Examples:
        >>> in_words("tokens_per_batch"), in_words("micro_steps"), in_words("mfu"), in_words("length_run_2")
        ('tokens per batch', 'micro-steps', 'MFU', 'length, run 2')
    """
    words = re.sub(r"_run_(\d+)$", r", run \1", name.replace("micro_step", "micro-step")).replace("_", " ").strip()
    return " ".join(SPELLED.get(word, word) for word in words.split(" "))

"""What `dist-epochs audit` makes of a pasted sentence, a text file, flags alone, or a table."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dist_epochs.errors import InputError, Origin

if TYPE_CHECKING:
    from dist_epochs.audit.sentence.audited import SentenceAudit
    from dist_epochs.cli.audit_output import Shown

__all__ = [
    "TEXT_FILES",
    "audit_flags",
    "audit_sentence",
    "audit_table",
    "is_sentence",
    "is_text_file",
    "refuse_beside_table",
    "refuse_flags",
    "tell",
]

TEXT_FILES = (".txt", ".md", ".pdf")
STANDARD_INPUT = "-"

_CHINESE_MARKS = re.compile("[，。、：；（）]|[^/]*(?:步|轮|ステップ|エポック|词元|批次|バッチ)[^/]*$")
"""What tells a sentence without spaces from a path."""

_FILE_NAME = re.compile(r"\S*[^\s.]\.[A-Za-z]{2,9}|[^.]*/[^.]*\.(?:ya?ml|jsonl?|log|txt|md|pdf|csv|wandb)")
HEAD = 4096
"""Bytes of a file that tell whether it is text."""
LEAST_WORDS = 4
"""Words of a sentence without a digit."""


def is_sentence(name: str) -> bool:
    """Whether an argument is a sentence, or `-`, rather than the name of a claim or a path.

    Examples:
        >>> is_sentence("1M steps, 40 epochs"), is_sentence("bert mlm"), is_sentence("my runs/a 1.log")
        (True, False, False)
    """
    if name == STANDARD_INPUT:
        return True
    has_digit = re.search(r"\d", name) is not None
    has_words = re.search(r"\s", name.strip()) is not None or (has_digit and _CHINESE_MARKS.search(name) is not None)
    if not name.strip() or not has_words:
        return not name.strip()
    if _FILE_NAME.fullmatch(name) or _exists(name):
        return False
    return has_digit or len(name.split()) >= LEAST_WORDS


def is_text_file(name: str) -> bool:
    """Whether an argument is a file that holds sentences, or a PDF: a word or a damaged log is no text."""
    path = Path(name)
    if path.suffix.lower() not in TEXT_FILES or not _exists(name) or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD)
    return path.suffix.lower() == ".pdf" or (b"\0" not in head and len(head.split()) >= LEAST_WORDS and _is_utf8(head))


def _is_utf8(head: bytes) -> bool:
    """Whether the beginning of a file is text; it may end within a character."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == HEAD
    return True


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def audit_sentence(name: str) -> SentenceAudit:
    """Audit a sentence, standard input, or a file of text.

    Raises:
        InputError: If there is no text, or too much.
    """
    from dist_epochs.audit.sentence.audited import audit_text_of
    from dist_epochs.audit.sentence.sources import read_source, read_stream

    if name == STANDARD_INPUT:
        return audit_text_of(read_stream(sys.stdin.buffer), "standard input")
    if is_text_file(name) or name.lower().endswith(".pdf"):
        try:
            text, blocks = read_source(Path(name))
            found = audit_text_of(text, name)
        except InputError as error:
            raise error if error.origin else error.but(origin=Origin(name)) from None
        return found.noting(f"{blocks} block{'s' * (blocks > 1)} of code in it: not read") if blocks else found
    return audit_text_of(name)


def refuse_flags(texts: Mapping[str, str]) -> None:
    """Refuse flags beside a text, which states its own numbers.

    Raises:
        InputError: If there are any.
    """
    if texts:
        raise InputError(
            f"{', '.join(_flags(texts))}: a sentence states its own numbers",
            rule="flags are claims of a finished run, or a claim by themselves",
            fixes=("the number in the sentence", "the flags alone"),
        )


def refuse_beside_table(name: str | None, every: bool, write: str | None, texts: Mapping[str, str]) -> None:
    """Refuse what says nothing of the table of a mixture: all but the tokens that are drawn in all.

    Raises:
        InputError: If there is any.
    """
    others = [*([name] if name is not None else []), *(["--all"] if every else []), *(["--write"] if write else [])]
    others += _flags({flag: text for flag, text in texts.items() if flag != "tokens"})
    if others:
        raise InputError(
            f"--table and {', '.join(others)} are given, and it is not clear which is meant",
            rule="--table audits a mixture, of which --tokens may say how much is drawn in all",
            fixes="one of them alone",
        )


def _flags(texts: Mapping[str, str]) -> list[str]:
    return [f"--{flag.replace('_', '-')}" for flag in texts]


def audit_flags(texts: Mapping[str, str]) -> SentenceAudit:
    """Audit what flags alone state of a run.

    Raises:
        InputError: If one of them is no number, or says something of a finished run only.
    """
    from dist_epochs.audit.sentence.audited import audit_reading
    from dist_epochs.audit.sentence.flags import read_flags

    return audit_reading(read_flags(texts), "flags")


def audit_table(path: str, total: str | None, shown: Shown) -> None:
    """Audit a table: of models, a claim in each row, or of a mixture; its columns tell which.

    Raises:
        InputError: If it is neither.
        SystemExit: With the exit code of numbers that do not add up.
    """
    from dist_epochs.audit.model_table.rows import read_model_table

    models = read_model_table(Path(path))
    if models is not None:
        if total is not None:
            raise InputError("--tokens says how much of a mixture is drawn, and this is a table of models")
        from dist_epochs.audit.model_table.audited import audit_model_table

        shown.models(audit_model_table(models))
        return
    from dist_epochs.audit.claim_audit import audit_claim
    from dist_epochs.audit.sentence.mixture_table import read_mixture_table

    shown.audit(audit_claim(path, read_mixture_table(Path(path), total)))


def tell(found: SentenceAudit, shown: Shown, write: str | None) -> None:
    """Show the audit of a text, and write its claim to a file if that is asked.

    Raises:
        InputError: If there is no claim to write, or a file in its place.
        SystemExit: With the exit code of numbers that do not add up.
    """
    if write is not None:
        from dist_epochs.audit.sentence.writing import write_claim

        write_claim(found, Path(write))
    shown.sentence(found)

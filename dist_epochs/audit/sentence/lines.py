"""Line ends that only break a line: prose that was wrapped is one line, lists and tables keep theirs."""

from __future__ import annotations

import re
from itertools import pairwise

from dist_epochs.audit.sentence.tables import is_header

__all__ = ["unwrapped"]

_ITEM = re.compile(r"\s*(?:([•·▪*+-])|\d{1,2}[.)])\s+\S")
_KEY = re.compile(r"\s*[A-Za-z][\w /()-]{0,40}[:=]")


def unwrapped(text: str) -> str:
    r"""A text whose line ends within prose are spaces; its characters keep their places.

    Examples:
        >>> unwrapped("batch\nsize of 8\n\nSteps\nTokens"), unwrapped("- 8 GPUs\n- 2 nodes")
        ('batch size of 8\n\nSteps Tokens', '- 8 GPUs\n- 2 nodes')
    """
    if "\n" not in text:
        return text
    lines = text.split("\n")
    marks = [match[1] for line in lines if (match := _ITEM.match(line)) is not None]
    joined, in_table = [lines[0]], is_header(lines[0])
    for before, line in pairwise(lines):
        in_table = is_header(before) or (in_table and re.search(r"\d", before) is not None)
        ends = not before.strip() or not line.strip() or "|" in line or "|" in before or before.lstrip().startswith("#")
        starts = _is_item(line, before, marks) or (
            _KEY.match(line) is not None and (_KEY.match(before) is not None or before.rstrip()[-1:] in ".;:,")
        )
        joined += ["\n" if ends or starts or in_table else " ", line]
    return "".join(joined)


def _is_item(line: str, before: str, marks: list[str]) -> bool:
    """Whether a line is an item of a list: a lone `*` may go on with a product."""
    match = _ITEM.match(line)
    if match is None:
        return False
    return match[1] in ("•", "·", "▪", None) or marks.count(match[1]) > 1 or before.rstrip().endswith((".", ":", ";"))

"""Tables that were pasted as text: the header of a column says what its numbers are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.phrases import Role

__all__ = ["column_role", "is_header", "table_roles"]

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ((
r"(?:global )?batch(?: size)? ?[(/\[,]? ?(?:in )?(?:#\s*)?tokens ?[)\]]?|"
r"tokens? ?(?:per|/) ?(?:batch|step)"
), "batch_tokens", "tokens"),
    (r"(?:micro|local|per[- ](?:device|gpu))[- ]?batch(?:[- ]size)?|mbs", "per_device", "samples"),
    ((
r"(?:global |effective |total )?(?:mini-?)?batch(?:[- ]?size)?(?: ?\((?:samples|"
r"sequences|images)\))?|gbs|bs|bsz"
), "global_batch", "samples"),
    (r"(?:max )?(?:sequence|context|seq\.?|ctx)(?:[- ]?(?:length|len|window))?|length", "sequence_length", "tokens"),
    (r"(?:training |optimizer |total )?(?:steps|updates|iterations|iters)", "steps", "steps"),
    (r"epochs|passes", "epochs", "epochs"),
    (r"(?:grad(?:ient)?\.? )?accum(?:ulation)?\.?(?: steps)?", "gradient_accumulation", "micro-steps"),
    (r"(?:training |total |seen )?tokens(?: seen| trained)?", "tokens", "tokens"),
    (r"(?:data ?set|corpus|train(?:ing)? set|data)(?: size)?(?: ?\(tokens\))?", "corpus", "tokens"),
    (r"(?:train(?:ing)? )?(?:images|examples|samples|sequences)", "corpus", "samples"),
    (r"(?:#\s?)?(?:gpus|tpus|devices|accelerators|chips)", "devices", "devices"),
    (r"(?:#\s?)?(?:params|parameters|model size|size)", "parameters", "parameters"),
    (r"(?:gpu|tpu|device|chip)[- ]?h(?:ou)?rs|gpuh", "device_hours", "device hours"),
    (r"(?:training |wall )?(?:hours|time ?\(h(?:ours)?\))", "hours", "hours"),
    (r"(?:training )?flops", "flops", "FLOPs"),
    (r"mfu|utili[sz]ation", "mfu", ""),
    ((
r"(?:peak |max )?(?:lr|learning rate)|warm-?up(?: steps)?|layers|"
r"heads|d_?model|hidden(?: size)?|dim|loss|ppl|perplexity|acc(?:uracy)?|"
r"top-1|dropout|weight decay|seed"
), "", ""),
    (r"model|name|run|stage|phase|variant|config(?:uration)?|method|source|corpus name", "name", ""),
)  # fmt: skip
"""What a column's header says of its numbers."""

LEAST_COLUMNS = 3
"""A line with fewer headers is prose."""


@cache
def _header() -> re.Pattern[str]:
    names = "|".join(f"(?P<c{at}>{pattern})" for at, (pattern, _, _) in enumerate(COLUMNS))
    return re.compile(rf"(?<![\w-])(?:{names})(?![\w-])", re.IGNORECASE)


def column_role(header: str) -> tuple[str, str] | None:
    """Role and unit of the numbers under a header; None for an unknown one.

    Examples:
        >>> column_role("Batch (tokens)"), column_role("GPUs"), column_role("colour")
        (('batch_tokens', 'tokens'), ('devices', 'devices'), None)
    """
    match = _header().fullmatch(re.sub(r"[*_`]", " ", header).strip())
    return COLUMNS[int((match.lastgroup or "c0")[1:])][1:] if match is not None else None


def table_roles(text: str, contexts: Sequence[Context]) -> Mapping[int, Role]:
    """Roles of the numbers that stand in the rows of tables, by their place among all numbers."""
    found: dict[int, Role] = {}
    lines: list[tuple[int, str]] = []
    start = 0
    for line in text.splitlines(keepends=True):
        lines.append((start, line))
        start += len(line)
    header: list[tuple[str, str]] | None = None
    is_piped = False
    for start, line in lines:
        columns = _columns(line)
        if columns is not None:
            header, is_piped = columns, "|" in line
            continue
        if header is None or not line.strip() or re.fullmatch(r"[\s|:+-]+", line):
            header = header if line.strip() else None
            continue
        here = [at for at, context in enumerate(contexts) if start <= context.numeral.first < start + len(line)]
        if not _fill(found, header, contexts, here, start, line, is_piped):
            header = None
    return found


def is_header(line: str) -> bool:
    """Whether a line is the header of a table."""
    return _columns(line) is not None


def _columns(line: str) -> list[tuple[str, str]] | None:
    """Roles and units of a header's columns, in order; None for a line that is none."""
    if re.search(r"\d", line):
        return None
    if "|" in line:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        roles = [column_role(cell) or ("name", "") for cell in cells]
        return roles if sum(bool(role) and role != "name" for role, _ in roles) >= 2 else None
    rest = _header().sub(" ", line)
    matches = [*_header().finditer(line)]
    is_header = len(matches) >= LEAST_COLUMNS and not re.search(r"[A-Za-z]{2,}", rest)
    return [COLUMNS[int((match.lastgroup or "c0")[1:])][1:] for match in matches] if is_header else None


def _fill(
    found: dict[int, Role], header: Sequence[tuple[str, str]], contexts: Sequence[Context], here: Sequence[int],
    start: int, line: str, is_piped: bool,
) -> bool:  # fmt: skip
    """Give the numbers of a row the roles of their columns; whether it was a row."""
    if is_piped:
        if "|" not in line:
            return False
        body = line.strip()
        offset = start + line.index(body) + body.startswith("|")
        place = 0
        for cell, (role, unit) in zip(body.strip("|").split("|"), header, strict=False):
            inside = [at for at in here if offset + place <= contexts[at].numeral.first < offset + place + len(cell)]
            place += len(cell) + 1
            for at in inside[:1] if role != "name" else inside:
                found[at] = Role(
                    role if role != "name" else "",
                    unit,
                    why="a name or setting of a table",
                    words=frozenset({"column"}),
                )
            for at in inside[1:] if role != "name" else ():
                found[at] = Role("", why="a part of a cell")
        return True
    numeric = [column for column in header if column[0] != "name"]
    bare = [
        at
        for at in here
        if not contexts[at].is_name and (contexts[at].noun is None or contexts[at].category == "device")
    ]
    if len(bare) != len(numeric):
        return False
    for at, (role, unit) in zip(bare, numeric, strict=True):
        noun = contexts[at].noun
        if role == "devices" and noun is not None:
            unit = noun["device"]
        found[at] = Role(role, unit, why="a setting of a table", words=frozenset({"column"}))
    return True

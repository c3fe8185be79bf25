"""An audit as text: the verdict and its condition first, then every reading with its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.claim import Claim
from dist_epochs.audit.expression import Name, Number, written
from dist_epochs.audit.verdict import Audit, Check, Reading, Verdict
from dist_epochs.render.text import scaled, table

__all__ = ["audit_text", "audits_text"]

WIDTH = 110

AGREEMENTS = {
    Agreement.EXACT: "exact",
    Agreement.ROUNDS: "rounds",
    Agreement.OVERLAPS: "overlaps",
    Agreement.CONTRADICTS: "no",
}


def audit_text(audit: Audit) -> str:
    """One claim: what is stated, the verdict, and the derivation under each reading."""
    parts = [_title(audit.claim), *_stated(audit), "", *wrap(_verdict(audit), WIDTH)]
    for reading in audit.readings:
        parts += ["", *_reading(reading)]
    if audit.suspects:
        parts += ["", "One change that would close it, the simplest first"]
        parts += [f"  {suspect.told}" for suspect in audit.suspects]
    for note in audit.claim.notes:
        parts += ["", *wrap(note, WIDTH)]
    return "\n".join(parts)


def audits_text(audits: Sequence[Audit]) -> str:
    """All claims, a line each."""
    rows = [[audit.id, str(audit.verdict), str(len(audit.readings)), audit.only_if or ""] for audit in audits]
    width = max(len(row[0]) for row in rows)
    verdicts = max(len(verdict) for verdict in Verdict)
    return "\n".join(f"  {row[0]:<{width}}  {row[1]:<{verdicts}}  {row[3]}".rstrip() for row in rows)


def _title(claim: Claim) -> str:
    found = claim.citation
    arxiv = f"arXiv:{found.arxiv}" if found.arxiv else None
    doi = f"doi:{found.doi}" if found.doi else None
    told = (claim.title, found.authors, str(found.year) if found.year else None, arxiv, doi, found.url, found.where)
    return ", ".join(part for part in told if part)


def _stated(audit: Audit) -> Iterator[str]:
    stated = [f"{check.name} {check.stated.number.text}" for check in audit.readings[0].checks if check.stated]
    if stated:
        yield from wrap(f"stated: {'; '.join(stated)}", WIDTH)


def _verdict(audit: Audit) -> str:
    tried = len(audit.readings)
    told = f"{tried} readings were tried" if tried > 1 else "one reading"
    match audit.verdict:
        case Verdict.ONLY_IF:
            return f"CONSISTENT ONLY IF {audit.only_if} ({told})."
        case Verdict.CONSISTENT:
            return f"CONSISTENT as printed ({told})."
        case Verdict.WITH_ROUNDING:
            return f"CONSISTENT within the digits that are printed ({told})."
        case Verdict.INCONSISTENT:
            return f"INCONSISTENT under every reading that was tried ({told})."
    return f"UNDERDETERMINED: {audit.missing} ({told})."


def _reading(reading: Reading) -> Iterator[str]:
    yield reading.name
    rows = [
        [
            f"  {check.name}",
            scaled(check.derived.point),
            check.stated.number.text if check.stated else "",
            AGREEMENTS[check.agreement] if check.agreement else "",
            f"= {_arithmetic(check)}",
        ]
        for check in reading.checks
    ]
    lines = table(["", "derived", "stated", ""], [row[:4] for row in rows], indent="").splitlines()[1:]
    yield from (f"{line:<{max(map(len, lines))}}  {row[4]}".rstrip() for line, row in zip(lines, rows, strict=True))


def _arithmetic(check: Check) -> str:
    """The formula with its facts' numbers."""
    if isinstance(check.formula, Name | Number):
        return written(check.formula)
    return written(check.formula, lambda name: scaled(check.facts[name.name].number.value))

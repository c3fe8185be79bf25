"""An audit as text: the verdict and its condition first, then every reading with its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from dist_epochs.arithmetic.text import scaled
from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.claim import Claim
from dist_epochs.audit.expression import Name, Number, written
from dist_epochs.audit.suspects import Suspect
from dist_epochs.audit.verdict import Audit, Check, Reading, Verdict

__all__ = ["audit_text", "audits_text"]

WIDTH = 110

MANY = 5
MOST_SUSPECTS = 6
CLOSE = 1.5

AGREEMENTS = {
    Agreement.EXACT: "exact",
    Agreement.ROUNDS: "rounds",
    Agreement.OVERLAPS: "overlaps",
    Agreement.CONTRADICTS: "no",
}


def audit_text(audit: Audit) -> str:
    """One claim: what is stated, the verdict, and the derivation under each reading."""
    parts = [_title(audit.claim), *_stated(audit), "", *wrap(_verdict(audit), WIDTH)]
    parts += wrap(_strongest(audit), WIDTH)
    if audit.missing and audit.verdict is not Verdict.UNDERDETERMINED:
        parts += wrap(f"Beside that, {audit.missing}.", WIDTH)
    for name in dict.fromkeys(check.name for reading in audit.readings for check in reading.checks):
        parts += ["", *_check(name, audit.readings)]
    parts += _suspects(audit.suspects)
    if audit.unsearched:
        parts += ["", *wrap(f"Not searched for slips: {'; '.join(audit.unsearched)}.", WIDTH)]
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
    stated = [f"{check.name} {check.stated.printed}" for check in audit.readings[0].checks if check.stated]
    if stated:
        yield from wrap(f"stated: {'; '.join(stated)}", WIDTH)


def _verdict(audit: Audit) -> str:
    tried = len(audit.readings)
    told = f"{tried} readings were tried" if tried > 1 else "one reading"
    if tried > MANY:
        told += "; with so many, one may fit by chance"
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


def _strongest(audit: Audit) -> str:
    """The reading that contradicts most, in a sentence."""
    if audit.contrary is None:
        return ""
    reading, check = audit.contrary
    assert check.stated is not None
    ratio = float(check.derived.point / check.stated.number.value)
    if 1 / CLOSE < ratio < CLOSE:
        times = f"{abs(ratio - 1):.1%} {'more' if ratio > 1 else 'fewer'}"
    else:
        times = f"{ratio:.2g} times as many" if ratio > 1 else f"{1 / ratio:.2g} times fewer"
    return f"Read otherwise ({reading.name}), {check.name} come to {scaled(check.derived.point)}: {times}."


def _suspects(suspects: Sequence[Suspect]) -> Iterator[str]:
    if not suspects:
        return  # no single change of a known kind would do
    yield from ("", "One change that would close it, the likeliest first")
    yield from (f"  {suspect.rank:>2}  {suspect.told}" for suspect in suspects[:MOST_SUSPECTS])
    if len(suspects) > MOST_SUSPECTS:
        yield f"  and {len(suspects) - MOST_SUSPECTS} more with --json"
    if len(suspects) > 1 and suspects[1].rank == 1:
        yield "Nothing that is stated tells those of one rank apart."


def _check(name: str, readings: Sequence[Reading]) -> Iterator[str]:
    """One check under every reading that has it."""
    mine = [(reading.name, check) for reading in readings for check in reading.checks if check.name == name]
    stated = dict.fromkeys(check.stated.printed for _, check in mine if check.stated is not None)
    yield f"{name}, stated {' or '.join(stated)}" if stated else name
    width = max(len(reading) for reading, _ in mine)
    value = max(len(scaled(check.derived.point)) for _, check in mine)
    for reading, check in mine:
        agreement = AGREEMENTS[check.agreement] if check.agreement else ""
        derived = f"{scaled(check.derived.point):>{value}}"
        yield f"  {reading:<{width}}  {derived}  {agreement:<8}  = {_arithmetic(check)}"


def _arithmetic(check: Check) -> str:
    """The formula with its facts' numbers."""
    if isinstance(check.formula, Name):
        fact = check.facts[check.formula.name]
        return f"{check.formula.name}, from {fact.origin}" if fact.origin else check.formula.name
    if isinstance(check.formula, Number):
        return written(check.formula)
    return written(check.formula, lambda name: scaled(check.facts[name.name].number.value))

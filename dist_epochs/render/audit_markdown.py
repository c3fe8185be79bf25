"""An audit as Markdown that a reviewer can paste: verdict, table of readings, what is missing, sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dist_epochs.audit.check import LITERAL, Verdict
from dist_epochs.audit.verdict import Audit
from dist_epochs.render.audit_rows import MOST_SEGMENTS, history_of, rows_of, strongest, tried, verdict_words
from dist_epochs.render.markdown import bullets, escaped, markdown_table

__all__ = ["audit_markdown", "audits_markdown"]

MOST_SUSPECTS = 3


def audit_markdown(audit: Audit, subject: Sequence[str] | None = None) -> str:
    """A claim, a text or a finished run, for a comment on GitHub.

    Args:
        audit: The audit.
        subject: What was audited, in lines of Markdown. Default: the title of the work, or the run's path.
    """
    told = [f"### {escaped(audit.title if audit.run is None else audit.heading)}"] if subject is None else subject
    blocks = [told, _verdict(audit), _readings(audit), _section("One change that would settle it", _suspects(audit))]
    blocks += [_section("What is missing", _missing(audit)), _section("Notes", [*_history(audit), *audit.notes])]
    blocks += [_section("Sources", audit.sources)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def audits_markdown(audits: Sequence[Audit]) -> str:
    """All claims, a row each."""
    rows = [(audit.id, str(audit.verdict), audit.only_if or "") for audit in audits]
    return "\n".join(markdown_table(("claim", "verdict", "only if"), rows))


def _verdict(audit: Audit) -> list[str]:
    word, rest = verdict_words(audit)
    line = f"**{word}{':' * rest.startswith(':')}** {escaped(rest.removeprefix(':'))}."
    return [line, *(escaped(said) for said in (strongest(audit), tried(audit, True)) if said)]


def _readings(audit: Audit) -> list[str]:
    """Each number under each reading that changes it."""
    several = len(audit.readings) > 1
    rows = [
        (row.number, row.reading or (LITERAL if several else ""), row.stated, row.derived, row.agreement, row.how)
        for rows in rows_of(audit)
        for row in rows
        if not row.repeats
    ]
    stated = "stated" if audit.run is None else "claimed"
    return markdown_table(("number", "reading", stated, "derived", "agrees", "how"), rows, "<<>><<")


def _suspects(audit: Audit) -> list[str]:
    return [suspect.told for suspect in audit.suspects[:MOST_SUSPECTS]]


def _missing(audit: Audit) -> Iterator[str]:
    if audit.missing and audit.verdict is not Verdict.UNDERDETERMINED:
        yield audit.missing
    if audit.unsearched:
        yield f"Not searched for slips: {'; '.join(audit.unsearched)}."


def _history(audit: Audit) -> Iterator[str]:
    for title, rows in history_of(audit.run) if audit.run is not None else ():
        more = f"; and {len(rows) - MOST_SEGMENTS:,} more" if len(rows) > MOST_SEGMENTS else ""
        yield f"{title}{': ' * bool(rows)}{'; '.join(rows[:MOST_SEGMENTS])}{more}"


def _section(title: str, items: Iterator[str] | Sequence[str]) -> list[str]:
    lines = bullets(list(items))
    return [f"**{title}**", "", *lines] if lines else []

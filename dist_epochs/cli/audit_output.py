"""How `dist-epochs audit` shows what it found: on a screen, in full, as Markdown or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dist_epochs.cli.output import print_json, write_html
from dist_epochs.errors import EXIT_DISAGREES, InputError
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.audit.model_table.audited import TableAudit
    from dist_epochs.audit.sentence.audited import SentenceAudit
    from dist_epochs.audit.verdict import Audit

__all__ = ["Shown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """The form of the output, as the flags ask for it.

    Attributes:
        as_json: One JSON object, whole.
        as_markdown: Markdown, whole.
        full: As text: everything, not only what fits into 24 rows.
        html: Where a report is to be written, too.

    Raises:
        InputError: If two forms are asked for.
    """

    as_json: bool = False
    as_markdown: bool = False
    full: bool = False
    html: Path | None = None

    def __post_init__(self) -> None:
        if self.as_json and self.as_markdown:
            raise InputError(
                "--json and --markdown are given, and it is not clear which is meant",
                rule="standard output holds one of them, and nothing else",
                fixes=("--json, for programs", "--markdown, for a review"),
            )

    def audit(self, audit: Audit) -> None:
        """Show a claim or a run.

        Raises:
            SystemExit: With the exit code of numbers that do not add up.
        """
        if self.html is not None:
            from dist_epochs.report.claim import audit_report

            write_html(self.html, audit_report(audit.to_json(), audit.heading))
        if self.as_json:
            print_json(audit.to_json())
        elif self.as_markdown:
            from dist_epochs.render.audit_markdown import audit_markdown

            show(audit_markdown(audit))
        else:
            from dist_epochs.render.audit import audit_text

            show(audit_text(audit, full=self.full))
        _end(audit.verdict)

    def sentence(self, found: SentenceAudit) -> None:
        """Show the audit of a text.

        Raises:
            SystemExit: With the exit code of numbers that do not add up.
        """
        if self.html is not None:
            from dist_epochs.report.claim import audit_report

            write_html(self.html, audit_report(found.to_json(), text=found.reading.given))
        if self.as_json:
            print_json(found.to_json())
        elif self.as_markdown:
            from dist_epochs.render.sentence_markdown import sentence_markdown

            show(sentence_markdown(found))
        else:
            from dist_epochs.render.sentence import sentence_text

            show(sentence_text(found, full=self.full))
        _end(found.audit.verdict)

    def models(self, found: TableAudit) -> None:
        """Show the audit of a table of models, a line each.

        Raises:
            InputError: If Markdown or a report is asked for.
            SystemExit: With the exit code of numbers that do not add up.
        """
        if self.as_markdown or self.html is not None:
            raise InputError("a table of models is shown as text, or with --json", fixes="leaving the other forms out")
        if self.as_json:
            print_json(found.to_json())
        else:
            from dist_epochs.render.model_table import model_table_text

            show(model_table_text(found))
        from dist_epochs.audit.check import Verdict

        if found.counts[Verdict.INCONSISTENT]:
            raise SystemExit(EXIT_DISAGREES)

    def audits(self, audits: Sequence[Audit]) -> None:
        """Show many claims, a line each."""
        if self.as_json:
            print_json({"claims": [audit.to_json() for audit in audits]})
        elif self.as_markdown:
            from dist_epochs.render.audit_markdown import audits_markdown

            show(audits_markdown(audits))
        else:
            from dist_epochs.render.audit import audits_text

            show(audits_text(audits))


def _end(verdict: str) -> None:
    from dist_epochs.audit.check import Verdict

    if verdict is Verdict.INCONSISTENT:
        raise SystemExit(EXIT_DISAGREES)

"""A table of models, audited: each row as a claim, by the rules of all claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from dist_epochs.arithmetic.text import percent, scaled
from dist_epochs.audit.check import LITERAL, Check, Reading, Verdict
from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.model_table.columns import COMPARED
from dist_epochs.audit.model_table.drafts import BOUNDS, USUAL_UTILIZATION, UTILIZATION, draft_of, fact_of
from dist_epochs.audit.model_table.peaks import Peaks, peaks_of
from dist_epochs.audit.model_table.rows import ModelTable, Row
from dist_epochs.audit.model_table.usual import usual_changes
from dist_epochs.audit.sentence.audited import claim_of
from dist_epochs.audit.sentence.draft import Draft
from dist_epochs.audit.slips import Slip
from dist_epochs.audit.verdict import Audit

__all__ = ["AuditedRow", "TableAudit", "audit_model_table"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedRow:
    """A model of a table.

    Attributes:
        row: Its row.
        audit: What follows from its numbers.
        factor: 6 × parameters × data × epochs ÷ compute; None where one of them is not given.
        utilization: FLOPs ÷ (device-hours × dense peak), where all of them stand in the row.
        settled_by: What makes it consistent, or what would: the condition, the likeliest slip, or what is missing.
    """

    row: Row
    audit: Audit
    factor: float | None
    utilization: Fraction | None
    settled_by: str

    def to_json(self) -> dict[str, Any]:
        """The row as the table's JSON shows it."""
        share = self.utilization
        return {
            "line": self.row.line,
            "factor": self.factor,
            "utilization": float(share) if share is not None else None,
            "settled_by": self.settled_by or None,
            "problems": list(self.row.problems),
            **self.audit.to_json(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class TableAudit:
    """A table of models, audited.

    Attributes:
        table: What was read.
        rows: Its models.
        unknown: Devices that are not in the table of devices, and how many rows name them.
    """

    table: ModelTable
    rows: tuple[AuditedRow, ...]
    unknown: Mapping[str, int]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rows have each verdict."""
        found = Counter(row.audit.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns that are not there, so that something is not compared."""
        return tuple(name for name in COMPARED if name not in self.table.header)

    def to_json(self) -> dict[str, Any]:
        """The object of `dist-epochs audit --table --json`."""
        return {
            "id": self.table.path,
            "summary": {str(verdict): count for verdict, count in self.counts.items()},
            "columns": dict(self.table.header),
            "missing_columns": list(self.missing),
            "unknown_devices": dict(self.unknown),
            "models": [row.to_json() for row in self.rows],
        }


def audit_model_table(table: ModelTable) -> TableAudit:
    """Audit each row of a table of models."""
    computes = {row.name.lower(): fact_of(row.numbers["compute"]) for row in table.rows if "compute" in row.numbers}
    unknown: Counter[str] = Counter()
    rows = []
    for row in table.rows:
        peaks = peaks_of(row.texts["hardware"], row.texts.get("format", "")) if "hardware" in row.texts else None
        if peaks is not None:
            unknown.update(peaks.unknown)
        rows.append(_audit_row(row, peaks, computes))
    return TableAudit(table=table, rows=tuple(rows), unknown=dict(unknown.most_common()))


def _audit_row(row: Row, peaks: Peaks | None, computes: Mapping[str, Fact]) -> AuditedRow:
    draft = draft_of(row, peaks)
    changes = usual_changes(row, draft, peaks, computes) if draft.contradictions else ()
    claim = claim_of(draft, changes, row.name)
    if claim is None:
        audit = _nothing(row)
        return AuditedRow(row=row, audit=audit, factor=None, utilization=None, settled_by=audit.missing or "")
    audit = audit_claim(row.name, claim)
    return AuditedRow(
        row=row,
        audit=audit,
        factor=_factor(draft),
        utilization=_utilization(draft),
        settled_by=_settled_by(audit, draft),
    )


def _factor(draft: Draft) -> float | None:
    """6 × parameters × data × epochs ÷ compute, that of the fine-tuning where it is told apart."""
    facts = draft.facts
    flops = facts.get("fine_tuning") or facts.get("compute")
    if flops is None or not {"parameters", "data"} <= facts.keys():
        return None
    factors = (facts[name].number.value for name in ("parameters", "data", "epochs"))
    return float(6 * prod(factors) / flops.number.value)


def _utilization(draft: Draft) -> Fraction | None:
    """FLOPs ÷ (device-hours × peak), whether or not a utilization is stated."""
    facts = draft.facts
    flops = facts.get("fine_tuning") or facts.get("compute")
    if flops is None or "peak" not in facts:
        return None
    if {"devices", "hours"} <= facts.keys():
        hours = facts["devices"].number.value * facts["hours"].number.value
    elif "chip_hours" in facts:
        hours = facts["chip_hours"].number.value
    else:
        return None
    return flops.number.value / (hours * 3600 * facts["peak"].number.value)


def _settled_by(audit: Audit, draft: Draft) -> str:
    """The condition, the likeliest slip, or what is not known."""
    if audit.only_if:
        return audit.only_if
    if audit.verdict is Verdict.INCONSISTENT:
        found = [_off(check) for check in audit.readings[0].contradictions if check.name != USUAL_UTILIZATION]
        zeros = [each for each in audit.suspects if each.rank == 1 and each.slip is Slip.ZERO]
        return "; ".join([*found, *(f"{each.told} would settle it" for each in zeros)])
    if audit.verdict is Verdict.UNDERDETERMINED:
        return "; ".join(dict.fromkeys(_open(check, draft) for check in audit.readings[0].contradictions))
    return ""


def _off(check: Check) -> str:
    """What is off by how much, where nothing settles it."""
    if check.name == UTILIZATION:
        return f"a utilization of {percent(check.derived.point)}"
    if check.name == BOUNDS:
        return f"compute of {scaled(check.derived.point)} is not {check.printed}"
    return f"{check.name}: {scaled(Fraction(check.ratio or 0))} times what the table gives"


def _open(check: Check, draft: Draft) -> str:
    """What would have to be known of a number that rests on something assumed."""
    if check.name in (UTILIZATION, USUAL_UTILIZATION):
        return f"a utilization of {percent(check.derived.point)}"
    times = scaled(Fraction(1 / (check.ratio or 1)))
    assumed = check.stated.assumed if check.stated is not None else None
    if assumed is not None:
        return f"off by {times}: {assumed}"
    if "uses" in draft.facts:
        return f"a datum uses each parameter {times} times"
    return f"{times} epochs, or other tokens; the table gives no epochs"


def _nothing(row: Row) -> Audit:
    """The audit of a row of which nothing follows."""
    missing = [name for name in ("compute", "parameters", "data") if name not in row.numbers]
    said = f"it gives no {' and no '.join(missing)}" if missing else "nothing in it says the same twice"
    return Audit(
        id=row.name,
        title=row.name,
        heading=row.name,
        verdict=Verdict.UNDERDETERMINED,
        only_if=None,
        readings=(Reading(name=LITERAL, assumes={}, checks=()),),
        missing=said,
        notes=row.problems,
    )

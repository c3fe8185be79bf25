"""The audit of a finished run as text: the verdict, one table a reading, segments and overlaps, notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from textwrap import wrap

from dist_epochs.arithmetic.text import number
from dist_epochs.audit.readers.record import Segment, Span
from dist_epochs.audit.runs.check import RunCheck
from dist_epochs.audit.runs.run_audit import RunAudit, RunReading
from dist_epochs.audit.verdict import Verdict
from dist_epochs.render.audit import AGREEMENTS, WIDTH

__all__ = ["run_audit_text"]

KINDS = {
    "hf-trainer": "Hugging Face Trainer",
    "wandb": "wandb",
    "megatron": "Megatron-LM log",
    "gpt-neox": "GPT-NeoX log",
    "olmo": "OLMo log",
    "dist-epochs": "our own ledger",
}
MOST_LISTED = 8
LARGEST_IN_FULL = 10**18


def run_audit_text(audit: RunAudit) -> str:
    """One run: what was claimed, what follows, and how."""
    parts = [f"{audit.run.path}: {KINDS[audit.run.kind]}", "", *wrap(_verdict(audit), WIDTH)]
    if audit.missing and audit.verdict is not Verdict.UNDERDETERMINED:
        parts += wrap(f"Beside that, {audit.missing}.", WIDTH)
    for reading in audit.readings:
        parts += ["", *_table(reading, alone=len(audit.readings) == 1)]
    parts += _segments(audit.run.segments)
    parts += _spans("made twice", audit.run.overlaps)
    parts += _spans("without a line", audit.run.gaps)
    for note in audit.notes:
        parts += ["", *wrap(note, WIDTH)]
    return "\n".join(parts)


def _verdict(audit: RunAudit) -> str:
    match audit.verdict:
        case Verdict.ONLY_IF:
            return f"CONSISTENT ONLY IF {audit.only_if}."
        case Verdict.CONSISTENT:
            return "CONSISTENT: what is claimed and logged follows."
        case Verdict.WITH_ROUNDING:
            return "CONSISTENT within the digits that are claimed and logged."
        case Verdict.INCONSISTENT:
            wrong = dict.fromkeys(
                label(check.name) for check in audit.readings[0].checks if check.agreement == "contradicts"
            )
            return f"INCONSISTENT: {', '.join(wrong)}."
    return f"UNDERDETERMINED: {audit.missing}."


def _table(reading: RunReading, *, alone: bool) -> Iterator[str]:
    """Claimed, derived, agreement and formula of each number."""
    if not alone:
        yield reading.name
    rows = [_row(check) for check in reading.checks]
    if not rows:
        yield "  nothing follows from what was read"
        return
    header = ("", "claimed", "derived", "", "how")
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(4)]
    for row in (header, *rows):
        name, claimed, derived, agreement = (
            f"{cell:>{width}}" if at in (1, 2) else f"{cell:<{width}}"
            for at, (cell, width) in enumerate(zip(row[:4], widths, strict=True))
        )
        yield f"  {name}  {claimed}  {derived}  {agreement}  {row[4]}".rstrip()


def _row(check: RunCheck) -> tuple[str, str, str, str, str]:
    agreement = AGREEMENTS[check.agreement] if check.agreement else ""
    stated = f"logged {check.stated}" if check.is_logged else check.stated or ""
    return label(check.name), stated, _derived(check), agreement, check.how


def label(name: str) -> str:
    """A number's name as text."""
    return "MFU" if name == "mfu" else name.replace("_", " ")


def _derived(check: RunCheck) -> str:
    point = check.derived.point
    if check.name == "mfu":
        return f"{float(point):.4g}".rstrip() if point > 100 else f"{float(point) * 100:.4g} %"
    if point >= LARGEST_IN_FULL:
        return f"{float(point):.6g}"
    exact = point if point.denominator == 1 or point < 1000 else Fraction(round(point))
    return number(exact)


def _segments(segments: Sequence[Segment]) -> Iterator[str]:
    if len(segments) < 2:
        return
    yield ""
    yield f"{len(segments)} segments, {len(segments) - 1} restart{'s' * (len(segments) > 2)}"
    for at, segment in enumerate(segments[:MOST_LISTED]):
        yield f"  {at}: steps {segment.steps.first:,} to {segment.steps.last:,}  ({segment.where})"
    if len(segments) > MOST_LISTED:
        yield f"  and {len(segments) - MOST_LISTED:,} more with --json"


def _spans(what: str, spans: Sequence[Span]) -> Iterator[str]:
    if not spans:
        return
    told = ", ".join(f"{span.first:,}–{span.last:,}" for span in spans[:MOST_LISTED])
    more = f" and {len(spans) - MOST_LISTED:,} more" if len(spans) > MOST_LISTED else ""
    total = sum(span.length for span in spans)
    yield ""
    yield f"{total:,} step{'s' * (total != 1)} {what}: {told}{more}"

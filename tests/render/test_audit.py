"""The text of an audit, from its parts: no files and no command."""

from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.check import LITERAL, Reading, Verdict, compare_with_stated
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.records.record import FinishedRun, Segment, Span
from dist_epochs.audit.verdict import Audit
from dist_epochs.render.audit import audit_text, audits_text


def audit(verdict, *readings, run=None, **more):
    parts = {"only_if": None, "missing": None, "notes": ("A note.",), **more}
    return Audit(id="x", title="x", heading="x, 2026", verdict=verdict, readings=readings, run=run, **parts)


def reading(derived, stated, name=LITERAL, check="epochs", is_logged=False):
    fact = Fact(number=parse(stated)) if stated else None
    value = Interval.exact(Fraction(derived))
    found = compare_with_stated(check, value, f"{derived} of it", fact, uses=frozenset(), is_logged=is_logged)
    return Reading(name=name, assumes={}, checks=(found,))


def test_a_claim_shows_each_number_under_every_reading():
    text = audit_text(audit(Verdict.ONLY_IF, reading("30", "~40"), reading("40", "~40", "long"), only_if="it is long"))
    assert text.splitlines() == [
        "x, 2026",
        "stated: epochs ~40",
        "",
        "CONSISTENT ONLY IF it is long (2 readings were tried).",
        "Read otherwise (as printed), epochs come to 30: 25.0% fewer.",
        "",
        "epochs, stated ~40",
        "  as printed  30  no        = 30 of it",
        "  long        40  exact     = 40 of it",
        "",
        "A note.",
    ]


def test_a_run_shows_all_its_numbers_with_who_states_them():
    run = FinishedRun(
        kind="olmo",
        path="a.log",
        numbers={},
        segments=(Segment(Span(1, 40), "line 1"), Segment(Span(31, 60), "line 9")),
        overlaps=(Span(31, 40),),
    )
    text = audit_text(audit(Verdict.INCONSISTENT, reading("30", "40", check="global_batch", is_logged=True), run=run))
    assert text.splitlines() == [
        "x, 2026",
        "",
        "INCONSISTENT: global batch.",
        "",
        "                  claimed  derived      how",
        "  global batch  logged 40       30  no  30 of it",
        "",
        "2 segments, 1 restart",
        "  0: steps 1 to 40  (line 1)",
        "  1: steps 31 to 60  (line 9)",
        "",
        "10 steps made twice: 31–40",
        "",
        "A note.",
    ]


def test_what_is_missing_is_told_beside_a_verdict_or_as_one():
    told = audit(Verdict.UNDERDETERMINED, reading("30", None), missing="the corpus is not known")
    assert "UNDERDETERMINED: the corpus is not known (one reading)." in audit_text(told)
    beside = audit(Verdict.INCONSISTENT, reading("30", "40"), missing="the corpus is not known")
    assert "Beside that, the corpus is not known." in audit_text(beside)


def test_all_claims_in_a_line_each():
    found = audits_text([audit(Verdict.CONSISTENT, reading("40", "40")), audit(Verdict.ONLY_IF, only_if="long")])
    assert found.splitlines() == ["  x  consistent", "  x  consistent-only-if        long"]

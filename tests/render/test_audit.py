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
        "CONSISTENT ONLY IF it is long.",
        "Read otherwise (as printed), epochs come to 30: 25.0% fewer.",
        "",
        "x, 2026",
        "",
        "          stated  derived         how",
        "  epochs     ~40       30  no     30 of it",
        "    long               40  exact  40 of it",
        "",
        "- A note.",
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
        "INCONSISTENT: global batch (40 logged, 30 derived).",
        "",
        "x, 2026",
        "",
        "                  claimed  derived      how",
        "  global batch  logged 40       30  no  30 of it",
        "",
        "- 2 segments, 1 restart",
        "  0: steps 1 to 40 (line 1)",
        "  1: steps 31 to 60 (line 9)",
        "- 10 steps made twice: 31–40",
        "- A note.",
    ]


def test_what_the_verdict_turns_on_comes_first_and_is_kept():
    many = tuple(reading("5", "5", check=f"total {at}").checks[0] for at in range(40))
    first = Reading(name=LITERAL, assumes={}, checks=(*many, *reading("30", "40").checks))
    notes = tuple(f"Note {at}." for at in range(9))
    lines = audit_text(audit(Verdict.INCONSISTENT, first, notes=notes)).splitlines()
    assert len(lines) == 23
    assert lines[5].split() == ["epochs", "40", "30", "no", "30", "of", "it"]
    assert "- Note 0." in lines
    shown = sum(line.startswith("  total") for line in lines)
    assert lines[-1] == f"({40 - shown} rows, 8 notes more: --full)"
    full = audit_text(audit(Verdict.INCONSISTENT, first, notes=notes), full=True)
    assert all(f"total {at}" in full for at in range(40))
    assert all(note in full for note in notes)


def test_readings_that_change_nothing_are_for_the_whole_text():
    same = audit(Verdict.CONSISTENT, reading("40", "40"), reading("40", "40", "another"))
    assert "another" not in audit_text(same)
    assert "  another" in audit_text(same, full=True)


def test_a_number_of_a_run_that_is_derived_twice_keeps_its_name():
    twice = Reading(name=LITERAL, assumes={}, checks=(*reading("3", "3").checks, *reading("4", "4").checks))
    rows = [line for line in audit_text(audit(Verdict.CONSISTENT, twice)).splitlines() if "exact" in line]
    assert [row.split()[0] for row in rows] == ["epochs", "epochs"]


def test_what_is_missing_is_told_beside_a_verdict_or_as_one():
    told = audit(Verdict.UNDERDETERMINED, reading("30", None), missing="the corpus is not known")
    assert "UNDERDETERMINED: the corpus is not known." in audit_text(told)
    beside = audit(Verdict.INCONSISTENT, reading("30", "40"), missing="the corpus is not known")
    assert "Beside that, the corpus is not known." in audit_text(beside)


def test_all_claims_in_a_line_each():
    found = audits_text([audit(Verdict.CONSISTENT, reading("40", "40")), audit(Verdict.ONLY_IF, only_if="long")])
    assert found.splitlines() == ["  x  consistent", "  x  consistent-only-if        long"]

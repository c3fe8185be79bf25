"""The verdict follows by rule from the readings, of claims and of runs alike."""

from fractions import Fraction

import pytest

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.check import LITERAL, Check, Reading, Verdict, agreement_of, compare_with_stated
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.verdict import judge


def stating(text, **more):
    return Fact(number=parse(text), **more)


def check(derived, stated, name="epochs"):
    stated = stating(stated) if isinstance(stated, str) else stated
    return compare_with_stated(name, Interval.exact(Fraction(derived)), "how", stated, uses=frozenset())


def reading(*checks, name=LITERAL, **assumes):
    return Reading(name=name, assumes=assumes, checks=checks)


@pytest.mark.parametrize(
    ("derived", "stated", "agreement"),
    [
        ("40", "40", Agreement.EXACT),
        ("39.72", "~40", Agreement.ROUNDS),
        ("39.2", "~40", Agreement.OVERLAPS),
        ("38.5", "~40", Agreement.CONTRADICTS),
        ("1000200", "1M steps", Agreement.ROUNDS),
    ],
)
def test_agreement(derived, stated, agreement):
    assert agreement_of(Interval.exact(Fraction(derived)), stating(stated)) is agreement


@pytest.mark.parametrize(
    ("derived", "is_open", "verdict"),
    [
        ("40", False, Verdict.CONSISTENT),
        ("39.2", False, Verdict.WITH_ROUNDING),
        ("30", False, Verdict.INCONSISTENT),
        ("40", True, Verdict.UNDERDETERMINED),
        ("30", True, Verdict.INCONSISTENT),
    ],
)
def test_one_reading(derived, is_open, verdict):
    assert judge([reading(check(derived, "~40"))], is_open=is_open) == (verdict, None)


def test_nothing_stated_is_underdetermined():
    assert judge([reading(check("40", None))], is_open=False) == (Verdict.UNDERDETERMINED, None)


def test_a_contradiction_that_rests_on_a_recalled_number_is_no_verdict():
    recalled = check("30", stating("~40", recalled=True))
    assert judge([reading(recalled)], is_open=False) == (Verdict.UNDERDETERMINED, None)
    assert judge([reading(recalled, check("3", "4"))], is_open=False) == (Verdict.INCONSISTENT, None)


def test_a_reading_that_agrees_is_the_condition():
    literal = reading(check("30", "~40"), length="128 throughout")
    other = reading(check("40", "~40"), name="long", length="512 throughout")
    assert judge([literal, other], is_open=False) == (Verdict.ONLY_IF, "512 throughout")
    by_facts = reading(check("40", "~40"), name="with the binary million", length="128 throughout")
    assert judge([literal, by_facts], is_open=False) == (Verdict.ONLY_IF, "with the binary million")


def test_a_reading_cannot_settle_what_it_leaves_out():
    literal = reading(check("30", "~40"))
    partial = Reading(name="partial", assumes={}, checks=(check("1", "1"),), left_out=(check("30", "~40"),))
    assert judge([literal, partial], is_open=False) == (Verdict.INCONSISTENT, None)


def test_json_of_a_check():
    found = check("30", "~40").to_json()
    assert (found["derived"], found["stated"], found["agreement"], found["ratio"]) == ("30", "~40", "contradicts", 0.75)
    assert (found["by"], found["how"]) == ("claim", "how")
    rule = Check(name="x", derived=Interval.exact(Fraction(1, 3)), how="1 ÷ 3", rule="a whole number")
    assert (rule.to_json()["stated"], rule.to_json()["derived"], rule.ratio) == ("a whole number", "1/3", None)
    assert check("30", None).to_json()["by"] is None

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.expression import evaluate, names_in, written
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.errors import InputError


def value(text, **facts):
    return evaluate(
        parse_expression(text), {name: Interval.exact(Fraction(number)) for name, number in facts.items()}
    ).point


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("8 / 2 / 2", 2),
        ("8 / (2 / 2)", 8),
        ("10 - 3 - 2", 5),
        ("2**10", 1024),
        ("2^10", 1024),
        ("1M * 3.3B", 33 * 10**14),
        ("50%", Fraction(1, 2)),
        ("4 × 6 ÷ 3", 8),
        ("4Mi", 2**22),
        ("1,000 + 1", 1001),
    ],
)
def test_arithmetic(text, result):
    assert value(text) == result


NUMBERS = st.recursive(
    st.integers(1, 50).map(str) | st.sampled_from(["a", "b", "c"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=8,
)


@given(NUMBERS, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_against_python_s_own_arithmetic(text, a, b, c):
    import re

    facts = {"a": a, "b": b, "c": c}
    python = re.sub(r"\b(\d+|[abc])\b", lambda match: f"Fraction({match[0]})", text)
    try:
        expected = eval(python, {"Fraction": Fraction, **facts})  # the oracle, on text of our own making
    except ZeroDivisionError:
        with pytest.raises(InputError):
            value(text, **facts)
        return
    try:
        assert value(text, **facts) == expected
    except InputError as error:
        assert "zero" in str(error)
    assert value(written(parse_expression(text)), **facts) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 +", "needs a number or a name at its end"),
        ("(2", "needs a closing bracket"),
        ("2 2", "needs an operator before '2'"),
        ("a ** b", "a whole exponent"),
        ("__import__('os')", "needs an operator before"),
        ("a.b", "before '.b'"),
        ("", "at its end"),
        ("(" * 60 + "1" + ")" * 60, "nested"),
        ("1" * 600, "600 characters"),
    ],
)
def test_what_is_no_formula(text, message):
    with pytest.raises(InputError) as caught:
        parse_expression(text)
    assert message in str(caught.value)


@given(st.text(alphabet="ab12+-*/() .eKM%_", max_size=30))
def test_any_text_is_a_formula_or_an_error(text):
    try:
        found = parse_expression(text)
        evaluate(found, {name: Interval.exact(2) for name in names_in(found)})
    except InputError as error:
        assert str(error)


def test_the_play_of_a_fact_that_stands_twice_is_counted_once():
    facts = {
        "x": Interval(Fraction(10), Fraction(9), Fraction(11)),
        "y": Interval(Fraction(2), Fraction(1), Fraction(3)),
    }
    found = evaluate(parse_expression("x * y / x"), facts)
    assert (found.low, found.point, found.high) == (1, 2, 3)
    difference = evaluate(parse_expression("x - x"), facts)
    assert (difference.low, difference.high) == (0, 0)


def test_a_name_that_is_no_fact():
    with pytest.raises(InputError, match="did you mean 'batch'"):
        evaluate(parse_expression("bacth * 2"), {"batch": Interval.exact(1)})


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("x * (1 - x)", "0.2475", "0.25"),
        ("x**2", "0.2025", "0.3025"),
        ("x / x + x", "1.45", "1.55"),
        ("(x + 1) / x", "1.55/0.55", "1.45/0.45"),
        ("1 / x + y / x", "1.5/0.55", "1.5/0.45"),
        ("x * x * x - x", None, None),
        ("x * (1 - x) * y * (1 - y)", None, None),
        ("(x - 1) * (x - 1)", "0.2025", "0.3025"),
    ],
)
def test_an_interval_holds_every_value_and_little_more(text, low, high):
    facts = {"x": Interval(Fraction("0.5"), Fraction("0.45"), Fraction("0.55")), "y": Interval.exact(Fraction("0.5"))}
    found = evaluate(parse_expression(text), facts)
    for hundredths in range(4500, 5501, 25):
        point = facts | {"x": Interval.exact(Fraction(hundredths, 10_000))}
        assert found.holds(evaluate(parse_expression(text), point).point)
    if low is not None:
        for end, wanted in ((found.low, low), (found.high, high)):
            above, _, below = wanted.partition("/")
            assert float(end) == pytest.approx(float(above) / float(below or 1), abs=0.005)


FACTS = st.builds(
    lambda low, width, at: Interval(low + width * at, low, low + width),
    st.fractions(Fraction(1, 2), 9, max_denominator=8),
    st.fractions(0, 2, max_denominator=8),
    st.fractions(0, 1, max_denominator=4),
)


@given(NUMBERS, FACTS, FACTS, FACTS, st.lists(st.fractions(0, 1, max_denominator=16), min_size=3, max_size=3))
def test_no_value_of_a_formula_lies_outside_its_interval(text, a, b, c, shares):
    facts = dict(zip("abc", (a, b, c), strict=True))
    try:
        found = evaluate(parse_expression(text), facts)
    except InputError:
        return
    assert found.holds(found.point)
    inside = {
        name: Interval.exact(fact.low + share * (fact.high - fact.low))
        for (name, fact), share in zip(facts.items(), shares, strict=True)
    }
    assert found.holds(evaluate(parse_expression(text), inside).point)


def test_a_divisor_that_is_zero_in_between_is_refused():
    facts = {"x": Interval(Fraction("10.2"), Fraction(9), Fraction(11))}
    with pytest.raises(InputError, match="may be zero"):
        evaluate(parse_expression("x / (x - 10)"), facts)


@pytest.mark.parametrize("text", ["a**1000000000", "((a**200)**200)**200", "a**201"])
def test_powers_beyond_counting_are_refused_at_once(text):
    with pytest.raises(InputError, match=r"beyond anything|exponents from 0 to 200"):
        evaluate(parse_expression(text), {"a": Interval.exact(5)})

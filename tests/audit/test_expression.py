from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.audit.expression import evaluate, names_in, parse_expression, written
from dist_epochs.audit.interval import Interval
from dist_epochs.errors import InputError


def value(text, **facts):
    return evaluate(
        parse_expression(text), {name: Interval.exact(Fraction(number)) for name, number in facts.items()}
    ).point


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("8 / 2 / 2", 2), ("8 / (2 / 2)", 8), ("10 - 3 - 2", 5), ("2**10", 1024),
        ("1M * 3.3B", 33 * 10**14), ("50%", Fraction(1, 2)), ("4 × 6 ÷ 3", 8), ("4Mi", 2**22), ("1,000 + 1", 1001),
    ],
)  # fmt: skip
def test_arithmetic(text, result):
    assert value(text) == result


NUMBERS = st.recursive(
    st.integers(1, 50).map(str) | st.sampled_from(["a", "b", "c"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
    max_leaves=8,
)  # fmt: skip


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
        ("2 +", "needs a number or a name at its end"), ("(2", "needs a closing bracket"), ("2 2", "needs an operator before '2'"),
        ("a ** b", "a whole exponent"), ("__import__('os')", "needs an operator before"), ("a.b", "before '.b'"), ("", "at its end"),
        ("(" * 60 + "1" + ")" * 60, "nested"), ("1" * 600, "600 characters"),
    ],
)  # fmt: skip
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

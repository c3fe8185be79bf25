from fractions import Fraction

import pytest

from dist_epochs.arithmetic.duration import parse_hours
from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.labels import as_named
from dist_epochs.audit.runs.claims import read_claims
from dist_epochs.errors import InputError


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("90 s", Fraction(1, 40)), ("1 second", Fraction(1, 3600)), ("30min", Fraction(1, 2)),
        ("1.5 h", Fraction(3, 2)), ("2 days", 48), ("2d", 48), ("1/2 week", 84), ("1 year", 8766),
    ],
)  # fmt: skip
def test_units(text, hours):
    assert parse_hours(text) == hours


@pytest.mark.parametrize("text", ["36", "soon", "", "5 ss", "3 tokens", "hours", "1 hour 30", "5 parsecs", None])
def test_what_is_no_time_with_a_unit(text):
    with pytest.raises(InputError, match="is not a time with a unit"):
        parse_hours(text)


def test_a_bare_number_has_the_unit_that_is_asked():
    assert parse_hours("36", bare="hour") == parse_hours(36, bare="hour") == parse_hours("36 h", bare="minute") == 36
    with pytest.raises(InputError, match="must be above zero"):
        parse_hours("0", bare="hour")


@pytest.mark.parametrize("bare", [None, "hour"])
def test_m_is_neither_minutes_nor_millions_in_a_time(bare):
    for text in ("30m", "30 m", "1.5m"):
        with pytest.raises(InputError) as caught:
            parse_hours(text, bare=bare)
        assert caught.value.fixes[0] == f"'{text.removesuffix('m').strip()} min'"
    assert parse_hours("1m hours") == 10**6


def test_m_in_claims_of_a_time():
    for read in (lambda: as_named(parse("30m"), "hours"), lambda: read_claims({"hours": "30m"})):
        with pytest.raises(InputError, match="minutes or millions"):
            read()
    assert as_named(parse("30m"), "tokens").value == 30_000_000

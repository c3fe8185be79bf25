"""TOML with the line of each key; anything else is an InputError."""

import tomllib
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.errors import InputError
from dist_epochs.settings.located import parse_located
from dist_epochs.settings.toml_text import parse_toml
from dist_epochs.settings.value import Located, plain_value

TEXT = """\
# a run
[training]
steps = 50_000  # ten percent of it
lr = 8e-5
names = ["a", "b"]

[parallel."of it"]
degree = -1
on = true
when = 1979-05-27
training.steps = 3
"""


def test_values_are_the_standard_library_s_and_know_their_lines():
    found = parse_toml(TEXT, "x.toml")
    assert plain_value(found.value) == {
        "training": {"steps": 50_000, "lr": Fraction(8, 100_000), "names": ["a", "b"]},
        "parallel": {"of it": {"degree": -1, "on": True, "when": "1979-05-27", "training": {"steps": 3}}},
    }
    training = found.value["training"]
    assert training.origin.line == 2
    assert [item.origin.line for item in training.value.values()] == [3, 4, 5]
    assert found.value["parallel"].value["of it"].value["degree"].origin.line == 8


@pytest.mark.parametrize("name", ["x.toml", "x", "train.cfg"])
def test_it_is_told_by_its_name_or_its_form(name):
    assert parse_located("[a]\nb = 1\n", name).value["a"].value["b"].value == 1


def test_a_long_file_with_comments_is_no_toml_at_once():
    text = "# a comment\n\n" * 5000 + "a: 1\n"
    assert parse_located(text, "x").value["a"].value == 1


def test_lines_of_tables_in_an_array_and_after_texts_over_lines():
    text = 'note = """\nsteps = 7\n"""\nsteps = 3\nlimit = inf\n'
    text += '[[data]]\nsteps = 4\n[[data]]\nsteps = 5\n[a."b.c"]\nd = 1\n'
    found = parse_toml(text, "x.toml").value
    assert (found["steps"].value, found["steps"].origin.line) == (3, 4)
    assert found["limit"].value == float("inf")
    assert [(item.value["steps"].origin.line, item.origin.line) for item in found["data"].value] == [(7, 6), (9, 8)]
    assert found["a"].value["b.c"].value["d"].origin.line == 11


def test_an_error_has_its_place():
    with pytest.raises(InputError) as caught:
        parse_located("[a]\nb = \n", "x.toml")
    assert (caught.value.origin.line, caught.value.asked) == (2, "not TOML")


@settings(max_examples=200)
@given(text=st.text("[]{}=\"'#\n ab1._-,", max_size=40))
def test_any_text_gives_what_the_standard_library_reads_or_an_error(text):
    try:
        found = parse_toml(text, "x")
    except InputError:
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads(text)
    else:
        assert isinstance(found, Located)
        assert plain_value(found.value) == tomllib.loads(text, parse_float=Fraction)

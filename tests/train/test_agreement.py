"""In what ranks must agree before they train: the wording, without any process."""

import pytest

from dist_epochs.runtime.troubles import Place
from dist_epochs.train.agreement import clocks_error, differences_error

RANKS = [Place(rank, f"gpu{rank // 8:02d}") for rank in range(32)]


def facts(**values):
    return {"torch": "2.13.0", "the store": "aa", "recipe: seed": "3"} | {
        name.replace("_", " "): value for name, value in values.items()
    }


def test_ranks_that_agree():
    assert differences_error([(place, facts()) for place in RANKS]) is None


@pytest.mark.parametrize(
    ("other", "asked", "rule"),
    [
        (facts(torch="2.12.1"), "code", "torch: 2.13.0 on {others}; 2.12.1 on ranks 8-15 (gpu01)"),
        (facts(the_store="bb"), "store", "the store: aa on {others}; bb on ranks 8-15 (gpu01)"),
        (
            {**facts(), "recipe: seed": "4", "recipe: budget": "9"}, "recipe",
            "recipe: seed: 3 on {others}; 4 on ranks 8-15 (gpu01)\n"
            "recipe: budget: not set on {others}; 9 on ranks 8-15 (gpu01)",
        ),
    ],
)  # fmt: skip
def test_what_differs_is_named_with_values_and_ranks(other, asked, rule):
    said = [(place, other if place.host == "gpu01" else facts()) for place in RANKS]
    error = differences_error(said)
    others = "ranks 0-7 (gpu00), ranks 16-23 (gpu02), ranks 24-31 (gpu03)"
    assert error.asked == f"ranks differ in {asked}"
    assert error.rule == rule.format(others=others)
    assert len(error.fixes) == 1


def test_many_differences_are_cut_short():
    other = {f"recipe: {number}": "1" for number in range(40)}
    error = differences_error([(RANKS[0], facts()), (RANKS[8], facts() | other)])
    assert len(error.rule.splitlines()) == 13
    assert error.rule.endswith("and 28 more")


def clocks(**ahead):
    return [(place, 1000.0 + ahead.get(place.host, 0.0)) for place in RANKS]


def test_clocks_that_are_apart_are_named_by_host():
    error = clocks_error(clocks(gpu01=95.0, gpu03=-3600.0), 1000.0, 1000.2)
    assert error.asked == "the clocks of 2 of 4 hosts are apart from rank 0's"
    assert error.rule.splitlines()[1:] == ["gpu01 is 95 s ahead", "gpu03 is 3,600 s behind"]


def test_a_slow_answer_is_no_wrong_clock():
    """Rank 0 asked at 1000 and had all answers at 1100: a clock that says 1090 may be right."""
    assert clocks_error(clocks(gpu01=90.0), 1000.0, 1100.0) is None
    assert clocks_error(clocks(gpu01=135.0), 1000.0, 1100.0) is not None
    assert clocks_error(clocks(gpu01=-29.0), 1000.0, 1100.0) is None

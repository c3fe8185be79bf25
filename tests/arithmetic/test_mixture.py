from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.mixture import Mixture, shares_by_temperature, shares_within
from dist_epochs.errors import InputError

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000).map(Fraction), min_size=2)


def test_shares_are_exact_after_a_period():
    mix = Mixture.of({"web": Fraction(60), "code": Fraction(25), "wiki": Fraction(10), "books": Fraction(5)})
    assert mix.weights == (12, 5, 2, 1)
    assert Counter(mix.pattern) == {0: 12, 1: 5, 2: 2, 3: 1}


def test_split_counts_like_walking():
    mix = Mixture.of({"a": Fraction(3, 7), "b": Fraction(4, 7)})
    for start in range(0, 20, 3):
        for stop in range(start, 30, 4):
            drawn = Counter(mix.pattern[draw % mix.period] for draw in range(start, stop))
            assert {name: b - a for name, (a, b) in mix.split(start, stop).items()} == {"a": drawn[0], "b": drawn[1]}


def test_no_source_waits_long():
    mix = Mixture.of({"a": Fraction(9, 10), "b": Fraction(1, 10)})
    assert mix.pattern.count(1) == 1
    assert 0 < mix.pattern.index(1) < mix.period - 1


@pytest.mark.parametrize("weight", [Fraction(0), Fraction(-1)])
def test_weights_are_positive(weight):
    with pytest.raises(InputError, match="above zero"):
        Mixture.of({"a": Fraction(1), "b": weight})


def test_no_weight_is_rounded():
    with pytest.raises(InputError, match=r"repeat only after .* at most 100,000 are kept"):
        Mixture.of({"a": Fraction(1, 3), "b": Fraction(314159265, 10**9)})


def test_temperature_one_mixes_by_size():
    assert shares_by_temperature({"a": Fraction(1), "b": Fraction(2)}, Fraction(1)) == {
        "a": Fraction(1, 3),
        "b": Fraction(2, 3),
    }


@given(SIZES, st.fractions(Fraction(11, 10), 50))
def test_a_higher_temperature_draws_small_sources_more(sizes, temperature):
    shares = shares_by_temperature(sizes, temperature)
    total = sum(sizes.values())
    assert sum(shares.values()) == 1
    smallest, largest = min(sizes, key=sizes.get), max(sizes, key=sizes.get)
    assert float(shares[smallest]) >= float(sizes[smallest] / total) - 2e-4
    assert float(shares[largest]) <= float(sizes[largest] / total) + 2e-4


@given(SIZES, st.integers(1, 20), st.data())
def test_a_cap_is_kept_and_nothing_is_lost(sizes, cap, data):
    weights = {name: Fraction(data.draw(st.integers(1, 100))) for name in sizes}
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    drawn = Fraction(data.draw(st.integers(1, 20_000)))
    fitted = shares_within(shares, sizes, drawn, Fraction(cap))
    if fitted is None:
        assert cap * sum(sizes.values()) < drawn
        return
    assert sum(fitted.values()) == 1
    slack = Fraction(len(sizes), 10_000)  # what rounding moves to sources that are not at the cap
    assert all(fitted[name] * drawn / sizes[name] <= cap + slack * drawn / sizes[name] for name in sizes)
    free = [name for name in sizes if fitted[name] * drawn < cap * sizes[name] * Fraction(99, 100)]
    if all(fitted[name] > Fraction(1, 50) for name in free):
        ratios = [float(fitted[name] / shares[name]) for name in free]
        assert max(ratios, default=1) <= min(ratios, default=1) * 1.02  # their proportions stay, to four decimals
    if all(shares[name] * drawn <= cap * sizes[name] for name in sizes):
        assert all(abs(fitted[name] - shares[name]) <= slack for name in sizes)


@pytest.mark.parametrize("drawn", [800, 801])
def test_sources_too_small_for_any_shares(drawn):
    sizes = {"a": Fraction(100), "b": Fraction(100)}
    fitted = shares_within({"a": Fraction(1, 4), "b": Fraction(3, 4)}, sizes, Fraction(drawn), Fraction(4))
    assert fitted == (None if drawn > 800 else {"a": Fraction(1, 2), "b": Fraction(1, 2)})

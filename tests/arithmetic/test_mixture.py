from collections import Counter
from fractions import Fraction

import pytest

from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.errors import InputError


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

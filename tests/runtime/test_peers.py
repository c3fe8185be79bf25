"""What fails on one rank fails on all, with the same error."""

from socket import gethostname

import pytest

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.peers import Alone, RanksDiffer, on_first, together

DAMAGED = InputError(
    "its tokens are others", rule="SHA-256", consequence="lost", fixes=("a copy", "another"), origin=Origin("a.yaml", 7)
)


class Second:
    """Rank 1 of two; what rank 0 says is given."""

    rank, size = 1, 2

    def __init__(self, first=None):
        self.first, self.said = first, None

    def share(self, text):
        self.said = text
        return [self.first if self.first is not None else text, text]


def fail(error):
    raise error


def test_an_input_error_reaches_the_others_with_its_parts():
    first = Second()
    with pytest.raises(InputError):
        together(first, lambda: fail(DAMAGED))
    with pytest.raises(InputError) as heard:
        together(Second(first.said), lambda: "fine")
    for part in ("asked", "consequence", "fixes", "origin"):
        assert getattr(heard.value, part) == getattr(DAMAGED, part)
    assert heard.value.rule == f"SHA-256\non rank 0 ({gethostname()}); the launch has 2 ranks"


def test_several_errors_stay_several():
    both = InputError.together([DAMAGED, InputError("another", origin=Origin("b.yaml"))])
    with pytest.raises(InputError) as heard:
        together(Alone(), lambda: fail(both))
    assert [error.asked for error in heard.value.errors] == ["its tokens are others", "another"]


def test_another_error_says_on_which_rank():
    with pytest.raises(RanksDiffer, match="rank 1: disk is full"):
        together(Second("+"), lambda: fail(OSError("disk is full")))


def test_only_the_first_rank_acts():
    assert on_first(Second("+made"), lambda: pytest.fail("rank 1 acts")) == "made"
    assert on_first(Alone(), lambda: "made") == "made"

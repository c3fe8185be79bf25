"""Ranks meet in a store; here they are threads of one process."""

import socket
import threading
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from dist_epochs.errors import InputError
from dist_epochs.runtime.meeting import Meeting, Unheard
from dist_epochs.runtime.troubles import Place


@pytest.fixture
def store():
    """A store that outlives attempts, as that of torchrun's agent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)

    def connect():
        return TCPStore("127.0.0.1", server.port, is_master=False, timeout=timedelta(seconds=60))

    connect.server = server
    return connect


class Rank(threading.Thread):
    """A rank that says its number and something of its own, and keeps the answer or the error."""

    def __init__(self, store, rank, size, text="", patience=60.0):
        super().__init__(daemon=True)
        self.made = lambda: Meeting(store(), Place(rank, f"node-{rank}"), size, patience, speaks=True)
        self.text, self.answer = text, None
        self.start()

    def run(self):
        try:
            self.answer = self.made().round(self.text, lambda said: " ".join(text for _, text in said))
        except InputError as error:
            self.answer = error

    def ended(self):
        self.join(60)
        return self.answer


def test_every_rank_hears_what_rank_0_makes_of_all(store):
    ranks = [Rank(store, rank, 5, text) for rank, text in enumerate("abcde")]
    assert [rank.ended() for rank in ranks] == ["a b c d e"] * 5


def test_an_attempt_hears_nothing_of_the_one_before(store):
    first = [Rank(store, rank, 3, f"old{rank}") for rank in range(3)]
    assert {rank.ended() for rank in first} == {"old0 old1 old2"}
    others = [Rank(store, rank, 3, f"new{rank}") for rank in (1, 2)]
    others[0].join(0.3)
    assert others[0].is_alive()  # the verdict of the first attempt is still in the store
    assert Rank(store, 0, 3, "new0").ended() == "new0 new1 new2"
    assert {rank.ended() for rank in others} == {"new0 new1 new2"}


def test_an_attempt_that_was_ended_before_its_verdict_is_left_behind(store):
    Meeting(store(), Place(0, "node-0"), 2, 60.0, speaks=True)  # came, and was killed
    other = Rank(store, 1, 2, "new1")
    other.join(0.3)
    assert Rank(store, 0, 2, "new0").ended() == "new0 new1"
    assert other.ended() == "new0 new1"


@pytest.mark.parametrize("before", [False, True])
def test_rank_0_does_not_come_to_a_store_that_is_there(store, before):
    if before:
        Rank(store, 0, 1, "").ended()
    error = Rank(store, 1, 2, "", patience=0.2).ended()
    assert isinstance(error, Unheard)
    assert (error.asked, error.rule) == ("rank 0 did not come in 0.2 s", "waiting for it: rank 1 (node-1) of 2")

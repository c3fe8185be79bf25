"""What all ranks said, as one error: its wording, without any process."""

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.troubles import (
    Place,
    RankFailed,
    error_from_text,
    error_to_text,
    hosts_of,
    missing_error,
    places,
    told_once,
    twice_error,
)  # fmt: skip

EIGHT_EACH = [Place(rank, f"gpu{rank // 8:02d}") for rank in range(32)]


def wrong(who, asked="no such store"):
    return [(place, error_to_text(InputError(asked, rule="a rule", origin=Origin("r.yaml", 3)))) for place in who]


def test_an_error_of_all_ranks_names_none():
    (error,) = told_once(wrong(EIGHT_EACH), 32).errors
    assert (error.asked, error.rule, error.origin) == ("no such store", "a rule", Origin("r.yaml", 3))


def test_errors_of_some_ranks_name_them_and_their_hosts():
    told = told_once(wrong(EIGHT_EACH[8:16]) + wrong(EIGHT_EACH[24:26], "another"), 32)
    rules = {error.asked: error.rule for error in told.errors}
    assert rules == {
        "no such store": "a rule\non ranks 8-15 (gpu01); the launch has 32 ranks",
        "another": "a rule\non ranks 24-25 (gpu03); the launch has 32 ranks",
    }


def test_a_wrong_input_is_told_before_what_came_of_it():
    failed = error_to_text(RuntimeError("connection closed"))
    assert told_once([(Place(0, "a"), failed), *wrong([Place(1, "b")])], 2).asked == "no such store"


def test_unexpected_errors_keep_one_traceback():
    failed = [(Place(rank, "a"), error_to_text(RuntimeError(f"bad {rank}"))) for rank in (1, 3)]
    told = told_once(failed, 4)
    assert isinstance(told, RankFailed)
    assert str(told).splitlines() == [
        "on rank 1 (a) of 4 before training:",
        "RuntimeError: bad 1",
        "(1 more errors of other ranks are not shown)",
    ]
    assert str(error_from_text(error_to_text(told))) == str(told)


def test_thousands_of_ranks_are_a_line():
    ranks = [Place(rank, f"gpu{rank // 8:03d}") for rank in range(8, 4096)]
    assert places(ranks).startswith("ranks 8-15 (gpu001), ranks 16-23 (gpu002), ")
    assert places(ranks).endswith("ranks 64-71 (gpu008), and 4,024 ranks on 503 more hosts")


def test_ranks_that_did_not_come_with_the_hosts_that_slurm_names():
    came = [place for place in EIGHT_EACH if place.host != "gpu02"]
    error = missing_error(came, 32, 300.0, {"SLURM_JOB_NODELIST": "gpu[00-03]"})
    assert error.asked == "ranks 16-23 of 32 did not come in 300 s, and nothing came from gpu02"
    assert error.rule == "those that came: ranks 0-7 (gpu00), ranks 8-15 (gpu01), ranks 24-31 (gpu03)"
    assert missing_error(came, 32, 300.0, {}).asked == "ranks 16-23 of 32 did not come in 300 s"


def test_processes_with_the_same_rank():
    assert twice_error(EIGHT_EACH, 32) is None
    error = twice_error([*EIGHT_EACH, Place(3, "gpu09")], 32)
    assert error.asked == "2 processes say that they are rank 3 of 32"
    assert error.rule == "they run on gpu00, gpu09"


def test_lists_of_hosts_as_slurm_writes_them():
    assert hosts_of("a-[1-2]b,c") == ["a-1", "a-2", "b", "c"]
    assert hosts_of("n[08-10]") == ["n08", "n09", "n10"]

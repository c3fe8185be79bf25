import itertools
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from dist_epochs.train.watchdog import RankLost, Watchdog

ROOT = Path(__file__).parent.parent.parent


class One:
    """A rank that waits for nobody."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def share(self, text):
        return [text] * self.size


def watch(folder, rank, size=2, timeout=10.0):
    """A watchdog of this process. Its verdict would end the tests, so it has patience on a busy machine."""
    return Watchdog(folder, One(rank, size), timeout, print)


def sign(folder, rank, **values):
    (folder / ".ranks").mkdir(exist_ok=True)
    path = folder / ".ranks" / f"{rank:05d}.json"
    path.with_suffix(".new").write_text(json.dumps({"beat": 1, "marks": 0, "left": None} | values))
    path.with_suffix(".new").replace(path)  # as ranks do: nobody reads a half-written one


@contextmanager
def beating(folder, rank):
    """A rank that only writes its heartbeat."""
    begun, over = threading.Event(), threading.Event()

    def beat():
        for number in itertools.count(1):  # 0 is a rank that has shown nothing yet
            sign(folder, rank, beat=number)
            begun.set()
            if over.wait(0.05):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    begun.wait()
    yield
    over.set()
    thread.join()


def test_ranks_that_live_are_left_alone(tmp_path):
    with watch(tmp_path, 0, timeout=6.0) as one, watch(tmp_path, 1, timeout=6.0) as other:
        for step in range(26):  # longer than the timeout
            one.mark(step)
            other.mark(step)
            time.sleep(0.25)
        assert one.blame() is None
    one.clear()
    assert not (tmp_path / ".ranks").exists()


def test_a_rank_without_a_sign_is_to_blame(tmp_path):
    with watch(tmp_path, 0) as one:
        one.mark(7)
        sign(tmp_path, 1)
        lost = one.blame()
    assert str(lost) == "rank 1 is gone; the run was at step 7, on 2 ranks. Start it again with --resume."
    assert lost.speaks


def test_a_rank_that_failed_is_named_with_its_reason(tmp_path):
    with watch(tmp_path, 0) as one:
        with pytest.raises(MemoryError), watch(tmp_path, 1):
            raise MemoryError("4 GB")
        assert "rank 1 failed: MemoryError: 4 GB" in str(one.blame())


def test_the_lowest_rank_that_lives_speaks(tmp_path):
    with watch(tmp_path, 2, size=3) as mine, beating(tmp_path, 1):
        sign(tmp_path, 0)
        assert isinstance(lost := mine.blame(), RankLost)
        assert str(lost).startswith("rank 0 is gone")
        assert not lost.speaks


def test_several_ranks_that_are_gone(tmp_path):
    with watch(tmp_path, 2, size=3) as mine:
        sign(tmp_path, 0)
        sign(tmp_path, 1)
        lost = mine.blame()
    assert str(lost).startswith("ranks 0, 1 are gone")
    assert lost.speaks


def test_alone_nothing_is_watched(tmp_path):
    with watch(tmp_path, 0, size=1) as one:
        assert one.blame() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("speaker", [0, 1])
def test_a_verdict_ends_the_ranks_that_found_nothing(tmp_path, speaker):
    """Rank 1 of 3 judges nobody; it reads what another wrote, and says it if it is the one to."""
    (tmp_path / ".ranks").mkdir()
    (tmp_path / ".ranks" / "verdict.json").write_text(json.dumps({"message": "rank 2 is gone", "speaker": speaker}))
    script = SCRIPT.replace("One(0, 2)", "One(1, 3)")
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    said = "error: rank 2 is gone\n" if speaker == 1 else ""
    assert (result.returncode, result.stdout, result.stderr) == (1, "noted rank 2 is gone\n", said)


SCRIPT = """
import sys, time
from pathlib import Path
from dist_epochs.train.watchdog import Watchdog
from tests.train.test_watchdog import One
with Watchdog(Path(sys.argv[1]), One(0, 2), 1.0, lambda message: print("noted", message, flush=True)) as dog:
    dog.mark(3)
    time.sleep(60)
"""


def judged(tmp_path, script, **signs):
    for rank, left in signs.items():
        sign(tmp_path, int(rank[1:]), left=left)
    return subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


AFTER = SCRIPT.replace("        dog.mark(3)", "").replace(
    "with Watchdog", "Watchdog.clear = lambda self: None\nwith Watchdog"
)


def test_a_rank_that_left_with_an_error_is_named(tmp_path):
    """Connections to it may still wait, as NCCL's do."""
    result = judged(tmp_path, AFTER, r1="ValueError: bad")
    assert (result.returncode, "error: rank 1 failed: ValueError: bad" in result.stderr) == (1, True)


def test_the_others_judge_the_judges(tmp_path):
    """Four ranks, the first and the last frozen."""
    result = judged(tmp_path, AFTER.replace("One(0, 2)", "One(1, 4)"), r0=None, r3=None)
    assert (result.returncode, "error: ranks 0, 3 said nothing for 1 s" in result.stderr) == (1, True)


def test_a_silent_rank_ends_this_one_within_the_timeout(tmp_path):
    sign(tmp_path, 1)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode == 1
    assert "error: rank 1 said nothing for 1 s; the run was at step 3, on 2 ranks" in result.stderr
    assert result.stdout.startswith("noted rank 1")

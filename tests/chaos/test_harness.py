"""The harness signals nothing that it did not start, whatever becomes of a request."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.harness import Ranks, wait_for

FORKER = """
import json, os, signal, sys, time
for line in sys.stdin:
    request = json.loads(line)
    pids = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if request.get("ignores") else signal.SIG_DFL)
    for seconds in request["sleep"]:
        pid = os.fork()
        if not pid:
            time.sleep(seconds)
            os._exit(0)
        pids.append(pid)
    print(json.dumps({"request": request["request"], "pids": pids}), flush=True)
    found = [os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) for pid in pids]
    codes = [f.si_status if f.si_code == os.CLD_EXITED else -f.si_status for f in found]
    print(json.dumps({"request": request["request"], "codes": codes}), flush=True)
"""


@pytest.fixture
def ranks(tmp_path):
    program = tmp_path / "forker.py"
    program.write_text(FORKER)
    made = Ranks(tmp_path, program)
    yield made
    made.close()


@pytest.fixture
def signalled(monkeypatch):
    """What was signalled.

    It is really sent to other process groups only: a test that fails must not kill its caller.
    """
    found, kill, killpg = [], os.kill, os.killpg

    def is_foreign(pid):
        try:
            return pid <= 1 or os.getpgid(pid) == os.getpgrp() or os.getpgid(pid) == os.getpgid(os.getppid())
        except ProcessLookupError:
            return True

    def send(pid, number):
        found.append(pid)
        if not is_foreign(pid):
            kill(pid, number)

    def send_all(group, number):
        found.append(-group)
        if not is_foreign(group):
            killpg(group, number)

    monkeypatch.setattr(os, "kill", send)
    monkeypatch.setattr(os, "killpg", send_all)
    return found


def test_exit_codes_are_never_taken_for_processes(ranks, signalled):
    """A time-out leaves an answer unread: exit codes 0, which as a process id is the caller's own group."""
    first = ranks.start({"sleep": [0, 0]})
    wait_for(lambda: not any(rank.runs() for rank in first))
    with pytest.raises(RuntimeError, match="request 2 asked for pids, and was answered"):
        ranks.start({"sleep": [0, 0]})
    for rank in first:
        rank.signal(signal.SIGKILL)
    ranks.close()
    assert all(abs(pid) > 1 and abs(pid) != os.getpgrp() for pid in signalled)
    second = ranks.start({"sleep": [60, 0]})
    second[0].signal(signal.SIGKILL)
    assert ranks.wait() == [-signal.SIGKILL, 0]


def test_what_is_over_is_not_signalled(ranks, signalled):
    ended = ranks.start({"sleep": [0]})
    assert ranks.wait() == [0]
    ranks.end()
    ended[0].signal(signal.SIGKILL)
    others = ranks.start({"sleep": [60]})
    ended[0].signal(signal.SIGKILL)
    assert signalled == []
    others[0].signal(signal.SIGKILL)
    assert ranks.wait() == [-signal.SIGKILL]
    assert signalled == [others[0].pid]


def test_a_request_that_is_given_up_leaves_no_process(ranks):
    left = ranks.start({"sleep": [600, 600, 600]})
    assert all(rank.runs() for rank in left)
    ranks.close()
    wait_for(lambda: not any(rank.runs() for rank in left))
    assert [rank.signal(signal.SIGKILL) for rank in left] == [False] * 3
    assert ranks.start({"sleep": [0]})
    assert ranks.wait() == [0]


def test_what_ignores_sigterm_is_killed_and_reaped(ranks, signalled):
    stubborn = ranks.start({"sleep": [600], "ignores": True})
    forking = os.getpgid(stubborn[0].pid)
    assert stubborn[0].signal(signal.SIGTERM)
    wait_for(lambda: not stubborn[0].has_pending(signal.SIGTERM))
    assert stubborn[0].runs()
    ranks.close()
    wait_for(lambda: not stubborn[0].runs())
    with pytest.raises(ChildProcessError):  # it was waited for
        os.waitpid(forking, os.WNOHANG)
    assert signalled == [stubborn[0].pid, -forking]


@pytest.mark.parametrize(
    "answer", ["[0, 0]", "[-1, 1]", "[os.getppid(), os.getppid()]"], ids=["own group", "all", "caller"]
)
def test_answers_that_name_foreign_processes_are_not_believed(tmp_path, signalled, answer):
    """Whatever is answered, only processes of the group that was made are signalled."""
    program = tmp_path / "liar.py"
    program.write_text(
        f"""
import json, os, sys
for line in sys.stdin:
    print(json.dumps({{"request": json.loads(line)["request"], "pids": {answer}}}), flush=True)
"""
    )
    liar = Ranks(tmp_path, program)
    assert [rank.signal(signal.SIGKILL) for rank in liar.start({})] == [False, False]
    assert signalled == []
    liar.close()
    assert len(signalled) == 1
    assert signalled[0] < -1
    assert signalled[0] != -os.getpgrp()


def test_a_forking_process_that_died_is_told(tmp_path, signalled):
    program = tmp_path / "dead.py"
    program.write_text("")
    dead = Ranks(tmp_path, program)
    with pytest.raises((RuntimeError, BrokenPipeError)):
        dead.start({})
    dead.close()
    assert all(pid < -1 and pid != -os.getpgrp() for pid in signalled)


def test_a_rank_of_an_older_request_is_not_signalled_by_its_number(ranks, signalled):
    """Its number may be another process's by now."""
    one = ranks.start({"sleep": [0]})[0]
    assert ranks.wait() == [0]
    other = ranks.start({"sleep": [600]})[0]
    assert not replace(one, pid=other.pid).signal(signal.SIGKILL)
    assert signalled == []


def test_a_time_out_ends_with_a_summary(tmp_path):
    """A test run is not killed by what one of its tests left behind."""
    (tmp_path / "forker.py").write_text(FORKER)
    (tmp_path / "test_two.py").write_text(
        f"""
import sys
from pathlib import Path
import pytest
sys.path.insert(0, {str(Path(__file__).parent.parent.parent)!r})
from tests.chaos.harness import Chaos, Ranks, Segment
from types import SimpleNamespace

RANKS = Ranks(Path({str(tmp_path)!r}), Path({str(tmp_path / "forker.py")!r}))

class Asked(Chaos):
    def __init__(self, folder, sleep):
        self.folder, self.out, self.recipe, self.overrides = folder, folder, folder, []
        self.segments, self.plan, self.batch = [], SimpleNamespace(steps=1), 1
        self._ranks, self._scaler, self._pause, self.sleep = RANKS, False, 0, sleep
        self._began = 0.0
        start = RANKS.start
        self._ranks = SimpleNamespace(
            start=lambda request: start({{**request, "sleep": sleep}}),
            wait=RANKS.wait, end=RANKS.end, close=RANKS.close,
        )

@pytest.mark.timeout(2, method="signal")
def test_one(tmp_path):
    Asked(tmp_path, [600, 600]).run(2)

def test_two(tmp_path):
    run = Asked(tmp_path, [0, 0])
    def fails(segment, ranks):
        raise ZeroDivisionError
    with pytest.raises((ZeroDivisionError, FileNotFoundError)):
        run.run(2, during=fails)

def test_end():
    RANKS.close()
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_two.py")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr

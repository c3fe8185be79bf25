import json
import time
from types import SimpleNamespace

import pytest

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger import writer as module
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.ledger.run_ledger import RunLedger

KEY, NEXT = PassKey(0, "web", 128, 0), PassKey(0, "web", 128, 1)


def window(step, key=KEY, samples=4):
    counts = {key: Counts(samples, 10 * samples, samples, 2**127 + step)}
    return SimpleNamespace(step=step, micro_batches=[None, None], counts=counts)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TwoRanks:
    """The other rank always draws the same again, and may vote to stop."""

    size = 2

    def share(self, text):
        return [text, text]

    def __init__(self, rank=0, stop_at=None):
        self.rank, self.stop_at, self.begun, self.waited = rank, stop_at, 0, 0

    def sum(self, values):
        self.begun += 1
        number = self.begun

        def wait():
            self.waited += 1
            votes = values[0] + int(number == self.stop_at)
            return [votes, *(self._wrap(2 * value) for value in values[1:])]

        return wait

    @staticmethod
    def _wrap(value):
        return (value + 2**63) % 2**64 - 2**63


def take(ledger, windows, **options):
    taken = []
    for drawn in ledger.watch(windows, **options):
        taken.append((drawn.window.step, drawn.counts))
        ledger.book(drawn, applied=True)
    return taken


def test_counts_are_recorded_when_the_step_is_taken(tmp_path):
    ledger = RunLedger(tmp_path)
    drawn = []

    def loader():
        for step in range(3):
            drawn.append(step)
            yield window(step)

    for item in ledger.watch(loader()):
        assert ledger.totals.applied.steps == item.window.step  # fetched ahead, not recorded ahead
        assert max(drawn) == min(item.window.step + 1, 2)
        ledger.book(item, applied=True)
    ledger.close("finished")
    assert [line["event"] for line in lines(tmp_path / "ledger.jsonl")] == ["segment", *["begin", "applied"] * 3, "end"]
    totals = read_totals(tmp_path / "ledger.jsonl")
    assert totals.applied == ledger.totals.applied
    assert (totals.applied.counts.tokens, totals.applied.positions, totals.applied.micro_steps) == (120, 12 * 128, 6)


def test_ranks_are_added_and_digests_wrap(tmp_path):
    ledger = RunLedger(tmp_path, TwoRanks())
    assert take(ledger, [window(0)]) == [(0, Counts(8, 80, 8, 0))]  # 2 × 2^127 wraps to nothing


def test_only_rank_0_writes(tmp_path):
    ledger = RunLedger(tmp_path, TwoRanks(rank=1))
    take(ledger, [window(0)])
    ledger.close("finished")
    assert not (tmp_path / "ledger.jsonl").exists()
    assert ledger.totals.applied.counts.samples == 8


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_vote_of_any_rank_stops_before_that_step(tmp_path, stop_at):
    peers = TwoRanks(stop_at=stop_at)
    ledger = RunLedger(tmp_path, peers)
    assert [step for step, _ in take(ledger, map(window, range(5)))] == list(range(stop_at - 1))
    assert peers.begun == peers.waited  # no rank is left in an open sum


def test_an_own_wish_to_stop(tmp_path):
    ledger = RunLedger(tmp_path)
    assert len(take(ledger, map(window, range(9)), stop=lambda: ledger.totals.applied.steps >= 3)) == 4


def test_a_wish_for_a_checkpoint_is_heard_by_all(tmp_path):
    ledger = RunLedger(tmp_path, TwoRanks())
    asked, heard = [], []
    for item in ledger.watch(map(window, range(5)), checkpoint=lambda step: bool(asked.append(step)) or step == 3):
        if item.checkpoint_votes:
            heard.append(item.step)
        ledger.book(item, applied=True)
    assert asked == [1, 2, 3, 4, 5]
    assert heard == [3]


def test_going_back_replaces_what_came_after(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = RunLedger(path.parent)
    take(ledger, map(window, range(5)))
    ledger.go_back(read_totals(path, up_to=2), "the loss is nan", {})
    ledger.close("failed", "the loss is nan")
    totals = read_totals(path)
    assert (totals.applied.steps, totals.replayed.steps, totals.last_step) == (2, 3, 2)
    assert [(segment.status, segment.reason) for segment in totals.segments] == [("failed", "the loss is nan")] * 2
    again = RunLedger(path.parent, totals=read_totals(path, up_to=2))
    take(again, map(window, range(2, 4)))
    assert read_totals(path).applied == again.totals.applied
    assert read_totals(path).replayed == again.totals.replayed


def test_skipped_steps_are_apart(tmp_path):
    ledger = RunLedger(tmp_path)
    for item in ledger.watch(map(window, range(4))):
        ledger.book(item, applied=item.step != 3)
    totals = read_totals(tmp_path / "ledger.jsonl")
    assert (totals.applied.steps, totals.skipped.steps, totals.last_step) == (3, 1, 4)
    assert totals.applied.counts.samples == 12


def test_a_forgotten_step_is_an_error(tmp_path):
    ledger = RunLedger(tmp_path)
    with pytest.raises(RuntimeError, match=r"step 1 was neither applied nor skipped"):
        for _ in ledger.watch(map(window, range(2))):
            pass
    for item in (again := RunLedger(tmp_path)).watch([window(0)]):
        again.book(item, applied=True)
        with pytest.raises(RuntimeError, match="step 1 is not under way"):
            again.book(item, applied=True)


def test_a_kill_leaves_a_readable_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = RunLedger(path.parent)
    watched = ledger.watch(map(window, range(9)))
    ledger.book(next(watched), applied=True)
    next(watched)
    whole = path.read_bytes()
    for cut in range(whole.rindex(b"\n", 0, -1) + 1, len(whole)):  # inside the last line
        path.write_bytes(whole[:cut])
        assert read_totals(path).unfinished == 0
    path.write_bytes(whole)
    totals = read_totals(path)
    assert (totals.applied.steps, totals.unfinished, totals.segments[0].status) == (1, 1, "no end")


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "ledger.jsonl"
    take(RunLedger(path.parent), map(window, range(3)))
    good = path.read_bytes().splitlines(keepends=True)
    for bad in (b'{"event":"applied","step":\n', b"\x00\x00\n", b"[]\n"):
        path.write_bytes(b"".join([*good[:3], bad, *good[3:]]))
        with pytest.raises(InputError, match=r"damaged|not a ledger line") as damaged:
            read_totals(path)
        assert damaged.value.origin == Origin(str(path), 4)
    for bad in (
        '{"event":"begin","step":9}',
        '{"event":"applied","step":7,"micro_steps":1,"drawn":[]}',
        '{"event":"applied"}',
    ):
        path.write_bytes(b"".join([*good, bad.encode(), b"\n"]))
        if "begin" in bad:
            assert read_totals(path).unfinished == 1
        else:
            with pytest.raises(InputError, match=r"step 7 where step 4|damaged: it has no step") as damaged:
                read_totals(path)
            assert damaged.value.origin == Origin(str(path), 8)
    path.write_text("{}\n")
    with pytest.raises(InputError, match="no segment line"):
        read_totals(path)
    with pytest.raises(InputError, match="no ledger there"):
        read_totals(tmp_path / "nowhere")


def test_a_cut_line_does_not_spoil_what_is_added(tmp_path):
    path = tmp_path / "ledger.jsonl"
    take(RunLedger(path.parent), map(window, range(3)))
    with path.open("ab") as file:
        file.write(b'{"event":"begin","st')
    run_segment(path, 3, 5)
    assert read_totals(path).applied.steps == 5


def run_segment(path, first, stop):
    ledger = RunLedger(path.parent, totals=read_totals(path, up_to=first) if first else None)
    assert ledger.totals.last_step == first
    take(ledger, (window(step) for step in range(first, stop)))
    return ledger


def test_a_later_segment_replaces_what_it_draws_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    run_segment(path, 0, 10)
    run_segment(path, 6, 8)
    run_segment(path, 7, 12).close("finished")
    totals = read_totals(path)
    assert (totals.applied.steps, totals.replayed.steps) == (12, 5)
    assert totals.applied.counts.samples == 48
    assert [(s.first_step, s.last_step, s.status) for s in totals.segments] == [
        (1, 10, "no end"),
        (7, 8, "no end"),
        (8, 12, "finished"),
    ]


def test_totals_lines_change_the_time_not_the_answer(tmp_path, monkeypatch):
    plain, fast = tmp_path / "plain" / "ledger.jsonl", tmp_path / "fast" / "ledger.jsonl"
    plain.parent.mkdir()
    fast.parent.mkdir()
    segments = ((0, 10), (6, 8), (7, 25), (25, 31))
    for first, stop in segments:
        run_segment(plain, first, stop)
    monkeypatch.setattr(module, "TOTALS_EVERY", 3)
    for first, stop in segments:
        run_segment(fast, first, stop)
    assert b"totals" in fast.read_bytes()
    a, b = read_totals(plain), read_totals(fast)
    assert (a.applied, a.replayed) == (b.applied, b.replayed)
    assert (a.applied.steps, a.replayed.steps) == (31, 4 + 1)


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only by hand."""
    now = SimpleNamespace(seconds=1.8e9)
    monkeypatch.setattr(module.time, "time", lambda: now.seconds)
    return now


def told(run):
    """Of the time: what steps waited for data, and how many said so."""
    time = read_run(run).to_json()["time"]
    return time["causes"]["data"], time["data_steps"]


def taken_with_waits(run, waits, totals=None, clock=None):
    """Steps that each waited for data that long, in seconds; None is what older versions wrote."""
    ledger = RunLedger(run, totals=totals)
    first = ledger.totals.last_step
    for drawn in ledger.watch(window(step) for step in range(first, first + len(waits))):
        wait = waits[drawn.step - 1 - first]
        if clock is not None:
            clock.seconds += (wait or 0) + 1
        ledger.book(drawn, applied=drawn.step != 2, data_wait=wait)
    return ledger


@pytest.mark.parametrize("totals_every", [1000, 2])
def test_the_wait_for_data_is_recorded_and_added_up(tmp_path, monkeypatch, clock, totals_every):
    """That of the steps that count: the second step was skipped, and the fourth is drawn again."""
    monkeypatch.setattr(module, "TOTALS_EVERY", totals_every)
    path = tmp_path / "ledger.jsonl"
    taken_with_waits(tmp_path, [0.25, 0.5, 0.000001, 2.0], clock=clock)
    written = [line for line in lines(path) if line["event"] in ("applied", "skipped")]
    assert [line["data_wait_us"] for line in written] == [250_000, 500_000, 1, 2_000_000]
    assert told(tmp_path) == (2.250001, 4)
    taken_with_waits(tmp_path, [1.0, 1.0], totals=read_totals(path, up_to=3), clock=clock)
    assert told(tmp_path) == (2.250001, 6)
    causes = read_run(tmp_path).to_json()["time"]["causes"]
    assert (causes["skipped"], causes["replayed"]) == (1.5, 3.0)


def test_ledgers_without_waits_still_read(tmp_path, clock):
    """As older versions wrote them: no field in the lines of the steps, nor in those of the totals."""
    path = tmp_path / "ledger.jsonl"
    taken_with_waits(tmp_path, [None, None, None])
    assert b"data_wait" not in path.read_bytes()
    assert told(tmp_path) == (None, 0)
    old = read_totals(path).to_json()
    for tally in (old["applied"], old["skipped"], old["replayed"]):
        del tally["data_wait_us"], tally["data_wait_steps"], tally["time"]
    del old["clock"]
    with path.open("a") as file:
        file.write(json.dumps({"event": "totals", "step": 3, **old}, separators=(",", ":")) + "\n")
    taken_with_waits(tmp_path, [0.5], totals=read_totals(path, up_to=3), clock=clock)
    assert read_totals(path).applied.steps == 3
    assert told(tmp_path) == (0.5, 1)


def test_a_wait_for_other_ranks_is_measured(tmp_path):
    class Slow(TwoRanks):
        def sum(self, values):
            finish = super().sum(values)
            return lambda: time.sleep(0.02) or finish()

    ledger = RunLedger(tmp_path, Slow())
    take(ledger, map(window, range(3)))
    assert 0.06 <= ledger.waited < 10

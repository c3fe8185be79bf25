"""Where the time of a run went, and what it will have taken at its end."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import pytest

from dist_epochs.ledger import writer as module
from dist_epochs.ledger.expected import Stretch, expected_end
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.ledger.spending import spending_of
from dist_epochs.ledger.time import CAUSES, time_line
from tests.ledger.simulated import BEGAN, SimulatedRun


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only by hand, in microseconds."""
    now = SimpleNamespace(us=round(BEGAN * 1e6))
    monkeypatch.setattr(module.time, "time", lambda: now.us / 1e6)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now.us / 1e6)
    return now


def entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def attributed(run):
    """The books of a run, and the time of the steps that were lost or skipped, by the ledger's lines."""
    books, last, lost, seen = Counter(run.books), None, Counter(), {}
    for entry in entries(run.folder / "ledger.jsonl"):
        time = entry.get("time")
        if entry["event"] == "segment":
            for step in [step for step in seen if step > entry["from_step"]]:
                lost["replayed"] += seen.pop(step)[1]
        if entry["event"] in ("applied", "skipped"):
            seen[entry["step"]] = entry["event"], round(time * 1e6) - last
        last = last if time is None else round(time * 1e6)
    lost["skipped"] = sum(us for event, us in seen.values() if event == "skipped")
    return books, lost


@pytest.mark.parametrize("totals_every", [1000, 20])
@pytest.mark.parametrize(
    ("ranks", "kills"), [(1, ()), (2, (33,)), (4, (16, 59, 130))], ids=["one rank", "killed", "killed thrice"]
)
def test_every_second_has_one_cause(tmp_path, clock, monkeypatch, ranks, kills, totals_every):
    monkeypatch.setattr(module, "TOTALS_EVERY", totals_every)
    run = SimulatedRun(tmp_path, clock, ranks=ranks, kills=kills)
    began = clock.us
    ledger = run.run()
    line = time_line(read_totals(tmp_path / "ledger.jsonl"))
    assert line == time_line(ledger.totals)  # whoever writes knows the same as whoever reads
    assert line.wall_us == clock.us - began == run.books.total()
    books, lost = attributed(run)
    for cause in ("start-up", "evaluation", "checkpoint", "idle", "other"):
        assert line.causes[cause] == books[cause], cause
    assert (line.causes["replayed"], line.causes["skipped"]) == (lost["replayed"], lost["skipped"])
    assert (lost["replayed"] > 0) == bool(kills)
    in_steps = sum(line.causes[cause] for cause in ("data", "compute", "communication", "compile"))
    assert in_steps + lost.total() == sum(books[cause] for cause in ("data", "compute", "communication"))
    if not kills:
        assert 0 <= books["data"] - line.causes["data"] < 10_000  # those of skipped steps are theirs
        assert line.causes["compile"] == pytest.approx(3_000_000, rel=0.05)
    assert line.causes["unattributed"] == 0
    devices = read_totals(tmp_path / "ledger.jsonl").clock.device_us
    assert devices == (line.wall_us - line.causes["idle"]) * ranks
    assert read_run(tmp_path).to_json()["time"]["goodput"] == line.causes["compute"] / line.wall_us


def test_the_middle_of_a_run_is_found_without_reading_all(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "TOTALS_EVERY", 7)
    run = SimulatedRun(tmp_path, clock, kills=(40, 100))
    run.run()
    path = tmp_path / "ledger.jsonl"
    plain = tmp_path / "plain.jsonl"
    plain.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if '"event":"totals"' not in line))
    for up_to in (None, 200, 151, 90, 31, 30, 7, 1, 0):
        fast, slow = read_totals(path, up_to=up_to), read_totals(plain, up_to=up_to)
        assert (fast.applied, fast.skipped, fast.replayed) == (slow.applied, slow.skipped, slow.replayed)
        assert time_line(fast) == time_line(slow)
        assert fast.applied.time == slow.applied.time
        assert fast.last_step == (200 if up_to is None else up_to)


@pytest.mark.parametrize("half_of", ["steps", "time"])
def test_the_end_is_expected_at_half_of_the_run(tmp_path, clock, half_of):
    """Two lengths, a batch that grows, and two kills somewhere: within 5 %, and in the interval for 19 of 20."""
    inside, errors = 0, []
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = {}
        phases = ((150, 128, 8), (150, 128, 16), (240, 128, 32), (60, 512, 32))
        run = SimulatedRun(folder, clock, seed=seed, phases=phases, save_every=4, scale=20)
        seconds = [20_000 + length * samples * 40 for length, samples in map(run.work, range(1, 601))]
        run.kills = tuple(sorted(run.random.choices(range(1, 601), seconds, k=2)))  # at any moment
        half = 300
        if half_of == "time":
            half = next(at for at in range(600) if sum(seconds[:at]) >= sum(seconds) / 2)

        def look(step, ledger, *, half=half, found=found, run=run):
            if step == half and "at" not in found:
                found["at"] = spending_of(ledger.totals, run.plan, {"device": "cuda", "watts": 400})

        run.look = look
        began = clock.us
        ledger = run.run()
        took = (clock.us - began) / 3.6e9
        expected = found["at"].wall_hours.expected
        inside += expected.low <= took <= expected.high
        errors.append(abs(expected.point / took - 1))
        end = spending_of(ledger.totals, run.plan, {"device": "cuda", "watts": 400})
        assert end.wall_hours.expected.point == pytest.approx(took)
        assert found["at"].price.expected.point == pytest.approx(2.5 * found["at"].device_hours.expected.point)
    assert inside >= 19
    assert sorted(errors)[18] < 0.05


def test_the_interval_narrows(tmp_path, clock):
    widths = []
    run = SimulatedRun(tmp_path, clock)
    run.look = lambda step, ledger: (
        step in (20, 100, 190)
        and widths.append((found := spending_of(ledger.totals, run.plan).wall_hours.expected).high - found.low)
    )
    run.run()
    assert widths[0] > 2 * widths[1] > 4 * widths[2] > 0


def test_price_and_energy_follow_the_devices(tmp_path, clock):
    run = SimulatedRun(tmp_path, clock, ranks=4, kills=(33,))
    ledger = run.run()
    spending = spending_of(ledger.totals, run.plan, {"device": "cuda", "watts": 400})
    hours = (run.books.total() - run.books["idle"]) * 4 / 3.6e9
    assert spending.device_hours.recorded == pytest.approx(hours)
    assert (spending.price.recorded, spending.price.planned) == (pytest.approx(2.5 * hours), 10)
    assert spending.energy_kwh.recorded == pytest.approx(0.4 * hours)
    unpriced = spending_of(ledger.totals, {**run.plan, "cost": {"pue": 1.2}}, {"device": "cpu"})
    assert (unpriced.price.recorded, unpriced.energy_kwh.recorded) == (None, None)
    assert "hardware.price" in unpriced.price.reason
    assert "hardware.watts" in unpriced.energy_kwh.reason


def write(path, *lines):
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return read_run(path)


SEGMENT = {"event": "segment", "from_step": 0, "time": 1000, "world_size": 2, "timed": ["data"]}


def step(number, time, **others):
    return {"event": "applied", "step": number, "micro_steps": 1, "drawn": [], **others, "time": time}


def test_a_clock_that_is_set_back_is_named_and_no_time_is_negative(tmp_path):
    found = write(tmp_path / "l.jsonl", SEGMENT, step(1, 1010), step(2, 990), step(3, 1000.5))
    assert found.time_line.back_us == 20_000_000
    assert found.time_line.wall_us == 20_500_000
    assert all(us >= 0 for us in found.time_line.causes.values())
    later = {**SEGMENT, "from_step": 3, "time": 900, "started": 899}
    found = write(tmp_path / "l.jsonl", SEGMENT, step(1, 1010), step(2, 1011), step(3, 1012), later, step(4, 905))
    assert (found.time_line.back_us, found.time_line.causes["idle"]) == (113_000_000, 0)
    assert found.time_line.wall_us == 12_000_000 + 6_000_000
    assert found.to_json()["time"]["clock_back_seconds"] == 113


def test_times_that_are_missing(tmp_path):
    bare = {"event": "segment", "from_step": 0}
    untimed = {"event": "applied", "step": 1, "micro_steps": 1, "drawn": []}
    found = write(tmp_path / "l.jsonl", bare, untimed, {"event": "end", "status": "finished"}).to_json()
    assert (found["time"]["wall_seconds"], found["device_hours"]) == (0, None)
    assert "devices" in found["device_hours_reason"]
    assert found["price"] is None is found["energy_kwh"]
    found = write(tmp_path / "l.jsonl", SEGMENT, untimed, step(2, 1010)).to_json()
    assert found["time"]["wall_seconds"] == sum(found["time"]["causes"][cause] or 0 for cause in CAUSES) == 10


def test_a_run_that_has_only_begun(tmp_path):
    found = write(tmp_path / "l.jsonl", SEGMENT)
    assert found.to_json()["time"]["expected_seconds"] is None
    assert found.to_json()["time"]["goodput"] is None
    assert expected_end(found.totals, [Stretch(10, 128, 8, 1.0)]) is None


def test_steps_of_earlier_versions_are_not_attributed(tmp_path):
    """Their segments do not say which causes they tell, so nothing is guessed of their steps but the wait for data."""
    old = {name: value for name, value in SEGMENT.items() if name != "timed"}
    saved = {"event": "checkpoint", "step": 1, "name": "step-1", "seconds": 2, "time": 1013}
    found = write(tmp_path / "l.jsonl", old, step(1, 1010, data_wait_us=500_000), saved, step(2, 1020))
    causes = {cause: us / 1e6 for cause, us in found.time_line.causes.items() if us}
    assert causes == {"data": 0.5, "checkpoint": 2, "unattributed": 17.5}
    assert found.time_line.goodput is None


def test_a_loop_without_a_plan_knows_its_end_by_its_steps(tmp_path):
    steps = [step(number, 1000 + number) for number in range(1, 6)]
    end = write(tmp_path / "l.jsonl", {**SEGMENT, "steps": 10}, *steps).spending.wall_hours.expected
    assert end.point * 3600 == pytest.approx(10)
    assert write(tmp_path / "l.jsonl", SEGMENT, *steps).spending.wall_hours.reason == "there is no plan.json"


def test_energy_that_the_devices_measured_comes_first(tmp_path):
    measured = [step(1, 1010, energy_mj=1_000_000), step(2, 1020, energy_mj=9_000_000)]
    again = {**SEGMENT, "from_step": 2, "time": 1030}
    found = write(tmp_path / "l.jsonl", SEGMENT, *measured, again, step(3, 1040, energy_mj=3_600_000))
    spent = found.spending.energy_kwh
    assert spent.recorded == pytest.approx(12.6e6 / 3.6e9)
    assert spent.how == "measured by the devices"

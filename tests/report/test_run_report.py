"""The report of a run: its numbers, its segments, and what it does with damaged and unfinished runs."""

import json
import re
import time
from fractions import Fraction
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.cli.main import main
from dist_epochs.ledger import writer
from dist_epochs.ledger.history import segment_times
from dist_epochs.ledger.run_ledger import RunLedger
from tests.ledger.simulated import BEGAN, SimulatedRun
from tests.report.reading import Page
from tests.report.test_reports import check_numbers, check_page


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only by hand, in microseconds."""
    now = SimpleNamespace(us=round(BEGAN * 1e6))
    monkeypatch.setattr(writer.time, "time", lambda: now.us / 1e6)
    monkeypatch.setattr(writer.time, "perf_counter", lambda: now.us / 1e6)
    return now


def log(step, ledger):
    """A row of training, as the trainer logs it."""
    counts = ledger.totals.applied.counts
    ledger.metrics(step, {"train/loss": 7 - step / 100, "ledger/tokens": counts.tokens, "ledger/epoch": step / 50})


def mixture_run(folder, clock):
    """Two phases of two lengths over three sources, planned, killed twice, with skipped steps and evaluations."""

    def look(step, ledger):
        log(step, ledger)
        if step % 40 == 0:
            counts = ledger.totals.applied.counts
            loss = {"evaluation/loss": 7.2 - step / 110}
            ledger.metrics(step, loss | {"ledger/tokens": counts.tokens, "ledger/epoch": step / 50})

    shares = {"web": Fraction(1, 2), "books": Fraction(3, 8), "code": Fraction(1, 8)}
    phases = ((120, 128, 16), (80, 512, 16))
    run = SimulatedRun(folder, clock, phases=phases, ranks=2, kills=(59, 130), look=look, sources=shares)
    run.write_plan(
        {"web": {"128": 900, "512": 225}, "books": {"128": 400, "512": 100}, "code": {"128": 240, "512": 60}}
    )
    run.run()


def report(tmp_path, run, code=0):
    path = tmp_path / "report.html"
    found = CliRunner().invoke(main, ["ledger", str(run), "--html", str(path), "--json"])
    assert found.exit_code == code, found.output
    return path.read_text(), json.loads(found.stdout)


def test_a_run_that_was_killed_twice(tmp_path, clock):
    run = tmp_path / "run"
    run.mkdir()
    SimulatedRun(run, clock, ranks=2, kills=(59, 130), look=log).run()
    page, data = report(tmp_path, run)
    check_page(page)
    check_numbers(page, data, 15)
    text = " ".join(Page(page).text.split())
    assert "Loss over steps" in text
    assert "Loss over epochs" in text
    assert "drawn again later" in text
    assert f"{data['steps']['replayed']} steps replayed" in text
    assert f"{data['steps']['skipped']} steps skipped" in text
    shown = {key.removeprefix("time.causes."): float(value) for key, value, _ in Page(page).numbers if "causes" in key}
    assert sum(shown.values()) == pytest.approx(data["time"]["wall_seconds"])


def test_a_difference_without_a_known_cause(tmp_path, clock):
    SimulatedRun(tmp_path, clock).run()
    SimulatedRun(tmp_path, clock, ranks=2).write_plan({"web": {"128": 900, "512": 225}})  # of twice as many samples
    page, data = report(tmp_path, tmp_path, code=1)
    assert "unexplained" in {each["cause"] for each in data["differences"]}
    assert "A difference has no known cause." in Page(page).text
    assert "every cause is known" not in Page(page).text


def test_a_planned_run_over_three_sources_with_evaluations(tmp_path, clock):
    run = tmp_path / "run"
    run.mkdir()
    mixture_run(run, clock)
    page, data = report(tmp_path, run)
    check_page(page)
    check_numbers(page, data, 40)
    assert {each["cause"] for each in data["differences"]} == {"skipped"}
    text = " ".join(Page(page).text.split())
    assert "The ledger differs from the plan; every cause is known." in text
    assert [source["name"] for source in data["sources"]] == ["web", "books", "code"]
    assert "Epochs of each source" in text
    assert text.count("loss on held-out documents") == 4  # in the legends of three plots, and in their table
    told = 'aria-label="Loss over steps. training loss: 6.99 to 5; loss on held-out documents: 6.836 to 5.382"'
    assert told in page
    cells = re.findall("<tr>.*?</tr>", page[page.index(">training loss</th>") :])
    assert any(re.search(r">40</th>.*>6\.6000</td>.*>6\.8364</td>", row) for row in cells)


def test_segments_on_the_clock(tmp_path, clock):
    simulated = SimulatedRun(tmp_path, clock, kills=(59, 130))
    began = clock.us / 1e6
    simulated.run()
    first, second, third = segment_times(tmp_path / "ledger.jsonl")
    assert first.begin == began
    assert third.end == pytest.approx(clock.us / 1e6)
    assert third.lost_from is None
    taken = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    times = [entry["time"] for entry in taken if entry["event"] in ("applied", "skipped")]
    assert first.lost_from == times[44]  # step 45 was the last one saved
    assert first.end == times[58]
    assert second.lost_from == times[59 + 120 - 45 - 1]
    assert [len(segment.saves) for segment in (first, second, third)] == [3, 5, 5]


def test_a_run_under_way_and_one_that_has_not_begun(tmp_path):
    ledger = RunLedger(tmp_path, segment={"world_size": 1, "device": "cpu"})
    page, data = report(tmp_path, tmp_path)
    check_page(page)
    check_numbers(page, data, 1)
    assert "There is no plan to compare it with." in Page(page).text
    ledger.close("stopped", "<b>by hand</b>")
    assert "<b>by hand" not in report(tmp_path, tmp_path)[0]


@pytest.mark.parametrize("content", [None, "", "no ledger\n"])
def test_no_ledger(tmp_path, content):
    if content is not None:
        (tmp_path / "ledger.jsonl").write_text(content)
    path = tmp_path / "report.html"
    assert CliRunner().invoke(main, ["ledger", str(tmp_path), "--html", str(path)]).exit_code == 2
    assert not path.exists()


@pytest.mark.benchmark
def test_a_million_steps(tmp_path):
    ledger = RunLedger(tmp_path, segment={"world_size": 1, "device": "cpu"})
    windows = (
        SimpleNamespace(
            step=n, micro_batches=[...], counts={PassKey(0, "web", 128, n // 100_000): Counts(8, 1000, 9, n)}
        )
        for n in range(1_000_000)
    )
    for drawn in ledger.watch(windows):
        ledger.book(drawn, applied=True, data_wait=0.0)
        if drawn.step % 10 == 0:
            values = {"train/loss": 7 + 1 / drawn.step, "ledger/tokens": drawn.step * 1000, "ledger/epoch": 0.5}
            ledger.metrics(drawn.step, values)
    ledger.close("finished")
    began = time.perf_counter()
    page, _ = report(tmp_path, tmp_path)
    print(f"{time.perf_counter() - began:.1f} s, {len(page) / 1e6:.2f} MB")
    assert len(page) < 2e6

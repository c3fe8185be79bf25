"""The beginning and the end of a plain loop's ledger, in one process."""

import json
import subprocess
import sys
from fractions import Fraction

import pytest
import torch

from dist_epochs import Ledger
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.reconcile import read_run


def text(samples=2, length=3):
    ids = torch.arange(1, samples * length + 1).reshape(samples, length)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def train(ledger, batches):
    for _ in ledger.watch(batches):
        ledger.step()


def test_a_store_tells_documents_and_tokens(tmp_path, store):
    facts = store.facts()
    for place in (store.path, store.path / "manifest.json"):
        run = tmp_path / f"run-{place.name}"
        ledger = Ledger(run, store=place)
        train(ledger, [text()] * 5)
        ledger.close()
        recorded = read_run(run).to_json()
        assert recorded["data"] == {"samples": facts.documents, "tokens": facts.tokens, "known": "store"}
        assert recorded["epochs_exact"]["samples"] == str(Fraction(10, facts.documents))
        assert recorded["epochs_exact"]["tokens"] == str(Fraction(30, facts.tokens))
    with pytest.raises(InputError, match=r"manifest\.json: No such file"):
        Ledger(tmp_path / "x", store=tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="no manifest of a store"):
        Ledger(tmp_path / "y", store=tmp_path)


def test_what_batches_do_not_tell_is_null(tmp_path):
    ledger = Ledger(tmp_path, samples=4)
    train(ledger, [{"pixel_values": torch.rand(2, 3, 4, 4)}] * 2)
    ledger.close()
    recorded = read_run(tmp_path).to_json()
    assert [recorded[unit] for unit in ("samples", "positions", "tokens", "loss_tokens", "micro_steps")] == [
        4,
        None,
        None,
        None,
        2,
    ]
    assert recorded["epochs"] == {"samples": 1, "positions": None, "tokens": None}
    assert recorded["sources"] == [{"name": "data", "samples": 4, "tokens": None, "epochs": 1}]


def test_two_programs_do_not_write_to_one_ledger(tmp_path):
    other = f"""
import sys
from dist_epochs import Ledger
ledger = Ledger({str(tmp_path)!r})
print("open", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="another program is running this run"):
            Ledger(tmp_path)
        program.communicate()
    Ledger(tmp_path).close()


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as refused:
        Ledger(tmp_path / "file" / "run")
    assert (refused.value.asked, refused.value.origin) == ("Not a directory", Origin(str(tmp_path / "file" / "run")))
    assert "a ledger needs a directory" in refused.value.rule


def test_ranks_that_do_not_know_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="WORLD_SIZE is 2 and this process knows of no other rank"):
        Ledger(tmp_path)


@pytest.mark.parametrize(
    ("named", "message"), [({"samples": 0}, "samples must be at least 1"), ({"from_step": -1}, "from_step must be")]
)
def test_sizes_below_one_are_refused(tmp_path, named, message):
    with pytest.raises(InputError, match=message):
        Ledger(tmp_path, **named)


def test_going_on(tmp_path):
    ledger = Ledger(tmp_path, samples=10)
    train(ledger, [text()] * 6)
    ledger.close("stopped", "time is up")
    again = Ledger(tmp_path, from_step=4)
    train(again, [text()] * 3)
    again.close()
    recorded = read_run(tmp_path).to_json()
    assert recorded["steps"] == {"applied": 7, "skipped": 0, "replayed": 2, "unfinished": 0}
    assert (recorded["samples"], recorded["epochs"]["samples"], recorded["data"]["known"]) == (14, 1.4, "stated")
    assert [segment["reason"] for segment in recorded["segments"]] == ["time is up", None]


def rules(run):
    return {warning["rule"]: warning["message"] for warning in read_run(run).to_json()["warnings"]}


def test_a_second_optimizer_steps_after_the_same_batch(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in ledger.watch([text()] * 3):
        ledger.step()
        ledger.step()
    ledger.close()
    assert read_run(tmp_path).totals.applied.steps == 3
    assert rules(tmp_path)["steps-without-batches"].startswith("a step after step 1 had no batch of its own")


def test_batches_that_are_not_trained(tmp_path):
    """Skipped by hand: with `discard` they are left out; without it the window is too long, and a warning says so."""
    for said in (True, False):
        ledger = Ledger(tmp_path / str(said), samples=16)
        for number, _ in enumerate(ledger.watch([text()] * 8)):
            if number < 3:
                if said:
                    ledger.discard()
                continue
            ledger.step()
        ledger.close()
        samples = read_run(tmp_path / str(said)).to_json()["samples"]
        assert samples == (10 if said else 16)
    assert not rules(tmp_path / "True")
    assert (
        "step 1 was taken with 4 micro-batches, and the accumulation is 1" in rules(tmp_path / "False")["long-window"]
    )


def test_accumulation_by_hand_is_learned(tmp_path):
    ledger = Ledger(tmp_path)
    for number, _ in enumerate(ledger.watch([text()] * 14), 1):
        if number % 4 == 0 or number == 14:
            ledger.step()
    ledger.close()
    assert rules(tmp_path) == {"short-window": "step 4 was taken with 2 of 4 micro-batches"}


def test_steps_that_were_not_booked(tmp_path):
    """A checkpoint of step 7 and a ledger of 5; and a ledger that begins in the middle of a run."""
    ledger = Ledger(tmp_path / "a", samples=10)
    train(ledger, [text()] * 5)
    ledger.close()
    for run, first in (("a", 6), ("b", 1)):
        again = Ledger(tmp_path / run, samples=10, from_step=7)
        train(again, [text()] * 2)
        again.close()
        recorded = read_run(tmp_path / run).to_json()
        assert recorded["steps"]["applied"] == 9
        assert recorded["samples"] == (14 if run == "a" else 4)
        assert rules(tmp_path / run)["uncounted-steps"].startswith(f"steps {first} to 7 were taken and not recorded")
        third = Ledger(tmp_path / run, from_step=8)
        train(third, [text()])
        third.close()
        assert read_run(tmp_path / run).to_json()["steps"] == {
            "applied": 9,
            "skipped": 0,
            "replayed": 1,
            "unfinished": 0,
        }


def test_a_pass_that_is_drawn_again_counts_once(tmp_path):
    ledger = Ledger(tmp_path)
    train(ledger, [text()] * 4)
    train(ledger, [text()] * 4)
    ledger.close()
    again = Ledger(tmp_path, from_step=3)
    train(again, [text()])
    again.close()
    recorded = read_run(tmp_path).to_json()
    assert [(entry["samples"], entry["whole"]) for entry in recorded["loader_passes"]] == [(2, False)]


def test_what_cannot_be_counted_stops_nobody(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "a")
    train(ledger, [text(), "nonsense", text()])
    ledger.close()
    recorded = read_run(tmp_path / "a").to_json()
    assert (recorded["steps"]["applied"], recorded["micro_steps"]) == (3, 3)
    assert {recorded[unit] for unit in ("samples", "positions", "tokens", "loss_tokens")} == {None}
    assert rules(tmp_path / "a")["uncounted-batches"].startswith("a batch cannot be counted: a str without a tensor")
    full = Ledger(tmp_path / "b")

    def refuse(*arguments, **named):
        raise OSError(28, "No space left on device")

    for number, _ in enumerate(full.watch([text()] * 6)):
        if number == 3:
            monkeypatch.setattr("dist_epochs.ledger.file.LedgerFile.append", refuse)
        full.step()
    full.close()
    assert read_run(tmp_path / "b").to_json()["steps"]["applied"] == 3


def test_data_of_another_size(tmp_path):
    def loader(rows):
        return torch.utils.data.DataLoader([text(1)["input_ids"][0]] * rows, 2)

    ledger = Ledger(tmp_path)
    train(ledger, loader(8))
    train(ledger, loader(6))
    ledger.close()
    assert rules(tmp_path)["other-data"].startswith("a loader over 6 samples was watched besides that over 8")


def test_a_loader_with_nothing_in_it(tmp_path):
    ledger = Ledger(tmp_path)
    assert list(ledger.watch([])) == []
    train(ledger, [text()])
    ledger.close()
    assert read_run(tmp_path).to_json()["samples"] == 2


def test_what_is_watched_is_as_long_as_its_loader(tmp_path):
    ledger = Ledger(tmp_path)
    assert len(ledger.watch([text()] * 3)) == 3
    with pytest.raises(TypeError):
        len(ledger.watch(iter([])))
    ledger.close()
    with pytest.raises(RuntimeError, match="this ledger is closed"):
        next(ledger.watch([text()]))
    with pytest.raises(RuntimeError, match="this ledger is closed"):
        ledger.step()


@pytest.mark.parametrize(
    ("ends", "status"), [("", "finished"), ("raise KeyboardInterrupt", "stopped"), ("1 / 0", "failed")]
)
def test_the_end_is_written_by_itself(tmp_path, ends, status):
    program = f"""
import torch
from dist_epochs import Ledger
ledger = Ledger({str(tmp_path)!r})
for step, batch in enumerate(ledger.watch([{{"input_ids": torch.ones(2, 3, dtype=torch.long)}}] * 3)):
    if step == 2:
        {ends or "pass"}
    ledger.step()
"""
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=240)
    recorded = read_run(tmp_path).to_json()
    assert (recorded["status"], recorded["steps"]["applied"]) == (status, 2 if ends else 3)
    assert json.dumps(recorded)

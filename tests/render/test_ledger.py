"""The text of `dist-epochs ledger`, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.file import drawn_to_json
from dist_epochs.ledger.loop_notes import LoopNotes
from dist_epochs.ledger.reconcile import reconcile
from dist_epochs.ledger.totals import Segment, Tally, Totals
from dist_epochs.render.ledger import ledger_text

WEB, WIKI = PassKey(0, "web", 128, 0), PassKey(0, "wiki", 128, 0)
STEP = {WEB: Counts(1000, 120_000, 18_000, 7), WIKI: Counts(24, 3000, 450, 2**100)}


def tally(steps):
    made = Tally()
    for _ in range(steps):
        made.add(2, STEP)
    return made


def plan(steps):
    whole = tally(steps)
    return {
        "steps": steps, "micro_steps": whole.micro_steps, "samples": whole.counts.samples, "positions": whole.positions,
        "tokens": whole.counts.tokens, "loss_tokens": None, "coverage": 0.8125, "passes": drawn_to_json(whole.passes),
        "phases": [{"steps": steps, "global_batch": 1024, "sequence_length": 128, "gradient_accumulation": 2}],
        "sample_digest": f"{whole.counts.digest:032x}", "global_batch": {"data_parallel_size": 2, "per_device": 256},
        "corpus": {"samples": {"web": {"128": 8000}, "wiki": {"128": 96}}, "tokens": 1_000_000},
    }  # fmt: skip


def segment(first, last, status="finished", reason=None, **facts):
    return Segment(first, last, status, reason, {"world_size": 2, "device": "cpu", "data_parallel_size": 2, **facts})


def lines(totals, planned=None, **notes):
    return ledger_text(reconcile(totals, planned, LoopNotes(**notes)), "runs/a").splitlines()


def test_a_run_that_agrees():
    totals = Totals(applied=tally(4), segments=[segment(1, 4, per_device=256)])
    assert lines(totals, plan(4)) == [
        "runs/a",
        "segment 0: steps 1 to 4, 2 × cpu, finished",
        "",
        "                 planned     recorded",
        "  steps                4  =         4",
        "  micro-steps          8  =         8",
        "  samples          4,096  =     4,096",
        "  positions      524,288  =   524,288",
        "  tokens         492,000  =   492,000",
        "  loss tokens  not known       73,800",
        "",
        "epochs 0.5059 by samples, 0.5243 by positions, 0.4920 by tokens",
        "  web: 0.5000 epochs, 4,000 samples, 480,000 tokens",
        "  wiki: 1 epochs, 96 samples, 12,000 tokens",
        "coverage 81.25% of the documents",
        f"sample digest {4 * (2**100 + 7):032x}",
        "",
        "plan = ledger in every unit",
    ]


def test_segments_say_how_they_ended_and_what_they_refused():
    refused = ["step-000000004: its bytes are not those that were written"]
    segments = [
        segment(1, 4, "stopped", "SIGTERM"),
        segment(3, 3, "no end", refused=refused),
        Segment(4, 5, "failed", "rank 1 is gone"),
    ]
    planned = {**plan(8), "replanned": [{"step": 1200, "planned": {"steps": 8}}]}
    assert lines(Totals(applied=tally(5), segments=segments), planned)[1:6] == [
        "segment 0: steps 1 to 4, 2 × cpu, stopped (SIGTERM)",
        "segment 1: steps 3 to 3, 2 × cpu, no end recorded: still running, or killed",
        "  checkpoint not used: step-000000004: its bytes are not those that were written",
        "segment 2: steps 4 to 5, failed (rank 1 is gone)",
        "plan changed after step 1,200",
    ]


def test_every_difference_has_a_line_with_its_cause():
    totals = Totals(
        applied=tally(5), skipped=tally(1), replayed=tally(2), unfinished=1, segments=[segment(1, 6, "stopped")]
    )
    told = lines(totals, plan(8))
    assert "  steps                8  ≠         5" in told
    assert (
        "not among the applied steps: 1 skipped, 2 replayed, 1 unfinished; goodput 62.5% of the tokens computed" in told
    )
    at = told.index("steps: 1 skipped")
    assert told[at : at + 2] == ["steps: 1 skipped", "steps: 2 stopped early"]
    assert "samples of web: 1,000 skipped" in told
    assert told[-2:] == [
        "every difference has its cause",
        "not checked: tokens and digest of 2 passes drawn in part",
    ]


def test_books_that_do_not_add_up():
    found = replace(tally(4).passes[WEB], digest=1)
    applied = tally(4)
    applied.passes[WEB] = found
    told = lines(Totals(applied=applied, segments=[segment(1, 4)]), plan(4))
    assert told[-2:] == [
        "digest of web, length 128, pass 0, phase 0: unexplained",
        "some differences have no known cause",
    ]


def test_a_ledger_alone():
    told = lines(Totals(applied=tally(1), segments=[segment(1, 1)]))
    assert told[3] == "               recorded"
    assert told[-1] == "no plan.json beside this ledger: nothing to compare with"


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        ({"passes": [{"samples": 1024}]}, "your loop says 1 pass; "),
        ({"passes": [{}] * 2}, "your loop says 2 passes; "),
        ({"reported": {"epoch": 2.33333}}, "your loop says epoch 2.333; "),
        ({}, ""),
    ],
)
def test_somebody_else_s_loop(notes, says):
    data = {"samples": 800, "tokens": None, "known": "dataset"}
    warnings = [{"rule": "padded-duplicates", "message": "27 duplicates"}]
    counted = segment(1, 1, counted=["samples"])
    applied = Tally()
    applied.add(2, {PassKey(0, "data", 0, 0): Counts(1024, 0, 0, 7)}, 0)
    told = lines(Totals(applied=applied, segments=[counted]), corpus=data, warnings=warnings, **notes)
    assert told[2:7] == [
        "",
        "               recorded",
        "  steps               1",
        "  micro-steps         2",
        "  samples         1,024",
    ]
    assert told[-2:] == [
        f"{says}1,024 samples trained of 800 (the dataset's) = 1.28 epochs",
        "  padded-duplicates: 27 duplicates",
    ]


def test_restarts_by_torchrun_and_slurm():
    again = {"torchrun_restarts": 1, "slurm_restarts": 0}, {"torchrun_restarts": 0, "slurm_restarts": 2}
    segments = [segment(1, 2, "stopped", **again[0]), segment(3, 4, **again[1])]
    shown = lines(Totals(applied=tally(4), segments=segments))
    assert shown[1:3] == [
        "segment 0: steps 1 to 2, 2 × cpu, restart 1 by torchrun, stopped",
        "segment 1: steps 3 to 4, 2 × cpu, restart 2 by Slurm, finished",
    ]

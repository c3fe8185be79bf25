"""A few disturbances with real processes; the campaign is in test_campaign.py."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest

from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.render.ledger import ledger_text
from dist_epochs.train.checkpoints.manifest import read_manifest
from tests.chaos.harness import bitwise_equal, cut, difference, flip_byte, kill_after, wait_for
from tests.chaos.ranks import BOOKED, STEPPED
from tests.conftest import tiny_model
from tests.corpus.corpora import megatron
from tests.wandb_files import check_rows, counters_by_segment, offline_files

pytestmark = pytest.mark.timeout(900)
"""Seconds for a machine that is busy with other things; an idle one needs a tenth."""


def test_killed_on_changing_worlds(chaos, undisturbed):
    run = chaos(evaluation={"every": 6})
    for world, step in ((4, 8), (2, 13), (3, 22)):
        assert set(run.run(world, during=kill_after(step, leash=1)).codes) == {-signal.SIGKILL}
        run.check_checkpoints()
    assert run.run(1).codes == [0]
    run.check_finished()
    assert run.result.totals.replayed.steps > 0
    assert run.result.time_line.causes["evaluation"] > 0
    assert difference(run.weights(), undisturbed(4)) < 1e-5


def test_a_store_that_refers_to_another_tool_s_tokens(chaos, store, tmp_path):
    """Killed, resumed and reconciled like one of our own; and it is the same run as on a copy of these tokens."""
    lengths, ids = store.sources()[0].lengths.tolist(), iter(np.concatenate(_blocks(store.sources()[0])).tolist())
    index = megatron(tmp_path / "web_text_document", [[[next(ids) for _ in range(length)]] for length in lengths])
    runs = {}
    for name in ("referred", "copied"):
        settings = Settings(sequence_lengths=(16, 32), refer=name == "referred")
        tokenize(find_sources((str(index),)), store.tokenizer(), settings, out=tmp_path / f"store-{name}")
        runs[name] = chaos(name, corpus={"store": str(tmp_path / f"store-{name}")})
    runs["referred"].run(2, during=kill_after(12))
    for run in runs.values():
        assert run.run(2).codes == [0, 0]
        run.check_finished()
    assert runs["referred"].result.totals.replayed.steps > 0
    assert bitwise_equal(runs["referred"].weights(), runs["copied"].weights())


def _blocks(source):
    return [source.tokens(block) for block in range(len(source.blocks))]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_same_world_goes_on_bit_by_bit(chaos, undisturbed, world):
    """Dropout included: it follows from seed, step and rank."""
    model = {"objective": "masked", "config": tiny_model("bert", hidden_dropout_prob=0.1)}
    run = chaos(model=model)
    run.run(world, during=kill_after(12))
    assert run.run(world).codes == [0] * world
    run.check_finished()
    assert bitwise_equal(run.weights(), undisturbed(world, model=model))


@pytest.mark.parametrize("apart", [3, pytest.param(1, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("rank", [0, 1])
def test_killed_at_every_instant_of_a_commit(chaos, rank, apart):
    """The n-th time that a rank touches the checkpoints is its last, for n = 1, 4, 7 and on; only one is kept."""
    phases = [{"steps": 8, "sequence_length": 16}, {"steps": 4, "sequence_length": 32}]
    run = chaos("a", "checkpoints.keep=1", phases=phases)
    for number in [*range(1, 22, apart), *range(22, 90, 5)]:
        segment = run.run(2, {"rank": rank, "kill_at_event": number})
        run.check_checkpoints()
        if segment.codes == [0, 0]:
            break
        assert segment.codes[rank] == -signal.SIGKILL
        if any(s.times[10, BOOKED] for s in run.segments):
            assert run.checkpoints()
    run.check_finished()
    assert number > (12 if rank == 0 else 3)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: flip_byte(folder / "part-00001-of-00002.safetensors", 1000), "not those that were written"),
        (lambda folder: cut(folder / "part-00000-of-00002.safetensors", 100), "not those that were written"),
        (lambda folder: (folder / "part-00001-of-00002.safetensors").unlink(), "No such file"),
        (lambda folder: flip_byte(folder / "manifest.json", 30), "damaged"),
        (lambda folder: cut(folder / "manifest.json", 50), "damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "No such file"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_and_the_one_before_used(chaos, harm, reason):
    run = chaos()
    run.run(2, during=kill_after(13))
    newest, before = run.checkpoints()[:2]
    harm(newest)
    assert run.run(3).codes == [0, 0, 0]
    assert f"not used: {newest.name}: " in run.segments[-1].log[0]
    assert reason in run.segments[-1].log[0]
    assert f"resumes after step {int(before.name[5:])} ({before.name})" in run.segments[-1].log[0]
    run.check_finished()
    assert run.result.totals.segments[-1].facts["refused"][0].startswith(newest.name)
    assert f"  checkpoint not used: {newest.name}: " in ledger_text(run.result, "a")


def test_where_all_are_damaged_nothing_is_started(chaos):
    run = chaos()
    run.run(2, during=kill_after(13))
    for folder in run.checkpoints():
        cut(folder / "manifest.json", 9)
    before = (run.out / "ledger.jsonl").read_bytes()
    assert run.run(2).codes == [1, 1]
    assert "no checkpoint can be used, so nothing was started" in run.segments[-1].log[0]
    assert (run.out / "ledger.jsonl").read_bytes() == before


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint_before(chaos):
    """Files may grow to 300 kB: enough for the ledger, not for a rank's part of a checkpoint."""
    run = chaos()
    run.run(2, during=kill_after(7, leash=0))
    segment = run.run(2, {"largest_file": 300_000, "rank": 1})
    assert segment.codes == [1, 1]
    assert "rank 1: [Errno 27] File too large: " in segment.log[0]
    assert "part-00001-of-00002.safetensors" in segment.log[0]
    assert "\nTraceback" in segment.log[0], "what follows the progress bar is not on its line"
    assert run.result.totals.segments[-1].status == "failed"
    assert [folder.name for folder in run.checkpoints()] == ["step-000000005"]
    assert not list(run.out.glob("checkpoints/*.new"))
    assert run.run(2).codes == [0, 0]
    run.check_finished()


@pytest.mark.parametrize("rank", [0, 2])
def test_a_frozen_rank_is_named_within_the_timeout(chaos, rank):
    run = chaos("a", "timeout=8 seconds")

    def freeze(segment, ranks):
        kill_after(7, rank, signal.SIGSTOP)(segment, ranks)
        others = [one for one in ranks if one is not ranks[rank]]
        wait_for(lambda: not any(one.runs() for one in others))
        ranks[rank].signal(signal.SIGKILL)

    segment = run.run(3, during=freeze)
    speaker = segment.log[2 if rank == 0 else 0]
    assert re.search(rf"error: rank {rank} said nothing for 8 s; the run was at step \d+, on 3 ranks", speaker)
    assert segment.codes[rank] == -signal.SIGKILL
    if rank:
        assert "rank 2 said nothing" in run.result.totals.segments[-1].reason
    assert run.run(2).codes == [0, 0]
    run.check_finished()


def test_a_dead_rank_is_named_at_once(chaos):
    run = chaos("a", "timeout=8 seconds")
    segment = run.run(3, during=kill_after(7, rank=1))
    assert segment.codes == [1, -signal.SIGKILL, 1]
    assert re.search(r"rank 1 is gone; the run was at step \d+, on 3 ranks", segment.log[0])
    assert "rank 1 is gone" in run.result.totals.segments[-1].reason
    assert run.run(3).codes == [0, 0, 0]
    run.check_finished()


def test_a_rank_that_stands_still_is_named(chaos):
    run = chaos("a", "timeout=8 seconds")
    segment = run.run(3, {"rank": 1, "hang_at_step": 7})
    assert "no rank made progress for 8 s, and rank 1 is furthest behind" in segment.log[0]
    assert run.run(1).codes == [0]
    run.check_finished()


def test_an_overflow_on_one_rank_is_skipped_on_all(chaos):
    """fp16's loss scale: naive counts take every batch for a step; a skipped one trained nothing."""
    run = chaos(scaler=True)
    assert run.run(2, {"rank": 1, "factor": "inf", "steps": [7, 8]}).codes == [0, 0], run.segments[0].log
    naive = len(run.segments[0].steps(BOOKED))
    result = run.result
    assert naive == run.plan.steps == 30
    assert (result.totals.applied.steps, result.totals.skipped.steps) == (28, 2)
    assert run.segments[0].steps(STEPPED) == set(range(1, 31)) - {7, 8}
    assert {(d.unit, d.cause) for d in result.differences if d.unit == "steps"} == {("steps", "skipped")}
    assert result.adds_up
    rates = {
        m["step"]: m["values"]["train/learning_rate"] for m in metrics(run) if "train/learning_rate" in m["values"]
    }
    assert rates[7] == rates[8] == rates[9] > rates[10]  # the rate follows applied steps
    assert result.to_json()["goodput"] == pytest.approx(28 / 30, abs=0.03)


def test_the_loss_scale_survives_a_kill(chaos):
    run = chaos(scaler=True)
    run.run(2, {"factor": "inf", "steps": [3]}, during=kill_after(12))
    scale = read_manifest(run.checkpoints()[0]).scaler
    assert scale["scale"] == 8
    assert scale["_growth_tracker"] > 0
    assert run.run(2).codes == [0, 0]
    plain = chaos("plain", scaler=True)
    plain.run(2, {"factor": "inf", "steps": [3]})
    assert bitwise_equal(run.weights(), plain.weights())


def test_nan_stops_and_goes_back_to_the_last_checkpoint(chaos):
    run = chaos()
    segment = run.run(2, {"rank": 1, "factor": "nan", "steps": [13]})
    assert segment.codes == [1, 1]
    assert "the loss is nan at step 13; the run is back at step 10" in segment.log[0]
    assert [folder.name for folder in run.checkpoints()] == ["step-000000010", "step-000000005"]
    totals = run.result.totals
    assert (totals.applied.steps, totals.last_step) == (10, 10)
    assert totals.replayed.steps in (3, 4)
    assert totals.segments[-1].status == "failed"
    assert all(np.isfinite(value).all() for value in run.weights().values())
    assert run.run(2).codes == [0, 0]
    run.check_finished()


def test_nan_is_skipped_within_its_bound(chaos):
    run = chaos("a", "on_nan=skip", "max_skipped=3")
    assert run.run(2, {"rank": 1, "factor": "nan", "steps": [7, 8, 20]}).codes == [0, 0], run.segments[0].log
    result = run.result
    assert (result.totals.applied.steps, result.totals.skipped.steps) == (27, 3)
    assert result.adds_up
    assert all(np.isfinite(value).all() for value in run.weights().values())
    run = chaos("b", "on_nan=skip", "max_skipped=3")
    segment = run.run(2, {"rank": 1, "factor": "nan", "steps": [7, 8, 9, 10, 11]})
    assert segment.codes == [1, 1]
    assert "4 steps in a row were skipped, up to step 10; max_skipped is 3; the run is back at step 5" in segment.log[0]


def test_weights_that_are_not_finite_are_never_saved(chaos):
    """Nobody looks at the loss between two logged rows; the checkpoint does look at the weights."""
    run = chaos("a", "log_every=100")
    segment = run.run(2, {"rank": 0, "factor": "nan", "steps": [8]})
    assert segment.codes == [1, 1]
    assert re.search(r"\S+ is not finite after step 10; the run is back at step 5", segment.log[0])
    assert [folder.name for folder in run.checkpoints()] == ["step-000000005"]


def test_a_stop_signal_saves_and_a_second_leaves(chaos):
    run = chaos()
    segment = run.run(3, during=kill_after(7, number=signal.SIGTERM))
    assert segment.codes == [0, 0, 0]
    last = run.result.totals.last_step
    assert run.checkpoints()[0].name == f"step-{last:09d}"
    assert run.result.totals.segments[-1].reason == "SIGTERM"

    def twice(segment, ranks):
        kill_after(last + 2, rank=1, number=signal.SIGSTOP)(segment, ranks)  # the others wait in a collective
        for rank in ranks:
            rank.signal(signal.SIGINT)

        wait_for(lambda: not ranks[0].has_pending(signal.SIGINT) and not ranks[2].has_pending(signal.SIGINT))

        def have_left():  # one that comes within a second of the first is the same request
            time.sleep(0.4)
            for rank in ranks:
                rank.signal(signal.SIGTERM)
            return not ranks[0].runs() and not ranks[2].runs()

        wait_for(have_left)
        ranks[1].signal(signal.SIGKILL)  # woken, it would find both signals at once, and the others gone

    segment = run.run(3, during=twice)
    assert segment.codes == [128 + signal.SIGTERM, -signal.SIGKILL, 128 + signal.SIGTERM]
    assert run.result.totals.segments[-1].reason == "SIGINT, then SIGTERM: left at once"
    assert run.run(3).codes == [0, 0, 0]
    run.check_finished()


def test_resuming_where_there_is_nothing_to_do(chaos):
    run = chaos()
    run.run(2, during=kill_after(3, leash=0))  # before the first checkpoint
    assert run.run(2).codes == [0, 0]
    assert re.search(r"begins at step 0; \d recorded steps are drawn again", run.segments[-1].log[0])
    run.check_finished()
    before = (run.out / "ledger.jsonl").read_bytes()
    assert run.run(3).codes == [0, 0, 0]
    assert "finished already; nothing was done" in run.segments[-1].log[0]
    assert (run.out / "ledger.jsonl").read_bytes() == before


def test_another_layout_of_the_same_batch_goes_on(chaos, undisturbed):
    """per_device and world change; a batch that was derived from them is the one that was planned."""
    batch = {"devices": 2, "per_device": 3, "gradient_accumulation": 2}
    run = chaos(batch=batch)
    run.run(2, during=kill_after(12))
    run.overrides += ["batch.per_device=1", "batch.gradient_accumulation=5"]
    assert run.run(4).codes == [0] * 4, run.segments[-1].log
    run.check_finished()
    assert difference(run.weights(), undisturbed(2, batch=batch)) < 1e-5


def test_another_recipe_is_refused_with_what_differs(chaos):
    run = chaos()
    run.run(1, during=kill_after(7))
    before = (run.out / "ledger.jsonl").read_bytes()
    kept = list(run.overrides)
    run.overrides += ["phases.0.steps=50", "optimizer.learning_rate=2e-3"]
    segment = run.run(1)
    assert segment.codes == [1]
    assert "phases.0.steps: 20 → 50" in segment.log[0]
    assert "optimizer.learning_rate: 0.001 → 0.002" in segment.log[0]
    assert "--replan, so that the recipe decides from here on" in segment.log[0]
    run.overrides = [*kept, "seed=4"]
    segment = run.run(1, replan=True)
    assert segment.codes == [1]
    assert "seed: 3 → 4" in segment.log[0]
    assert "--replan" not in segment.log[0]
    assert (run.out / "ledger.jsonl").read_bytes() == before


def test_a_new_plan_goes_on_from_the_recorded_cursors(chaos):
    """Twice the batch and more steps from step 10 on: every sample of every pass is still drawn once, in order."""
    run = chaos()
    run.run(2, during=kill_after(12, leash=0))
    first = run.plan
    run.overrides += [
        "phases.0={steps: 40, sequence_length: 16}",
        "batch.global_batch=24",
        "optimizer.learning_rate=5e-4",
    ]
    run.expect(after=10)
    segment = run.run(2, replan=True)
    assert segment.codes == [0, 0], segment.log[0]
    result = run.result
    assert result.totals.applied.steps == 50
    assert result.totals.applied.counts.samples == 10 * 12 + 40 * 24
    assert result.adds_up
    run.check_time(result)
    assert not result.agrees
    causes = {(d.unit, d.cause): d for d in result.differences}
    assert causes["steps", "re-planned"].planned == first.steps == 30
    assert causes["steps", "re-planned"].amount == -20
    assert {cause for _, cause in causes} == {"re-planned"}
    assert f"{result.totals.applied.counts.digest:032x}" == result.plan["sample_digest"]
    taken = {step: s.samples(step) for s in run.segments for step in sorted(s.steps(BOOKED))}
    assert {step: taken[step] for step in range(1, 51)} == run.expected
    drawn = [sample for step in range(1, 51) for sample in taken[step]]
    assert len(drawn) == len(set(drawn))
    run.run(3)
    assert "finished already" in run.segments[-1].log[0]
    assert (run.out / "plan-until-step-000000010.json").is_file()


def test_wandb_has_every_row_whatever_a_kill_took(chaos):
    """One id; each segment's rows go up, each is the ledger's, value by value, and their union has every step."""
    run = chaos("a", "tracking={wandb: project}")
    for step in (7, 16):
        run.run(2, during=kill_after(step))
    run.run(2, during=kill_after(22, number=signal.SIGTERM))
    assert run.run(3).codes == [0, 0, 0], run.segments[-1].log
    names = {path.name for path in run.out.glob("wandb/offline-run-*/run-*.wandb")}
    files, held = offline_files(run.out), counters_by_segment(run.out / "ledger.jsonl")
    assert (len(names), len(files), len(held)) == (1, 4, 4)
    plan = json.loads((run.out / "plan.json").read_text())
    planned = {f"planned_{unit}": plan[unit] for unit in ("steps", "samples", "tokens")}
    planned["planned_epoch"] = pytest.approx(plan["epochs"]["samples"])
    logged = metrics_by_segment(run)
    shown: set[int] = set()
    for number, (file, counters) in enumerate(zip(files, held, strict=True)):
        steps = check_rows(file.rows, counters, **planned)
        assert steps == sorted(set(steps))
        for step, row in zip(steps, file.rows, strict=True):
            for name, value in logged[number][step].items():
                assert row[name] == pytest.approx(value), (step, name)
        shown |= set(steps)
    assert shown == set(range(1, 31))
    assert files[3].axes.items() >= {"ledger/steps": None, "ledger/tokens": None, "ledger/epoch": None}.items()
    # what the kills took is logged again, from the first step on: no segment before had come to its end
    assert check_rows(files[2].rows, held[2], **planned)[0] == 1
    assert files[3].summary["ledger/steps"] == files[3].summary["ledger"]["steps"]["applied"] == 30
    assert files[3].summary["reconciliation"]["agrees"] == run.result.agrees
    assert files[3].summary["plan"]["fingerprint"] == plan["fingerprint"]
    final = [line["event"] for line in events(run)]
    assert final[-2:] == ["end", "mirrored"]


def test_two_new_plans_at_the_same_checkpoint(chaos):
    """Lower the rate, crash, lower it again, crash: what is saved since can be gone on with."""
    run = chaos()
    run.run(1, during=kill_after(6, leash=0))
    kept = list(run.overrides)
    for rate, step in (("5e-4", 7), ("2e-4", 17)):
        run.overrides = [*kept, f"optimizer.learning_rate={rate}"]
        run.run(1, replan=True, during=kill_after(step, leash=0))
    segment = run.run(1)
    assert segment.codes == [0], segment.log
    assert "resumes after step 15" in segment.log[0]
    run.check_finished()
    kept = [f"learning_rate: {rate}" in (run.out / name).read_text() for rate, name in (
        ("0.001", "recipe-until-step-000000005.yaml"),
        ("0.0005", "recipe-until-step-000000005-1.yaml"),
        ("0.0002", "recipe.yaml"),
    )]  # fmt: skip
    assert kept == [True] * 3


def test_a_new_plan_of_a_batch_that_is_a_product(chaos):
    run = chaos(batch={"devices": 2, "per_device": 3, "gradient_accumulation": 2})
    run.run(2, during=kill_after(12, leash=0))
    run.overrides += ["batch.gradient_accumulation=4"]
    assert run.run(2, replan=True, during=kill_after(14, leash=0)).codes == [-signal.SIGKILL] * 2, run.segments[-1].log
    assert [(p["steps"], p["global_batch"]) for p in run.result.plan["phases"]] == [(10, 12), (10, 24), (10, 24)]
    assert run.run(2).codes == [0, 0], run.segments[-1].log  # the same recipe needs no new plan
    assert run.result.totals.applied.counts.samples == 10 * 12 + 20 * 24
    assert run.result.adds_up
    run.check_time(run.result)


def test_a_finished_run_stays_finished(chaos):
    run = chaos()
    run.run(1)
    shutil.rmtree(run.out / "checkpoints")
    before = (run.out / "ledger.jsonl").read_bytes(), (run.out / "recipe.yaml").read_bytes()
    assert "finished already" in run.run(1).log[0]
    run.overrides += ["optimizer.learning_rate=5e-4"]
    assert run.run(1).codes == [1]
    assert ((run.out / "ledger.jsonl").read_bytes(), (run.out / "recipe.yaml").read_bytes()) == before


def test_nothing_is_left_to_plan_anew(chaos):
    run = chaos()
    run.run(1)
    before = (run.out / "recipe.yaml").read_bytes()
    run.overrides += ["optimizer.learning_rate=5e-4"]
    assert "all of its 30 steps are taken, so there is nothing left for a new plan" in run.run(1, replan=True).log[0]
    assert (run.out / "recipe.yaml").read_bytes() == before


def test_another_model_in_the_same_file_is_refused(chaos, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(tiny_model("bert")))
    run = chaos(model={"objective": "masked", "config": str(file)})
    run.run(1, during=kill_after(7))
    file.write_text(json.dumps(tiny_model("bert", hidden_act="relu", hidden_dropout_prob=0.5)))
    log = run.run(1).log[0]
    assert 'model.config.hidden_act: "gelu" → "relu"' in log
    assert "model.config.hidden_dropout_prob: 0.0 → 0.5" in log
    file.write_text(json.dumps(tiny_model("bert")))
    assert run.run(1).codes == [0]


def test_a_checkpoint_of_another_run_is_refused(chaos):
    one, other = chaos("one"), chaos("other", "optimizer.learning_rate=5e-4")
    one.run(1, during=kill_after(13, leash=0))
    other.run(1, during=kill_after(13, leash=0))
    shutil.rmtree(one.checkpoints()[0])
    shutil.copytree(other.checkpoints()[0], one.out / "checkpoints" / other.checkpoints()[0].name)
    assert "not used: step-000000010: it is of another run" in one.run(1).log[0]
    one.check_finished()


def events(run):
    return [json.loads(line) for line in (run.out / "ledger.jsonl").read_text().splitlines()]


def metrics_by_segment(run):
    """For each segment, the rows of the steps that count in it: its own, and those before it resumed."""
    segments = []
    for event in events(run):
        if event["event"] == "segment":
            before = segments[-1] if segments else {}
            segments.append({step: values for step, values in before.items() if step <= event["from_step"]})
        elif event["event"] == "metrics":
            segments[-1][event["step"]] = event["values"]
    return segments


def metrics(run):
    return [event for event in events(run) if event["event"] == "metrics"]

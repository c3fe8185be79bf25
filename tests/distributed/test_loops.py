"""The three lines in other people's loops, and the callback in the real HF Trainer, on 1 to 5 ranks.

Scenario numbers are those of the public threads they come from; what a framework says is asserted too, so that a
version that says something else is noticed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.recipe import make_recipe
from dist_epochs.settings.document import Document
from tests.wandb_files import check_rows, counters_by_segment, offline_files

LENGTH = 6


class Loops:
    """Runs jobs on forked ranks, and reads what they left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("WANDB", "ACCELERATE", "WORLD"))}
        environment |= {
            "HOME": str(folder),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "WANDB_MODE": "offline",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.errors = (folder / "errors").open("w+")
        self.program = subprocess.Popen(
            [sys.executable, "-m", "tests.distributed.loops", str(folder)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, cwd=folder,
        )  # fmt: skip

    def __call__(self, name: str, kind: str, ranks: int = 1, **job: object) -> Left:
        start = self.errors.seek(0, os.SEEK_END)
        assert self.program.stdin
        assert self.program.stdout
        self.program.stdin.write(json.dumps({"name": name, "kind": kind, "ranks": ranks, **job}) + "\n")
        self.program.stdin.flush()
        for line in self.program.stdout:
            if line.startswith(("done", "failed")):
                break
        self.errors.seek(start)
        errors = self.errors.read()
        assert line.startswith("done"), line + errors[-3000:]
        return Left(self.folder / name, ranks, errors)

    def close(self) -> None:
        self.program.stdin.close()
        self.program.wait()


class Left:
    """What a job left behind."""

    def __init__(self, folder: Path, ranks: int, errors: str) -> None:
        self.folder, self.errors = folder, errors
        self.recorded = read_run(folder / "run").to_json() if (folder / "run").exists() else {}
        self.given = [
            [json.loads(line) for line in (folder / f"{rank}.notes").read_text().splitlines()] for rank in range(ranks)
        ]
        said = folder / "said.json"
        self.said = json.loads(said.read_text()) if said.exists() else None

    @property
    def times_seen(self) -> Counter:
        """How often each sample was given to a model, over all ranks."""
        return Counter(number for rank in self.given for batch in rank for number in batch)

    @property
    def epochs(self) -> Fraction:
        return Fraction(self.recorded["epochs_exact"]["samples"])

    @property
    def warnings(self) -> dict[str, str]:
        return {warning["rule"]: warning["message"] for warning in self.recorded["warnings"]}

    def check(self, unstepped: int = 0) -> None:
        """The ledger has what the models noted, except for samples in windows without a step."""
        drawn = sum(self.times_seen.values()) - unstepped
        assert self.recorded["samples"] == drawn
        assert self.recorded["positions"] == self.recorded["tokens"] == drawn * LENGTH
        assert self.recorded["loss_tokens"] == drawn * (LENGTH - 1), (
            "labels are the inputs: the first of each is no target"
        )
        assert self.recorded["status"] == "finished"
        for rule, message in self.warnings.items():
            assert self.errors.count(f"{rule}: {message}") == 1, "each is said once, in one line"


@pytest.fixture(scope="module")
def loops(tmp_path_factory):
    running = Loops(tmp_path_factory.mktemp("loops"))
    yield running
    running.close()


# A plain Accelerate loop


@pytest.mark.parametrize(
    ("samples", "per_device", "ranks", "drawn", "cause"),
    [
        (101, 8, 4, 128, "27 duplicates from even_batches (4 devices × 8)"),  # R11, accelerate#2316
        (24, 1, 5, 25, "1 duplicates from even_batches (5 devices × 1)"),  # R11, accelerate#2316
    ],
)
def test_padding_is_counted_and_named(loops, samples, per_device, ranks, drawn, cause):
    left = loops(f"pad-{samples}", "plain", ranks, samples=samples, per_device=per_device)
    left.check()
    assert (left.recorded["samples"], left.epochs) == (drawn, Fraction(drawn, samples))
    assert len(left.times_seen) == samples
    assert left.warnings["padded-duplicates"].startswith(cause)
    assert left.recorded["loader_passes"][0]["samples"] == drawn
    assert left.recorded["data"]["known"] == "dataset"


def test_drop_last_leaves_samples_out(loops):
    """R11: 3 passes over 100 by 8 with drop_last are 2.88 epochs."""
    left = loops("drop", "plain", samples=100, per_device=8, drop_last=True, passes=3)
    left.check()
    assert left.epochs == Fraction(288, 100)
    assert "drew 96, 4 less: drop_last" in left.warnings["dropped-data"]


def test_a_flushed_window_is_a_step(loops):
    """6 micro-batches a pass, windows of 4 and 2: 6 steps in 3 passes."""
    left = loops("flush", "plain", 2, samples=22, per_device=2, accumulation=4, passes=3)
    left.check()
    assert (left.recorded["steps"]["applied"], left.recorded["micro_steps"]) == (6, 18)
    assert left.warnings["short-window"] == "step 2 was taken with 2 of 4 micro-batches"


@pytest.mark.parametrize(("ranks", "last"), [(4, 25), (5, 20)])
def test_a_scheduler_that_runs_ahead_is_seen_within_ten_steps(loops, ranks, last):
    """R10, accelerate#2926: a schedule of 100 steps ends at step 25 on 4 processes, at 20 on 5."""
    left = loops(f"pace-{ranks}", "plain", ranks, samples=12 * ranks, per_device=1, prepare_scheduler=True)
    left.check()
    message = left.warnings["scheduler-times-processes"]
    assert message.startswith(f"the scheduler advances {ranks} times per step (once per process): its 100 advances")
    assert f"are over at step {last}," in message
    assert next(w["step"] for w in left.recorded["warnings"] if w["rule"] == "scheduler-times-processes") <= 10


def test_a_scheduler_of_its_own_pace_is_not(loops):
    left = loops("pace-own", "plain", 2, samples=24, per_device=1)
    left.check()
    assert not left.warnings


def test_ranks_that_draw_the_same_are_seen_at_once(loops):
    left = loops("unsplit", "plain", 4, samples=101, per_device=8, prepare=False, shuffle=False)
    left.check()
    assert left.epochs == 4
    (found,) = [w for w in left.recorded["warnings"] if w["rule"] == "same-samples-on-ranks"]
    assert found["step"] == 8
    assert "ranks 0 and 1 drew the same samples in 8 of 8 steps" in found["message"]


def test_ranks_that_shuffle_the_same_data_are_seen_at_the_end_of_the_pass(loops):
    left = loops("unsplit-shuffled", "plain", 3, samples=30, per_device=5, prepare=False, own_seeds=True)
    left.check()
    assert left.epochs == 3
    assert left.warnings["same-samples-on-ranks"] == "a pass over 30 samples drew 90: each of them on every rank"


@pytest.mark.parametrize(
    ("data", "why"), [("sampler", "torch's DistributedSampler"), ("node", "drew 32: 1/2, so it is split twice")]
)
def test_data_that_is_dealt_out_twice(loops, data, why):
    left = loops(f"twice-{data}", "plain", 2, samples=64, per_device=4, data=data, dispatch=False, stated=64)
    assert left.recorded["samples"] == sum(left.times_seen.values()) <= 40
    assert why in left.warnings["data-split-twice"]


def test_a_stream_whose_size_is_learned(loops):
    left = loops("learned", "plain", 2, samples=60, per_device=5, data="stream", passes=3)
    left.check()
    assert (left.epochs, left.recorded["data"]) == (3, {"samples": 60, "tokens": None, "known": "learned"})


def test_uneven_ends_without_a_hang(loops):
    """18 samples by 4 on 2 ranks, kept uneven: 3 micro-batches on one rank, 2 on the other, and no DDP to wait."""
    left = loops("uneven", "plain", 2, samples=18, per_device=4, even=False, ddp=False, passes=2)
    assert [len(rank) for rank in left.given] == [6, 4]
    assert "uneven-ranks" in left.warnings
    assert left.recorded["samples"] >= 36 - 4, "only a last step that one rank takes alone may be open"


def test_a_loop_that_is_left_is_booked_to_its_last_step(loops):
    left = loops("left", "plain", 2, samples=64, per_device=4, stop=5)
    left.check()
    assert left.recorded["steps"] == {"applied": 5, "skipped": 0, "replayed": 0, "unfinished": 0}
    assert left.epochs == Fraction(40, 64)


def test_a_skipped_step_trains_nothing(loops):
    left = loops("overflow", "plain", 2, samples=24, per_device=2, overflow=3)
    assert left.recorded["steps"] == {"applied": 5, "skipped": 1, "replayed": 0, "unfinished": 0}
    assert (left.recorded["samples"], sum(left.times_seen.values())) == (20, 24)
    assert left.warnings["skipped-steps"].startswith("step 3 was skipped")


@pytest.mark.parametrize("seedable", [False, True])
def test_going_on_in_the_middle_of_a_pass(loops, seedable):
    """R23: 64 samples, gone on with at 20: torch's sampler draws 13 twice and 13 never, the seedable one none."""
    name = f"resume-{seedable}"
    job = {"samples": 64, "per_device": 4, "seedable": seedable}
    loops(name, "plain", **job, stop=5)
    left = loops(name, "plain", **job, from_step=5, skip=5)
    left.check()
    seen = Counter(left.times_seen.values())
    assert (left.epochs, left.recorded["steps"]["applied"], len(left.recorded["segments"])) == (1, 16, 2)
    if seedable:
        assert seen == {1: 64}
        assert not left.warnings
    else:
        assert 5 <= seen[2] == 64 - len(left.times_seen) <= 20
        assert "resumed at sample 20 of 64" in left.warnings["sampler-not-resumable"]
        assert "about 14 samples are drawn twice" in left.warnings["sampler-not-resumable"]


def test_a_ledger_is_not_taken_up_by_accident(loops):
    loops("again", "plain", samples=8, per_device=4)
    with pytest.raises(
        AssertionError, match=r"a ledger of 2 steps is there.*Nothing in it was changed.*from_step=2, where"
    ):
        loops("again", "plain", samples=8, per_device=4)
    left = loops("again", "plain", samples=8, per_device=4, from_step=9)
    assert (left.recorded["steps"]["applied"], left.recorded["samples"]) == (11, 16)
    assert left.warnings["uncounted-steps"].startswith("steps 3 to 9 were taken and not recorded")


# DDP without Accelerate


def test_a_plain_ddp_loop(loops):
    """Torch pads to a multiple of the ranks only: 1003 on 4 are 1004."""
    left = loops("ddp", "torch", 4, samples=1003, per_device=8, data="sampler", accumulation=3, passes=2)
    left.check()
    assert left.epochs == Fraction(2 * 1004, 1003)
    assert left.warnings["padded-duplicates"].startswith(
        "1 duplicates from torch's DistributedSampler, which pads to a multiple of 4 ranks"
    )
    assert left.recorded["steps"]["applied"] == 2 * 11


# The HF Trainer


@pytest.mark.parametrize(
    ("ranks", "says", "true"),
    [(1, "2.3333", 3), (2, "5.1667", 6), (4, "9.1000", 10)],
)
def test_what_the_trainer_calls_an_epoch_of_a_stream(loops, ranks, says, true):
    """R6, transformers#41913."""
    left = loops(
        f"R6-{ranks}", "trainer", ranks, samples=100, per_device=10, data="stream", arguments={"max_steps": 30}
    )
    left.check()
    assert f"{left.said['epoch']:.4f}" == says
    assert left.epochs == true
    assert f"{left.recorded['reported']['epoch']:.4f}" == says
    assert set(left.times_seen.values()) == {true}
    assert "does not know how long a pass of a stream is" in left.warnings["reported-epoch"]
    assert left.recorded["data"]["known"] == "learned"


def test_the_window_that_leaks_into_the_next_pass(loops):
    """R7: 148 micro-batches and 14.8 passes where the Trainer says 14.07; windows of 4, 4, 6, 4, 6 and so on."""
    left = loops(
        "R7", "trainer", samples=100, per_device=10, accumulation=4, data="stream", arguments={"max_steps": 30}
    )  # fmt: skip
    left.check()
    assert f"{left.said['epoch']:.2f}" == "14.07"
    assert (left.recorded["micro_steps"], left.epochs) == (148, Fraction(148, 10))
    assert left.errors.count("dist_epochs: 30 steps of 40 samples (1 rank × 10 per device × 4 accumulation)") == 1
    assert "step 3 was taken with 6 micro-batches, and the accumulation is 4" in left.warnings["long-window"]
    windows = [
        entry["micro_steps"]
        for line in (left.folder / "run" / "ledger.jsonl").read_text().splitlines()
        if (entry := json.loads(line))["event"] == "applied"
    ]
    assert windows[:5] == [4, 4, 6, 4, 6]


def test_a_stream_gone_on_with_after_its_first_pass_ends_true(loops):
    """R8, transformers#26413: the Trainer falls back to epoch 1.17 and begins at sample 0; 300 samples were drawn."""
    job = {"samples": 100, "per_device": 10, "data": "stream", "arguments": {"max_steps": 30}, "stop": 25}
    first = loops("R8", "trainer", **job)
    assert f"{first.said['epoch']:.4f}" == "2.1667"
    left = loops("R8", "trainer", **job, resume=True)
    left.check()
    assert f"{left.said['epoch']:.4f}" == "1.1667"
    assert left.epochs == 3
    assert Counter(left.times_seen.values()) == {4: 50, 2: 50}
    assert left.warnings["stream-restarted"].startswith("resumed after 2.500 passes of a stream")


def test_another_number_of_ranks_on_the_way(loops):
    """R9, transformers#22580: 10 steps on 1 rank and 10 on 2 are 120 samples, 1.5 epochs; the Trainer says 2."""
    job = {"samples": 80, "per_device": 4, "arguments": {"num_train_epochs": 2}, "stop": 10}
    loops("R9", "trainer", **job)
    left = loops("R9", "trainer", 2, **job, resume=True)
    left.check()
    assert (left.said["epoch"], left.epochs, left.recorded["samples"]) == (2.0, Fraction(3, 2), 120)
    assert "today's devices" in left.warnings["reported-epoch"]
    assert [segment["world_size"] for segment in left.recorded["segments"]] == [1, 2]


@pytest.mark.parametrize(
    ("name", "ranks", "job", "steps", "micro_steps", "samples"),
    [
        (
            "R1", 1, {"samples": 9, "per_device": 2, "accumulation": 2, "arguments": {"num_train_epochs": 3}},
            9, 15, 27,
        ),
        (
            "R2", 2, {"samples": 91, "per_device": 10, "accumulation": 2, "arguments": {"num_train_epochs": 10}},
            30, 50, 1000,
        ),
        (
            "R3", 1, {"samples": 260, "per_device": 16, "accumulation": 2, "arguments": {"num_train_epochs": 1}},
            9, 17, 260,
        ),
        (
            "R4", 1, {"samples": 4107, "per_device": 8, "accumulation": 8, "arguments": {"num_train_epochs": 2}},
            130, 1028, 8214,
        ),
        (
            "R11", 1,
            {"samples": 100, "per_device": 8, "arguments": {"num_train_epochs": 3, "dataloader_drop_last": True}},
            36, 36, 288,
        ),
    ],
)  # fmt: skip
def test_map_style_data(loops, name, ranks, job, steps, micro_steps, samples):
    """R1 transformers#33455, R2 #36297, R3 #35298, R4 StackOverflow: as the Trainer does them since 5.x."""
    left = loops(name, "trainer", ranks, **job)
    left.check()
    assert (left.recorded["steps"]["applied"], left.recorded["micro_steps"], left.recorded["samples"]) == (
        steps,
        micro_steps,
        samples,
    )
    assert left.epochs == Fraction(samples, job["samples"])
    assert left.said["epoch"] == job["arguments"]["num_train_epochs"]
    announced = f"over {job['samples']:,} samples: {float(left.epochs):.4g} epochs"
    assert left.errors.count(announced) == 1, "what is said before is what comes"
    assert ("reported-epoch" in left.warnings) == (left.epochs != left.said["epoch"])


def test_what_a_token_is(loops, tmp_path):
    """R12, transformers#29889: 1,600 positions, 1,000 tokens, 800 of the loss; the Trainer's tokens are positions."""
    ids = [*range(1, 26), *[0] * 15]
    row = {"input_ids": ids, "attention_mask": [1] * 25 + [0] * 15, "labels": [-100] * 5 + ids[5:25] + [-100] * 15}
    (tmp_path / "rows").write_text("\n".join([json.dumps(row)] * 20))
    arguments = {"max_steps": 20, "include_num_input_tokens_seen": True}
    left = loops("R12", "trainer", file=str(tmp_path / "rows"), per_device=2, arguments=arguments)
    assert left.said["num_input_tokens_seen"] == 1600
    assert [left.recorded[unit] for unit in ("positions", "tokens", "loss_tokens")] == [1600, 1000, 800]
    assert left.epochs == 2


def test_a_callback_agrees_with_our_own_trainer(loops, store, write_recipe, train_worlds, tmp_path):
    """The same samples through this package's trainer and through the HF Trainer: every counter is equal."""
    recipe = write_recipe(store.path)
    ours = {world: run.result.to_json() for world, run in train_worlds(recipe, (1, 2)).items()}
    made = make_recipe(Document.read(recipe), recipe)
    corpus, plan = exact_plan(made, store, objective_of(made.model, store), 1)
    rows = [
        {"input_ids": ids.tolist(), "attention_mask": (segments > 0).astype(int).tolist(), "labels": labels.tolist()}
        for window in corpus.windows(plan.batches, 0)
        for batch in window.micro_batches
        for ids, labels, segments in zip(batch.input_ids, batch.labels, batch.segments, strict=True)
    ]
    (tmp_path / "rows").write_text("\n".join(map(json.dumps, rows)))
    for world in (1, 2):
        left = loops(
            f"ours-{world}", "trainer", world, file=str(tmp_path / "rows"), per_device=3, accumulation=4 // world,
            arguments={"max_steps": plan.steps}, stated=store.facts().samples(16)["web"],
        )  # fmt: skip
        for unit in ("steps", "micro_steps", "samples", "positions", "tokens", "loss_tokens"):
            assert left.recorded[unit] == ours[world][unit], unit


def test_the_counters_stand_beside_the_trainer_s_in_wandb(loops):
    """One row has the Trainer's loss and the true epoch; rows are read by wandb's own inspector."""
    job = {"samples": 40, "per_device": 4, "data": "stream", "stated": 40, "report_to": ["wandb"], "logging_steps": 5}
    left = loops("wandb", "trainer", **job, arguments={"max_steps": 20})
    left.check()
    (file,) = offline_files(left.folder)
    rows = file.rows
    logged = [row for row in rows if "train/loss" in row]
    assert [(row["train/global_step"], row["ledger/steps"], row["ledger/epoch"]) for row in logged] == [
        (5, 5, 0.5), (10, 10, 1), (15, 15, 1.5), (20, 20, 2),
    ]  # fmt: skip
    assert (
        [row["ledger/epoch_reported"] for row in logged] == [row["train/epoch"] for row in logged] != [0.5, 1, 1.5, 2]
    )
    assert all(row["ledger/samples"] == 4 * row["ledger/steps"] for row in logged)
    assert all(axis in file.axes for axis in ("ledger/steps", "ledger/tokens", "ledger/epoch", "ledger/*"))


def test_only_the_first_rank_logs_the_counters(loops):
    """Both ranks have a run of their own open. The counts of others arrive later: a row may have the step before."""
    left = loops("wandb-ranks", "plain", 2, samples=40, per_device=4, passes=4, wandb=True)
    left.check()
    (first,), (second,) = (offline_files(left.folder / f"rank-{rank}") for rank in range(2))
    assert [len(file.rows) for file in (first, second)] == [20, 20]
    held = counters_by_segment(left.folder / "run" / "ledger.jsonl")[0]
    steps = check_rows(first.rows, held, size=40)
    assert steps == sorted(steps)
    assert steps
    assert first.summary["ledger/steps"] == 20
    assert not [name for row in second.rows for name in row if name.startswith("ledger/")]
    assert not second.axes


def test_a_look_at_the_model_between_steps_is_no_batch(loops):
    left = loops("peek", "trainer", samples=40, per_device=4, peek=True, arguments={"num_train_epochs": 2})
    left.check()
    assert (left.epochs, left.warnings) == (2, {})


def test_a_batch_size_that_was_too_large(loops):
    """`auto_find_batch_size` begins again with a smaller one, in the same ledger."""
    arguments = {"num_train_epochs": 2, "auto_find_batch_size": True}
    left = loops("auto", "trainer", samples=40, per_device=8, most=7, arguments=arguments)
    assert left.recorded["samples"] == sum(left.times_seen.values()) == 80
    assert left.recorded["segments"][-1]["per_device"] < 8


def test_a_callback_added_on_the_way(loops):
    """The Trainer resumes from its checkpoint; what was trained before has no ledger, and a warning says so."""
    job = {"samples": 40, "per_device": 4, "arguments": {"num_train_epochs": 2}, "stop": 5}
    loops("added", "trainer", **job)
    ledger = loops.folder / "added" / "run" / "ledger.jsonl"
    ledger.unlink()
    (loops.folder / "added" / "0.notes").unlink()
    left = loops("added", "trainer", **job, resume=True)
    assert (left.recorded["steps"]["applied"], left.recorded["samples"]) == (20, 60)
    assert left.warnings["uncounted-steps"].startswith("steps 1 to 5 were taken and not recorded")


def test_a_stream_whose_learned_size_may_be_padded(loops):
    left = loops("padded-stream", "trainer", 3, samples=50, per_device=3, data="stream", arguments={"max_steps": 12})
    assert left.recorded["samples"] == sum(left.times_seen.values())
    assert "up to 2 of them padding; state samples=" in left.warnings["learned-size"]


# Small scripts as people write them: counts against what the model was given, losses with and without the ledger


def with_and_without(loops, name, ranks, **job):
    """Runs a script twice: the losses are the same to the last bit; what the ledger has is what the models noted."""
    without, left = (
        loops(f"{name}-{kept}", "script", ranks, script=name.split("-")[0], ledger=kept, **job)
        for kept in (False, True)
    )
    for rank in range(ranks):
        losses, plain = ((run.folder / f"{rank}.losses").read_text() for run in (left, without))
        assert losses == plain
        assert losses != "[]" or name.startswith("repeated")
    assert left.given == without.given
    assert left.recorded["samples"] == sum(left.times_seen.values())
    assert left.recorded["micro_steps"] == len(left.given[0])
    return left


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    ("settings", "steps", "passes"),
    [({"passes": 2}, None, [True, True]), ({"max_train_steps": 5}, 5, [True, False])],
    ids=["last-batch", "in-the-middle"],
)
def test_a_no_trainer_script_breaks_at_its_last_step(loops, ranks, settings, steps, passes):
    """24 samples on each rank in micro-batches of 4, two in a window: 3 steps a pass."""
    name = f"no_trainer-{ranks}-{len(settings.keys() & {'passes'})}"
    left = with_and_without(loops, name, ranks, samples=24 * ranks, per_device=4, accumulation=2, **settings)
    assert left.recorded["steps"]["applied"] == (steps or 6)
    assert left.epochs == Fraction(steps or 6, 3)
    assert [entry["whole"] for entry in left.recorded["loader_passes"]] == passes
    said = left.warnings
    if steps and ranks > 1:  # planned for 5 steps, times 2 processes: nothing in the loop says that it ends there
        assert said.pop("scheduler-times-processes").endswith("at step 5, unless it was planned for that")
    assert not said


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("inside", [True, False])
def test_an_attempt_that_runs_out_of_memory(loops, ranks, inside):
    name = f"retry-{ranks}-{inside}"
    left = with_and_without(loops, name, ranks, samples=72, per_device=16, most=8, fails_at=1, inside=inside)
    assert left.epochs >= 1
    assert left.recorded["steps"]["replayed"] >= 1
    assert [segment["status"] for segment in left.recorded["segments"]][-2:] == ["failed", "finished"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_loop_that_fetches_ahead(loops, ranks):
    name = f"fetch_ahead-{ranks}"
    left = with_and_without(loops, name, ranks, samples=64, per_device=4, accumulation=4, steps=6)
    assert left.recorded["samples"] == 6 * 4 * 4 * ranks
    assert left.recorded["steps"]["applied"] == 6
    assert left.warnings == {"unstepped-batches": "1 micro-batch was drawn after step 6, and never stepped"}


@pytest.mark.parametrize("ranks", [1, 3])
def test_sources_over_ranks(loops, ranks):
    left = with_and_without(loops, f"sources-{ranks}", ranks, samples=36, per_device=2, passes=2)
    rare = sum(times for number, times in left.times_seen.items() if number % 7 == 3)
    assert left.recorded["sources"] == [
        {"name": "common", "samples": 72 - rare, "tokens": (72 - rare) * LENGTH, "epochs": 2},
        {"name": "rare", "samples": rare, "tokens": rare * LENGTH, "epochs": 2},
    ]
    assert left.epochs == 2


def test_the_same_samples_by_chance(loops):
    """A third of the samples are alike, so that one step in nine draws the same on both ranks."""
    left = with_and_without(loops, "repeated", 2, samples=120, per_device=1, every=3, seed=0)
    assert not left.warnings


# Batches that the Trainer changes before the model is given them


def test_labels_that_do_not_reach_the_model(loops):
    left = loops("smoothed", "trainer", samples=16, per_device=4, arguments={"max_steps": 2}, loss_outside=True)
    assert (left.recorded["samples"], left.recorded["tokens"], left.recorded["loss_tokens"]) == (8, 48, None)
    assert "loss tokens are unknown" in left.warnings["hidden-labels"]

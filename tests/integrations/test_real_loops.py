"""Loops as people write them: passes that are left, batches of any kind, batches fetched ahead, attempts that fail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import find_executable_batch_size
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from dist_epochs import Ledger
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.runtime.peers import Alone, Sums


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(64.0)[:, None])


def rows(count=64, **options):
    return DataLoader(TensorDataset(torch.arange(float(count))[:, None]), **{"batch_size": 4, **options})


def train(ledger, batches, *, leave_after=None, trains=lambda number: True):
    """One `for` over the batches; returns the samples that were trained."""
    trained = 0
    for number, batch in enumerate(ledger.watch(batches), 1):
        if not trains(number):
            break
        trained += len(batch[0] if isinstance(batch, list | tuple) else batch)
        ledger.step()
        if number == leave_after:
            break
    return trained


class Run:
    """What a ledger has recorded, read from its file."""

    def __init__(self, ledger, folder):
        ledger.close()
        self.json = read_run(folder).to_json()
        self.warnings = {warning["rule"]: warning["message"] for warning in self.json["warnings"]}
        self.epochs = self.json["epochs_exact"]["samples"] and Fraction(self.json["epochs_exact"]["samples"])

    def __getattr__(self, unit):
        return self.json[unit]


# Passes that are left


def test_the_size_of_a_stream_is_that_of_its_first_whole_pass(tmp_path):
    ledger = Ledger(tmp_path)
    trained = sum(train(ledger, DataLoader(Stream(), 4), leave_after=stop) for stop in (8, None, None))
    run = Run(ledger, tmp_path)
    assert (trained, run.samples, run.epochs, run.data["samples"]) == (160, 160, Fraction(5, 2), 64)
    assert not run.warnings
    assert [(entry["samples"], entry["whole"]) for entry in run.loader_passes] == [(32, False), (64, True), (64, True)]


@pytest.mark.parametrize(("stop", "wholes"), [(8, [False, True]), (16, [True, True])], ids=["half", "last"])
def test_a_pass_that_is_left_ends_there(tmp_path, stop, wholes):
    ledger = Ledger(tmp_path)
    trained = train(ledger, rows(), leave_after=stop) + train(ledger, rows())
    run = Run(ledger, tmp_path)
    assert (run.samples, run.epochs) == (trained, Fraction(trained, 64))
    assert not run.warnings
    assert [entry["whole"] for entry in run.loader_passes] == wholes


def test_a_pass_that_another_one_replaces_is_left(tmp_path):
    """The iterator of the first pass is kept, so nothing tells that the loop will not come back to it."""
    ledger = Ledger(tmp_path)
    kept = iter(ledger.watch(rows()))
    for _ in islice(kept, 4):
        ledger.step()
    train(ledger, rows())
    run = Run(ledger, tmp_path)
    assert (run.samples, [entry["samples"] for entry in run.loader_passes]) == (80, [16, 64])
    assert not run.warnings
    del kept


def test_a_batch_that_is_drawn_and_left_is_in_no_step(tmp_path):
    """`if number > …: break` at the top of the loop draws a batch more than it trains."""
    ledger = Ledger(tmp_path)
    trained = train(ledger, rows(), trains=lambda number: number <= 3) + train(ledger, rows())
    run = Run(ledger, tmp_path)
    assert (run.samples, run.micro_steps, run.steps["applied"]) == (trained, 19, 19)
    assert run.warnings == {"unstepped-batches": "1 micro-batch was drawn after step 3, and never stepped"}


def test_a_pass_without_its_first_batches_is_not_the_data(tmp_path):
    ledger = Ledger(tmp_path, Accelerator(cpu=True))
    train(ledger, skip_first_batches(rows(), 8))
    train(ledger, rows())
    run = Run(ledger, tmp_path)
    assert (run.samples, run.epochs) == (96, Fraction(3, 2))
    assert not run.warnings


# Batches of any kind


@dataclass
class Pair:
    x: torch.Tensor
    y: torch.Tensor


@pytest.mark.parametrize(
    "batch",
    [
        (np.ones((8, 4), np.float32), np.ones(8)),
        Pair(torch.ones(8, 4), torch.ones(8)),
        ((torch.ones(8, 2), torch.ones(8)), (torch.ones(3, 2), torch.ones(3))),
        ({"x": torch.ones(8)}, {"x": torch.ones(3)}),
        object(),
    ],
    ids=["numpy", "dataclass", "zipped", "zipped-mappings", "object"],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_cannot_be_counted_never_stops_the_training(tmp_path, capsys, batch, first):
    batches = [batch] * 5 if first else [torch.ones(8, 2), *[batch] * 4]
    ledger, given = Ledger(tmp_path), []
    for one in ledger.watch(batches):
        given.append(one)
        ledger.step()
    run = Run(ledger, tmp_path)
    assert all(a is b for a, b in zip(given, batches, strict=True))
    assert (run.steps["applied"], run.micro_steps, run.samples, run.epochs) == (5, 5, None, None)
    assert run.sources[0]["samples"] is None
    assert "steps are counted, samples and tokens are unknown" in run.warnings["uncounted-batches"]
    assert capsys.readouterr().err.count("uncounted-batches") == 1
    assert "ledger/samples" not in ledger.counters()


def test_lists_of_images_with_their_targets_are_samples(tmp_path):
    ledger = Ledger(tmp_path)
    images, targets = [torch.ones(3, 5, 7)] * 4, [{"boxes": torch.ones(2, 4)}] * 4
    for _ in ledger.watch([(images, targets)] * 3):
        ledger.step()
    assert Run(ledger, tmp_path).samples == 12


def text(count=8, length=16):
    return torch.randint(1, 99, (count, length), generator=torch.Generator().manual_seed(0))


def right_padded(ids, lengths):
    mask = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
    return ids * mask, mask


@pytest.mark.parametrize(
    ("batch", "tokens", "loss_tokens"),
    [
        ((text(), (torch.rand(8, 16, generator=torch.Generator().manual_seed(1)) < 0.1).long()), 128, 128),
        (right_padded(text(), [3, 16, 5, 1, 8, 8, 8, 8]), 57, None),
        ((*right_padded(text(), [4] * 8), torch.full((8, 16), -100)), 32, 0),
        ((text(), torch.zeros(8, 16, dtype=torch.long)), 128, 128),
        ((text(), torch.ones(8, 16, dtype=torch.long)), 128, None),
    ],
    ids=["tags", "mask", "mask-and-labels", "tags-all-0", "no-padding"],
)
def test_a_second_tensor_is_a_mask_or_labels(tmp_path, batch, tokens, loss_tokens):
    ledger = Ledger(tmp_path)
    for _ in ledger.watch([batch]):
        ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.positions, run.tokens, run.loss_tokens) == (128, tokens, loss_tokens)


# Two loaders at once


def test_two_watched_loaders_in_turn(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in zip(ledger.watch(rows(16)), ledger.watch(rows(32)), strict=False):
        ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.steps["applied"], run.micro_steps, run.epochs) == (4, None, None)
    assert "drawn in turn" in run.warnings["interleaved-loaders"]


# Rows that hold several documents


def padding_free(*lengths):
    places = torch.cat([torch.arange(length) for length in lengths])[None]
    return {"input_ids": places + 5, "position_ids": places, "labels": places + 5}


def test_documents_are_not_divided_by_rows(tmp_path):
    """Four rows of a dataset, two documents in each: a pass is eight documents, however the loader's length is told."""
    loader = DataLoader([0, 1, 2, 3], batch_size=2, collate_fn=lambda chosen: padding_free(*[3] * (2 * len(chosen))))
    ledger = Ledger(tmp_path)
    for _ in range(2):
        for _ in ledger.watch(loader):
            ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.samples, run.epochs, run.data["samples"], run.data["known"]) == (16, 2, 8, "learned")
    assert set(run.warnings) == {"samples-by-restarts"}
    assert "a row of the dataset holds several" in run.warnings["samples-by-restarts"]


def test_a_document_a_row_is_counted_by_the_dataset(tmp_path):
    loader = DataLoader([3, 4, 5, 6], batch_size=2, collate_fn=lambda lengths: padding_free(*lengths))
    ledger = Ledger(tmp_path)
    for _ in ledger.watch(loader):
        ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.samples, run.tokens, run.epochs, run.data["known"]) == (4, 18, 1, "dataset")


def test_a_row_of_tokens_without_a_dimension_for_samples(tmp_path):
    batch = {name: values[0] for name, values in padding_free(3, 5, 2).items()}
    for run, keys in (("places", {}), ("none", {"position_ids"})):
        ledger = Ledger(tmp_path / run)
        for _ in ledger.watch([{name: values for name, values in batch.items() if name not in keys}] * 2):
            ledger.step()
        found = Run(ledger, tmp_path / run)
        if keys:
            assert (found.samples, found.steps["applied"]) == (None, 2)
            assert "input_ids of one dimension, 10 tokens" in found.warnings["uncounted-batches"]
        else:
            assert (found.samples, found.positions, found.tokens, found.loss_tokens) == (6, 20, 20, 18)


# Batches fetched ahead


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("passes", [1, 3])
def test_micro_batches_fetched_ahead(tmp_path, window, passes):
    """Loops without a loader: the next batch is drawn before the backward pass of the one before."""
    ledger = Ledger(tmp_path)
    batches = ledger.watch(iter(lambda: text(2, 8), None))
    batch, trained = next(batches), 0
    for _ in range(6 * passes):
        for _ in range(window):
            trained += len(batch)
            batch = next(batches)
        ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.samples, run.micro_steps, run.steps["applied"]) == (trained, 6 * passes * window, 6 * passes)
    assert run.warnings.keys() == {"tokens-assumed", "unstepped-batches"}
    assert run.warnings["unstepped-batches"] == f"1 micro-batch was drawn after step {6 * passes}, and never stepped"


@pytest.mark.parametrize("window", [1, 2])
def test_a_loader_fetched_ahead_to_its_end(tmp_path, window):
    """The last batch is trained when the loader has nothing more to give."""
    ledger = Ledger(tmp_path)
    watched = ledger.watch(rows())
    batch, number = next(watched, None), 0
    while batch is not None:
        number += 1
        batch = next(watched, None)
        if number % window == 0:
            ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.samples, run.micro_steps, run.steps["applied"], run.epochs) == (64, 16, 16 // window, 1)
    assert not run.warnings


def test_a_first_step_that_was_not_reported_is_not_fetched_ahead(tmp_path):
    """As where the first update of a scaler overflows: the batch is in the next step, and that is said."""
    ledger = Ledger(tmp_path, Accelerator(cpu=True))
    for number, _ in enumerate(ledger.watch(rows())):
        if number:
            ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.samples, run.steps["applied"]) == (64, 15)
    assert run.warnings["long-window"].startswith("step 1 was taken with 2 micro-batches")


@pytest.mark.parametrize(
    ("windows", "batches", "warned"),
    [
        ([3, 2, 3, 2], 5, set()),
        ([3, 3, 1, 3, 3, 1], 7, {"short-window"}),
        ([5, 4, 6, 3, 4], 22, set()),
        ([5, 4, 3, 4], 16, set()),
    ],
    ids=["a-short-end", "short-ends", "any-size", "falling"],
)
@pytest.mark.parametrize("flush", ["inside", "after"])
def test_windows_of_other_sizes_are_not_fetched_ahead(tmp_path, windows, batches, warned, flush):
    """Accumulation by hand, where the last window of a pass is shorter, or every window has a size of its own."""
    ledger, ends = Ledger(tmp_path), set(np.cumsum(windows).tolist())
    number = stepped = 0
    for _ in range(sum(windows) // batches):
        for number, _ in enumerate(ledger.watch(rows(4 * batches)), number + 1):  # noqa: B020
            if number in ends and (flush == "inside" or number % batches):
                ledger.step()
                stepped = number
        if number != stepped:
            ledger.step()
    run = Run(ledger, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [line["micro_steps"] for line in lines if line["event"] == "applied"] == windows
    assert (run.micro_steps, run.warnings.keys()) == (sum(windows), warned)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_loader_fetched_ahead_by_for(tmp_path, passes):
    """The batch before is trained while the next one is drawn: the third step shows it."""
    ledger = Ledger(tmp_path)
    for _ in range(passes):
        trained, before = 0, None
        for batch in ledger.watch(rows(60)):
            if before is not None:
                trained += 1
                if trained % 3 == 0:
                    ledger.step()
            before = batch
        ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.micro_steps, run.steps["applied"], run.samples) == (15 * passes, 5 * passes, 60 * passes)
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert {line["micro_steps"] for line in lines if line["event"] == "applied"} == {3}
    assert not run.warnings


# Updates that a scaler leaves out


@pytest.mark.parametrize(
    ("kind", "overflows"),
    [
        *((torch.optim.AdamW, steps) for steps in ({1}, {1, 2}, {3}, {3, 4}, set())),
        *((torch.optim.SGD, steps) for steps in ({3}, {3, 4}, set())),  # whether its first step was one is not seen
    ],
)
def test_a_scaler_of_one_s_own_leaves_steps_out(tmp_path, kind, overflows):
    ledger, scaler = Ledger(tmp_path), torch.amp.GradScaler("cpu", init_scale=4.0)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = kind([weight], 0.1)
    for number, (x,) in enumerate(ledger.watch(rows(24)), 1):
        loss = (x * weight).mean() * (float("inf") if number in overflows else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        ledger.step(optimizer)
    run = Run(ledger, tmp_path)
    assert (run.steps["applied"], run.steps["skipped"]) == (6 - len(overflows), len(overflows))
    assert run.samples == 24 - 4 * len(overflows)
    assert run.warnings.keys() == ({"skipped-steps"} if overflows else set())


@pytest.mark.parametrize("optimizer", [None, object(), "compiled"])
def test_an_optimizer_that_calls_no_hooks_has_stepped(tmp_path, optimizer):
    ledger = Ledger(tmp_path)
    if optimizer == "compiled":
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    for _ in ledger.watch(rows(16)):
        ledger.step(optimizer)
    assert Run(ledger, tmp_path).steps["applied"] == 4


# Other data


def test_passes_over_other_data_are_not_compared_with_the_first(tmp_path):
    ledger = Ledger(tmp_path)
    for count in (16, 32, 8):
        train(ledger, rows(count))
    assert Run(ledger, tmp_path).warnings.keys() == {"other-data"}


def test_a_pass_that_a_resumed_run_begins_with_is_whole(tmp_path):
    for from_step in (None, 4):
        ledger = Ledger(tmp_path, from_step=from_step)
        train(ledger, DataLoader(Stream(), 16))
        run = Run(ledger, tmp_path)
    assert [entry["whole"] for entry in run.loader_passes] == [True, True]


# Attempts that fail


@pytest.mark.parametrize("fails_at", [0, 1, 3])
@pytest.mark.parametrize("inside", [True, False])
def test_a_batch_that_does_not_fit_is_tried_again(tmp_path, inside, fails_at):
    accelerator = Accelerator(cpu=True)
    outside = None if inside else Ledger(tmp_path, accelerator)
    seen = []

    @find_executable_batch_size(starting_batch_size=64)
    def attempt(batch_size):
        ledger = outside or Ledger(tmp_path, accelerator)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
        optimizer, loader = accelerator.prepare(optimizer, rows(256, batch_size=batch_size))
        seen.clear()
        for number, (x,) in enumerate(ledger.watch(loader)):
            if batch_size == 64 and number == fails_at:
                raise RuntimeError("CUDA out of memory.")
            seen.extend(x.flatten().tolist())
            optimizer.step()
            ledger.step(optimizer)
        return ledger

    run = Run(attempt(), tmp_path)
    assert (run.samples, run.epochs, len(seen)) == (256, 1, 256)
    assert (run.steps["replayed"], run.steps["unfinished"]) == (fails_at, 1)
    assert [segment["status"] for segment in run.segments] == ["failed", "finished"]
    assert "training began again" in run.segments[0]["reason"]
    assert run.segments[1]["per_device"] < 64
    assert run.warnings.keys() == {"unstepped-batches"}


def test_another_batch_size_with_the_same_optimizer_is_no_new_attempt(tmp_path):
    """A batch that grows between stages, each left at the top of its loop."""
    ledger, optimizer = Ledger(tmp_path), torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    for size in (4, 8):
        for number, _ in enumerate(ledger.watch(rows(batch_size=size))):
            if number == 3:
                break
            ledger.step(optimizer)
    run = Run(ledger, tmp_path)
    assert (run.samples, run.steps["applied"], run.steps["replayed"]) == (36, 6, 0)


# Sources


def mixed(count=12, key="origin"):
    """Three samples of every four are from `web`; the fourth is twice as long."""

    def collate(numbers):
        lengths = [8 if number % 4 == 3 else 4 for number in numbers]
        ids = torch.ones(len(numbers), 8, dtype=torch.long)
        return {
            "input_ids": ids,
            "attention_mask": (torch.arange(8) < torch.tensor(lengths)[:, None]).long(),
            key: ["code" if number % 4 == 3 else "web" for number in numbers],
        }

    return DataLoader(range(count), batch_size=4, collate_fn=collate)


@pytest.mark.parametrize("stated", [None, {"web": 18, "code": 3}])
def test_epochs_of_each_source(tmp_path, stated):
    ledger = Ledger(tmp_path, source="origin", samples=stated)
    for _ in range(2):
        for _ in ledger.watch(mixed()):
            ledger.step()
    run = Run(ledger, tmp_path)
    assert run.sources == [
        {"name": "code", "samples": 6, "tokens": 48, "epochs": 2},
        {"name": "web", "samples": 18, "tokens": 72, "epochs": 1 if stated else 2},
    ]
    assert (run.samples, run.tokens, run.epochs) == (24, 120, Fraction(24, 21) if stated else 2)


@pytest.mark.parametrize("named", [torch.tensor([2, 0, 2, 2]), [2, 0, 2, 2], np.array([2, 0, 2, 2])])
def test_sources_as_numbers(tmp_path, named):
    ledger = Ledger(tmp_path, source="domain")
    for _ in ledger.watch([{"x": torch.rand(4, 3), "domain": named}] * 2):
        ledger.step()
    run = Run(ledger, tmp_path)
    assert {source["name"]: source["samples"] for source in run.sources} == {"2": 6, "0": 2}


def test_a_batch_of_one_source(tmp_path):
    ledger = Ledger(tmp_path, source="domain")
    for name in ("a", "b", "a"):
        for _ in ledger.watch([{"x": torch.rand(4, 3), "domain": name}]):
            ledger.step()
    run = Run(ledger, tmp_path)
    assert {source["name"]: source["samples"] for source in run.sources} == {"a": 8, "b": 4}


@pytest.mark.parametrize("batch", [{"x": torch.rand(4, 3)}, {"x": torch.rand(4, 3), "domain": ["a"] * 3}])
def test_a_batch_that_does_not_name_its_sources(tmp_path, batch):
    ledger = Ledger(tmp_path, source="domain")
    for _ in ledger.watch([batch]):
        ledger.step()
    run = Run(ledger, tmp_path)
    assert (run.steps["applied"], run.samples) == (1, None)
    assert "does not name their sources under 'domain'" in run.warnings["uncounted-batches"]


class LateRanks(Alone):
    """Ranks whose sums come when they are told to."""

    are_late = True

    def sum(self, values):
        def wait():
            assert not self.are_late, "this waits for the other ranks, which may wait for this one in the model"
            return list(values)

        return Sums(wait, lambda: not self.are_late)


def test_new_sources_wait_for_no_other_rank(tmp_path):
    ranks = LateRanks()
    ledger = Ledger(tmp_path, ranks, source="domain")
    for name in ("a", "b", "a"):
        for _ in ledger.watch([{"x": torch.rand(4, 3), "domain": name}]):
            ledger.step()
    ledger.step()
    ranks.are_late = False
    run = Run(ledger, tmp_path)
    assert "a step after step 3 had no batch" in run.warnings["steps-without-batches"], "none is recorded yet"
    assert {source["name"]: source["samples"] for source in run.sources} == {"a": 8, "b": 4}

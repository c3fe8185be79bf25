"""Small runs whose files are made by the code that makes those of real ones; only the training is left out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dist_epochs import Ledger
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.ledger.epochs import epochs_of
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import read_recipe
from dist_epochs.recipe.writing import recipe_to_yaml
from dist_epochs.train.learning_rate import learning_rate

VERSIONS = {"dist-epochs": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "transformers": "5.24.0"}
FACTS = {
    "world_size": 1,
    "data_parallel_size": 1,
    "per_device": 3,
    "device": "cpu",
    "precision": "no",
    "versions": VERSIONS,
}


def make_store(out: Path, *texts: Path, special_tokens: bool = True, tokenizer: Path | str = EMBEDDED) -> Path:
    """Count and pack some texts."""
    settings = Settings(sequence_lengths=(16, 32), special_tokens=special_tokens)
    tokenize(find_sources(tuple(map(str, texts))), TextTokenizer(str(tokenizer)), settings, out=out)
    return out


def other_tokenizer(out: Path) -> Path:
    """The embedded tokenizer without the words of more than three letters, which become several pieces."""
    data = json.loads(TextTokenizer(EMBEDDED).path.read_text())
    vocabulary = data["model"]["vocab"]
    kept = {word if len(word) < 4 or word[0] in "#[<" else f"[unused{id_}]": id_ for word, id_ in vocabulary.items()}
    data["model"]["vocab"] = kept
    out.mkdir()
    (out / "tokenizer.json").write_text(json.dumps(data))
    return out


def run_of(
    recipe: Path,
    out: Path,
    *,
    devices: int = 1,
    facts: Mapping[str, Any] | None = None,
    skipped: Iterable[int] = (),
    reorder: Callable[[list[Any]], list[Any]] = lambda windows: windows,
    segments: Sequence[tuple[int, Mapping[str, Any]]] = (),
    edit: Callable[[dict[str, Any]], None] = lambda plan: None,
    stop_after: int | None = None,
    status: str | None = "finished",
) -> Path:
    """The directory of a run: recipe, plan, and a ledger of the batches that the recipe draws.

    Args:
        recipe: The recipe.
        out: Where it goes.
        devices: Data-parallel size.
        facts: What the segment says otherwise.
        skipped: Steps that were not applied.
        reorder: Changes which windows the steps draw.
        segments: Later segments: the step before each, and what it says otherwise.
        edit: Changes the plan before it is written.
        stop_after: The last step; None goes on to the end.
        status: How it ended; None leaves it running.
    """
    made = read_recipe(recipe)
    store = Store(Path(str(made.corpus.store)))
    corpus, plan = exact_plan(made, store, objective_of(made.model, store), devices)
    out.mkdir()
    (out / "recipe.yaml").write_text(recipe_to_yaml(plan.recipe))
    data = json.loads(json.dumps(plan_json(plan)))
    edit(data)
    (out / "plan.json").write_text(json.dumps(data, indent=1))
    (out / "model.json").write_text(json.dumps(made.model.config))
    ranks = [list(corpus.windows(plan.batches, rank)) for rank in range(devices)]
    windows = reorder([_over_ranks(parts) for parts in zip(*ranks, strict=True)])
    starts = [(0, {}), *segments]
    totals = None
    for (start, changes), (end, _) in zip(starts, [*starts[1:], (stop_after or len(windows), {})], strict=True):
        ledger = RunLedger(out, totals=totals, segment={**FACTS, **(facts or {}), **changes, "plan": plan.fingerprint})
        for drawn in ledger.watch(replace(window, step=at) for at, window in enumerate(windows) if start <= at < end):
            rate = learning_rate(made.optimizer, ledger.totals.applied.steps, plan.steps)
            ledger.book(drawn, applied=drawn.step not in skipped)
            tokens = ledger.totals.applied.counts.tokens
            loss = 8 - rate - tokens / 1e5 + drawn.counts.digest % 97 / 1e4
            epoch = float(epochs_of(ledger.totals.applied, data)["samples"] or 0)
            counted = {"ledger/tokens": tokens, "ledger/epoch": epoch}
            ledger.metrics(drawn.step, {"train/loss": loss, "train/learning_rate": rate, **counted})
        if status or end < len(windows):
            ledger.close(status if end == len(windows) or not status else "stopped")
        totals = ledger.totals
    return out


def _over_ranks(parts: Sequence[Any]) -> Any:
    """What all ranks draw in a step, as the window of one."""
    counts = {key: sum((part.counts[key] for part in parts[1:]), parts[0].counts[key]) for key in parts[0].counts}
    return replace(parts[0], counts=counts)


def loop_of(
    out: Path, batches: Iterable[Sequence[int]], *, samples: int, passes: int = 2, skipped: Iterable[int] = ()
) -> Path:
    """The ledger of a user's own loop over some batches of samples, each sample a row of its own tokens."""
    ledger = Ledger(out, samples=samples)
    loader, step = [{"input_ids": torch.tensor([_row(sample) for sample in batch])} for batch in batches], 0
    for _ in range(passes):
        for batch in ledger.watch(loader):
            assert len(batch["input_ids"])
            step += 1
            ledger.step(applied=step not in skipped)
    ledger.close("finished")
    return out


def _row(sample: int) -> list[int]:
    draw = random.Random(sample)
    return [draw.randrange(1, 1000) for _ in range(8)]


def shuffled(samples: int, batch: int, seed: int = 0, *, pads: int = 0, first: int = 0) -> Iterator[list[int]]:
    """Batches of a shuffled data set from its first sample on, filled up with as many as it pads."""
    order = random.Random(seed).sample(range(first, first + samples), samples)
    order += order[:pads]
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def say_otherwise(run: Path, **facts: Any) -> Path:
    """Change what the segments of a ledger say of themselves."""
    ledger = run / "ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        if line["event"] == "segment":
            line |= facts
    ledger.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return run


def trainer_state(
    out: Path, *, steps: int = 60, batch: int = 8, rate: float = 5e-4, corpus: int = 480, **settings: Any
) -> Path:
    """The state that a Hugging Face Trainer leaves."""
    rows = [
        {
            "step": step,
            "epoch": step * batch / corpus,
            "loss": 5 - step / 100,
            "learning_rate": rate * (1 - step / steps),
        }
        for step in range(5, steps + 1, 5)
    ]
    state = {"global_step": steps, "max_steps": steps, "num_train_epochs": 1, "train_batch_size": batch,
             "epoch": steps * batch / corpus, "log_history": rows, "total_flos": 1e15, **settings}  # fmt: skip
    out.mkdir()
    (out / "trainer_state.json").write_text(json.dumps(state))
    return out

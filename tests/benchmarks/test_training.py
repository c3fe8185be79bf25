"""Our loop beside the Hugging Face Trainer: the same model, samples and accumulation on one process."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from fractions import Fraction

import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import Trainer, TrainerCallback, TrainingArguments

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.planning import objective_of
from dist_epochs.corpus.sources import find_sources
from dist_epochs.corpus.store import Store
from dist_epochs.corpus.stream import Corpus
from dist_epochs.corpus.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.recipe import ModelRecipe
from dist_epochs.train.model import build_model, model_config
from dist_epochs.train.run import run_recipe

pytestmark = pytest.mark.benchmark

TOKENIZER = TextTokenizer(EMBEDDED)

STEPS, SAMPLES, PER_DEVICE, LENGTH = 16, 16, 4, 128
CONFIG = {
    "model_type": "bert", "vocab_size": 2048, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 512, "max_position_embeddings": LENGTH,
}  # fmt: skip


class Clock(TrainerCallback):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *arguments, **keywords):
        self.times.append(time.time())


def median_step(times):
    return statistics.median(b - a for a, b in itertools.pairwise(times[3:]))


def ours(store, folder, write_recipe):
    recipe = write_recipe(
        store.path,
        batch={"global_batch": SAMPLES, "per_device": PER_DEVICE},
        phases=[{"steps": STEPS, "sequence_length": LENGTH}],
        model={"objective": "masked", "config": CONFIG},
    )
    run_recipe(recipe, folder, say=lambda _: None)
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    AcceleratorState._reset_state(reset_partial_state=True)
    return [line["time"] for line in lines if line["event"] == "applied"]


def theirs(store, folder):
    """The same samples as ready rows with the usual two-dimensional mask."""
    recipe = ModelRecipe(objective="masked", config=CONFIG)
    schedule = Schedule((Phase(steps=STEPS, sequence_length=LENGTH, global_batch=SAMPLES),))
    mixture = Mixture.of({store.sources()[0].name: Fraction(1)})
    stream = Corpus(store, schedule=schedule, mixture=mixture, objective=objective_of(recipe, store), seed=0)
    rows = []
    for window in stream.windows([GlobalBatch(samples=SAMPLES, data_parallel_size=1, per_device=SAMPLES)], 0):
        m = window.micro_batches[0]
        rows += [
            {
                "input_ids": torch.from_numpy(i),
                "labels": torch.from_numpy(y),
                "attention_mask": torch.from_numpy((s > 0).astype("int64")),
            }
            for i, y, s in zip(m.input_ids, m.labels, m.segments, strict=True)
        ]
    clock = Clock()
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=PER_DEVICE,
        gradient_accumulation_steps=SAMPLES // PER_DEVICE, report_to=[], save_strategy="no", logging_steps=1,
        use_cpu=not torch.cuda.is_available(), disable_tqdm=True,
    )  # fmt: skip
    Trainer(
        build_model(recipe, model_config(recipe, TOKENIZER), 0), arguments, train_dataset=rows, callbacks=[clock]
    ).train()
    AcceleratorState._reset_state(reset_partial_state=True)
    return clock.times


def test_steps_beside_the_trainer_s(tmp_path, write_recipe):
    settings = Settings(sequence_lengths=(LENGTH,))
    tokenize(find_sources((EMBEDDED,)), TextTokenizer(EMBEDDED), settings, out=tmp_path / "store")
    store = Store(tmp_path / "store")
    AcceleratorState._reset_state(reset_partial_state=True)
    pairs = []
    for number in range(3):
        first = median_step(ours(store, tmp_path / f"ours{number}", write_recipe))
        pairs.append((first, median_step(theirs(store, tmp_path / f"theirs{number}"))))
    ratio = statistics.median(a / b for a, b in pairs)
    steps = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"\n{device}: ours {steps[0] * 1000:.0f} ms a step, Trainer {steps[1] * 1000:.0f} ms, ratio {ratio:.2f}")

"""One model trained by this package and by the Hugging Face Trainer, on the same text with the same tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache, partial
from io import StringIO
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.recipe import Recipe
from dist_epochs.train.run import run_recipe

__all__ = ["DROPOUT", "WAYS", "Case", "Mark", "Text", "can_compile", "make_text", "train"]

DROPOUT: Mapping[str, tuple[str, ...]] = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
}
"""The settings of a model's dropout, which is 0.1 by default in all of these."""

Mark = Callable[[int, Callable[[], int]], None]
"""Called when a step ends, with its number and a function that gives the tokens so far, without padding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is trained.

    Attributes:
        name: For people.
        model: A transformers configuration.
        length: Positions of a sample.
        per_device: Samples of a micro-step.
        accumulation: Micro-steps of a step.
        steps: Steps of the whole run.
        precision: As a recipe names it.
        dropout: Whether the model keeps the dropout of its defaults; otherwise it has none.
        compiles: Whether the model is compiled.
    """

    name: str
    model: Mapping[str, int | str]
    length: int
    per_device: int
    accumulation: int = 1
    steps: int = 1
    precision: str = "fp32"
    dropout: bool = False
    compiles: bool = False

    @property
    def objective(self) -> str:
        """What the model learns to predict."""
        return "masked" if self.model["model_type"] == "bert" else "causal"

    @property
    def config(self) -> dict[str, int | float | str]:
        """The configuration, with its dropout and enough positions."""
        positions = {"max_position_embeddings": max(512, self.length)}
        none = {} if self.dropout else dict.fromkeys(DROPOUT[str(self.model["model_type"])], 0.0)
        return {**positions, **none, **self.model}


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A corpus: a token store of it, and its documents as they are.

    Attributes:
        store: A token store, packed at every length that is trained.
        documents: The documents.
        tokenizer: A tokenizer file.
    """

    store: Path
    documents: list[str]
    tokenizer: Path


def make_text(
    folder: Path, lengths: set[int], *, text: str = EMBEDDED, tokenizer: str = EMBEDDED, copies: int = 1
) -> Text:
    """Tokenize a text.

    Args:
        folder: Where the store is made.
        lengths: Positions of a sample, of all that will be trained.
        text: A file with a document a line, or the embedded text.
        tokenizer: A tokenizer file, or the embedded one.
        copies: How often every document is in the corpus, each time after another number.
    """
    (source,) = find_sources((text,))
    read = [part for unit in source.units for part in source.read(unit) if isinstance(part, str) and part.strip()]
    numbers = [f"{copy} " for copy in range(copies)] if copies > 1 else [""]
    documents = [" ".join((number + part).split()) for number in numbers for part in read]
    (folder / "text.txt").write_text("\n".join(documents), encoding="utf-8")
    used = TextTokenizer(tokenizer)
    settings = Settings(sequence_lengths=tuple(sorted(lengths)))
    tokenize(find_sources((str(folder / "text.txt"),)), used, settings, out=folder / "store")
    return Text(folder / "store", documents, used.path)


def can_compile() -> bool:
    """Whether a recipe can ask for a compiled model."""
    return "compile" in {field.name for field in fields(Recipe)}


def train(way: str, case: Case, text: Text, folder: Path, mark: Mark) -> None:
    """Train a case in one of the `WAYS`.

    Args:
        way: How.
        case: What is trained.
        text: On what.
        folder: Where it may write.
        mark: Called when each step ends.
    """
    WAYS[way](case, text, folder, mark)


def _ours(case: Case, text: Text, folder: Path, mark: Mark) -> None:
    """A recipe, with the recipe's defaults."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {
        "name": "benchmark",
        "corpus": {"store": str(text.store)},
        "batch": {"global_batch": case.per_device * case.accumulation, "per_device": case.per_device},
        "phases": [{"steps": case.steps, "sequence_length": case.length}],
        "model": {"objective": case.objective, "config": case.config},
        "optimizer": {"learning_rate": 1e-4},
        "precision": case.precision,
        **({"compile": True} if case.compiles else {}),
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    books = RunLedger.book

    def book(ledger: RunLedger, drawn, **how) -> None:  # the one place that every step passes when it ends
        books(ledger, drawn, **how)
        totals = ledger.totals
        mark(drawn.step, lambda: totals.applied.counts.tokens + totals.skipped.counts.tokens)

    bar = "dist_epochs.train.progress.tqdm"
    with (
        patch(bar, partial(tqdm, file=StringIO())),
        patch.object(RunLedger, "book", book),
    ):
        run_recipe(path, folder / "run", say=lambda _: None)


def _grouped(case: Case, text: Text, folder: Path, mark: Mark) -> None:
    """What `run_mlm.py` and `run_clm.py` do: all ids in a row (`group_texts`), cut into samples without padding."""
    ids = list(chain.from_iterable(_encoded(text)))
    whole = len(ids) // case.length * case.length
    _trainer(case, text, [ids[at : at + case.length] for at in range(0, whole, case.length)], folder, mark)


def _line_by_line(case: Case, text: Text, folder: Path, mark: Mark) -> None:
    """What `run_mlm.py --line_by_line` does: documents cut at the length, and padded to the batch's longest."""
    _trainer(case, text, [ids[: case.length] for ids in _encoded(text)], folder, mark)


WAYS: Mapping[str, Callable[[Case, Text, Path, Mark], None]] = {
    "dist_epochs": _ours,
    "Trainer, grouped": _grouped,
    "Trainer, line by line": _line_by_line,
}
"""The ways to train: this package's, and two of the Hugging Face Trainer."""


@cache
def _encoded(text: Text) -> list[list[int]]:
    ids, lengths = TextTokenizer(text.tokenizer).encode(text.documents, special_tokens=True)
    return [each.tolist() for each in np.split(ids, np.cumsum(lengths)[:-1])]


def _trainer(case: Case, text: Text, samples: list[list[int]], folder: Path, mark: Mark) -> None:
    """The Trainer with its defaults, but that it neither logs nor saves.

    Its samples are lists that memory holds already, which costs less than reading them from a dataset; beside a GPU,
    four workers make its batches.
    """
    used = TextTokenizer(text.tokenizer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(text.tokenizer), **used.roles)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    settings = case.config
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"))
    config = AutoConfig.for_model(settings.pop("model_type"), **ends, **settings)
    family = AutoModelForMaskedLM if case.objective == "masked" else AutoModelForCausalLM
    torch.manual_seed(0)
    model = family.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    on_cpu = not torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=case.steps, per_device_train_batch_size=case.per_device,
        gradient_accumulation_steps=case.accumulation, learning_rate=1e-4, report_to=[], save_strategy="no",
        logging_strategy="no", disable_tqdm=True, use_cpu=on_cpu,
        dataloader_num_workers=0 if on_cpu else 4, dataloader_drop_last=True, torch_compile=case.compiles,
        bf16=case.precision == "bf16", fp16=case.precision == "fp16",
    )  # fmt: skip
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in samples]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=case.objective == "masked")
    trainer = _CountingTrainer(model, arguments, train_dataset=rows, data_collator=collator)
    trainer.add_callback(_Marks(trainer, mark))
    trainer.train()


class _CountingTrainer(Trainer):
    """Adds up the tokens of what it trains, on the device, without waiting for it."""

    tokens: torch.Tensor | int = 0

    def training_step(self, model: nn.Module, inputs, *arguments, **keywords):
        self.tokens = self.tokens + inputs["attention_mask"].sum()
        return super().training_step(model, inputs, *arguments, **keywords)


class _Marks(TrainerCallback):
    """Tells when a step ends."""

    def __init__(self, trainer: _CountingTrainer, mark: Mark) -> None:
        self._trainer, self._mark = trainer, mark

    def on_step_end(self, arguments, state, control, **_):
        self._mark(state.global_step, partial(int, self._trainer.tokens))

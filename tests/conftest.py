"""Shared corpora and recipes, all made on the spot."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores import blocks
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# In the background, or under nohup, the suite ignores these signals, and every process that it starts inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

WORDS = "the run of a step is not what an epoch says when batch and data part over many devices".split()


def write_corpus(path: Path, documents: int, seed: int, longest: int = 60) -> Path:
    """A text file with one document a line, mostly short ones."""
    draw = random.Random(seed)
    lines = [" ".join(draw.choices(WORDS, k=min(longest, int(draw.paretovariate(0.8))))) for _ in range(documents)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,600 documents, of which stores have several blocks."""
    return write_corpus(tmp_path_factory.mktemp("text") / "web.txt", 2600, seed=1)


@contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks of some hundred documents, as the stores of tests have few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_TOKENS", 6000)
        yield


@pytest.fixture(scope="session")
def store(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One source, packed at 16 and 32, a tenth held out."""
    from fractions import Fraction

    out = tmp_path_factory.mktemp("store") / "store"
    settings = Settings(sequence_lengths=(16, 32), held_out=Fraction(1, 10))
    with small_blocks():
        tokenize(find_sources((str(text_file),)), TextTokenizer(EMBEDDED), settings, out=out)
    return Store(out)


@pytest.fixture(scope="session")
def mixed_store(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two sources of different size, packed at 16 and 32."""
    folder = tmp_path_factory.mktemp("mixed")
    wiki = write_corpus(folder / "wiki.txt", 400, seed=2, longest=20)
    sources = find_sources((str(text_file), str(wiki)))
    with small_blocks():
        tokenize(sources, TextTokenizer(EMBEDDED), Settings(sequence_lengths=(16, 32)), out=folder / "store")
    return Store(folder / "store")


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe for a store; keyword arguments replace whole sections."""

    def write(store: Path | str, **sections: object) -> Path:
        recipe = {
            "name": "test",
            "seed": 3,
            "corpus": {"store": str(store)},
            "batch": {"global_batch": 12, "per_device": 3},
            "phases": [{"steps": 6, "sequence_length": 16}, {"steps": 3, "sequence_length": 32}],
            "model": {"objective": "masked", "config": tiny_model("bert")},
            "optimizer": {"learning_rate": 1e-3, "warmup_steps": 2},
            "precision": "fp32",
            "log_every": 1,
            **sections,
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps({name: part for name, part in recipe.items() if part is not None}))
        return path

    return write


def tiny_model(kind: str, **settings: object) -> dict[str, object]:
    """A transformers configuration that trains in milliseconds, without dropout."""
    sizes = {
        "vocab_size": 2048,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
    }
    dropout = {
        "bert": {"intermediate_size": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 2, "eos_token_id": 3},
        "llama": {"intermediate_size": 64},
    }
    return {"model_type": kind, **sizes, **dropout[kind], **settings}

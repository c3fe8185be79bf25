"""FLOPs that a step executes, beside those that it needs."""

from __future__ import annotations

import random
from fractions import Fraction
from unittest.mock import patch

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.train import segment
from dist_epochs.train.run import run_recipe
from tests.conftest import WORDS

MODELS = {
    "bert": {
        "model_type": "bert", "vocab_size": 30522, "hidden_size": 256, "num_hidden_layers": 4,
        "num_attention_heads": 4, "intermediate_size": 1024,
    },
    "gpt2": {"model_type": "gpt2", "vocab_size": 30522, "n_embd": 256, "n_layer": 4, "n_head": 4},
}  # fmt: skip

SAMPLES = 2


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Documents that fill their samples: ends of documents and padding are few."""
    folder = tmp_path_factory.mktemp("flops")
    draw = random.Random(1)
    documents = [" ".join(draw.choices(WORDS, k=draw.randrange(50, 2000))) for _ in range(200)]
    (folder / "long.txt").write_text("\n".join(documents), encoding="utf-8")
    sources, settings = find_sources((str(folder / "long.txt"),)), Settings(sequence_lengths=(128, 512))
    tokenize(sources, TextTokenizer(EMBEDDED), settings, out=folder / "store")
    return folder / "store"


def step_of(recipe, folder):
    """FLOPs of a run of one step, from where training begins, with its positions and loss tokens.

    torch's counter knows no fused attention of a CPU, so attention is made of products.
    """
    books, begins, found, counter = RunLedger.book, segment.train, [], FlopCounterMode(display=False)

    def begin(*arguments):
        found.append(counter.get_total_flops())  # the model was tried on a few tokens
        return begins(*arguments)

    def book(ledger, drawn, **named):
        found.append(counter.get_total_flops())
        books(ledger, drawn, **named)

    with (
        patch.object(segment, "train", begin),
        patch.object(RunLedger, "book", book),
        sdpa_kernel(SDPBackend.MATH),
        counter,
    ):
        run_recipe(recipe, folder, say=lambda _: None)
    before, after = found
    applied = read_totals(folder / "ledger.jsonl").applied
    return after - before, applied.positions, applied.counts.loss_tokens


@pytest.mark.parametrize(("kind", "length"), [("bert", 128), ("bert", 512), ("gpt2", 128)])
def test_a_step_executes_little_more_than_it_needs(packed, write_recipe, tmp_path, kind, length):
    """Needed: every position through the layers, and those that the loss counts through the head.

    Attention is dense on a CPU: every position of a sample is scored against every other one, whatever document it is
    of, and needed is counted so, too. What that costs beyond a document's own tokens is stated apart.
    """
    recipe = write_recipe(
        packed,
        batch={"global_batch": SAMPLES, "per_device": SAMPLES},
        phases=[{"steps": 1, "sequence_length": length}],
        model={"objective": "masked" if kind == "bert" else "causal", "config": MODELS[kind]},
    )
    model = read_architecture(MODELS[kind], where=kind)
    executed, positions, loss_tokens = step_of(recipe, tmp_path / "run")
    needed = positions * model.executed_flops_per_token(length, Fraction(loss_tokens, positions))
    attention = 12 * model.layers * model.attention_size * length * positions
    print(f"{kind} at {length}: executed ÷ needed {executed / needed:.3f}, dense attention {attention / needed:.1%}")
    assert 1 <= executed / needed <= 1.02

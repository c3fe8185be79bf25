"""The blocks of the guide for other trainers, run as they stand: stopped, resumed, and the ledger equal to the plan."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback

from dist_epochs import TokenDataset
from dist_epochs.arithmetic.counts import Counts
from dist_epochs.corpus.digests import digests
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.plan.plan_json import plan_json
from tests.conftest import tiny_model

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "loaders.md"
STEPS, BATCH = 10, 12


def block(heading):
    """The first block of Python under a heading."""
    section = GUIDE.read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    return re.search(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE).group(1)


@pytest.fixture
def guide(store, write_recipe, tmp_path, monkeypatch):
    """A folder with a recipe and its plan, and a way to run a block there; the rows that its model was given."""
    write_recipe(
        store.path,
        batch={"global_batch": BATCH, "per_device": 4},
        phases=[{"steps": STEPS, "sequence_length": 16}],
        model={"objective": "causal", "config": tiny_model("gpt2")},
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    plan = TokenDataset.from_recipe("recipe.yaml").plan
    (tmp_path / "runs" / "a" / "plan.json").write_text(json.dumps(plan_json(plan)))
    given = []

    class Model(GPT2LMHeadModel):
        def forward(self, input_ids=None, **others):
            given.extend(map(tuple, input_ids.tolist()))
            return super().forward(input_ids=input_ids, **others)

    def run(source, **names):
        torch.manual_seed(0)
        exec(compile(source, str(GUIDE), "exec"), {"model": Model(GPT2Config(**tiny_model("gpt2"))), **names})

    run.given, run.plan = given, plan
    return run


def check(guide, store, given):
    """The rows that were trained have the plan's digest in closed form, and the ledger is the plan."""
    packing = store.sources()[0].packing(16)
    found = {}
    for block, rows in enumerate(packing.block_samples.tolist()):
        ids, _ = packing.read([block] * rows, range(rows), store.tokenizer().pad_id)
        high, low = digests("web", 16, torch.full((rows,), block).numpy(), torch.arange(rows).numpy())
        for row, *halves in zip(ids.tolist(), high.tolist(), low.tolist(), strict=True):
            found.setdefault(tuple(row), []).append(halves)
    drawn = Counter(given)
    assert sum(drawn.values()) == STEPS * BATCH
    planned = sum(guide.plan.passes.values(), Counts())
    assert planned.samples == STEPS * BATCH
    result = read_run(Path("runs/a"))
    assert (result.agrees, result.to_json()["loss_tokens"]) == (True, planned.loss_tokens)
    dataset = TokenDataset.from_recipe("recipe.yaml")
    assert drawn == Counter(map(tuple, dataset.batch(range(len(dataset)))["input_ids"].tolist()))
    alone = [row for row in drawn if len(found[row]) == 1]
    assert len(alone) > STEPS
    return found


class Halt(TrainerCallback):
    """Stops at a step."""

    def on_step_end(self, args, state, control, **others):
        control.should_training_stop = state.global_step == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_the_hf_trainer(guide, store, monkeypatch, workers):
    source = block("The HF Trainer").replace("dataloader_num_workers=2", f"dataloader_num_workers={workers}")
    source = source.replace('output_dir="hf",', 'output_dir="hf", report_to=[], disable_tqdm=True, use_cpu=True,')
    stopping = source.replace("callbacks=[", "callbacks=[Halt(), ")
    guide(stopping, resume=None, Halt=Halt)
    assert len(guide.given) == 4 * BATCH
    guide(source, resume=True)
    check(guide, store, guide.given)


def test_a_plain_loop(guide, store):
    guide(block("A plain loop"), resume=False, stop=4)
    guide(block("A plain loop"), resume=True, stop=None)
    check(guide, store, guide.given)


@pytest.mark.lightning
@pytest.mark.filterwarnings("ignore")
def test_lightning(guide, store):
    pytest.importorskip("lightning.pytorch", reason="needs lightning (pip install lightning)")
    guide(block("Lightning"), resume=False, stop=4)
    guide(block("Lightning"), resume=True, stop=None)
    check(guide, store, guide.given)

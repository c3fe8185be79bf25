"""The blocks of the guide for other trainers, run as they stand: stopped, resumed, and the ledger equal to the plan."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback

from dist_epochs import TokenDataset
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

    def run(source, **names):
        model = GPT2LMHeadModel(GPT2Config(**tiny_model("gpt2")))
        hook = lambda model, inputs, columns: given.extend(columns["input_ids"].tolist())  # noqa: E731
        model.register_forward_pre_hook(hook, with_kwargs=True)
        exec(compile(source, str(GUIDE), "exec"), {"model": model, **names})

    run.given, run.plan = given, plan
    return run


def check(guide, store):
    """What was trained is what the plan draws, in its order, with its digest in closed form; the ledger is the plan."""
    corpus = TokenDataset.from_recipe("recipe.yaml")._drawn._corpus
    places = corpus._locate(0, np.arange(STEPS * BATCH), 16)
    packing = store.sources()[0].packing(16)
    ids, _ = packing.read(places.blocks, places.rows, store.tokenizer().pad_id)
    assert guide.given == ids.tolist()
    high, low = packing.digests(places.blocks, places.rows)
    assert int(high.sum()) << 64 | int(low.sum()) == guide.plan.totals.digest
    recorded = read_run(Path("runs/a"))
    assert recorded.agrees
    found = recorded.to_json()
    assert (found["samples"], found["loss_tokens"]) == (STEPS * BATCH, guide.plan.totals.loss_tokens)
    assert (found["status"], found["steps"]["replayed"], len(found["segments"])) == ("finished", 0, 2)
    assert {warning["rule"] for warning in found["warnings"]} <= {"reported-epoch"}


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
    check(guide, store)


def test_a_plain_loop(guide, store):
    guide(block("A plain loop"), resume=False, stop=4)
    guide(block("A plain loop"), resume=True, stop=None)
    check(guide, store)


@pytest.mark.lightning
@pytest.mark.filterwarnings("ignore")
def test_lightning(guide, store):
    pytest.importorskip("lightning.pytorch", reason="needs lightning (pip install lightning)")
    guide(block("Lightning"), resume=False, stop=4)
    guide(block("Lightning"), resume=True, stop=None)
    check(guide, store)

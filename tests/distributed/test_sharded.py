"""FSDP2: hybrid sharding, half precision, and what else a recipe may ask for beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.harness import difference, load_file

HYBRID = ("hardware.zero_stage=3", "hardware.shard_size=2")


def weights(run):
    return load_file(run.folder / "model" / "model.safetensors")


def test_two_copies_on_four_ranks(store, write_recipe, train_worlds, tmp_path):
    """Accumulation, clipping, evaluation and activation checkpointing, each as in one process without shards."""
    sections = {
        "batch": {"global_batch": 16, "per_device": 2},
        "evaluation": {"every": 4},
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 2, "max_grad_norm": 0.5},
        "hardware": {"activation_checkpointing": True},
        "checkpoints": {"steps": 4},
    }
    recipe = write_recipe(store.path, **sections)
    sharded = train_worlds(recipe, (4,), *HYBRID)[4]
    alone = train_worlds(recipe, (1,))[1]
    assert sharded.result.agrees, sharded.result.differences
    assert sharded.result.totals.applied.micro_steps * 4 == alone.result.totals.applied.micro_steps
    assert [line["drawn"] for line in sharded.of("applied")] == [line["drawn"] for line in alone.of("applied")]
    for name in ("train/loss", "train/gradient_norm", "evaluation/loss"):
        values = [[m["values"][name] for m in run.of("metrics") if name in m["values"]] for run in (sharded, alone)]
        assert len(values[0]) > 1
        assert values[0] == pytest.approx(values[1], rel=1e-5), name
    assert difference(weights(sharded), weights(alone)) <= 1e-5


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_compiled_layers(store, write_recipe, train_worlds):
    recipe = write_recipe(store.path)
    sharded = train_worlds(recipe, (2,), "hardware.zero_stage=3", "compile=true")[2]
    assert sharded.result.agrees
    assert sharded.losses == pytest.approx(train_worlds(recipe, (1,))[1].losses, rel=1e-4)


def test_half_precision(store, write_recipe, train_worlds):
    recipe = write_recipe(store.path, precision="bf16", phases=[{"steps": 30, "sequence_length": 16}])
    sharded, alone = train_worlds(recipe, (2,), "hardware.zero_stage=3")[2], train_worlds(recipe, (1,))[1]
    assert sharded.result.agrees
    assert sharded.losses == pytest.approx(alone.losses, rel=2e-2)
    assert sharded.losses[-1] < sharded.losses[0] - 0.1


EIGHT = """
import sys
import torch, torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForMaskedLM, BertConfig
from dist_epochs.train.loss_model import LossModel
from dist_epochs.train.sharding import shard

config = BertConfig(vocab_size=67, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20)
for rank in range(8):
    dist.init_process_group("fake", rank=rank, world_size=8, store=FakeStore())
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config, attn_implementation="sdpa")
    whole = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with_loss = LossModel(model)
    shard(with_loss, torch.device("cpu"), ranks=8, shard_size=4, half=None)
    kept = dict(model.named_parameters())
    assert kept.keys() == whole.keys()
    for name, tensor in whole.items():
        rows = -(-len(tensor) // 4)  # as many rows on each of four ranks, and the last has what is left
        mine = tensor[rows * (rank % 4) : rows * (rank % 4 + 1)]
        assert torch.equal(kept[name].to_local(), mine), (rank, name)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    held = sum(parameter.to_local().numel() for parameter in kept.values())
    print(rank, held, sum(tensor.numel() for tensor in whole.values()))
    dist.destroy_process_group()
"""


def test_slices_of_two_copies_on_eight_ranks(tmp_path):
    script = tmp_path / "eight.py"
    script.write_text(EIGHT)
    root = Path(__file__).parent.parent.parent
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    held = [tuple(map(int, line.split())) for line in result.stdout.splitlines()]
    assert [rank for rank, _, _ in held] == list(range(8))
    for copy in (held[:4], held[4:]):
        assert sum(numbers for _, numbers, _ in copy) == copy[0][2]

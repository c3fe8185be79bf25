"""What the recipe's precision sets in torch."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dist_epochs.recipe import OptimizerRecipe
from dist_epochs.train.setup import adamw

JOIN = """
import sys, torch
from pathlib import Path
from dist_epochs.recipe import read_recipe
from dist_epochs.train.world import join
torch.set_float32_matmul_precision("high")
join(read_recipe(Path(sys.argv[1]), [f"precision={sys.argv[2]}"]), print)
print(torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_tf32_takes_tf32(store, write_recipe, precision):
    """Torch's own default takes it in convolutions, and another program's setting may be left over."""
    recipe = str(write_recipe(store.path))
    done = subprocess.run([sys.executable, "-c", JOIN, recipe, precision], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["highest", "False"], done.stderr


def test_tf32_is_refused_without_a_gpu(store, write_recipe):
    recipe = str(write_recipe(store.path))
    done = subprocess.run([sys.executable, "-c", JOIN, recipe, "tf32"], capture_output=True, text=True, check=False)
    assert "tf32 needs a GPU" in done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tf32_is_set_on_a_gpu(store, write_recipe):
    recipe = str(write_recipe(store.path))
    done = subprocess.run([sys.executable, "-c", JOIN, recipe, "tf32"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["high", "True"], done.stderr


@pytest.mark.parametrize(
    ("device", "scaler", "fused"),
    [("cpu", None, True), ("cuda", None, True), ("cuda", object(), None), ("mps", None, None)],
)
def test_adamw_is_one_kernel_except_with_a_loss_scale(device, scaler, fused):
    """The kernel would skip an overflow by itself, and the ledger would take it for an applied step."""
    accelerator = SimpleNamespace(device=torch.device(device), scaler=scaler)
    optimizer = adamw(nn.Linear(3, 3), OptimizerRecipe(learning_rate=1e-3), accelerator)
    assert [group["fused"] for group in optimizer.param_groups] == [fused, fused]
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]

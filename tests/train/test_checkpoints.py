import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dist_epochs.errors import InputError
from dist_epochs.runtime.peers import Alone, RanksDiffer
from dist_epochs.train.checkpoints import Checkpoints, Damaged, Manifest, own_part, restore
from dist_epochs.train.checkpoints.manifest import read_manifest


class Model(nn.Module):
    """A tied weight, a buffer that is kept, and one that is not."""

    def __init__(self, width=4):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, width), nn.Linear(width, 7, bias=False)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.tensor([2.0]))
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("cache", torch.zeros(3), persistent=False)

    def forward(self, ids):
        return self.head(self.embed(ids)) * self.scale


def trained(steps, width=4, seed=0):
    torch.manual_seed(seed)
    model = Model(width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    more(model, optimizer, steps)
    return model, optimizer


def more(model, optimizer, steps):
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.tensor([step % 7, 3])).square().sum().backward()
        optimizer.step()
        model.seen += 1


def manifest(step=10):
    return Manifest(step=step, applied=step, plan="p", world_size=1, scaler={"scale": 8.0})


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", Alone(), keep=2)


def save(checkpoints, step=10, model=None):
    model, optimizer = model or trained(step)
    return checkpoints.save(manifest(step), own_part(model, optimizer, 0, 1))


def test_training_goes_on_as_if_it_had_never_stopped(checkpoints):
    model, optimizer = trained(10)
    save(checkpoints, model=(model, optimizer))
    other, fresh = trained(3, seed=5)
    found, refused = checkpoints.newest(lambda manifest: None)
    assert refused == []
    restore(other, fresh, found.files)
    for each in ((model, optimizer), (other, fresh)):
        more(*each, 5)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    assert other.head.weight is other.embed.weight
    assert found.manifest.scaler == {"scale": 8.0}


@pytest.mark.parametrize("world", [1, 2, 3, 50])
def test_the_parts_of_all_ranks_are_the_whole(world):
    model, optimizer = trained(2)
    parts = [own_part(model, optimizer, rank, world) for rank in range(world)]
    names = [name for part in parts for name in part]
    assert len(names) == len(set(names))
    assert set(names) == set(own_part(model, optimizer, 0, 1))
    assert "model/seen" in names
    assert not any("cache" in name or "head" in name for name in names)


def test_a_snapshot_does_not_change_with_the_model():
    model, optimizer = trained(2)
    part = own_part(model, optimizer, 0, 1)
    before = {name: tensor.clone() for name, tensor in part.items()}
    more(model, optimizer, 2)
    assert all(torch.equal(part[name], before[name]) for name in part)


def test_every_flipped_bit_is_found(checkpoints):
    folder = save(checkpoints)
    for path in folder.iterdir():
        good = path.read_bytes()
        for at in {*range(0, len(good), 7), len(good) - 2}:
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            with pytest.raises(Damaged):
                read_manifest(folder).check_files(folder)
        path.write_bytes(good)
    read_manifest(folder).check_files(folder)


def test_older_ones_go_when_the_new_one_is_safe(checkpoints):
    for step in (10, 20, 30):
        save(checkpoints, step)
    assert [folder.name for folder in sorted(checkpoints.folder.iterdir())] == ["step-000000020", "step-000000030"]


def test_a_failed_save_leaves_the_ones_before(checkpoints, monkeypatch):
    save(checkpoints, 10)
    monkeypatch.setattr("dist_epochs.train.checkpoints.folder.digest_of", lambda path: 1 / 0)
    with pytest.raises(RanksDiffer, match="division by zero"):
        save(checkpoints, 20)
    assert [folder.name for folder in checkpoints.folder.iterdir()] == ["step-000000010"]


def test_set_aside_until_the_next_good_one(checkpoints):
    save(checkpoints, 10)
    save(checkpoints, 20)
    checkpoints.set_aside(10)
    assert {folder.name for folder in checkpoints.folder.iterdir()} == {"step-000000010", "step-000000020.refused"}
    save(checkpoints, 20)
    assert {folder.name for folder in checkpoints.folder.iterdir()} == {"step-000000010", "step-000000020"}


def test_a_checkpoint_of_another_model(checkpoints):
    save(checkpoints)
    found, _ = checkpoints.newest(lambda manifest: None)
    with pytest.raises(InputError, match=r"embed.weight has the shape \(7, 4\) in the checkpoint and \(7, 8\)"):
        restore(*trained(1, width=8), found.files)
    other = nn.Linear(2, 2)
    with pytest.raises(InputError, match="is not a tensor of this model"):
        restore(other, torch.optim.AdamW(other.parameters()), found.files)


def test_another_format_is_refused(checkpoints):
    folder = save(checkpoints)
    assert json.loads((folder / "manifest.json").read_text())["format"] == 1
    text = manifest().to_text().replace('"format": 1', '"format": 2')
    (folder / "manifest.json").write_text(text)
    with pytest.raises(Damaged, match="does not match its digest"):
        read_manifest(folder)


SHARDED = """
import sys, torch, torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.device_mesh import init_device_mesh
from pathlib import Path
from dist_epochs.train.checkpoints import Checkpoints, Manifest, own_part, restore
from dist_epochs.runtime.gloo import GlooPeers
from tests.train.test_checkpoints import manifest, more, trained

def main(rank, world, folder, step):
    dist.init_process_group("gloo", rank=rank, world_size=world, init_method=f"file://{folder}/meet-{world}")
    model, _ = trained(0, seed=step)
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    checkpoints = Checkpoints(Path(folder) / "checkpoints", GlooPeers(30), keep=3)
    found, _ = checkpoints.newest(lambda manifest: None)
    if found:
        restore(model, optimizer, found.files)
    more(model, optimizer, 4)
    checkpoints.save(manifest(step), own_part(model, optimizer, rank, world))
    dist.barrier()
    dist.destroy_process_group()

if __name__ == "__main__":
    folder = sys.argv[1]
    for step, world in ((4, 2), (8, 3)):
        torch.multiprocessing.spawn(main, (world, folder, step), nprocs=world)
"""


def test_sharded_parameters_go_on_with_another_number_of_shards(tmp_path):
    """FSDP2 on 2 ranks and then on 3 gives what one process gives in one go."""
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED)
    root = Path(__file__).parent.parent.parent
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    model, optimizer = trained(0, seed=4)
    more(model, optimizer, 4)
    more(model, optimizer, 4)
    expected = own_part(model, optimizer, 0, 1)
    found, _ = Checkpoints(tmp_path / "checkpoints", Alone(), keep=2).newest(lambda manifest: None)
    assert found.manifest.world_size == 3
    other, fresh = trained(1, seed=9)
    restore(other, fresh, found.files)
    for name, tensor in own_part(other, fresh, 0, 1).items():
        assert torch.allclose(tensor, expected[name], atol=1e-6), name

import hashlib
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
import xxhash
from safetensors.torch import load_file, save_file
from torch import nn

from dist_epochs.errors import InputError
from dist_epochs.runtime.peers import Alone, RanksDiffer
from dist_epochs.train.checkpoints import Checkpoints, Damaged, Manifest, restore, tensors_of
from dist_epochs.train.checkpoints.finite import first_not_finite
from dist_epochs.train.checkpoints.manifest import read_manifest
from dist_epochs.train.checkpoints.tensor_file import TYPES, Piece, TensorFile, write_tensors


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


def trained(steps, width=4, seed=0, fused=None):
    torch.manual_seed(seed)
    model = Model(width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
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
    return checkpoints.save(manifest(step), tensors_of(model, optimizer))


@pytest.mark.parametrize("fused", [False, True])
def test_training_goes_on_as_if_it_had_never_stopped(checkpoints, fused):
    model, optimizer = trained(10, fused=fused)
    save(checkpoints, model=(model, optimizer))
    other, fresh = trained(3, seed=5, fused=fused)
    found, refused = checkpoints.newest(lambda manifest: None)
    assert refused == []
    restore(other, fresh, found.files)
    found.close()
    for each in ((model, optimizer), (other, fresh)):
        more(*each, 5)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    assert other.head.weight is other.embed.weight
    assert found.manifest.scaler == {"scale": 8.0}


def pieces_of(tensors):
    return [Piece(name, (0,) * tensor.ndim, tensor) for name, tensor in tensors.items()]


def test_tied_weights_are_saved_once_and_passing_buffers_not(checkpoints):
    names = set(tensors_of(*trained(2)))
    assert {"model/seen", "optimizer/exp_avg/embed.weight", "optimizer/step/scale"} < names
    assert not any("cache" in name or "head" in name for name in names)


def test_the_library_of_the_format_reads_the_same(tmp_path):
    shapes = [(), (3,), (2, 5), (0, 4)]
    tensors = {f"{name}/{shape}": torch.ones(shape).to(kind) for name, kind in TYPES.items() for shape in shapes}
    path = tmp_path / "part"
    digest = write_tensors(path, pieces_of(tensors))
    assert digest == "xxh3-128:" + xxhash.xxh3_128(path.read_bytes()).hexdigest()
    file = TensorFile(path)
    file.check(digest)
    for read in ({piece.name: piece.tensor for piece in file.pieces()}, load_file(path)):
        assert read.keys() == tensors.keys()
        assert all(read[name].dtype == tensor.dtype for name, tensor in tensors.items())
        assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    save_file(tensors, path)
    assert all(torch.equal(piece.tensor, tensors[piece.name]) for piece in TensorFile(path).pieces())


def test_an_error_of_the_disk_while_more_is_written_is_told(tmp_path, monkeypatch):
    """The disk takes the first half while the second is written, and tells its error only once."""
    monkeypatch.setattr("dist_epochs.train.checkpoints.tensor_file.FLUSH", 2)
    flushed, fsync = [], os.fsync

    def first_fails(handle):
        flushed.append(handle)
        if len(flushed) == 1:
            raise OSError(5, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", first_fails)
    with pytest.raises(OSError, match="Input/output error"):
        write_tensors(tmp_path / "part", pieces_of({str(number): torch.zeros(3) for number in range(9)}))


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


def other_digest(folder):
    """Rewrite a checkpoint's manifest as the first format had it."""
    kept = read_manifest(folder)
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in kept.files}
    content = json.loads(replace(kept, files=files).to_text()) | {"format": 1}
    del content["digest"]
    content["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "not those that were written"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "not those that were written"),
        (lambda path: path.write_bytes(b""), "not those that were written"),
        (lambda path: path.write_bytes((path.parent.parent / "step-000000010" / path.name).read_bytes()), "not those"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_a_damaged_file_is_refused_by_name_and_the_one_before_is_used(checkpoints, damage, reason, earlier):
    folders = [save(checkpoints, 10), save(checkpoints, 20)]
    if earlier:
        for folder in folders:
            other_digest(folder)
    found, refused = checkpoints.newest(lambda manifest: None)
    assert (found.manifest.step, refused) == (20, [])
    name = "part-00000-of-00001.safetensors"
    damage(folders[1] / name)
    found, (refused,) = checkpoints.newest(lambda manifest: None)
    assert found.manifest.step == 10
    assert reason in refused
    assert name in refused


def test_what_was_compared_is_loaded(checkpoints):
    """A file that takes the name of a compared one is not read; the checkpoint may be pruned, too."""
    model, optimizer = trained(10)
    save(checkpoints, model=(model, optimizer))
    found, _ = checkpoints.newest(lambda manifest: None)
    path = found.files[0].path
    (path.parent / "other").write_bytes(bytes(path.stat().st_size))
    (path.parent / "other").replace(path)
    other, fresh = trained(3, seed=5)
    restore(other, fresh, found.files)
    found.close()
    assert torch.equal(other.embed.weight, model.embed.weight)
    assert torch.equal(fresh.state[other.scale]["exp_avg"], optimizer.state[model.scale]["exp_avg"])


def test_a_file_with_the_right_digest_that_holds_no_tensors(tmp_path):
    for content in (b"12345", bytes(8), (2**60).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]"):
        (tmp_path / "part").write_bytes(content)
        file = TensorFile(tmp_path / "part")
        file.check("xxh3-128:" + xxhash.xxh3_128(content).hexdigest())
        with pytest.raises(Damaged, match="not a file of tensors"):
            list(file.pieces())


def test_the_first_tensor_that_is_not_finite():
    large = torch.full((100,), 3e38)  # their sum is infinite, and they are not
    tensors = {"a": large, "b": torch.zeros(3), "c": torch.zeros(0), "d": torch.ones(3, dtype=torch.int64)}
    assert first_not_finite(pieces_of(tensors)) == ""
    tensors["e"] = torch.full((100,), 6e4, dtype=torch.float16)
    tensors["f"] = torch.full((100,), 3e38, dtype=torch.bfloat16)
    assert first_not_finite(pieces_of(tensors)) == ""
    assert first_not_finite(pieces_of({"half": torch.tensor([math.inf, 1.0], dtype=torch.bfloat16)})) == "half"
    for bad in (math.nan, math.inf, -math.inf):
        tensors["b"][1] = bad
        assert first_not_finite(pieces_of(tensors)) == "b"
    assert first_not_finite(pieces_of({"both": torch.tensor([math.inf, -math.inf])})) == "both"


def test_older_ones_go_when_the_new_one_is_safe(checkpoints):
    for step in (10, 20, 30):
        save(checkpoints, step)
    assert [folder.name for folder in sorted(checkpoints.folder.iterdir())] == ["step-000000020", "step-000000030"]


def test_a_failed_save_leaves_the_ones_before(checkpoints, monkeypatch):
    save(checkpoints, 10)
    monkeypatch.setattr("dist_epochs.train.checkpoints.storage.write_tensors", lambda path, part: 1 / 0)
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
    assert json.loads((folder / "manifest.json").read_text())["format"] == 3
    text = manifest().to_text().replace('"format": 3', '"format": 4')
    (folder / "manifest.json").write_text(text)
    with pytest.raises(Damaged, match="does not match its digest"):
        read_manifest(folder)


SHARDED = """
import sys, torch, torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.device_mesh import init_device_mesh
from pathlib import Path
from dist_epochs.train.checkpoints import Checkpoints, restore, tensors_of
from dist_epochs.runtime.gloo import GlooPeers
from tests.train.test_checkpoints import manifest, more, trained

def main(rank, world, folder, step):
    dist.init_process_group("gloo", rank=rank, world_size=world, init_method=f"file://{folder}/meet-{world}")
    model, _ = trained(0, seed=step)
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    checkpoints = Checkpoints(Path(folder) / "checkpoints", GlooPeers(30), keep=3)
    found, _ = checkpoints.newest(lambda manifest: None)
    if found:
        restore(model, optimizer, found.files)
        found.close()
    more(model, optimizer, 4)
    checkpoints.save(manifest(step), tensors_of(model, optimizer))
    dist.barrier()
    dist.destroy_process_group()

if __name__ == "__main__":
    folder = sys.argv[1]
    for step, world in ((4, 2), (8, 3)):
        torch.multiprocessing.start_processes(main, (world, folder, step), nprocs=world, start_method="fork")
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
    expected = tensors_of(model, optimizer)
    found, _ = Checkpoints(tmp_path / "checkpoints", Alone(), keep=2).newest(lambda manifest: None)
    assert found.manifest.world_size == 3
    by_torch = {f"model/{name}": torch.empty_like(tensor) for name, tensor in trained(1)[0].named_parameters()}
    dcp.load(by_torch, storage_reader=dcp.HuggingFaceStorageReader(str(found.folder)), no_dist=True)
    for name, tensor in by_torch.items():
        assert torch.allclose(tensor, expected[name], atol=1e-6), f"torch's own reader: {name}"
    other, fresh = trained(1, seed=9)
    restore(other, fresh, found.files)
    for name, tensor in tensors_of(other, fresh).items():
        assert torch.allclose(tensor, expected[name], atol=1e-6), name

"""Packed files of runs: unpacked while they are read, and an error where they are damaged."""

import bz2
import gzip
import lzma

import pytest

from dist_epochs.audit.records import packed

PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize(
    "name",
    ["megatron.log", "trainer_state.json", "steps_back_to_0.wandb", "../samples/llamafactory/hykun1989-cut.jsonl"],
)
def test_the_same_as_unpacked(ask, logs, tmp_path, ending, name):
    plain = ask(logs / name)
    path = tmp_path / (name.rpartition("/")[2] + ending)
    path.write_bytes(PACKERS[ending]((logs / name).read_bytes()))
    found = ask(path)
    assert {key: entry["value"] for key, entry in found["record"].items()} == {
        key: entry["value"] for key, entry in plain["record"].items()
    }
    assert (found["kind"], found["verdict"]) == (plain["kind"], plain["verdict"])


@pytest.mark.parametrize("ending", PACKERS)
def test_one_that_is_cut_or_damaged(ask, logs, tmp_path, ending):
    content = PACKERS[ending]((logs / "megatron.log").read_bytes())
    path = tmp_path / f"a.log{ending}"
    for damaged in (content[: len(content) // 2], content[:30] + b"\xff\xff\xff" + content[33:]):
        path.write_bytes(damaged)
        error = ask(path, code=2)
        assert error["asked"] == f"this {ending[1:]} file is cut or damaged"
        assert error["place"] == str(path)


def test_one_that_unpacks_to_more_than_a_log_is(ask, tmp_path, monkeypatch):
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(b" iteration        1/  500 | lm loss: 1.0E+00 |\n" * 10_000))
    monkeypatch.setattr(packed, "MOST_UNPACKED", 100_000)
    assert ask(path, code=2)["asked"] == "this file unpacks to more than a log is"


def test_zstd(ask, logs, tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "a.log.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress((logs / "megatron.log").read_bytes()))
    assert ask(path)["kind"] == "megatron"
    path.write_bytes(path.read_bytes()[:-50])
    assert ask(path, code=2)["place"] == str(path)


def test_zstd_without_its_library(ask, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "a.log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd packed")
    assert ask(path, code=2)["fixes"][0] == "pip install 'dist-epochs[zstd]'"


def test_a_packed_ledger(ask, tmp_path):
    path = tmp_path / "ledger.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"event":"segment"}\n'))
    assert ask(path, code=2)["asked"] == "a packed ledger is not read"


def test_a_folder_with_a_packed_state_and_log(ask, logs, tmp_path):
    for name in ("trainer_state.json", "megatron.log"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((logs / name).read_bytes()))
    found = ask(tmp_path, code=1)  # they are of two runs
    assert found["kind"] == "hf-trainer"
    assert any("megatron.log.gz (megatron)" in note for note in found["notes"])

"""A store that was damaged is refused, whatever was damaged in it; what was found good is remembered."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.stores import verify
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import VERIFIED, verify_store
from dist_epochs.corpus.tokenizing.made_from import RECORD
from dist_epochs.errors import InputError


@pytest.fixture
def copied(store, tmp_path):
    """A store of one's own, which nothing was remembered of."""
    path = tmp_path / "store"
    shutil.copytree(store.path, path, ignore=shutil.ignore_patterns(VERIFIED))
    return path


def read_all(path):
    """Everything that planning and training open."""
    store = Store(path)
    for source in (*store.sources(), *store.sources(held_out=True)):
        for length in source.packed_lengths():
            source.packing(length)
    verify_store(store)


def edit(path, change):
    data = json.loads(path.read_text())
    data.pop("digest", None)  # as in stores that were made before there was one
    change(data)
    path.write_text(json.dumps(data))


def first(manifest):
    return manifest["sources"][0]


MANIFESTS = {
    "documents-107": lambda m: first(m).update(documents=107),
    "held_out-1": lambda m: first(m).update(held_out=1),
    "no-held_out": lambda m: first(m).pop("held_out"),
    "no-special_ids": lambda m: m["tokenizer"].pop("special_ids"),
    "tokens-inf": lambda m: first(m).update(tokens=float("inf")),
    "tokens-9999": lambda m: first(m).update(tokens=9999),
    "tokens-text": lambda m: first(m).update(tokens="9"),
    "negative": lambda m: first(m).update(words=-1),
    "shard-tokens": lambda m: (first(m)["shards"][0].update(tokens=9999), first(m).update(tokens=9999)),
    "outside": lambda m: first(m).update(name="../outside"),
    "absolute": lambda m: first(m).update(name="/tmp"),
    "two-of-a-name": lambda m: m["sources"].append(dict(first(m))),
    "no-sources": lambda m: m.update(sources=[]),
    "no-sha256": lambda m: first(m)["shards"][0].pop("sha256"),
    "another-sha256": lambda m: first(m)["shards"][0].update(sha256="0" * 64),
    "fingerprint": lambda m: m.update(fingerprint="0" * 64),
    "token_bytes-0": lambda m: m.update(token_bytes=0),
    "block_documents-0": lambda m: m.update(block_documents=0),
    "outside-by-name": lambda m: first(m).update(name="a/../../b"),
    "half-a-pair-in-a-name": lambda m: first(m).update(name="\ud800"),
    "documents-2**60": lambda m: (
        first(m)["shards"][0].update(documents=2**60, tokens=2**60),
        first(m).update(documents=2**60, tokens=2**60),
    ),
    "words-nan": lambda m: first(m).update(words=float("nan")),
    "held_out-text": lambda m: m.update(held_out="abc"),
    "vocabulary_size-1": lambda m: m["tokenizer"].update(vocabulary_size=1),
    "other-special_ids": lambda m: m["tokenizer"].update(special_ids=[7]),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_cannot_be(copied, change):
    edit(copied / "manifest.json", change)
    with pytest.raises(InputError, match=r"damaged|must be|no name"):
        read_all(copied)


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 3}, {"samples": 0}, {"samples": 1.5}, {"pieces": -1}, {"tokens": 10**6}, {"samples": None},
        {"sequence_length": 64}, {"sha256": {}},
    ],
    ids=str,
)  # fmt: skip
def test_a_packing_that_cannot_be(copied, change):
    edit(next(copied.glob("sources/*/packed-16/packing.json")), lambda counts: counts.update(change))
    with pytest.raises(InputError, match="damaged"):
        read_all(copied)


def test_a_manifest_nested_too_deeply(copied):
    (copied / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(InputError):
        Store(copied)


@pytest.mark.parametrize("name", ["manifest.json", "sources/web/packed-16/packing.json", "tokenizer/tokenizer.json"])
def test_a_file_that_is_no_file_or_endless(copied, name):
    path = copied / name
    size = path.stat().st_size
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError):
        read_all(copied)
    path.unlink()
    path.touch()
    os.truncate(path, 2**32 + size)
    with pytest.raises(InputError, match="bytes, "):
        read_all(copied)


def test_a_damaged_record_of_the_command(copied):
    path = copied / RECORD
    whole = json.loads(path.read_text())
    for change in ({"files": 2}, {"drafts": None}, {"digest": 5}, {"command": {}}):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(InputError, match="damaged"):
            read_all(copied)
    path.unlink()
    read_all(copied)  # as of a store that was made before there was one


def test_every_flipped_byte_is_found(copied):
    """Each file of the store that decides a number, at bytes all over it."""
    read_all(copied)
    files = [path for path in copied.rglob("*") if path.is_file() and path.name not in (VERIFIED, ".lock")]
    assert len(files) >= 10
    for path in files:
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 12)):
            damaged = bytearray(whole)
            damaged[at] ^= 0x11
            path.write_bytes(damaged)
            if path.suffix == ".json" and _means_the_same(bytes(damaged), whole):
                continue
            with pytest.raises(InputError):
                read_all(copied)
        path.write_bytes(whole)
    read_all(copied)


def _means_the_same(damaged, whole):
    try:
        return json.loads(damaged) == json.loads(whole)
    except ValueError:
        return False


def test_a_flipped_token_is_found_by_plan_and_tokenize(copied, write_recipe):
    recipe = write_recipe(copied)
    call = CliRunner().invoke
    assert call(main, ["plan", str(recipe)]).exit_code == 0
    path = next(copied.glob("sources/*/00000-000.tokens"))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    for command in (
        ["plan", str(recipe)],
        ["tokenize", str(copied), "--sequence-length", "24"],
        ["tokenize", str(copied), "--verify"],
    ):
        result = call(main, command)
        assert result.exit_code == 2, command
        assert f"{path}: " in result.stderr
        assert "SHA-256" in result.stderr
    assert not list(copied.glob("sources/*/packed-24"))


def test_what_was_found_good_is_remembered_until_a_file_changes(copied, monkeypatch):
    monkeypatch.setattr(verify, "_compared_here", {})
    assert verify_store(Store(copied))
    assert (copied / VERIFIED).is_file()
    assert not verify_store(Store(copied))
    assert verify_store(Store(copied), again=True)
    path = next(copied.glob("sources/*/00000-000.tokens"))
    os.utime(path, ns=(1, 1))
    assert verify_store(Store(copied)), "its time changed, so it is read again"
    assert not verify_store(Store(copied))
    monkeypatch.setattr(verify.platform, "node", lambda: "another machine")
    assert verify_store(Store(copied)), "each machine looks for itself"
    assert not verify_store(Store(copied))


def test_a_note_that_is_damaged_says_nothing(copied, monkeypatch):
    verify_store(Store(copied))
    for text in ("", "[]", "{", '{"machines": 3}', '{"machines": {"x": 1}}'):
        monkeypatch.setattr(verify, "_compared_here", {})
        (copied / VERIFIED).write_text(text)
        assert verify_store(Store(copied))


def test_plan_verifies_again_when_asked(copied, write_recipe):
    recipe = write_recipe(copied)
    call = CliRunner().invoke
    assert call(main, ["plan", str(recipe), "--verify"]).exit_code == 0
    path = next(copied.glob("sources/*/00000-000.tokens"))
    state, data = path.stat(), bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # a disk that rots does not change the time
    assert call(main, ["plan", str(recipe)]).exit_code == 0
    assert "SHA-256" in call(main, ["plan", str(recipe), "--verify"]).stderr
    assert "no recipe has one" in call(main, ["plan", "--batch", "8x16", "--steps", "5", "--verify"]).stderr

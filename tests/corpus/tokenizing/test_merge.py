"""Stores that are put together are the one that a single command writes, to the byte."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dist_epochs.cli.main import main
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores import blocks
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import VERIFIED
from dist_epochs.corpus.tokenizing import build as building
from dist_epochs.corpus.tokenizing import merge as merging
from dist_epochs.corpus.tokenizing import parts, tokenize_part
from dist_epochs.corpus.tokenizing.merge import merge
from dist_epochs.corpus.tokenizing.parts import Share
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from tests.corpus.corpora import megatron

HALF = Settings(sequence_lengths=(8,), held_out=Fraction(1, 2))


@cache
def embedded():
    return TextTokenizer(EMBEDDED)


def run(out, *paths, settings=HALF, tokenizer=None, share=None, **reading):
    sources = find_sources(tuple(map(str, paths)), **reading)
    return tokenize(sources, tokenizer or embedded(), settings, out=out, share=share)


def shards(folder, count, *paths, **how):
    """A store of each shard of a corpus."""
    for number in range(1, count + 1):
        run(folder / f"shard-{number}", *paths, share=Share(number, count), **how)
    return [folder / f"shard-{number}" for number in range(1, count + 1)]


def listing(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != VERIFIED
    }


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of some hundred bytes, shards and blocks of some dozen tokens; nothing waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(parts, "PART_BYTES", 300)
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 60)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(blocks, "BLOCK_TOKENS", 40)


def text(path, documents, seed=0):
    draw = random.Random(f"{path.name}{seed}")
    path.parent.mkdir(exist_ok=True)
    lines = [f"{at} the step of an epoch " + "is a run " * draw.randrange(6) for at in range(documents)]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def two(memory_path):
    """Two stores, of web and code, and of web; and what a single command reads."""
    tmp_path = memory_path
    inputs = [f"{name}={text(tmp_path / file, 30)}" for name, file in (("web", "a.txt"), ("code", "b.txt"))]
    more = f"web={text(tmp_path / 'more/c.txt', 20).parent}"
    run(tmp_path / "first", *inputs)
    run(tmp_path / "second", more)
    return tmp_path, [tmp_path / "first", tmp_path / "second"], [*inputs, more]


def test_sources_of_one_name_are_joined_and_others_stand_side_by_side(two):
    folder, stores, inputs = two
    counts = merge(stores, folder / "merged")
    assert counts == run(folder / "one", *inputs)
    assert listing(folder / "merged") == listing(folder / "one")
    assert [source.name for source in Store(folder / "merged").sources()] == ["web", "code"]
    shards = [file for store in stores for file in store.rglob("*.tokens")]
    assert all(file.stat().st_nlink == 2 for file in shards), "nothing is copied"
    assert run(folder / "merged", *inputs)["written_before"], "the single command finds its store"
    assert merge(stores, folder / "merged")["written_before"]
    third = text(folder / "d.txt", 20)
    run(folder / "third", third)
    merge([folder / "merged", folder / "third"], folder / "of-merged")
    assert listing(folder / "of-merged") == listing(merged_at_once(folder, [*stores, folder / "third"]))


def merged_at_once(folder, stores):
    merge(stores, folder / "at-once")
    return folder / "at-once"


DOCUMENTS = st.lists(st.integers(0, 40), max_size=8)
"""Words of each document of a file."""


@settings(max_examples=4)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("ab"), DOCUMENTS), min_size=1, max_size=3), min_size=2, max_size=3),
    st.sampled_from([Fraction(0), Fraction(1, 3)]),
    st.lists(st.sampled_from([8, 13]), unique=True, max_size=2),
    st.sampled_from(["line", "paragraph"]),
    st.integers(1, 4),
)
def test_merged_stores_equal_one(tmp_path_factory, stores, held_out, lengths, document, count):
    """For any shape of the corpus, any way in which its inputs are given to stores, and any number of shards."""
    folder = tmp_path_factory.mktemp("merge")
    inputs = []
    for number, files in enumerate(stores):
        own = []
        for name, documents in files:
            path = folder / f"{number}-{len(own)}.txt"
            lines = [
                " ".join(f"{path.stem} {at} step".split()[:words] + ["run"] * words)
                for at, words in enumerate(documents)
            ]
            path.write_text("\n".join(lines))
            own.append(f"{name}={path}")
        inputs.append(own)
    how = Settings(sequence_lengths=tuple(lengths), held_out=held_out)
    try:
        for number, own in enumerate(inputs):
            run(folder / f"store-{number}", *own, settings=how, document=document)
    except InputError:  # a source without documents
        assume(False)
    counts = merge([folder / f"store-{number}" for number in range(len(inputs))], folder / "merged")
    together = [each for own in inputs for each in own]
    assert counts == run(folder / "one", *together, settings=how, document=document)
    assert listing(folder / "merged") == listing(folder / "one")
    merge(shards(folder, count, *together, settings=how, document=document)[::-1], folder / "of-shards")
    assert listing(folder / "of-shards") == listing(folder / "one")
    shutil.rmtree(folder)


def test_it_is_packed_at_all_lengths_that_any_store_has(two):
    folder, stores, _ = two
    run(
        folder / "third",
        text(folder / "d.txt", 30),
        settings=Settings(sequence_lengths=(5, 9), held_out=Fraction(1, 2)),
    )
    assert merge([*stores, folder / "third"], folder / "merged")["samples"].keys() == {"5", "8", "9"}


def test_what_differs_is_named(two):
    folder, stores, _ = two
    data = json.loads(embedded().path.read_text())
    data["added_tokens"].append({**data["added_tokens"][0], "id": 9999, "content": "[more]"})
    embedded().save(folder / "other")
    (folder / "other/tokenizer.json").write_text(json.dumps(data))
    embedded().save(folder / "roles")
    (folder / "roles/tokenizer_config.json").write_text('{"pad_token": "the"}')
    path = text(folder / "d.txt", 30)
    for name, how, tokenizer in (
        ("tokenizer", HALF, TextTokenizer(folder / "other")),
        ("--special-tokens", Settings(held_out=Fraction(1, 2), special_tokens=False), None),
        ("--held-out", Settings(), None),
        ("tokenizer_config.json", HALF, TextTokenizer(folder / "roles")),
    ):
        run(folder / name, path, settings=how, tokenizer=tokenizer)
        with pytest.raises(InputError) as caught:
            merge([*stores, folder / name], folder / "merged")
        assert caught.value.asked.startswith(f"another {name} than {stores[0]}")
        assert caught.value.origin.name == str(folder / name)
    assert not list(folder.glob("merged*"))


def test_the_same_documents_are_not_put_in_twice(two):
    folder, stores, _ = two
    run(folder / "third", folder / "a.txt")
    for paths in ([stores[0], stores[0]], [*stores, folder / "third"]):
        with pytest.raises(InputError) as caught:
            merge(paths, folder / "merged")
        assert str(folder / "a.txt") in caught.value.asked
        assert caught.value.origin.name == str(paths[-1])


def test_a_missing_or_doubled_shard_is_named(two):
    folder, _, inputs = two
    own = shards(folder, 3, *inputs)
    with pytest.raises(InputError) as caught:
        merge([own[0], own[2]], folder / "merged")
    assert caught.value.asked == "shard 2/3 is missing"
    shutil.copytree(own[0], folder / "again")
    with pytest.raises(InputError) as caught:
        merge([*own, folder / "again"], folder / "merged")
    assert caught.value.asked == "shard 1/3 is there twice"
    assert caught.value.rule == f"it is {own[0]}, too"
    assert caught.value.origin.name == str(folder / "again")
    run(folder / "other", *inputs[:2], share=Share(2, 3))
    with pytest.raises(InputError) as caught:
        merge([own[0], folder / "other", own[2]], folder / "merged")
    assert caught.value.asked == "shard 2/3 is missing"
    assert str(folder / "other") in caught.value.rule


def test_shards_stand_beside_stores_and_some_have_no_documents(two):
    """Of a corpus of a few parts most shards are empty, and the folder of such a one is no store."""
    folder, _, inputs = two
    (folder / "few.txt").write_text("one document\n\n")
    own = shards(folder, 3, f"few={folder}/few.txt", settings=Settings(sequence_lengths=(8,)))
    with pytest.raises(InputError, match=r"it has no manifest\.json"):
        Store(own[1])
    run(folder / "plain", inputs[1], settings=Settings())
    run(folder / "one", f"few={folder}/few.txt", inputs[1], settings=Settings(sequence_lengths=(8,)))
    merge([own[2], folder / "plain", own[1], own[0]], folder / "merged")
    assert listing(folder / "merged") == listing(folder / "one")
    again = run(own[1], f"few={folder}/few.txt", settings=Settings(sequence_lengths=(8,)), share=Share(2, 3))
    assert (again["documents"], again["written_before"]) == (0, True)


def test_a_damaged_store_is_refused(two):
    folder, stores, _ = two
    shard = next(stores[1].rglob("*.tokens"))
    shard.write_bytes(bytes([*shard.read_bytes()[:-1], 9]))
    with pytest.raises(InputError, match="The store is damaged"):
        merge(stores, folder / "merged")
    path = stores[0] / "parts.jsonl"
    path.write_text(path.read_text().replace("a.txt", "c.txt"))
    with pytest.raises(InputError, match=r"parts\.jsonl"):
        merge(stores[:1], folder / "merged")


def test_where_files_cannot_have_two_names_they_are_copied(two, monkeypatch):
    folder, stores, _ = two

    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    merge(stores, folder / "merged")
    monkeypatch.undo()
    assert {file.stat().st_nlink for file in (folder / "merged").rglob("*.tokens")} == {1}


@pytest.mark.parametrize(
    ("name", "calls", "links"),
    [("link_or_copy", 5, True), ("link_or_copy", 5, False), ("manifest_of", 0, True), ("_pack", 0, True)],
)
def test_kill_9_at_any_time(two, monkeypatch, links, name, calls):
    folder, stores, inputs = two
    run(folder / "whole", *inputs)
    module = merging if name == "link_or_copy" else building
    original, left = getattr(module, name), iter(range(calls))

    def killed(*arguments, **how):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **how)

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError(18, "another disk")))
    child = os.fork()
    if child == 0:
        setattr(module, name, killed)
        with suppress(BaseException):
            merge(stores, folder / "out")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert (folder / "out.partial").exists()
    merge(stores, folder / "out")
    assert listing(folder / "out") == listing(folder / "whole")
    assert not (folder / "out.partial").exists()


def test_an_unfinished_store_of_the_single_command_is_begun_anew(two, monkeypatch):
    folder, stores, inputs = two
    original = tokenize_part.SourceWriter.close_shard

    def stops(self):
        original(self)
        if self._part == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tokenize_part.SourceWriter, "close_shard", stops)
        with pytest.raises(KeyboardInterrupt):
            run(folder / "out", *inputs)
    torn = max((folder / "out.partial").rglob("*.tokens"))
    torn.write_bytes(b"\1" * torn.stat().st_size)
    merge(stores, folder / "out")
    run(folder / "one", *inputs)
    assert listing(folder / "out") == listing(folder / "one")


@pytest.mark.parametrize("refer", [True, False])
def test_tokens_of_other_tools(tmp_path, refer):
    for number in range(2):
        megatron(tmp_path / f"{number}", [[[number * 10 + at, 3, 4]] * 20 for at in range(5)])
    how = Settings(refer=refer, sequence_lengths=(8,))
    for number in range(2):
        run(tmp_path / f"store-{number}", f"web={tmp_path}/{number}.idx", settings=how)
    counts = merge([tmp_path / "store-0", tmp_path / "store-1"], tmp_path / "merged")
    assert counts == run(tmp_path / "one", *(f"web={tmp_path}/{number}.idx" for number in range(2)), settings=how)
    assert listing(tmp_path / "merged") == listing(tmp_path / "one")


def test_the_command(two):
    folder, stores, _ = two
    result = CliRunner().invoke(main, ["merge", *map(str, stores), "--out", str(folder / "merged"), "--json"])
    assert json.loads(result.stdout)["documents"] == Store(folder / "merged").facts().documents
    result = CliRunner().invoke(main, ["merge", *map(str, stores), "--out", str(stores[0])])
    assert result.exit_code == 2
    assert "not empty" in result.stderr


def test_the_option(two):
    folder, _, inputs = two
    how = ["--tokenizer", EMBEDDED, "--held-out", "50%", "--sequence-length", "8", "--workers", "1"]
    for number in (1, 2):
        out = ["--out", str(folder / f"{number}"), "--shard", f"{number}/2"]
        assert CliRunner().invoke(main, ["tokenize", *inputs, *how, *out]).exit_code == 0
    result = CliRunner().invoke(main, ["merge", str(folder / "1"), str(folder / "2"), "--out", str(folder / "merged")])
    assert result.exit_code == 0, result.output
    run(folder / "one", *inputs)
    assert listing(folder / "merged") == listing(folder / "one")
    for wrong in ("3/2", "0/2", "2", "1/2/3"):
        result = CliRunner().invoke(main, ["tokenize", *inputs, *how, "--shard", wrong, "--out", str(folder / "no")])
        assert (result.exit_code, "is no shard" in result.stderr) == (2, True)
    assert (
        "--out STORE" in CliRunner().invoke(main, ["tokenize", *inputs, *how, "--count-only", "--shard", "1/2"]).stderr
    )

"""Stores of tokens that another tool wrote: copied, or referred to where they lie."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.input.sources import HELD_OUT, Source, find_sources
from dist_epochs.corpus.input.token_files import Reading
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import VERIFIED, verify_store
from dist_epochs.corpus.tokenizing import tokenize_part
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from tests.corpus.corpora import llmc, megatron

SAMPLES = Path(__file__).parents[1] / "readers" / "samples"
EOS = 2


@pytest.fixture(scope="module")
def documents(text_file):
    lines = [line for line in text_file.read_text().splitlines() if line.strip()][:1500]
    ids, sizes = TextTokenizer(EMBEDDED).encode(lines, special_tokens=False)
    encoded = np.split(ids, np.cumsum(sizes)[:-1])
    return [[*ids.tolist(), EOS] for ids in encoded]


@pytest.fixture
def corpora(documents, tmp_path):
    """The same documents in every format whose ids stand one after the other; after each its last id."""
    flat = [number for document in documents for number in document]
    folder = tmp_path / "corpora"
    folder.mkdir()
    np.array(flat, "<u2").tofile(folder / "train.bin")
    return {
        "megatron": megatron(folder / "a_text_document", [[document] for document in documents], "int32"),
        "llm.c": llmc(folder / "c_train_0.bin", [EOS, *flat[:-1]]),
        "nanogpt": folder / "train.bin",
    }


def run(path, out, eos=None, **settings):
    sources = find_sources((f"web={path}",), reading=Reading(eos=eos))
    return tokenize(sources, TextTokenizer(EMBEDDED), Settings(**settings), out=out)


def ids_of(store):
    (source,) = store.sources()
    return np.concatenate([source.tokens(block) for block in range(len(source.blocks))])


@pytest.mark.parametrize("kind", ["megatron", "llm.c", "nanogpt"])
def test_a_store_that_refers_holds_what_one_that_copies_holds(corpora, documents, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 4000)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 100)
    eos = None if kind == "megatron" else EOS
    lengths = {"sequence_lengths": (16, 32)}
    referred = run(corpora[kind], tmp_path / "referred", eos, refer=True, **lengths)
    copied = run(corpora[kind], tmp_path / "copied", eos, **lengths)
    changing = {"fingerprint": None}  # of int32 and of uint16
    assert referred | changing == copied | changing
    assert referred["documents"] == len(documents)
    assert (referred["words"], referred["tokens_per_word"]) == (None, None)
    stores = [Store(tmp_path / name) for name in ("referred", "copied")]
    assert (ids_of(stores[0]) == ids_of(stores[1])).all()
    assert (stores[0].sources()[0].lengths == stores[1].sources()[0].lengths).all()
    assert len(stores[0].sources()[0].entry["shards"]) > 2
    assert not list((tmp_path / "referred").rglob("*.tokens"))
    assert stores[0].manifest["tokenizer"]["special_tokens_added"] is False
    assert verify_store(stores[0])
    assert not verify_store(stores[0])
    notes = json.loads((tmp_path / "referred" / VERIFIED).read_text())
    assert str(corpora[kind].with_suffix(".bin")) in json.dumps(notes)


def test_documents_are_those_of_the_index(corpora, documents, tmp_path):
    run(corpora["megatron"], tmp_path / "store", refer=True, sequence_lengths=(16,))
    (source,) = Store(tmp_path / "store").sources()
    assert source.lengths.tolist() == [len(document) for document in documents]
    assert ids_of(Store(tmp_path / "store")).tolist() == [number for document in documents for number in document]


@pytest.mark.parametrize("place", ["arrow", "parquet", "mds"])
def test_other_formats_are_copied(tmp_path, place):
    path = {"arrow": "hf-datasets/hf_disk", "parquet": "hf-datasets/hf_padded.parquet", "mds": "mds/mds_ragged"}[place]
    counts = run(SAMPLES / path, tmp_path / "store", sequence_lengths=(16,))
    assert (counts["documents"], counts["tokens"]) == (25, 889)
    with pytest.raises(InputError, match=r"a store cannot refer to the tokens.*holds more than its ids"):
        run(SAMPLES / path, tmp_path / "other", refer=True)


def test_packed_rows_need_the_id_that_ends_documents(tmp_path):
    with pytest.raises(InputError, match="its samples are packed, and its documents not known"):
        run(SAMPLES / "mds" / "mds_fixed", tmp_path / "store")
    assert run(SAMPLES / "mds" / "mds_fixed", tmp_path / "store", 1)["documents"] == 24
    assert run(SAMPLES / "hf-datasets" / "hf_packed.parquet", tmp_path / "packed", 1)["tokens"] == 864


def test_files_for_evaluation_are_held_out(documents, tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    flat = [number for document in documents for number in document]
    llmc(folder / "web_val_000000.bin", flat[:1000])
    llmc(folder / "web_train_000001.bin", flat[1000:3000])
    llmc(folder / "web_train_000002.bin", flat[3000:5000])
    counts = run(folder, tmp_path / "store", EOS, refer=True, sequence_lengths=(16,))
    assert counts["tokens"] == 4000
    assert counts["held_out"]["tokens"] == 1000
    store = Store(tmp_path / "store")
    assert [source.name for source in store.sources(held_out=True)] == [f"web{HELD_OUT}"]
    assert len(store.sources()[0].entry["shards"]) == 2  # a shard is in one file


def test_a_share_is_held_out_of_copies_only(corpora, tmp_path):
    with pytest.raises(InputError, match="a store cannot refer to the tokens and hold documents out"):
        run(corpora["megatron"], tmp_path / "store", refer=True, held_out=Fraction(1, 10))
    counts = run(corpora["megatron"], tmp_path / "store", held_out=Fraction(1, 10))
    assert 0.05 < counts["held_out"]["documents"] / 1500 < 0.15


@pytest.mark.parametrize("refer", [False, True])
def test_an_interrupted_store_goes_on_and_ends_the_same(corpora, tmp_path, monkeypatch, refer):
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 3000)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 50)
    whole, store = tmp_path / "whole", tmp_path / "store"
    run(corpora["megatron"], whole, refer=refer, sequence_lengths=(16,))
    original = Source.read

    def killed(source, unit):
        for number, document in enumerate(original(source, unit)):
            if number == 900:
                raise KeyboardInterrupt
            yield document

    with monkeypatch.context() as patch:
        patch.setattr(Source, "read", killed)
        with pytest.raises(KeyboardInterrupt):
            run(corpora["megatron"], store, refer=refer, sequence_lengths=(16,))
    with pytest.raises(InputError, match="another --refer"):
        run(corpora["megatron"], store, refer=not refer, sequence_lengths=(16,))
    run(corpora["megatron"], store, refer=refer, sequence_lengths=(16,))
    files = [{str(f.relative_to(out)): f.read_bytes() for f in out.rglob("*") if f.is_file()} for out in (whole, store)]
    assert files[0] == files[1]
    assert run(corpora["megatron"], store, refer=refer, sequence_lengths=(16,))["written_before"]


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (flip, "its tokens are not those that were written"),
        (lambda path: os.truncate(path, path.stat().st_size - 4), "bytes and had"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_file_that_changed_is_refused(corpora, tmp_path, change, asked):
    run(corpora["megatron"], tmp_path / "store", refer=True, sequence_lengths=(16,))
    verify_store(Store(tmp_path / "store"))
    file = corpora["megatron"].with_suffix(".bin")
    change(file)
    with pytest.raises(InputError) as caught:
        verify_store(Store(tmp_path / "store"))
    assert asked in caught.value.asked
    assert caught.value.origin.name == str(file)
    assert "a store refers to this file" in caught.value.rule


REFERRING = {
    "no-dtype": lambda shard: shard.pop("dtype"),
    "relative": lambda shard: shard.update(file="a.bin"),
    "nul": lambda shard: shard.update(file="/a\0.bin"),
    "number": lambda shard: shard.update(file=7),
    "float": lambda shard: shard.update(dtype="float32"),
    "object": lambda shard: shard.update(dtype=["int32"]),
    "beyond": lambda shard: shard.update(offset=10**12),
    "negative": lambda shard: shard.update(offset=-4),
    "unknown": lambda shard: shard.update(url="http://a"),
}


@pytest.mark.parametrize("name", REFERRING)
def test_a_damaged_reference_is_refused(corpora, tmp_path, name):
    run(corpora["megatron"], tmp_path / "store", refer=True, sequence_lengths=(16,))
    path = tmp_path / "store" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    REFERRING[name](manifest["sources"][0]["shards"][0])
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="The store is damaged"):
        Store(tmp_path / "store")


def ask(*arguments):
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout if result.exit_code == 0 else result.stderr)


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        (["--out", "store"], "a store of tokens needs the tokenizer"),
        (["--out", "store", "--tokenizer", "embedded"], "token 31,999 is not among the 2,048 of the tokenizer"),
        (["--count-only", "--refer"], "a store cannot refer"),
        (["--count-only", "--refer", "--eos", "-1"], "-1"),
    ],
)
def test_what_a_store_of_tokens_needs(tmp_path, monkeypatch, flags, asked):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["tokenize", str(SAMPLES / "megatron-bin" / "corpus_text_document.idx"), *flags])
    assert result.exit_code == 2
    assert asked in result.stderr
    assert not list(tmp_path.iterdir())


def test_tokens_and_text_are_two_stores(text_file, corpora):
    code, found = ask("tokenize", text_file, corpora["nanogpt"], "--count-only", "--tokenizer", "embedded")
    assert code == 2
    assert "web is text, and train is tokens" in found["errors"][0]["asked"]
    code, found = ask("tokenize", text_file, "--count-only", "--tokenizer", "embedded", "--eos", "2")
    assert (code, found["errors"][0]["asked"][:27]) == (2, "--eos, --dtype and --refer ")


def test_samples_are_counted_without_a_store(corpora, tmp_path):
    run(corpora["megatron"], tmp_path / "store", refer=True, sequence_lengths=(16, 32))
    store = Store(tmp_path / "store").facts()
    _, counts = ask("tokenize", corpora["megatron"], "--count-only", "--sequence-length", "16,32")
    assert counts["samples"] == {str(length): store.samples(length)["web"] for length in (16, 32)}


def test_a_plan_on_a_store_that_refers_is_exact(corpora, tmp_path, write_recipe):
    run(corpora["megatron"], tmp_path / "store", refer=True, sequence_lengths=(16, 32))
    code, plan = ask("plan", write_recipe(tmp_path / "store"))
    assert code == 0
    assert plan["corpus"]["documents"] == 1500
    assert plan["sample_digest"]
    assert CliRunner().invoke(main, ["plan", str(write_recipe(tmp_path / "store"))]).exit_code == 0
    shutil.rmtree(tmp_path / "corpora")
    code, found = ask("plan", write_recipe(tmp_path / "store"))
    assert code == 2
    assert found["errors"][0]["asked"] == "is missing"

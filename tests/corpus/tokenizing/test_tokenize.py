import json
import shutil
from fractions import Fraction

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.sources import Source, find_sources
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing import build, tokenize_part
from dist_epochs.corpus.tokenizing import tokenize as module
from dist_epochs.corpus.tokenizing.build import pack
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError


def run(path, out=None, **settings):
    return tokenize(find_sources((str(path),)), TextTokenizer(EMBEDDED), Settings(**settings), out=out)


def listing(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_counts_against_a_recount_of_the_text(store, text_file):
    """An independent recount: the tokenizers library over the lines of the file, one by one."""
    tokenizer = Tokenizer.from_file(str(TextTokenizer(EMBEDDED).path))
    lines = [line for line in text_file.read_text().splitlines() if line.strip()]
    sources = [*store.sources(), *store.sources(held_out=True)]
    assert sum(source.entry["documents"] for source in sources) == len(lines)
    assert sum(source.entry["words"] for source in sources) == sum(len(line.split()) for line in lines)
    assert sum(source.entry["tokens"] for source in sources) == sum(len(tokenizer.encode(line).ids) for line in lines)
    assert 0.05 < sources[1].entry["documents"] / len(lines) < 0.15


def test_the_ids_in_the_store_are_the_documents(store, text_file):
    tokenizer = TextTokenizer(EMBEDDED)
    ids = np.concatenate([store.sources()[0].tokens(block) for block in range(len(store.sources()[0].blocks))])
    held = np.concatenate([store.sources(held_out=True)[0].tokens(block) for block in range(1)])
    expected = np.sort(tokenizer.encode(text_file.read_text().splitlines(), special_tokens=True)[0])
    assert (np.sort(np.concatenate([ids, held])) == expected).all()


def test_ids_of_a_large_vocabulary_take_four_bytes(tmp_path):
    words = {f"w{number}": number for number in range(70_000)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "a.txt").write_text("w1 w69999 other\nw2")
    sources = find_sources((str(tmp_path / "a.txt"),))
    tokenize(sources, TextTokenizer(tmp_path), Settings(), out=tmp_path / "store", workers=2)
    (source,) = Store(tmp_path / "store").sources()
    assert source.tokens(0).tolist() == [1, 69_999, 0, 2]


def test_counting_only_gives_the_same_and_writes_nothing(text_file, tmp_path):
    settings = {"sequence_lengths": (16, 32), "held_out": Fraction(1, 10)}
    counted = run(text_file, **settings)
    assert counted == run(text_file, tmp_path / "store", **settings)
    assert counted["samples"].keys() == {"16", "32"}


def test_blocks_do_not_depend_on_shards_being_cut(text_file, tmp_path, monkeypatch):
    folder = tmp_path / "many"
    folder.mkdir()
    for at, line in enumerate(text_file.read_text().splitlines()[:50]):
        (folder / f"{at:03d}.txt").write_text(line)
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 100)
    counts = run(folder, tmp_path / "store", sequence_lengths=(16,))
    (source,) = Store(tmp_path / "store").sources()
    assert len(source.entry["shards"]) > 3
    assert counts["tokens"] == source.lengths.sum() == sum(len(source.tokens(b)) for b in range(len(source.blocks)))
    assert counts == run(folder, sequence_lengths=(16,))


def test_empty_documents_are_counted(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n\n   \ntwo\n")
    counts = run(path)
    assert (counts["documents"], counts["empty_documents"], counts["words"]) == (2, 2, 2)


def test_broken_documents_stop_or_are_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": \n{"text": "two"}\n')
    with pytest.raises(BadDocument, match=r"a\.jsonl:2: broken JSON.*--on-error skip"):
        run(path, tmp_path / "store")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]
    counts = run(path, tmp_path / "store", on_error="skip")
    assert (counts["documents"], counts["skipped_documents"]) == (2, 1)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_corpus_is_an_error(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match="There is nothing to train on"):
        run(tmp_path / "a.txt", tmp_path / "store")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_an_output_folder_that_is_not_empty_is_left_alone(text_file, tmp_path):
    out = tmp_path / "store"
    out.mkdir()
    (out / "mine").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        run(text_file, out)
    assert listing(out) == {"mine": b"keep"}


def test_an_interrupted_store_goes_on_and_ends_the_same(text_file, tmp_path, monkeypatch):
    folder = tmp_path / "text"
    folder.mkdir()
    for at in range(6):
        shutil.copy(text_file, folder / f"{at}.txt")
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 50_000)
    run(folder, tmp_path / "whole", sequence_lengths=(16,))
    original, calls = Source.read, []

    def killed(source, unit):
        calls.append(unit.name)
        yield from original(source, unit)
        if len(calls) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Source, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "store", sequence_lengths=(16,))
    assert (tmp_path / "store.partial").is_dir()
    with pytest.raises(InputError, match="unfinished store of another command"):
        run(folder, tmp_path / "store", sequence_lengths=(16,), special_tokens=False)
    run(folder, tmp_path / "store", sequence_lengths=(16,))
    assert 1 <= len(calls) - 5 < 6  # some files were not read again
    assert listing(tmp_path / "store") == listing(tmp_path / "whole")
    assert not (tmp_path / "store.partial").exists()


def test_a_folder_that_is_in_the_way_is_left_alone(text_file, tmp_path):
    partial = tmp_path / "store.partial"
    partial.mkdir()
    (partial / "thesis.txt").write_text("keep")
    with pytest.raises(InputError, match="a store is built in this folder, and it holds something else"):
        run(text_file, tmp_path / "store")
    assert listing(partial) == {"thesis.txt": b"keep"}


def test_two_writers_of_one_store(text_file, tmp_path, monkeypatch):
    original = module._tokenized

    def second_writer(*arguments):
        with pytest.raises(InputError, match="another process is writing"):
            run(text_file, tmp_path / "store")
        return original(*arguments)

    monkeypatch.setattr(module, "_tokenized", second_writer)
    assert run(text_file, tmp_path / "store")["documents"] > 0


def test_a_failure_leaves_no_folder_of_the_path(tmp_path):
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(InputError, match="nothing to train on"):
        run(tmp_path / "a.txt", tmp_path / "deep" / "er" / "store")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_kill_while_packing_does_not_read_again(text_file, tmp_path, monkeypatch):
    settings = {"sequence_lengths": (16, 32)}
    with monkeypatch.context() as patch:
        patch.setattr(build, "_pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(text_file, tmp_path / "store", **settings)
    monkeypatch.setattr(Source, "read", lambda *_: pytest.fail("read again"))
    assert run(text_file, tmp_path / "store", **settings)["samples"].keys() == {"16", "32"}


def test_packing_later_is_packing_at_once(text_file, tmp_path):
    at_once = run(text_file, tmp_path / "a", sequence_lengths=(16, 24))
    run(text_file, tmp_path / "b", sequence_lengths=(16,))
    assert pack(Store(tmp_path / "b"), (24,)) == at_once
    assert listing(tmp_path / "a") == listing(tmp_path / "b")


def test_the_fingerprint_follows_content_and_tokenizer(text_file, tmp_path):
    plain = run(text_file)["fingerprint"]
    assert run(text_file, special_tokens=False)["fingerprint"] != plain
    other = tmp_path / text_file.name
    other.write_text(text_file.read_text() + "more\n")
    assert run(other)["fingerprint"] != plain
    assert run(text_file, sequence_lengths=(16,))["fingerprint"] == plain


def test_a_damaged_store_says_which_file(text_file, tmp_path):
    run(text_file, tmp_path / "store", sequence_lengths=(16,))
    tokens = tmp_path / "store" / "sources" / "web" / "00000-000.tokens"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"00000-000\.tokens: has .* bytes and must have .*damaged"):
        Store(tmp_path / "store")
    manifest = tmp_path / "store" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 99}))
    with pytest.raises(InputError, match="a store of version 99"):
        Store(tmp_path / "store")
    manifest.write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read"):
        Store(tmp_path / "store")


@pytest.mark.parametrize("content", ["{}", "not json", '{"version": "1.0"}'])
def test_what_is_no_tokenizer(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not a fast tokenizer"):
        TextTokenizer(tmp_path)
    with pytest.raises(InputError, match="no such tokenizer file"):
        TextTokenizer(tmp_path / "nowhere")


def test_a_companion_of_the_tokenizer_that_is_damaged(tmp_path):
    shutil.copy(TextTokenizer(EMBEDDED).path, tmp_path / "tokenizer.json")
    for content in ("[", "[]", "[" * 100_000, "9" * 5000):
        (tmp_path / "tokenizer_config.json").write_text(content)
        with pytest.raises(InputError, match=r"tokenizer_config\.json: not"):
            TextTokenizer(tmp_path).roles  # noqa: B018
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": 5, "mask_token": {"content": []}}')
    assert TextTokenizer(tmp_path).roles == TextTokenizer(EMBEDDED).roles


def test_a_text_that_the_tokenizer_cannot_encode(tmp_path):
    tokenizer = Tokenizer(WordLevel({"a": 0}))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot encode"):
        TextTokenizer(tmp_path).encode(["b"], special_tokens=True)


def test_large_vocabularies_take_four_bytes(tmp_path, text_file):
    wide = json.loads(TextTokenizer(EMBEDDED).path.read_text())
    wide["model"]["vocab"]["[LAST]"] = 70_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(wide))
    tokenize(find_sources((str(text_file),)), TextTokenizer(tmp_path), Settings(), out=tmp_path / "store")
    assert Store(tmp_path / "store").sources()[0].tokens(0).itemsize == 4

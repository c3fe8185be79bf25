"""Corpora that other tools tokenized: their numbers, what is told of them, and what is refused."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.input.place import count_place
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.input.token_counts import count_tokens
from dist_epochs.corpus.input.token_files import Flat, Reading, Stream, cut
from dist_epochs.corpus.input.token_formats import FORMATS, format_of, other_tool
from dist_epochs.errors import InputError
from dist_epochs.settings.document import Document
from tests.corpus.corpora import llmc, megatron, sparse_megatron

SAMPLES = Path(__file__).with_name("samples")
PLACES = {
    "megatron-bin/corpus_text_document": (["{}.idx", "{}.bin"], None),
    "megatron-bin/corpus_text_sentence": (["{}.idx", "{}.bin"], None),
    "llmc-bin/modded-nanogpt": (["{}"], 50256),
    "llmc-bin/llama3": (["{}"], 128000),
    "nanogpt-bin/train.bin": (["{}"], 63),
    "hf-datasets/hf_disk": (["{}", "{}/data-00000-of-00001.arrow"], None),
    "hf-datasets/hf_packed.parquet": (["{}"], None),
    "hf-datasets/hf_padded.parquet": (["{}"], None),
    "mds/mds_bytes": (["{}", "{}/index.json", "{}/shard.00001.mds"], 1),
    "mds/mds_fixed": (["{}", "{}/index.json"], 1),
    "mds/mds_ragged": (["{}"], None),
}
"""The samples: how a place is written, and the id between documents where no index tells these."""

NOT_TOLD = {"note", "dropped_tokens"}
"""What is expected and stands nowhere in a file: how many tokens its tool had dropped before."""


def ask(*arguments, code=0):
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout if code == 0 else result.stderr)


def count(place, *options, code=0):
    found = ask("tokenize", place, "--count-only", *options, code=code)
    return found if code == 0 else found["errors"][0]


def expected(name):
    kind, _, part = name.partition("/")
    return json.loads((SAMPLES / kind / "expected.json").read_text())[part]


def agrees(holds, wanted, name):
    for key, value in wanted.items():
        if key == "eod":
            assert holds["eod"] == (int(value.split("(")[1][:-1]) if "(" in value else None), name
        elif key == "shards":
            found = {shard["file"]: shard for shard in holds["shards"]}
            for shard in value:
                agrees(found[shard["file"]], shard, name)
        elif key not in NOT_TOLD:
            assert holds[key] == value, f"{name}: {key}"


@pytest.mark.parametrize(("name", "form"), [(name, form) for name, (forms, _) in PLACES.items() for form in forms])
def test_every_sample_has_its_expected_numbers(name, form):
    eos = PLACES[name][1]
    wanted = expected(name)
    counts = count(form.format(SAMPLES / name), *([] if eos is None else ["--eos", eos]))
    if eos is None or "documents" in wanted:
        assert counts["documents"] == wanted["documents"]
    assert counts["tokens"] == counts["sources"][0]["tokens"] == wanted["tokens"]
    agrees(counts["holds"], wanted, name)


@pytest.mark.parametrize("name", [name for name, (_, eos) in PLACES.items() if eos is not None])
def test_without_an_id_that_ends_them_documents_are_unknown_and_it_is_said(name):
    counts = count(SAMPLES / name)
    assert counts["documents"] is None
    assert counts["tokens"] == expected(name)["tokens"]
    (note,) = counts["holds"]["notes"]
    assert "--eos" in note


KINDS = {
    "megatron-bin": "megatron",
    "llmc-bin": "llm.c",
    "nanogpt-bin": "nanogpt",
    "hf-datasets": "datasets",
    "mds": "mds",
}
BESIDE = {"expected.json", "dataset_info.json", "state.json", "zarr.json", "0"}
"""Files of corpora that do not tell by themselves what they belong to."""


def test_no_sample_of_any_kind_is_taken_for_another():
    """Over all samples that the tests have: of corpora, of runs and of configurations."""
    tests = Path(__file__).parents[2]
    files = [file for folder in tests.rglob("samples") for file in folder.rglob("*") if file.is_file()]
    files += [file for file in tests.joinpath("audit").rglob("*") if file.is_file() and file.suffix != ".py"]
    for file in files:
        kind, tool = format_of(file), other_tool(file)
        assert not (kind and tool), file
        if not file.is_relative_to(SAMPLES):
            assert kind is None, file
            continue
        sample = file.relative_to(SAMPLES).parts[0]
        if kind is not None:
            assert kind == KINDS[sample], file
        elif sample in KINDS:
            is_part = file.with_suffix(".idx").is_file() or ".mds" in file.suffixes
            assert tool is None, file
            assert is_part or file.name in BESIDE, file


@pytest.mark.parametrize(
    ("name", "word"),
    [("datatrove/standard", "datatrove"), ("dolma-npy/two-parts", "Dolma"), ("levanter/cache", "Levanter"),
     ("litdata/litdata_tokens", "litdata"), ("webdataset/wds-00002.tar", "webdataset")],
)  # fmt: skip
def test_a_kind_that_is_not_read_is_named(name, word):
    assert word in count(SAMPLES / name, code=2)["asked"]


def test_a_folder_of_two_corpora_counts_both():
    counts = count(SAMPLES / "megatron-bin")
    assert (counts["documents"], counts["tokens"]) == (34, 1189)
    assert [shard["file"] for shard in counts["holds"]["shards"]] == [
        "corpus_text_document.idx", "corpus_text_sentence.idx",
    ]  # fmt: skip
    assert counts["not_read"] == [
        {
            "path": str(SAMPLES / "megatron-bin" / "expected.json"),
            "reason": "not tokens, and nothing that belongs to them",
        }
    ]


def test_files_for_evaluation_are_counted_and_named():
    holds = count(SAMPLES / "llmc-bin" / "modded-nanogpt", "--eos", 50256)["holds"]
    assert holds["validation"] == {"files": ["fineweb_val_000000.bin"], "documents": 16, "tokens": 1000}
    plan = ask("plan", "--corpus", SAMPLES / "llmc-bin" / "modded-nanogpt", "--batch", "4x32", "--epochs", "2")
    assert plan["corpus"]["tokens"] == 2744
    assert plan["holds"]["tokens"] == 3744


@pytest.mark.parametrize("form", ["{}.idx", "{}.bin"])
def test_a_plan_on_a_corpus_where_it_lies(form):
    place = form.format(SAMPLES / "megatron-bin" / "corpus_text_document")
    plan = ask("plan", "--corpus", place, "--batch", "4x32", "--epochs", "2")
    assert (plan["corpus"]["tokens"], plan["holds"]["documents"], plan["holds"]["sequences"]) == (626, 23, 23)
    assert plan["steps"] == -(-2 * 626 // 128)


def test_a_recipe_may_name_the_corpus(write_recipe):
    megatron_index = SAMPLES / "megatron-bin" / "corpus_text_document.idx"
    recipe = write_recipe(megatron_index)
    assert ask("plan", recipe)["corpus"]["tokens"] == 626
    document = Document.read(recipe)
    count_place(document, recipe.parent)
    assert document.get(("corpus",)) == {"tokens": "626 tokens"}
    assert "23 documents, 626 tokens, as megatron has them" in document.remarks[0]


MEASURED = r"""
import re, sys
from dist_epochs.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
print(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1])
"""


def test_a_hundred_million_documents_are_planned_by_the_ends_of_the_index(tmp_path):
    index = sparse_megatron(tmp_path / "big_text_document", 10**8, 10**11)
    start = time.process_time()
    plan = ask("plan", "--corpus", index, "--batch", "1024x4096", "--epochs", "1")
    assert time.process_time() - start < 2
    assert (plan["corpus"]["tokens"], plan["holds"]["documents"]) == (10**11, 10**8)
    flags = ["plan", "--corpus", str(index), "--batch", "1024x4096", "--epochs", "1"]
    ran = subprocess.run([sys.executable, "-c", MEASURED, *flags], capture_output=True, text=True, check=True)
    kilobytes = int(ran.stdout.split()[-1])
    assert kilobytes < 300 * 1024


def test_an_index_is_checked_in_parts(tmp_path, monkeypatch):
    """As many entries at once as ever: documents, sequences and empty ones fall on every boundary."""
    draw = np.random.default_rng(0)
    documents = [
        [draw.integers(0, 500, draw.integers(0, 4)).tolist() for _ in range(draw.integers(0, 4))] for _ in range(60)
    ]
    index = megatron(tmp_path / "a", documents, "int32")
    ids = [[number for sequence in document for number in sequence] for document in documents]
    for at_once in (1, 2, 3, 7, 64, 1000):
        monkeypatch.setattr("dist_epochs.corpus.readers.megatron_index.AT_ONCE", at_once)
        assert [each.tolist() for each in FORMATS["megatron"].documents(index, Reading())] == ids


def test_an_id_that_is_in_no_document_makes_no_endless_one(monkeypatch):
    monkeypatch.setattr("dist_epochs.corpus.input.token_files.LONGEST_DOCUMENT", 100)
    for place in ("nanogpt-bin/train.bin", "mds/mds_fixed"):
        error = count(SAMPLES / place, "--eos", "40000", "--sequence-length", "16", code=2)
        assert error["rule"] == "one of at most 100 is read"
        assert error["fixes"] == ["--eos, the id between documents"]
        assert error["place"].startswith(str(SAMPLES / place))
    assert count(SAMPLES / "nanogpt-bin/train.bin", "--eos", "40000")["documents"] == 1


def test_a_multimodal_index_is_said_to_be_one(tmp_path):
    index = megatron(tmp_path / "a", [[[1, 2], [3]], [[4]]])
    index.write_bytes(index.read_bytes() + bytes(3))
    counts = count(index)
    assert (counts["documents"], counts["tokens"]) == (2, 4)
    assert any("multimodal" in note for note in counts["holds"]["notes"])


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("stream", [[9, 1, 2, 9, 3], [1, 9, 9, 2], [9], [1, 2], [9, 9], []])
def test_documents_of_a_stream_whatever_its_pieces(place, stream):
    whole = [each.tolist() for each in cut([np.array(stream)], 9, place, SAMPLES)]
    assert [number for document in whole for number in document] == stream
    for document in whole:
        marks = [at for at, number in enumerate(document) if number == 9]
        assert marks in ([], [0] if place == "before" else [len(document) - 1])
    for size in (1, 2, 3):
        pieces = [np.array(stream[at : at + size], dtype=np.int64) for at in range(0, len(stream), size)]
        assert [each.tolist() for each in cut(pieces, 9, place, SAMPLES)] == whole


def test_an_index_without_its_ids_is_counted_and_it_is_said(tmp_path):
    shutil.copy(SAMPLES / "megatron-bin" / "corpus_text_document.idx", tmp_path)
    counts = count(tmp_path / "corpus_text_document.idx")
    assert counts["tokens"] == 626
    assert "their sizes were not compared" in counts["holds"]["notes"][0]


def test_documents_that_end_twice_are_noted(tmp_path):
    holds = count(megatron(tmp_path / "a", [[[1, 2, 7, 7]], [[3, 7, 7]], [[4, 7, 7]]]))["holds"]
    assert holds["eod"] == 7
    assert "7 twice" in holds["notes"][0]


def patched(name, at, data):
    """A change of some bytes of a copied sample."""

    def change(folder):
        path = folder / name
        raw = bytearray(path.read_bytes())
        raw[at : at + len(data)] = data
        path.write_bytes(raw)
        return path

    return change


def cut_to(name, size):
    def change(folder):
        path = folder / name
        os.truncate(path, path.stat().st_size + size if size < 0 else size)
        return path

    return change


def renamed(name, other, place=None):
    def change(folder):
        (folder / name).rename(folder / other)
        return folder / (place or other)

    return change


INDEX = "megatron-bin/corpus_text_document.idx"
IDS = "megatron-bin/corpus_text_document.bin"
LLMC = "llmc-bin/llama3/fineweb_train_000001.bin"
SHARD = "mds/mds_bytes/shard.00001.mds"
LAST_POINTER = 34 + 12 * 23 - 8
DAMAGE = {
    "megatron-cut-index": (cut_to(INDEX, -3), "499 bytes, and 23 sequences"),
    "megatron-cut-head": (cut_to(INDEX, 20), "cut: 20 bytes of 34"),
    "megatron-cut-ids": (cut_to(IDS, -2), "1,250 bytes, and its index says 626 tokens of 2 bytes"),
    "megatron-float": (patched(INDEX, 17, b"\7"), "type 7 of its ids, numbers with a fraction"),
    "megatron-unknown-type": (patched(INDEX, 17, b"\x63"), "type 99 of its ids"),
    "megatron-wrong-type": (patched(INDEX, 17, b"\4"), "a token takes 4 bytes"),
    "megatron-version": (patched(INDEX, 9, b"\2"), "version 2"),
    "megatron-mark": (patched(INDEX, 0, b"MMAPIDX"), "begins with b'MMAPIDX"),
    "megatron-last-pointer": (patched(INDEX, LAST_POINTER, struct.pack("<q", 10**15)), "its index says"),
    "megatron-negative-pointer": (patched(INDEX, LAST_POINTER, struct.pack("<q", -2)), "its last sequence"),
    "megatron-pointer": (patched(INDEX, 34 + 4 * 23 + 8 * 5, struct.pack("<q", 10**15)), "sequence 5 does not begin"),
    "megatron-length": (patched(INDEX, 34 + 4 * 5, struct.pack("<i", -7)), "sequence 5 does not begin"),
    "megatron-documents": (patched(INDEX, 34 + 12 * 23 + 8 * 4, struct.pack("<q", 22)), "documents 0 to 23 do not"),
    "megatron-document-beyond": (patched(INDEX, 34 + 12 * 23 + 8 * 23, struct.pack("<q", 99)), "sequence 0 to 99"),
    "megatron-huge": (patched(INDEX, 18, b"\xff" * 8), "502 bytes, and 18,446,744,073,709,551,615 sequences"),
    "megatron-fairseq": (patched(INDEX, 0, b"TNTIDX\0\0"), "fairseq's older form (TNTIDX)"),
    "megatron-misnamed-pair": (renamed(IDS, "megatron-bin/other.bin"), "this file does not say what it holds"),
    "llm.c-cut": (cut_to(LLMC, -4), "3,420 bytes, and 600 tokens take 3,424"),
    "llm.c-cut-head": (cut_to(LLMC, 300), "cut: 300 bytes of a header of 1,024"),
    "llm.c-version": (patched(LLMC, 4, b"\1"), "mark 20240801 of version 1"),
    "llm.c-evaluation": (patched(LLMC, 0, struct.pack("<i", 20240522)), "an evaluation file (HellaSwag)"),
    "llm.c-negative": (patched(LLMC, 8, struct.pack("<i", -5)), "-5 tokens"),
    "nanogpt-odd": (cut_to("nanogpt-bin/train.bin", -1), "8,715 bytes"),
    "nanogpt-empty": (cut_to("nanogpt-bin/train.bin", 0), "0 bytes"),
    "arrow-cut": (cut_to("hf-datasets/hf_disk/data-00000-of-00001.arrow", 3000), "damaged or cut"),
    "arrow-head": (cut_to("hf-datasets/hf_disk/data-00000-of-00001.arrow", 3), "not an Arrow file"),
    "mds-cut": (cut_to(SHARD, -9), "2,016 bytes, and its index says 2025"),
    "mds-offsets": (patched(SHARD, 8, struct.pack("<I", 2**31)), "its samples lie outside the shard"),
    "mds-sizes": (patched(SHARD, 205, struct.pack("<I", 2**31)), "is not of the size that its columns say"),
    "mds-missing": (renamed(SHARD, "mds/mds_bytes/x.mds", "mds/mds_bytes"), "this shard of its index is missing"),
    "mds-no-index": (renamed("mds/mds_bytes/index.json", "mds/old.json", SHARD), "not the index.json of an MDS"),
    "mds-packed": (cut_to("mds/mds_fixed/shard.00000.mds.zstd", -9), "1,428 bytes, and its index says 1437"),
    "mds-zstd": (patched("mds/mds_fixed/shard.00000.mds.zstd", 0, b"\xff" * 99), "damaged or cut"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_an_error_that_names_the_format(tmp_path, name):
    shutil.copytree(SAMPLES, tmp_path, dirs_exist_ok=True)
    change, part = DAMAGE[name]
    found = change(tmp_path)
    error = count(found, *(["--eos", "1"] if name in ("mds-offsets", "mds-sizes", "mds-zstd") else []), code=2)
    assert part in error["asked"] + " " + error["rule"]
    kind = FORMATS.get(name.split("-")[0])
    assert (kind is not None and kind.NAME in error["asked"]) or "misnamed" in name or "mds" in name or "arrow" in name


MUTATED = {
    "megatron-bin": None, "llmc-bin/llama3": 128000, "nanogpt-bin": 63, "hf-datasets/hf_disk": None, "mds/mds_bytes": 1,
    "mds/mds_fixed": 1, "mds/mds_ragged": None,
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATED)
def test_no_bytes_make_anything_but_numbers_or_an_error(tmp_path, name):
    draw = random.Random(name)
    shutil.copytree(SAMPLES / name, tmp_path / "place", ignore=shutil.ignore_patterns("expected.json"))
    files = {path: path.read_bytes() for path in sorted((tmp_path / "place").iterdir())}
    refused = 0
    for _ in range(60):
        path = draw.choice(list(files))
        changed = bytearray(files[path])
        at = draw.randrange(draw.choice([8, 64, 600, len(changed)])) % len(changed)
        match draw.randrange(4):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + draw.randrange(1, 9)]
            case 2:
                changed[at : at + 8] = draw.choice([b"\xff" * 8, bytes(8), (2**62).to_bytes(8, "little")])
            case _:
                changed[at] = draw.choice([0, 1, 127, 128, 255])
        path.write_bytes(changed)
        try:
            sources = find_sources([str(tmp_path / "place")], reading=Reading(eos=MUTATED[name]))
            counts = count_tokens(sources)
            tokens = [len(ids) for source in sources for unit in source.units for ids in source.read(unit)]
            assert sum(tokens) == counts["tokens"]
        except InputError:
            refused += 1
        path.write_bytes(files[path])
    assert refused > 10


def test_the_library_s_own_data_sets(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [list(range(1, 1 + length)) for length in (3, 0, 5, 2, 7, 1)]
    data = datasets.Dataset.from_dict({"input_ids": rows, "id": [*"abcdef"]})
    data.save_to_disk(tmp_path / "disk", num_shards=2)
    data.to_parquet(tmp_path / "a.parquet", batch_size=2)
    data.to_json(tmp_path / "a.jsonl")
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "splits")
    for place, options in (("disk", ()), ("a.parquet", ()), ("a.jsonl", ("--text-column", "input_ids"))):
        counts = count(tmp_path / place, *options)
        assert (counts["documents"], counts["tokens"]) == (6, 18), place
    assert count(tmp_path / "splits", code=2)["asked"] == "several splits of a data set"
    assert count(tmp_path / "splits" / "train")["tokens"] == 18


def test_text_beside_ids_is_text(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["one two"], "input_ids": [[1, 2, 3]]}), path)
    assert count(path, "--tokenizer", "embedded")["words"] == 2
    assert count(path, "--text-column", "input_ids")["tokens"] == 3


@pytest.mark.parametrize("name", ["megatron-bin", "llmc-bin", "nanogpt-bin", "hf-datasets", "mds"])
def test_no_corpus_is_taken_for_a_run_or_a_configuration(name):
    for path in sorted((SAMPLES / name).rglob("*")):
        if path.is_file() and path.suffix != ".json":
            for command in (("audit", path), ("plan", "--from", path, "--corpus", "5M tokens", "--steps", "5")):
                ask(*command, code=2)


def test_ids_of_four_bytes_are_not_read_by_two(tmp_path):
    ids = np.arange(1, 2000, dtype="<u4") * 30
    (tmp_path / "train.bin").write_bytes(ids.tobytes())
    assert "--dtype uint32" in count(tmp_path / "train.bin", code=2)["fixes"]
    assert count(tmp_path / "train.bin", "--dtype", "uint32")["tokens"] == 1999
    (tmp_path / "train.bin").rename(tmp_path / "ids.bin")
    assert "does not say what it holds" in count(tmp_path / "ids.bin", code=2)["asked"]
    assert count(tmp_path / "ids.bin", "--dtype", "uint32")["tokens"] == 1999


def test_text_and_tokens_in_one_folder_are_not_added_up(tmp_path):
    llmc(tmp_path / "train.bin", [1, 2, 3])
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    error = count(tmp_path, code=2)
    assert "corpora of several kinds" in error["asked"]
    assert error["rule"] == "a.jsonl (text), train.bin (llm.c)"


def test_a_folder_of_text_may_hold_other_things(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    (tmp_path / "a.txt").write_text("one two\n")
    (tmp_path / "b.tar.gz").write_bytes(b"")
    table = pyarrow.table({"text": ["three"]})
    with pyarrow.OSFile(str(tmp_path / "c.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    counts = count(tmp_path, "--tokenizer", "embedded")
    assert counts["documents"] == 1
    assert {Path(each["path"]).name: each["reason"] for each in counts["not_read"]} == {
        "b.tar.gz": "an archive, perhaps of webdataset (.tar), which is not read",
        "c.arrow": "not text, JSON lines or Parquet",
    }
    error = count(tmp_path / "c.arrow", code=2)
    assert (error["asked"], error["rule"]) == ("no column 'input_ids'", "there are text")


def test_a_plan_on_what_is_not_read_names_it(tmp_path):
    flags = ("--batch", "4x32", "--steps", "5")
    for name in ("datatrove/standard", "levanter/cache", "webdataset/wds-00002.tar"):
        (error,) = ask("plan", "--corpus", SAMPLES / name, *flags, code=2)["errors"]
        assert error["asked"].endswith("which is not read")
    (error,) = ask("plan", "--corpus", tmp_path, *flags, code=2)["errors"]
    assert error["asked"] == "not a token store: it has no manifest.json"


def test_splits_of_a_data_set_are_not_added_up(tmp_path):
    for split in ("train", "test"):
        shutil.copytree(SAMPLES / "hf-datasets" / "hf_disk", tmp_path / split)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    error = count(tmp_path, code=2)
    assert error["fixes"] == [str(tmp_path / "test"), str(tmp_path / "train")]


def test_leftovers_of_maps_are_not_counted(tmp_path):
    shutil.copytree(SAMPLES / "hf-datasets" / "hf_disk", tmp_path / "set")
    data = tmp_path / "set" / "data-00000-of-00001.arrow"
    shutil.copy(data, data.with_name("cache-0123.arrow"))
    shutil.copy(data, data.with_name("data-00001-of-00002.arrow"))
    counts = count(tmp_path / "set")
    assert counts["tokens"] == 889
    assert {Path(each["path"]).name for each in counts["not_read"]} >= {"cache-0123.arrow", "data-00001-of-00002.arrow"}


def test_rows_of_ids_in_json_lines_and_streamed_data_sets(tmp_path):
    rows = [{"input_ids": [1, 2, 3, 0], "attention_mask": [1, 1, 1, 0]}, {"input_ids": [4, 5]}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert count(path, "--text-column", "input_ids")["tokens"] == 5
    pytest.importorskip("datasets")
    folder = tmp_path / "hub"
    folder.mkdir()
    shutil.copy(SAMPLES / "hf-datasets" / "hf_padded.parquet", folder / "train.parquet")
    counts = count(f"hf:{folder}", "--text-column", "input_ids")
    assert (counts["documents"], counts["tokens"]) == (25, 889)


@pytest.mark.parametrize("row", [{"input_ids": [1, -1]}, {"input_ids": [1.5]}, {"input_ids": "text"},
                                 {"input_ids": [1], "attention_mask": []}, {"input_ids": [2**40]}])  # fmt: skip
def test_rows_that_hold_no_ids(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    asked = count(path, "--text-column", "input_ids", code=2)["asked"]
    assert "holds something else than ids" in asked or "has 0 values" in asked


def test_zstd(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    packed = pyarrow.compress(b'{"text": "one"}\n' * 3, codec="zstd", asbytes=True)
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(packed + packed)
    (source,) = find_sources((str(path),))
    assert source.name == "a"
    assert list(source.read(source.units[0])) == ["one"] * 6
    path.write_bytes(packed[:-3])
    with pytest.raises(InputError, match="damaged or cut zstd"):
        list(source.read(source.units[0]))


def test_a_stream_without_ids_begins_and_ends_with_none(tmp_path):
    (tmp_path / "ids").touch()
    stream = Stream(name="ids", flat=Flat(tmp_path / "ids", 0, "uint16"), tokens=0, eos=1)
    found = stream.facts({}, "")
    assert (found.documents, found.more["starts_with_eot"], found.more["ends_with_eot"]) == (0, False, False)

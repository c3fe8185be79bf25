"""Several processes write the store that one writes, whatever happens to them."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import time
from contextlib import redirect_stderr, suppress
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from dist_epochs.cli.main import main
from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.input.token_files import Reading
from dist_epochs.corpus.readers import text
from dist_epochs.corpus.readers.json_lines import read_json_lines
from dist_epochs.corpus.readers.text import read_lines, read_text
from dist_epochs.corpus.stores import blocks
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing import parts, tokenize_part, workers
from dist_epochs.corpus.tokenizing import tokenize as module
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from tests.corpus.corpora import llmc, mds, megatron

SETTINGS = Settings(sequence_lengths=(8,), held_out=Fraction(1, 5))


@cache
def embedded():
    return TextTokenizer(EMBEDDED)


def run(out, *paths, workers=1, settings=SETTINGS, progress=lambda *_: None, **reading):
    sources = find_sources(tuple(map(str, paths)), **reading)
    return tokenize(sources, embedded(), settings, out=out, workers=workers, progress=progress)


def listing(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of some hundred bytes, shards and blocks of some dozen tokens."""
    monkeypatch.setattr(parts, "PART_BYTES", 700)
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 80)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(blocks, "BLOCK_TOKENS", 60)


@pytest.fixture
def tmp_path(memory_path):
    return memory_path


@pytest.fixture
def corpus(tmp_path):
    """Files of every kind that is cut, and of some that are not; one source has them all, another has two."""
    draw = random.Random(5)
    texts = [f"{at} the step of an epoch " + "is a run " * draw.randrange(6) for at in range(60)]
    texts[30] = "longer than blocks, and than parts, of which some have no document then " * 40
    (tmp_path / "all").mkdir()
    (tmp_path / "few").mkdir()
    lines = "\n".join(texts)
    (tmp_path / "all/a.txt").write_text(lines)
    (tmp_path / "all/b.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    with gzip.open(tmp_path / "all/c.txt.gz", "wt") as file:
        file.write(lines)
    parquet.write_table(pyarrow.table({"text": texts * 3}), tmp_path / "all/d.parquet", row_group_size=20)
    for number in range(5):
        (tmp_path / f"all/small-{number}.txt").write_text("\n".join(texts[number : number + 3]))
    (tmp_path / "few/a.txt").write_text(lines)
    (tmp_path / "few/b.txt").write_text("one line\n")
    return tmp_path / "all", tmp_path / "few"


def test_the_store_does_not_depend_on_the_workers(corpus, tmp_path):
    expected = run(tmp_path / "1", *corpus)
    for count in (2, 5):
        assert run(tmp_path / str(count), *corpus, workers=count) == expected
        assert listing(tmp_path / str(count)) == listing(tmp_path / "1")
    told = []
    counts = run(None, *corpus, workers=3, progress=lambda *made: told.append(made))
    assert counts == expected
    read, documents, tokens = (sum(each) for each in zip(*((*made, 0, 0)[:3] for made in told), strict=True))
    assert read == sum(path.stat().st_size for place in corpus for path in place.iterdir())
    assert (documents, tokens) == tuple(counts[name] + counts["held_out"][name] for name in ("documents", "tokens"))
    of_one = {name.split("/")[-1][:5] for name in listing(tmp_path / "1") if name.endswith(".tokens")}
    assert len(of_one) > 15, "many parts"


def write_arrow(folder, documents):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"input_ids": documents}).save_to_disk(folder)


def write_hub(folder, documents):
    pytest.importorskip("datasets")
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"input_ids": ids}) for ids in documents))


def write_nanogpt(folder, documents):
    folder.mkdir(parents=True)
    np.concatenate(documents).astype("<u2").tofile(folder / "train.bin")


WRITERS = {
    "arrow": write_arrow,
    "hub": write_hub,
    "llmc": lambda folder, documents: llmc(folder.with_suffix(".bin"), np.concatenate(documents)),
    "mds": mds,
    "megatron": lambda folder, documents: megatron(folder, [[ids] for ids in documents]),
    "nanogpt": write_nanogpt,
}
REFERRED = ("llmc", "megatron")
"""Some whose ids stand one after the other, so that a store can refer to them."""


@pytest.mark.parametrize(("kind", "refer"), [*((k, False) for k in WRITERS), *((k, True) for k in REFERRED)])
def test_tokens_of_other_tools_do_not_depend_on_the_workers_either(tmp_path, monkeypatch, kind, refer):
    """Five files, each a part of its own: the ids are theirs, whoever made which part."""
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    draw = random.Random(7)
    (tmp_path / "in").mkdir()
    files = [[[*(draw.randrange(5, 2000) for _ in range(draw.randrange(60))), 2] for _ in range(8)] for _ in range(5)]
    for number, documents in enumerate(files):
        WRITERS[kind](tmp_path / f"in/{number}", documents)
    places = [f"in=hf:{tmp_path}/in/{number}" for number in range(5)] if kind == "hub" else [tmp_path / "in"]
    reading = {"text_column": "input_ids"} if kind == "hub" else {"reading": Reading(eos=2)}
    settings = Settings(sequence_lengths=(8,), refer=refer)
    for count in (1, 2, 3):
        run(tmp_path / str(count), *places, workers=count, settings=settings, **reading)
        assert listing(tmp_path / str(count)) == listing(tmp_path / "1")
    source = Store(tmp_path / "1").sources()[0]
    assert {shard["name"][:5] for shard in source.entry["shards"]} == {f"{part:05d}" for part in range(5)}
    ids = source.token_range(0, source.entry["tokens"])
    assert ids.tolist() == [token for documents in files for ids in documents for token in ids]


def test_cores_are_those_of_the_affinity_and_of_the_container(tmp_path, monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(workers, "QUOTAS", [(str(tmp_path / "cpu.max"), "")])
    for told, cores in (("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("9000000 100000", 8), ("", 8)):
        (tmp_path / "cpu.max").write_text(f"{told}\n")
        assert workers.cores_at_hand() == cores
    monkeypatch.setattr(workers, "QUOTAS", [(str(tmp_path / "quota"), str(tmp_path / "period"))])
    (tmp_path / "period").write_text("100000\n")
    for told, cores in (("-1", 8), ("200000", 2)):
        (tmp_path / "quota").write_text(f"{told}\n")
        assert workers.cores_at_hand() == cores


def test_workers_after_the_tokenizer_has_used_threads(corpus, tmp_path, monkeypatch):
    """A forked process waits forever for threads that its parent had; no worker uses them, whatever was asked for."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    embedded().encode(["one", "two", "three"], special_tokens=True)
    assert run(None, corpus[0], workers=2)["documents"] > 0


def test_a_file_is_cut_only_where_documents_end(corpus, tmp_path, monkeypatch):
    """Whatever the cut, the documents and their order are those of the whole file."""
    for number, size in enumerate((10**9, 700, 97)):
        monkeypatch.setattr(parts, "PART_BYTES", size)
        run(tmp_path / str(number), corpus[0], settings=Settings(on_error="skip"), workers=2)
    joined = [
        b"".join(data for name, data in sorted(listing(tmp_path / number).items()) if name.endswith(".tokens"))
        for number in "012"
    ]
    assert joined[0] == joined[1] == joined[2]


PIECES = [b"", b" ", b"a", b"bc d", b"\xff", b"e\r", b"\r", b"\0", b"\xef\xbb\xbff", b"long " * 5, b'{"text": "x"}']
LINES = st.lists(st.sampled_from(PIECES), max_size=12)


@given(LINES, st.lists(st.integers(1, 60), max_size=4), st.sampled_from(["line", "paragraph", "jsonl"]), st.booleans())
def test_stretches_of_a_file_are_the_file(tmp_path_factory, lines, cuts, mode, ends):
    path = tmp_path_factory.getbasetemp() / "stretches.txt"
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    path.write_bytes(data)
    size = len(data)

    def read(start, stop):
        found = read_json_lines(path, "text", start, stop) if mode == "jsonl" else read_text(path, mode, start, stop)
        return [type(each) if isinstance(each, BadDocument) else each for each in found]

    places = [0, *sorted({cut for cut in cuts if cut < size}), size]
    together = [document for start, stop in pairwise(places) for document in read(start, stop)] if size else []
    assert together == read(0, 0)
    with patch.object(text, "BYTES_AT_ONCE", 7):  # whatever is read at once
        assert together == read(0, 0)


@given(LINES, st.booleans())
def test_lines_are_what_their_ends_say(tmp_path_factory, lines, ends):
    """Each line without its end, CRLF too, and the first without the mark of UTF-8; bad and long ones by number."""
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(b"\n".join(lines) + (b"\n" if ends else b""))
    expected = []
    for number, line in enumerate(_lines(path), 1):
        is_bad = len(line) > 20 or b"\xff" in line
        told = line.decode(errors="replace").removeprefix("\ufeff" if number == 1 else "")
        expected.append((number, number if is_bad else told))
    with patch.object(text, "BYTES_AT_ONCE", 7):
        found = [
            (number, line.origin.line if isinstance(line, BadDocument) else line)
            for number, line in read_lines(path, 20)
        ]
    assert found == expected


def _lines(path):
    """Lines of a file as binary files have them, without their ends."""
    with path.open("rb") as file:
        return [line.rstrip(b"\r\n") for line in file]


def test_the_first_bad_document_is_told_with_its_line(corpus, tmp_path):
    path = corpus[0] / "a.txt"
    lines = path.read_bytes().split(b"\n")
    lines[37] = lines[52] = b"bro\xffken"
    path.write_bytes(b"\n".join(lines))
    for count in (1, 2, 5):
        with pytest.raises(BadDocument) as caught:
            run(tmp_path / "out", *corpus, workers=count)
        assert (caught.value.origin.name, caught.value.origin.line) == (str(path), 38)
    counts = run(tmp_path / "skipping", *corpus, workers=2, settings=Settings(on_error="skip"))
    assert counts["skipped_documents"] == 2


def test_ctrl_c_ends_all(corpus, tmp_path):
    out = tmp_path / "out"
    arguments = ["tokenize", *map(str, corpus), "--tokenizer", EMBEDDED, "--out", str(out), "--workers", "2"]
    said = tmp_path / "said"

    def slowly(*given):
        time.sleep(0.05)
        return original(*given)

    def command():
        result = CliRunner().invoke(main, arguments)
        said.write_text(f"{result.exit_code} {result.stderr}")

    original = module.tokenize_part
    with patch.object(module, "tokenize_part", slowly):
        child = in_a_fork(command)
    while len(list(out.with_name("out.partial").glob("parts/*.json"))) < 3:
        time.sleep(0.01)
    os.killpg(child, signal.SIGINT)
    os.waitpid(child, 0)
    wait_for_all(child)
    assert said.read_text().startswith("130 ")
    assert "kept in" in said.read_text()
    assert CliRunner().invoke(main, arguments).exit_code == 0


def test_a_worker_that_is_killed_is_told_and_the_rest_goes_on(corpus, tmp_path, monkeypatch):
    original, parent = module.tokenize_part, os.getpid()

    def killed(part, *arguments):
        if part.number == 6 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(part, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "tokenize_part", killed)
        with pytest.raises(InputError, match="a worker was killed"):
            run(tmp_path / "out", *corpus, workers=2)
    run(tmp_path / "out", *corpus, workers=2)
    run(tmp_path / "whole", *corpus)
    assert listing(tmp_path / "out") == listing(tmp_path / "whole")


def in_a_fork(action):
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            action()
        finally:
            os._exit(0)
    return child


def running(group):
    """The processes of a group that have not ended, whether or not anyone has asked how."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, own = (process / "stat").read_text().rsplit(") ", 1)[1].split()[:3]
            if int(own) == group and state != "Z":
                found.append(int(process.name))
    return found


def wait_for_all(group):
    """Until no process of a group is left."""
    deadline = time.monotonic() + 120  # for a machine that is busy with other things
    while running(group):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.01)


def test_workers_of_a_killed_program_end_in_silence(tmp_path):
    """One waits for its next item and one is at work, and both see the closed pipe before they are ended."""

    def work(item, tell):
        time.sleep(item / 5)
        tell(item)

    def killed():
        file = (tmp_path / "said").open("w", buffering=1)
        with redirect_stderr(file), patch.object(workers.ctypes, "CDLL"):  # the system does not end them
            results = workers.in_order(work, range(2), workers=2)
            next(results)
        os.kill(os.getpid(), signal.SIGKILL)

    child = in_a_fork(killed)
    os.waitpid(child, 0)
    wait_for_all(child)
    assert (tmp_path / "said").read_text() == ""


@pytest.mark.parametrize("times", [4, pytest.param(60, marks=[pytest.mark.campaign, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("whom", ["parent", "anyone"])
def test_kill_9_at_any_time(corpus, tmp_path, whom, times):
    corpus = corpus if times > 9 else corpus[1:]
    run(tmp_path / "whole", *corpus)
    whole = listing(tmp_path / "whole")
    began = time.perf_counter()
    run(tmp_path / "timed", *corpus, workers=3)
    takes = time.perf_counter() - began
    draw = random.Random(whom)
    out = tmp_path / "out"
    stopped = 0
    for number in range(times):
        child = in_a_fork(lambda: run(out, *corpus, workers=3))
        time.sleep(draw.uniform(number, number + 1) / times * takes)
        group = running(child)
        with suppress(ProcessLookupError):
            os.kill(child if whom == "parent" or not group else draw.choice(group), signal.SIGKILL)
        os.waitpid(child, 0)
        wait_for_all(child)
        stopped += not out.exists()
        run(out, *corpus, workers=draw.choice((1, 2, 3)))
        assert listing(out) == whole
        assert not (tmp_path / "out.partial").exists()
        shutil.rmtree(out)
    assert stopped  # all but the latest, if the machine is as busy as when the time was taken

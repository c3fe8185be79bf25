"""`tokenize` was killed, or the disk was full, or a document bad: the same command goes on, to the same bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.sources import Source, find_sources
from dist_epochs.corpus.readers import text
from dist_epochs.corpus.stores.manifest import sealed
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing import build, tokenize_part, writer
from dist_epochs.corpus.tokenizing.made_from import RECORD
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from dist_epochs.runtime import files

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
"""Events of the interpreter before it changes a folder. (It tells of no `fsync`.)"""


def run(out, *paths, **settings):
    return tokenize(find_sources(tuple(map(str, paths))), embedded(), Settings(**settings), out=out)


@cache
def embedded():
    return TextTokenizer(EMBEDDED)


def listing(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def tmp_path(memory_path):
    return memory_path


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Two sources of two files each, cut into a shard after every few documents, also within a file."""
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 80)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 3)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            lines = [f"{name} {number} the {at} step is " + "an epoch " * (at % 5) for at in range(9)]
            (tmp_path / name / f"{number}.txt").write_text("\n\n".join(lines))
    return tmp_path / "a", tmp_path / "b"


EMPTY = hashlib.sha256(b"[]").hexdigest()
"""Digest of no input files."""
SETTINGS = {"sequence_lengths": (8,), "held_out": Fraction(1, 3)}


def killed_before_change(number, action):
    """Run `action` in another process, killed before its change to the disk of that number; whether there is one."""
    child = os.fork()
    if child == 0:
        count = 0

        def change(*_):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event, arguments):
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or writes:
                change()

        fsync = os.fsync
        os.fsync = lambda handle: (change(), fsync(handle))
        sys.addaudithook(hook)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("sources", [1, pytest.param(2, marks=pytest.mark.campaign)])
def test_a_kill_at_every_change_of_the_disk(corpus, tmp_path, sources):
    corpus = corpus[:sources]
    expected = run(tmp_path / "whole", *corpus, **SETTINGS)
    whole = listing(tmp_path / "whole")
    shards = [name for name in whole if name.endswith(".tokens")]
    assert len(shards) > 4
    out = tmp_path / "out"

    def goes_on(kills):
        counts = run(out, *corpus, **SETTINGS)
        assert counts | {"written_before": False} == expected, kills
        assert listing(out) == whole, kills
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out", "whole"]

    kills = 0
    while killed_before_change(kills + 1, lambda: run(out, *corpus, **SETTINGS)):
        kills += 1
        goes_on(kills)
        shutil.rmtree(out)
    assert kills > 60
    if sources == 2:  # killed again and again, each time a little later
        while killed_before_change(7, lambda: run(out, *corpus, **SETTINGS)):
            pass
        goes_on("several")


def test_a_kill_while_an_error_is_handled(corpus, tmp_path):
    """The command leaves nothing behind where nothing is complete, and may be killed while it removes that."""
    path, out = tmp_path / "c.jsonl", tmp_path / "out"
    good = b'{"text": "one two"}\n'
    kills = 0

    def fails():
        with suppress(InputError):
            run(out, path)

    path.write_bytes(good + b"{")
    while killed_before_change(kills + 1, fails):
        kills += 1
        path.write_bytes(good)
        assert run(out, path)["documents"] == 1
        path.write_bytes(good + b"{")
        shutil.rmtree(out)
    assert kills > 5
    assert [each.name for each in tmp_path.iterdir() if "out" in each.name] == []


def test_a_kill_while_a_store_is_packed_further(corpus, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(whole, corpus[0], sequence_lengths=(8, 16))
    run(tmp_path / "first", corpus[0], sequence_lengths=(8,))
    kills = 0
    while True:
        shutil.copytree(tmp_path / "first", out)
        if not killed_before_change(kills + 1, lambda: build.pack(Store(out), (16,))):
            break
        kills += 1
        build.pack(Store(out), (16,))
        assert listing(out) == listing(whole)
        shutil.rmtree(out)
    assert kills > 5


def test_two_commands_at_once(corpus, tmp_path):
    run(tmp_path / "whole", *corpus, **SETTINGS)
    out = tmp_path / "out"
    for _ in range(8):
        children = [in_a_fork(lambda: run(out, *corpus, **SETTINGS)) for _ in range(3)]
        codes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
        assert codes <= {0, 2}, "each has written the store, or found it, or said that another is writing it"
        assert 0 in codes
        assert listing(out) == listing(tmp_path / "whole")
        assert not (tmp_path / "out.partial").exists()
        shutil.rmtree(out)


def in_a_fork(action):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except InputError as error:
            code = 2 if "another process" in error.asked else 3
        finally:
            os._exit(code)
    return child


def test_another_command_finishes_just_before(corpus, tmp_path, monkeypatch):
    out, original = tmp_path / "out", build.workplace

    def late(*arguments):
        monkeypatch.setattr(build, "workplace", original)
        assert not run(out, *corpus)["written_before"]
        return original(*arguments)

    monkeypatch.setattr(build, "workplace", late)
    assert run(out, *corpus)["written_before"]
    assert not (tmp_path / "out.partial").exists()


def test_a_folder_that_was_moved_before_it_is_locked(tmp_path, monkeypatch):
    taken = InputError("taken")
    with pytest.raises(InputError) as caught, files.lock(tmp_path / "gone", taken):
        pass
    assert caught.value is taken
    (tmp_path / "store.partial").mkdir()
    flock = files.fcntl.flock

    def slow(*arguments):
        (tmp_path / "store.partial").rename(tmp_path / "store")
        flock(*arguments)

    monkeypatch.setattr(files.fcntl, "flock", slow)
    with pytest.raises(InputError) as caught, files.lock(tmp_path / "store.partial", taken):
        pass
    assert caught.value is taken


def arguments_of(corpus, folder):
    """The command that tokenizes a corpus in this process."""
    return ["tokenize", *map(str, corpus), "--tokenizer", EMBEDDED, "--out", str(folder / "out"), "--workers", "1"]


@pytest.mark.parametrize(("after", "said"), [(0, "nothing was written"), (3, "kept in")])
def test_an_interrupted_command_says_what_it_keeps(corpus, tmp_path, monkeypatch, after, said):
    original, read = Source.read, []

    def interrupted(source, unit):
        read.append(unit)
        if len(read) > after:
            raise KeyboardInterrupt
        return original(source, unit)

    monkeypatch.setattr(Source, "read", interrupted)
    result = CliRunner().invoke(main, arguments_of(corpus, tmp_path))
    assert result.exit_code == 130
    assert said in result.stderr
    assert (tmp_path / "out.partial").exists() is (said == "kept in")


@pytest.mark.parametrize("left", [[], [f"{RECORD}.new"]], ids=["nothing", "an empty record"])
def test_a_kill_before_the_first_record(corpus, tmp_path, left):
    (tmp_path / "out.partial").mkdir()
    for name in left:
        (tmp_path / "out.partial" / name).touch()
    assert run(tmp_path / "out", *corpus)["documents"] > 0


def test_a_finished_store_says_so(corpus, tmp_path, monkeypatch):
    first = run(tmp_path / "out", *corpus, **SETTINGS)
    assert not first["written_before"]
    before = listing(tmp_path / "out")
    monkeypatch.setattr(Source, "read", lambda *_: pytest.fail("read again"))
    arguments = [*arguments_of(corpus, tmp_path), "--sequence-length", "8", "--held-out", "1/3"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == first | {"written_before": True, "not_read": []}
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert "written before, by the same command" in result.stdout
    assert listing(tmp_path / "out") == before
    packed = run(tmp_path / "out", *corpus, sequence_lengths=(16,), held_out=Fraction(1, 3))
    assert packed["samples"].keys() == {"8", "16"}


def test_an_unfinished_store_of_an_earlier_version_is_left_alone(corpus, tmp_path):
    """It would be made from the beginning, after hours perhaps: that is for the user to say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_pack", lambda *_: pytest.fail("stop here"))
        with pytest.raises(pytest.fail.Exception):
            run(tmp_path / "out", *corpus)
    record = tmp_path / "out.partial" / RECORD
    content = {name: value for name, value in json.loads(record.read_text()).items() if name != "digest"}
    record.write_text(json.dumps(sealed(content | {"files": 0, "read": EMPTY, "drafts": [{"name": "a"}]})))
    before = listing(tmp_path / "out.partial")
    with pytest.raises(InputError, match="an unfinished store of an earlier version"):
        run(tmp_path / "out", *corpus)
    assert listing(tmp_path / "out.partial") == before


@pytest.mark.parametrize("change", ["another option", "a changed file", "one more file", "a file less"])
def test_a_finished_store_of_another_command_is_left_alone(corpus, tmp_path, change):
    out, settings = tmp_path / "out", {}
    run(out, *corpus)
    before = listing(out)
    match change:
        case "another option":
            settings = {"special_tokens": False}
        case "a changed file":
            (corpus[0] / "0.txt").write_text("something else")
        case "one more file":
            (corpus[1] / "9.txt").write_text("something else")
        case "a file less":
            (corpus[1] / "1.txt").unlink()
    with pytest.raises(InputError, match="not empty") as caught:
        run(out, *corpus, **settings)
    assert caught.value.origin.name == str(out)
    assert listing(out) == before


LINES = [f"line {number}".encode() for number in range(40)]
ROWS = [json.dumps({"text": line.decode()}).encode() for line in LINES]
BAD = {
    "undecodable.txt": (LINES, b"bro\xffken", b"mended"),
    "json.jsonl": (ROWS, b'{"text": "bro', b'{"text": "bro"}'),
    "long.txt": (LINES, b"0123456789" * 20, b"mended"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_named_and_what_was_read_before_it_is_not_read_again(corpus, tmp_path, monkeypatch, name):
    before, bad, mended = BAD[name]
    path, out = tmp_path / name, tmp_path / "out"
    if name == "long.txt":
        monkeypatch.setattr(text.read_lines, "__defaults__", (100, 0, 0))
    path.write_bytes(b"\n".join([*before, bad, *before]))
    for _ in range(2):
        with pytest.raises(BadDocument) as caught:
            run(out, *corpus, path, **SETTINGS)
        assert (caught.value.origin.name, caught.value.origin.line) == (str(path), 41)
        assert f"kept in {out}.partial" in caught.value.consequence
        assert not out.exists()
    path.write_bytes(b"\n".join([*before, mended, *before]))
    encoded, original = [], TextTokenizer.encode
    with monkeypatch.context() as patch:
        patch.setattr(TextTokenizer, "encode", lambda s, texts, **k: encoded.extend(texts) or original(s, texts, **k))
        run(out, *corpus, path, **SETTINGS)
    assert 41 <= len(encoded) < 60, "the file of 81 documents is continued in the middle"
    run(tmp_path / "whole", *corpus, path, **SETTINGS)
    assert listing(out) == listing(tmp_path / "whole")


def test_what_was_read_before_has_changed(corpus, tmp_path):
    path, out = tmp_path / "a.jsonl", tmp_path / "out"
    line = b'{"text": "one two three"}\n'
    path.write_bytes(line * 40 + b"{\n")
    with pytest.raises(BadDocument):
        run(out, path)
    path.write_bytes(line.replace(b"two", b"2") * 40)
    with pytest.raises(InputError, match="are not those that were read before"):
        run(out, path)
    path.write_bytes(line * 3)
    with pytest.raises(InputError, match="are not those that were read before"):
        run(out, path)
    path.write_bytes(line * 40)
    assert run(out, path)["documents"] == 40


def test_a_mended_file_may_be_shorter(corpus, tmp_path):
    """No shard of a run that was stopped is left in the store."""
    path, out = tmp_path / "c.jsonl", tmp_path / "out"
    path.write_bytes(b'{"text": "one"}\n' * 100 + b"{\n")
    with pytest.raises(BadDocument):
        run(out, *corpus, path)
    leftover = tmp_path / "out.partial" / "sources" / "c" / "00999.tokens"
    leftover.touch()
    path.write_bytes(b'{"text": "one"}\n' * 100)
    run(out, *corpus, path)
    run(tmp_path / "whole", *corpus, path)
    assert listing(out) == listing(tmp_path / "whole")


@pytest.mark.parametrize("full_at", range(1, 24, 4))
def test_a_full_disk(corpus, tmp_path, monkeypatch, full_at):
    """From some file on, no byte can be written any more."""
    opened = []

    def full(path, mode):
        opened.append(path)
        return Path("/dev/full" if len(opened) >= full_at else path).open(mode)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(writer, "open", full, raising=False)
        with pytest.raises(InputError) as caught:
            run(out, *corpus, **SETTINGS)
    assert caught.value.asked == os.strerror(errno.ENOSPC)
    assert caught.value.origin is not None
    assert ("kept in" in caught.value.consequence) is (tmp_path / "out.partial").exists()
    run(out, *corpus, **SETTINGS)
    run(tmp_path / "whole", *corpus, **SETTINGS)
    assert listing(out) == listing(tmp_path / "whole")

"""New input is added to a store after what it holds, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from contextlib import suppress

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.stores import blocks
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import VERIFIED
from dist_epochs.corpus.tokenizing import parts, tokenize_part
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED

HOW = ["--tokenizer", EMBEDDED, "--held-out", "50%", "--sequence-length", "8"]


def tokenize(*arguments, code=0):
    result = CliRunner().invoke(main, ["tokenize", *map(str, arguments), "--workers", "1"])
    assert result.exit_code == code, result.output
    return result


def listing(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != VERIFIED
    }


@pytest.fixture
def folder(memory_path, monkeypatch):
    """A store of two sources, and the files of more; parts of some hundred bytes."""
    monkeypatch.setattr(parts, "PART_BYTES", 300)
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 60)
    monkeypatch.setattr(blocks, "BLOCK_TOKENS", 40)
    draw = random.Random(3)
    for name in "abcd":
        lines = [f"{name}{at} the step of an epoch " + "is a run " * draw.randrange(6) for at in range(20)]
        (memory_path / f"{name}.txt").write_text("\n".join(lines))
    (memory_path / "one.txt").write_text("one document, which is not held out\n")
    monkeypatch.chdir(memory_path)
    tokenize("web=a.txt", "code=b.txt", *HOW, "--out", "store")
    return memory_path


def test_it_is_the_store_of_all_the_input(folder):
    before = Store(folder / "store").manifest["fingerprint"]
    shown = tokenize("web=c.txt", "more=d.txt", "--out", "store", "--append").stdout
    tokenize("web=a.txt", "code=b.txt", "web=c.txt", "more=d.txt", *HOW, "--out", "one")
    assert listing(folder / "store") == listing(folder / "one")
    after = Store(folder / "store").manifest["fingerprint"]
    assert f"another one now (fingerprint {after[:12]} and not {before[:12]})" in shown
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["one", "store"]
    tokenize("web=one.txt", "--out", "store", "--append", "--sequence-length", "16")
    added = json.loads(tokenize("store", "--sequence-length", "16", "--json").stdout)
    assert added["samples"].keys() == {"8", "16"}
    assert added["documents"] == Store(folder / "one").facts().documents + 1


def test_documents_that_are_in_it_are_refused(folder):
    before = listing(folder / "store")
    result = tokenize("web=c.txt", "web=a.txt", "--out", "store", "--append", code=2)
    assert "a.txt: this file is in the store already" in result.stderr
    os.utime(folder / "a.txt")
    result = tokenize("web=c.txt", "web=a.txt", "--out", "store", "--append", code=2)
    assert "a.txt is in" in result.stderr
    assert "with the same documents" in result.stderr
    assert listing(folder / "store") == before
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["store"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--no-special-tokens"], "another --special-tokens"),
        (["--held-out", "10%"], "another --held-out"),
        (["--count-only"], "--append adds to a store"),
        (["--shard", "1/2", "--out", "store"], "--append adds to a store"),
        (["--out", "nowhere"], "not a token store"),
    ],
)
def test_what_cannot_be(folder, options, said):
    out = [] if "--count-only" in options or "--out" in options else ["--out", "store"]
    assert said in tokenize("c.txt", *options, *out, "--append", code=2).stderr
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["store"]
    assert "try --append" in tokenize("c.txt", *HOW, "--out", "store", code=2).stderr


def test_kill_9_at_any_time(folder, monkeypatch):
    """Also while the new store takes the place of the old one, and while what is left is removed."""
    shutil.copytree(folder / "store", folder / "first")
    call = ("web=c.txt", "more=d.txt", "--out", "store", "--append")
    began = time.perf_counter()
    tokenize(*call)
    takes = time.perf_counter() - began
    whole = listing(folder / "store")
    changes = [(os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir")]

    def killed_after(count):
        """Killed before the file system is changed for the so manyth time from the moment the old store moves."""
        left = [count, False]
        for module, name in changes:
            original = getattr(module, name)

            def counted(path, *more, original=original, **how):
                left[1] |= str(more[:1]).find("store.before") > 0
                left[0] -= left[1]
                if left[1] and left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(path, *more, **how)

            monkeypatch.setattr(module, name, counted)
        tokenize(*call)

    for kill in [*(("after", at) for at in (0, 1, 2, 20)), *(("time", share) for share in (0.4,))]:
        shutil.rmtree(folder / "store")
        shutil.copytree(folder / "first", folder / "store")
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                killed_after(kill[1]) if kill[0] == "after" else tokenize(*call)
            os._exit(0)
        if kill[0] == "time":
            time.sleep(takes * kill[1])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, kill
        tokenize(*call)
        assert listing(folder / "store") == whole, kill
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["first", "store"]


def test_another_command_does_not_go_on_with_it(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "dist_epochs.corpus.tokenizing.append.merge", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        tokenize("web=c.txt", "--out", "store", "--append", code=130)
    result = tokenize("web=d.txt", "--out", "store", "--append", code=2)
    assert "what another command was adding" in result.stderr
    tokenize("web=c.txt", "--out", "store", "--append")
    tokenize("web=d.txt", "--out", "store", "--append")

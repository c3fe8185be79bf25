"""What reaches a terminal: no control characters, and no crash on a character that it lacks."""

import io
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.terminal import show, visible, visible_json

BAD = "\x1b]0;PWNED\x07\x1b[2J\r\x08\x9b\u202eA\ud800"


def test_visible():
    assert visible("one\ttwo\nthree") == "one\ttwo\nthree"
    assert visible("256 × 512, 글, ⌈x⌉") == "256 × 512, 글, ⌈x⌉"
    assert visible(BAD) == r"\x1b]0;PWNED\x07\x1b[2J\x0d\x08\x9b\u202eA\ud800"
    text = json.dumps({"a": BAD}, ensure_ascii=False)
    assert json.loads(visible_json(text)) == {"a": BAD}
    assert visible_json(text).isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "cp1252", "utf-8"])
def test_a_replacement_character(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    show("é 글 ÷ \x1b \udcff")
    text = raw.getvalue().decode(encoding)
    assert text.endswith(" \\x1b \\udcff\n")
    assert ("?" in text) == (encoding != "utf-8")


def claim(path, title):
    path.write_text(
        f"title: {json.dumps(title)}\n"
        "facts: {steps: 200K steps, batch: 256 sequences}\n"
        "checks: {x: {formula: steps * batch, stated: 51.2M samples}}\n"
    )
    return path


def plain(result):
    text = result.stdout + result.stderr
    assert text.replace("\n", "").isprintable(), text
    return text


def test_titles_names_keys_and_files(tmp_path):
    call = CliRunner().invoke
    audited = call(main, ["audit", str(claim(tmp_path / "c\x1b[2J.yaml", BAD[:-1]))])
    assert (audited.exit_code, plain(audited).splitlines()[2][:5]) == (0, r"\x1b]")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        'name: "\\e[2J"\nbatch: {global_batch: 8}\nphases: [{steps: 3}]\n'
        'corpus: {sources: {"\\e[31m": {samples: 50}, "\\u202eb": {samples: 70}}}\n'
    )
    assert r"\x1b[31m" in plain(call(main, ["plan", str(recipe)]))
    recipe.write_text('"\\e[2J": 1\n')
    assert r"\x1b[2J" in plain(call(main, ["plan", str(recipe)]))
    assert r"\x1b" in plain(call(main, ["plan", f"{tmp_path}/none\x1b.yaml"]))
    assert r"\x1b" in plain(call(main, ["plan", "--batch", "8x64", "--steps", "5", "--devices", "8x\x1b[5m"]))
    assert r"\x1b" in plain(call(main, ["explain", "\x1b[2J"]))
    assert r"\x1b" in plain(call(main, ["\x1b[2J"]))
    assert r"\x1b" in plain(call(main, ["plan", "--\x1b[2J"]))
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(
        '{"event":"segment","from_step":0,"world_size":1,"device":"\\u001b[2J"}\n'
        '{"event":"corpus","samples":5,"tokens":null,"known":"stated"}\n'
        '{"event":"warning","rule":"\\u001b[1m","message":"\\u009b"}\n'
        '{"event":"end","status":"\\u001b[3m","reason":"\\r"}\n'
    )
    shown = plain(call(main, ["ledger", str(ledger)]))
    assert all(code in shown for code in (r"\x1b[2J", r"\x1b[1m", r"\x9b", r"\x1b[3m", r"\x0d"))


def test_objects_stay_json(tmp_path):
    result = CliRunner().invoke(main, ["audit", str(claim(tmp_path / "c.yaml", BAD[:-1])), "--json"])
    assert json.loads(result.stdout)["title"] == BAD[:-1]
    assert result.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize("words", [["audit", "--all"], ["--help"], ["plan", "--help"], ["plan", "none.yaml"]], ids=str)
def test_nobody_listens(words):
    """A pipe whose reader is gone, for standard output and for errors."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONIOENCODING": "cp949"}
    done = subprocess.run(
        [sys.executable, "-m", "dist_epochs", *words], stdout=writer, stderr=subprocess.PIPE, env=environment
    )
    os.close(writer)
    is_error = words[-1] == "none.yaml"
    assert (done.returncode, done.stderr.startswith(b"error: ")) == (2 * is_error, is_error)
    assert is_error or done.stderr == b""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal_only(monkeypatch, variables, is_coloured):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = "CONSISTENT ONLY IF a word is one token\n  error: within a line\nwarning x: y\nnotes\n"
    screen, pipe = Terminal(), io.StringIO()
    for stream in (screen, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        show(text)
    assert pipe.getvalue() == text + "\n"
    assert ("\x1b[33mCONSISTENT ONLY IF\x1b[0m a word" in screen.getvalue()) == is_coloured
    assert ("\x1b[33mwarning\x1b[0m x" in screen.getvalue()) == is_coloured
    assert "error: within" in screen.getvalue()
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    show('{"a": "error: b"}', as_json=True)
    assert "\x1b" not in screen.getvalue()

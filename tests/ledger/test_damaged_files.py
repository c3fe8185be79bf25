"""A plan and a ledger that are damaged: each is refused with its line, and nothing is made of it."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.errors import InputError
from dist_epochs.ledger.reconcile import read_run

MADE = Path(__file__).parent.parent / "compatibility/2026-11-27"
GONE = "<gone>"


@pytest.fixture
def run(tmp_path):
    """A run directory with its plan and its ledger."""
    for name in ("plan.json", "ledger.jsonl"):
        shutil.copy(MADE / "run" / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def loop(tmp_path):
    """The ledger of a user's own loop."""
    shutil.copy(MADE / "loop/ledger.jsonl", tmp_path / "ledger.jsonl")
    return tmp_path / "ledger.jsonl"


def put(data, place, value):
    *above, last = place
    for key in above:
        data = data[key]
    if value is GONE:
        del data[last]
    else:
        data[last] = value


def refusal(path):
    with pytest.raises(InputError) as refused:
        read_run(path)
    return refused.value.errors[0]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("global_batch",), None),
        (("passes", 0, 7), "xyz"),
        (("passes", 0, 7), "-3f9f2bb4e0f93d4b9e0f93d4b0000000"),
        (("samples",), GONE),
        (("passes", 3), [0, "web", 16]),
        (("phases",), None),
        (("phases",), []),
        (("phases", 1, "steps"), "20"),
        (("corpus", "samples", "web", "16"), "x"),
        (("corpus", "samples", "web", "16"), 0),
        (("corpus", "samples", "web"), {"sixteen": 40}),
        (("corpus", "tokens"), float("nan")),
        (("steps",), "60"),
        (("steps",), 60.5),
        (("steps",), True),
        (("tokens",), -1),
        (("coverage",), "all"),
        (("epochs", "samples"), [12]),
        (("history",), {"phases": [[1, 2]], "lanes": {}}),
        (("replanned",), [{"step": 3}]),
    ],
    ids=str,
)
def test_a_damaged_plan(run, place, value):
    plan = json.loads((run / "plan.json").read_text())
    put(plan, place, value)
    (run / "plan.json").write_text(json.dumps(plan, indent=1))
    error = refusal(run)
    assert error.asked.startswith("damaged: ")
    assert error.origin.name == str(run / "plan.json")
    assert error.origin.line > 1 or value is GONE


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "\0", '{"steps": ' + "9" * 5000 + "}", "[" * 100_000,
        '{"steps": ' + "[" * 60 + "]" * 60 + "}", "\ud800",
    ],
    ids=["empty", "cut", "list", "null", "nul", "digits", "deep", "deeper than any", "half of a character"],
)  # fmt: skip
def test_a_plan_that_is_none(run, text):
    (run / "plan.json").write_text(text, errors="surrogatepass")
    assert refusal(run).origin.line == 1


@pytest.mark.parametrize(
    ("at", "place", "value"),
    [
        (0, ("from_step",), -1),
        (0, ("from_step",), "0"),
        (0, ("world_size",), 0),
        (0, ("counted",), "samples"),
        (0, ("device",), {"a": 1}),
        (0, ("plan",), 1000000000),
        (1, ("samples",), GONE),
        (1, ("known",), "guess"),
        (1, ("samples",), 50.5),
        (1, ("sources",), {"web": 0}),
        (3, ("micro_steps",), -1),
        (3, ("micro_steps",), GONE),
        (3, ("drawn", 0, 4), -32),
        (3, ("drawn", 0, 5), 384.5),
        (3, ("drawn", 0, 7), "-3f9f2bb4e0f93d4b"),
        (3, ("drawn", 0), [0, "data"]),
        (3, ("step",), 10**50),
        (3, ("step",), True),
        (3, ("positions",), "many"),
        (16, ("step",), None),
        (16, ("left",), "no"),
        (-1, ("status",), GONE),
        (-1, ("status",), 3),
        (-1, ("reason",), ["x"]),
    ],
    ids=str,
)
def test_a_damaged_line(loop, at, place, value):
    lines = loop.read_text().splitlines()
    entry = json.loads(lines[at])
    put(entry, place, value)
    lines[at] = json.dumps(entry, separators=(",", ":"))
    loop.write_text("\n".join(lines) + "\n")
    error = refusal(loop)
    assert error.asked.startswith("damaged: ")
    assert (error.origin.name, error.origin.line) == (str(loop), at % len(lines) + 1)


@pytest.mark.parametrize(
    "line",
    [
        '{"event":"reported","epoch":"one","step":1,"by":"loop"}',
        '{"event":"reported","epoch":NaN,"step":1,"by":"loop"}',
        '{"event":"warning","message":"y"}',
        '{"event":"unknown","units":[1]}',
        '{"event":"totals","step":14,"applied":{},"skipped":{},"replayed":{},"unfinished":0}',
        '{"event":"begin","step":' + "[" * 100_000,
        '{"event":"begin","step":' + "9" * 5000 + "}",
        '{"event":"applled","step":15}',
        '{ "event":"segment","from_step":14}',
        '{"event": "begin","step":15}',
        '{"event":"begin","event":"metrics","step":15}',
        '"event"',
        "\0" * 40,
    ],
    ids=[
        "epoch",
        "nan",
        "no rule",
        "units",
        "totals",
        "deep",
        "digits",
        "event",
        "blank",
        "blanks",
        "twice",
        "text",
        "nul",
    ],
)
def test_another_line(loop, line):
    before = loop.read_text().splitlines()
    loop.write_text("\n".join([*before, line, ""]))
    assert refusal(loop).origin.line == len(before) + 1


def test_what_stands_before_the_first_segment(loop):
    first, *lines = loop.read_text().splitlines(keepends=True)
    loop.write_text("".join([first[1:], *lines, '{"event":"segment","from_step":14}\n']))
    assert refusal(loop).origin.line == 1


def test_a_run_before_its_first_step(tmp_path):
    """Zero epochs are a number."""
    (tmp_path / "ledger.jsonl").write_text(
        '{"event":"segment","from_step":0}\n{"event":"corpus","samples":5,"tokens":9,"known":"stated"}\n'
    )
    result = CliRunner().invoke(main, ["ledger", str(tmp_path), "--json"])
    assert json.loads(result.stdout)["epochs_exact"] == {"samples": "0", "positions": "0", "tokens": "0"}


def test_damage_is_wrong_input_on_the_command_line(run):
    (run / "plan.json").write_text('{"steps": 3, "phases": null}')
    result = CliRunner().invoke(main, ["ledger", str(run)])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0].startswith(f"error: {run}/plan.json:1: damaged: ")
    assert result.stdout == ""


def test_a_ledger_that_has_no_end(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # takes no space
    assert refusal(path).origin.line == 1
    assert refusal(Path("/dev/zero")).origin.name == "/dev/zero"


def test_a_plan_without_lengths_is_one(loop):
    """`plan --json` says nothing of positions where no length is stated."""
    arguments = ["plan", "--steps", "14", "--global-batch", "8", "--corpus", "50 samples", "--json"]
    plan = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert plan["phases"][0]["sequence_length"] is None
    (loop.parent / "plan.json").write_text(json.dumps(plan))
    found = read_run(loop)
    assert {each.unit for each in found.differences} == {"samples"}  # the loop's passes end with two samples

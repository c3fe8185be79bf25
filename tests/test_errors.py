"""How an error is printed."""

import pytest

from dist_epochs import terminal
from dist_epochs.errors import InputError, Origin, error_json, error_text
from dist_epochs.terminal import exit_on_input_error

BATCH = InputError(
    "global batch 64 cannot be built on 6 devices with 4 samples each",
    rule="6 × 4 × k = 24, 48, 72",
    fixes=["48 (accumulate 2)", "72 (accumulate 3)"],
    origin=Origin("r.yaml", 3),
)


def test_parts_have_lines_of_their_own():
    assert error_text(BATCH).splitlines() == [
        "error: r.yaml:3: global batch 64 cannot be built on 6 devices with 4 samples each",
        "  6 × 4 × k = 24, 48, 72",
        "  try 48 (accumulate 2)",
        "  try 72 (accumulate 3)",
    ]


def test_it_is_wrapped_to_a_width():
    lines = error_text(BATCH, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(" ".join(lines).split()) == " ".join(error_text(BATCH).split())
    assert lines[1].startswith("  ")


def test_several_are_ordered_by_file_and_line_and_said_once():
    tenth, second = InputError("ten", origin=Origin("a", 10)), InputError("two", origin=Origin("a", 2))
    together = InputError.together([tenth, second, second, InputError.together([tenth, second])])
    assert [error.asked for error in together.errors] == ["two", "ten"]
    assert error_text(together) == "error: a:2: two\nerror: a:10: ten"
    assert [each["place"] for each in error_json(together)["errors"]] == ["a:2", "a:10"]


def test_one_alone_stays_itself():
    assert InputError.together([BATCH]) is BATCH


def test_as_one_paragraph():
    assert str(BATCH) == (
        "r.yaml:3: global batch 64 cannot be built on 6 devices with 4 samples each: 6 × 4 × k = 24, 48, 72. "
        "Try 48 (accumulate 2), or 72 (accumulate 3)."
    )
    assert str(InputError("only this")) == "only this"


@pytest.mark.parametrize("kind", [InputError])
def test_it_keeps_its_fields_when_it_is_moved(kind):
    moved = kind("a", rule="b", consequence="c", fixes="d").but(origin=Origin("f", 1))
    assert (moved.asked, moved.rule, moved.consequence, moved.fixes, str(moved.origin)) == (
        "a",
        "b",
        "c",
        ("d",),
        "f:1",
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "error: this needs torch, which is not installed\n  try pip install 'dist-epochs[train]'\n"),
        ({"speaks": False}, ""),
        (
            {"speaks": False, "late": "rank 8 (node-b)"},
            "error: this needs torch, which is not installed\n  on rank 8 (node-b)\n"
            "  try pip install 'dist-epochs[train]'\n",
        ),
    ],
)
def test_who_prints_what_is_missing(monkeypatch, capsys, how, said):
    monkeypatch.setattr(terminal, "PATIENCE", 0.0)
    with pytest.raises(SystemExit) as ended, exit_on_input_error(**how):
        raise ModuleNotFoundError("no torch", name="torch")
    assert ended.value.code == 2
    assert capsys.readouterr().err == said

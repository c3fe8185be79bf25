"""Records that are damaged, or say less than they should: read as far as they tell, or refused, and in linear time."""

import time
from pathlib import Path

import pytest

LOGS = Path(__file__).parent / "logs"
LINE = " iteration 1/ 2 | consumed samples: 4 | global batch size: 4 |\n"


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("global_step", "5.6e+02", 2),
        ("global_step", 5.6, 2),
        ("global_step", 1e300, 2),
        ("global_step", [560], 2),
        ("global_step", 560.0, 0),
        ("log_history", [{"loss": 1, "step": "1e1", "epoch": 10**400}], 0),
        ("log_history", [{"loss": 1, "step": at, "train_runtime": 10**400 // at} for at in (1, 2)], 0),
        ("epoch", 1e300, 0),
        ("max_steps", "9" * 4000, 0),
        ("num_train_epochs", {"a": [3]}, 0),
    ],
    ids=str,
)  # fmt: skip
def test_values_of_a_state(ask, write_state, key, value, code):
    path = write_state(**{"global_step": 560, "log_history": [], key: value})
    found = ask(path, code=code)
    assert found["place"] == f"{path}:1" if code else found["read"]["steps"]["value"] == "560"


def test_epochs_without_steps(ask):
    path = LOGS / "epochs_without_steps.wandb"
    assert ask(path)["read"]["epochs"]["value"] == "3"
    claimed = ask(path, "--epochs", "3")
    assert claimed["by_name"]["epochs"]["agreement"] in ("exact", "rounds")
    assert "tokens" in claimed["read"]


def test_steps_that_go_back_to_0(ask):
    found = ask(LOGS / "steps_back_to_0.wandb")
    assert found["read"]["tokens"]["value"] == "2,000"
    assert [(one["first_step"], one["last_step"]) for one in found["segments"]] == [(1, 20), (0, 0)]


@pytest.mark.parametrize(
    "line",
    [
        "seq_length " + "." * 65_500,
        "seq_length " + "." * 65_000 + " x",
        "seq_length " + "." * 60_000 + "default ",
        "seq_length " + "." * 65_000 + " x y",
        "seq_length .. x" + "." * 65_000 + "z",
        "seq_length .. x" + "..." * 10_000 + "default" + "..." * 10_000,
        "Continuing training from " * 2600,
        "x: 5" + " " * 65_500,
        "iteration 1/ 2 | consumed samples: 5" + " " * 65_000 + "y",
        "iteration" + " " * 65_000,
        "iteration 1/ 2 |" * 4000,
        "iteration loaded checkpoint" + "loaded checkpoint " * 3500,
        "samples/sec: " * 4000 + "iteration |",
        "samples/sec: | " * 4000 + "iteration |",
        "iteration 1/ 2 | TFLOPs: 5" + "/1" * 32_000,
        "iteration 1" + " " * 30_000 + "/" + " " * 30_000 + "|",
        "[step=" * 10_000,
        "[step=1/2," * 6000,
        "throughput/total_tokens=" * 2500,
        "{'" + "a" * 65_000,
        "{'loss': 1, " * 5000,
        "'loss': " * 8000 + "{",
        "\x1b[" + "1;" * 32_000,
        "\x1b]" * 32_000,
        "\x08\r" * 32_000,
        "Num examples = " + "1," * 30_000,
        "1/2 [" * 13_000,
        " .. " * 16_000,
        "[config.py:1:print] " + ". " * 32_000 + "x",
        "[config.py:1:print] world_size " + "." * 65_000 + " x y",
        "[config.py:1:print]" + " " * 65_000 + "y",
        "[config.py:1:print]  world_size " * 2000,
    ],
    ids=lambda line: line[:20].encode().hex()[:12] + line[-4:].encode().hex(),
)
def test_a_long_line_takes_time_linear_in_its_length(ask, tmp_path, line):
    path = tmp_path / "a.log"
    path.write_text(LINE + "***** Running training *****\n" + f"{line}\n" * 3)
    begun = time.process_time()
    ask(path)
    assert time.process_time() - begun < 2


def test_what_is_no_log(ask, tmp_path, monkeypatch):
    path = tmp_path / "a.log"
    with path.open("wb") as file:
        file.write(b"x")
        file.truncate(3 << 30)  # takes no space
    begun = time.process_time()
    assert ask(path, code=2)["place"] == f"{path}:1"
    assert time.process_time() - begun < 5
    monkeypatch.setattr("dist_epochs.audit.detect.log.MOST_UNKNOWN", 1000)
    path.write_text("some line\n" * 200 + LINE)
    assert "neither a finished run" in ask(path, code=2)["asked"]
    path.write_text("some line\n" * 50 + LINE + "some line\n" * 200)
    assert ask(path)["read"]["steps"]["value"] == "1"

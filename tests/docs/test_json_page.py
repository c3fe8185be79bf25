"""The reference of the JSON names only keys that the commands print."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/json.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
VALUES = {
    "exact", "rounds", "overlaps", "contradicts", "null", "consistent", "consistent-with-rounding",
    "consistent-only-if", "inconsistent", "underdetermined", "--from", "--all",
}  # fmt: skip


def printed(*words):
    found = CliRunner().invoke(main, [*words, "--json"])
    assert found.stdout, found.output
    return json.loads(found.stdout)


def keys_of(data):
    """Every key of an object, however deep."""
    if isinstance(data, dict):
        return set(data) | set().union(*map(keys_of, data.values()))
    return set().union(*map(keys_of, data)) if isinstance(data, list) else set()


def outputs(command, tmp_path):
    match command:
        case "solve":
            yield printed("solve", "--steps", "10", "--batch", "2", "--corpus", "20 samples")
        case "plan":
            yield printed("plan", "bert-base", "--devices", "8xH100")
            yield printed("plan", "mixture")
            yield printed("plan", "bert-base", "gpt2-small")
            (tmp_path / "a.json").write_text('{"train_batch_size": 8, "gradient_accumulation_steps": 1}')
            flags = ["--devices", "8", "--corpus", "80 samples", "--steps", "1"]
            yield printed("plan", "--from", str(tmp_path / "a.json"), *flags)
        case "tokenize":
            yield printed("tokenize", "embedded", "--tokenizer", "embedded", "--count-only")
        case "ledger":
            yield printed("ledger", str(ROOT / "tests/data/ledgers/planned"))
        case "audit":
            yield printed("audit", "bert")
            yield printed("audit", "--all")
            yield printed("audit", "We train for 10,000 steps with 256 sequences a batch, 2,560,000 in 2023.")


@pytest.mark.parametrize("command", ["solve", "plan", "tokenize", "audit"])
def test_keys(command, tmp_path):
    named = set(re.findall(r"`([\w-]+)`", SECTIONS[command])) - VALUES
    found = set().union(*map(keys_of, outputs(command, tmp_path)))
    missing = {"record", "file", "line"} if command == "audit" else set()  # of finished runs: tests/audit
    assert named - missing <= found, named - found

"""A sample of every format gives its numbers, and is taken for one kind alone."""

import json
import re
from pathlib import Path

import pytest

from dist_epochs.audit.detect import unsupported
from dist_epochs.audit.detect.file import FILES
from dist_epochs.audit.detect.log import read_text_log
from dist_epochs.audit.records.contents import HEAD_BYTES
from dist_epochs.audit.records.lines import lines_of
from dist_epochs.audit.records.names import FURTHER, NAMES
from dist_epochs.audit.records.packed import read_head
from dist_epochs.errors import InputError

SAMPLES = Path(__file__).parent / "samples"
KINDS = {
    "hf-console": "hf-console", "hf-results": "hf-results", "llamafactory": "llamafactory", "model-card": "model-card",
    "wandb-files": "wandb", "lightning": "lightning", "tfevents": "tfevents", "nanogpt": "nanogpt",
    "torchtitan": "torchtitan", "deepspeed": "deepspeed", "nemo": "nemo", "megatron-bridge": "megatron",
    "olmo-core": "olmo",
}  # fmt: skip
UNREAD = ("composer", "fairseq", "litgpt", "mllog", "nanotron")
MORE = r"(?P<a>-?[\d,]+(?:\.\d+)?)(?: (?P<word>±|to) (?P<b>[\d,]+(?:\.\d+)?))?"


def expected():
    for folder in KINDS:
        for name, numbers in json.loads((SAMPLES / folder / "expected.json").read_text()).items():
            if not name.startswith("_"):
                yield pytest.param(folder, name, numbers, id=f"{folder}/{name}")


@pytest.mark.parametrize(("folder", "name", "numbers"), list(expected()))
def test_the_numbers_of_a_sample(ask, folder, name, numbers):
    found = ask(SAMPLES / folder / name)
    assert found["kind"] == KINDS[folder]
    record, looked_at = found["record"], 0
    for key, value in numbers.items():
        if key not in NAMES and key not in FURTHER:
            continue
        if value is None:
            assert key not in record
        elif isinstance(value, bool):
            assert record[key]["value"] is value, key
        elif match := re.match(MORE, str(value)):
            looked_at += 1
            is_number(record[key], match, key)
    assert looked_at or numbers.get("table") is None


def is_number(entry, match, key):
    number, more = (float(match[name].replace(",", "")) if match[name] else None for name in ("a", "b"))
    assert entry["low"] <= entry["value"] <= entry["high"]
    assert str(entry["file"]).startswith(str(SAMPLES)), key
    match match["word"]:
        case "±":
            assert abs(entry["value"] - number) <= more, key
        case "to":
            assert (round(entry["low"]), round(entry["high"])) == (number, more), key
        case _:
            digits = len(match["a"].partition(".")[2])
            assert entry["low"] <= number <= entry["high"] or round(entry["value"], digits) == number, key


def files():
    return sorted(path for path in SAMPLES.rglob("*") if path.is_file() and path.suffix != ".py")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SAMPLES)))
def test_no_sample_is_taken_for_two_kinds(path):
    head = read_head(path, HEAD_BYTES)
    kinds = [name for name, kind in FILES.items() if kind.has_marks(path, head)]
    run = read_text_log(path)
    kinds += [run.kind] if run is not None else []
    kinds += [name for name, mark in unsupported.MARKS.items() if any(mark.search(line) for _, line in lines_of(path))]
    assert len(kinds) <= 1, kinds
    folder = path.relative_to(SAMPLES).parts[0]
    beside = path.name in ("expected.json", "README.md", "config.yaml", "wandb-metadata.json", "hparams.yaml")
    assert bool(kinds) is not (beside or (folder == "keras" and path.suffix == ".csv")), path


@pytest.mark.parametrize("folder", UNREAD)
def test_kinds_that_are_not_read_are_named(ask, folder):
    for path in (SAMPLES / folder).iterdir():
        if path.name != "expected.json":
            error = ask(path, code=2)
            assert "recognised and not read" in error["asked"]
            assert error["place"].startswith(str(path))


@pytest.mark.parametrize("folder", list(KINDS))
def test_what_is_cut_or_damaged_is_an_audit_or_an_error_of_the_file(folder, tmp_path):
    """Nothing else than an InputError ever comes out."""
    from dist_epochs.audit.detect.folder import read_finished_run

    for path in (SAMPLES / folder).rglob("*"):
        if not path.is_file() or path.name == "expected.json":
            continue
        content = path.read_bytes()
        for part in (content[: len(content) // 3], content[:-7], content.replace(b"1", b"\xff"), content + b"\0" * 50):
            copy = tmp_path / path.name
            copy.write_bytes(part)
            try:
                read_finished_run(copy)
            except InputError as error:
                assert error.origin is not None
                assert error.origin.name == str(copy)

"""Each sample gives the numbers that stand beside it, value by value, and no sample is taken for two kinds.

A folder below `samples` is a kind, and a folder in it one launch: its files, and in `expected.json` what is given by
flags and what must be read.
"""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.detect.folder import read_finished_run
from dist_epochs.cli.main import main
from dist_epochs.errors import InputError
from dist_epochs.settings.section import read_section
from dist_epochs.settings.value import plain_value
from dist_epochs.tool_configs.detect import TOOLS, read_settings
from dist_epochs.tool_configs.from_script import BY_FLAGS
from dist_epochs.tool_configs.kinds import KINDS
from dist_epochs.tool_configs.other_tools import TOOLS as NOT_READ
from dist_epochs.tool_configs.readers.nanogpt import NANOGPT
from dist_epochs.tool_configs.script import looks_like_script, read_script

SAMPLES = Path(__file__).parent / "samples"
CASES = sorted(path.parent for path in SAMPLES.glob("*/*/expected.json"))
REFUSED = {"fairseq", "levanter", "megatron-bridge-nemo", "nanotron", "olmo", "olmo-core"}
READ_CASES = [case for case in CASES if case.parent.name not in REFUSED]
REFUSED_CASES = [case for case in CASES if case.parent.name in REFUSED]
NO_FLAGS_SAY_IT = {"levanter/schedule", "fairseq/max-tokens"}
"""A batch that grows by a list, and batches of so many tokens, that flags do not say."""


def name_of(case):
    return f"{case.parent.name}/{case.name}"


def given(case):
    """What must be given by flags, and what is then expected."""
    case = json.loads((case / "expected.json").read_text())
    flags = [f"--{key}={case['given'][key]}" for key in ("devices", "corpus") if key in case["given"]]
    flags += [f"--source={name}:{size} samples" for name, size in case["given"].get("sources", {}).items()]
    return case["files"][0], flags, case["expected"]


def plan(*arguments):
    return CliRunner().invoke(main, ["plan", *map(str, arguments), "--json"])


@pytest.mark.parametrize("case", READ_CASES, ids=name_of)
def test_a_sample_gives_its_numbers(case):
    file, flags, expected = given(case)
    result = plan("--from", case / file, *flags)
    assert result.exit_code == 0, result.stderr
    read = json.loads(result.stdout)["read"]
    assert {name: read.get(name, {}).get("value") for name in expected if name != "devices"} == {
        name: value for name, value in expected.items() if name != "devices"
    }
    if "devices" in expected:
        assert read["devices"]["value"] == expected["devices"]
    lines = (case / file).read_text().splitlines()
    for name, entry in read.items():  # what a line states stands in that line
        assert (entry["file"] is None) == (entry["line"] is None)
        assert entry["follows"] or entry["file"]
        if entry["file"] == str(case / file) and name not in ("unit", "steps", "devices", "global_batch"):
            last = entry["key"].rpartition(".")[2] if entry["key"] else ""
            assert last.split("_")[0] in lines[entry["line"] - 1].replace("-", "_") or not last


@pytest.mark.parametrize("case", REFUSED_CASES, ids=name_of)
def test_what_is_not_read_is_refused_with_the_flags_that_say_the_same(case):
    file, flags, expected = given(case)
    refused = plan("--from", case / file, *flags)
    assert refused.exit_code == 2
    (error,) = json.loads(refused.stderr)["errors"]
    assert "which is not read here" in error["asked"]
    (fix,) = error["fixes"]
    said = shlex.split(fix.partition("the flags that say the same: ")[2])
    assert said
    if name_of(case) in NO_FLAGS_SAY_IT:
        return
    result = plan(*said, *flags)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    batch = found["global_batch"]
    numbers = {
        "steps": found["steps"], "samples": found["samples"], "tokens": found["positions"],
        "global_batch": batch["samples"], "devices": batch["devices"], "data_parallel": batch["data_parallel_size"],
        **{key: batch[key] for key in ("per_device", "gradient_accumulation")},
    }  # fmt: skip
    assert {name: numbers[name] for name in expected if name in numbers} == {
        name: value for name, value in expected.items() if name in numbers
    }


TESTS = Path(__file__).parent.parent
FILES = sorted(
    path
    for folder in (SAMPLES, TESTS / "audit/readers", TESTS / "corpus/readers")
    for path in folder.rglob("*")
    if path.is_file() and path.name != "expected.json" and not path.name.startswith("test_")
    and "__pycache__" not in path.parts
)  # fmt: skip


def kinds_of(path):
    """All kinds that a file is taken for, each by itself."""
    try:
        if looks_like_script(path, path.read_text(encoding="utf-8")):
            flags = plain_value(read_script(path).flags.values)
            tools = BY_FLAGS
        else:
            flags = plain_value(read_section(path).values)
            tools = (NANOGPT,) if path.suffix == ".py" else (*TOOLS, *NOT_READ)
    except (InputError, UnicodeDecodeError):
        return []
    found = [tool.name for tool in tools if tool.is_its(flags)]
    return found or [kind.name for kind in KINDS if len(kind.marks(flags)) > 1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_file_is_of_two_kinds(path):
    kinds = kinds_of(path)
    assert len(kinds) <= 1
    is_configuration = "tool_configs" in path.parts
    try:
        taken = bool(read_settings(path).tools)
    except InputError:
        taken = False
    if taken:
        assert is_configuration, "a record, or a corpus, is taken for a configuration"
    if is_configuration:
        try:
            assert read_finished_run(path) is None
        except InputError as error:
            assert "neither" in error.asked


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("distributed_type: MULTI_GPU\nnum_processes: 32\nparallelism_config:\n", 3),
        (
            "distributed_type: FSDP\nnum_processes: 32\n"
            "fsdp_config: {fsdp_version: 2, fsdp_reshard_after_forward: false}\nparallelism_config:\n",
            2,
        ),
    ],
)  # fmt: skip
def test_copies_that_devices_share_are_hybrid_sharding(tmp_path, text, stage):
    path = tmp_path / "acc.yaml"
    path.write_text(
        f"{text}  parallelism_config_dp_replicate_size: 4\n  parallelism_config_dp_shard_size: 8\nmachine_rank: 0\n"
    )
    result = plan("--from", path, "--per-device=2", "--steps=10")
    assert result.exit_code == 0, result.stderr
    read = json.loads(result.stdout)["read"]
    assert (read["shard_size"]["value"], read["zero_stage"]["value"]) == (8, stage)
    assert json.loads(result.stdout)["global_batch"]["data_parallel_size"] == 32

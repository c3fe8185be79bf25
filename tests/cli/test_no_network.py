"""No command reaches for a network: every connection of the process is watched by strace."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "compatibility" / "2026-11-27"

COMMANDS = [
    ["solve", "--steps", "1M", "--batch", "256x512", "--corpus", "3.3B tokens"],
    ["plan", "--corpus", "9 samples", "--per-device", "2", "--devices", "1", "--epochs", "3", "--like", "all"],
    ["audit", "bert"],
    ["audit", str(SAMPLES / "run")],
    ["ledger", str(SAMPLES / "run")],
    ["explain", "epoch"],
    *(
        ["tokenize", f"a.{kind}", "--tokenizer", "embedded", "--sequence-length", "16", "--out", f"{kind}-store"]
        for kind in ("txt", "txt.gz", "jsonl", "parquet")
    ),
    ["tokenize", "txt-store", "--sequence-length", "32"],
    ["plan", "recipe.yaml"],
]

SCRIPT = """
import json, socket, sys
from dist_epochs.cli.main import main
for command in json.loads(sys.argv[1]):
    try:
        main(command)
        raise AssertionError(command)
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)
try:
    socket.create_connection(("127.0.0.1", 9), 1)  # so that the trace is known to hold connections
except OSError:
    pass
"""

LOCAL = re.compile(r'sa_family=AF_(UNIX|UNSPEC)|inet_addr\("127\.|"::1"')


def test_no_command_connects_to_another_machine(tmp_path, write_recipe):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt install strace)")
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = [f"the step {number} is not what an epoch says" for number in range(20)]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode()))
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet")
    write_recipe("txt-store")
    trace = tmp_path / "trace"
    result = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect", "-o", trace,
         sys.executable, "-c", SCRIPT, json.dumps(COMMANDS)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    if "ptrace" in result.stderr and "not permitted" in result.stderr:
        pytest.skip(f"strace may not trace here: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    connections = re.findall(r"connect\(.*", trace.read_text())
    assert any("127.0.0.1" in each for each in connections), "the trace holds connections"
    assert [each for each in connections if not LOCAL.search(each)] == []

"""Two nodes: network namespaces of this machine, joined by a virtual cable, with a torchrun in each.

`python -m pytest -m campaign tests/distributed/test_two_nodes.py`
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from dist_epochs.ledger.reconcile import read_run

ROOT = Path(__file__).parent.parent.parent
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
OTHERS = ("WANDB", "ACCELERATE", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP", "MASTER", "TORCHELASTIC")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
pytestmark = [pytest.mark.campaign, pytest.mark.timeout(400)]


def ip(*words):
    return subprocess.run(
        ["ip", *words], env=os.environ | {"PATH": PLACES}, capture_output=True, text=True, check=True
    ).stdout


class Node:
    """A network namespace with one interface, `eth0`."""

    def __init__(self, name, address):
        self.name, self.address = name, address

    def start(self, log, *command, **environment):
        """Start a command on this node; its output is added to a file."""
        with log.open("a") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *map(str, command)],
                env=CLEAN | {"PATH": PLACES, "PYTHONPATH": str(ROOT)} | environment,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def power_off(self):
        """End all processes of this node at once."""
        for pid in ip("netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def nodes():
    if shutil.which("ip", path=PLACES) is None:
        pytest.skip("ip is missing (Debian: apt-get install iproute2)")
    tag = uuid4().hex[:6]
    made = [Node(f"epochs-{tag}-{number}", f"10.213.77.{number}") for number in (1, 2)]
    ends = [f"v{tag}{number}" for number in (1, 2)]
    try:
        try:
            for node in made:
                ip("netns", "add", node.name)
            ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
        for node, end in zip(made, ends, strict=True):
            ip("link", "set", end, "netns", node.name, "name", "eth0")
            ip("-n", node.name, "address", "add", f"{node.address}/24", "dev", "eth0")
            for interface in ("eth0", "lo"):
                ip("-n", node.name, "link", "set", interface, "up")
        yield made
    finally:
        for node in made:
            with contextlib.suppress(subprocess.CalledProcessError):
                node.power_off()
                ip("netns", "delete", node.name)


CPU = {
    "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "eth0", "OMP_NUM_THREADS": "1",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # else a node that comes back is not told the address of rank 0
}  # fmt: skip


def test_a_node_is_lost_and_brought_back(nodes, tmp_path, store, write_recipe):
    """The other node's torchrun waits for it; the run resumes from its checkpoint and its books balance."""
    phases = [{"steps": 300, "sequence_length": 16}, {"steps": 100, "sequence_length": 32}]
    recipe = write_recipe(store.path, phases=phases, checkpoints={"steps": 10}, timeout="30 seconds")
    run, log = tmp_path / "run", tmp_path / "log"
    ledger = run / "ledger.jsonl"

    def start(node):
        return node.start(
            log, "torchrun", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-id=1",
            "--rdzv-backend=c10d", f"--rdzv-endpoint={nodes[0].address}:29500", f"--local-addr={node.address}",
            f"--rdzv-conf=is_host={str(node is nodes[0]).lower()}",
            "-m", "dist_epochs.train", recipe, "--out", run, "--resume", **CPU,
        )  # fmt: skip

    first, second = map(start, nodes)
    deadline = time.monotonic() + 120
    while not ledger.exists() or ledger.read_bytes().count(b'"applied"') < 25:
        assert first.poll() is second.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    nodes[1].power_off()
    second.wait()
    second = start(nodes[1])
    assert (first.wait(180), second.wait(60)) == (0, 0), log.read_text()

    result = read_run(run)
    assert result.agrees, log.read_text()
    lost, last = result.totals.segments
    assert lost.status in ("failed", "no end")
    assert (last.status, last.facts["world_size"]) == ("finished", 2)
    assert last.facts["torchrun_restarts"] in (0, 1)  # of rank 0 of the new round, on whichever node
    assert last.facts["checkpoint"]
    assert result.totals.replayed.steps + result.totals.unfinished < 20


def test_accelerate_on_two_nodes(nodes, tmp_path, store, write_recipe):
    """launch/two-nodes.yaml, with one process of each node and the address of the first."""
    text = (ROOT / "launch" / "two-nodes.yaml").read_text()
    for stated, here in (("_ip: node-1", f"_ip: {nodes[0].address}"), ("num_processes: 16", "num_processes: 2")):
        assert stated in text
        text = text.replace(stated, here)
    file, run, log = tmp_path / "two-nodes.yaml", tmp_path / "run", tmp_path / "log"
    file.write_text(text)
    recipe = write_recipe(store.path)
    launched = [
        node.start(
            log, "accelerate", "launch", "--config_file", file, "--machine_rank", str(rank),
            "-m", "dist_epochs.train", recipe, "--out", run, **CPU,
        )
        for rank, node in enumerate(nodes)
    ]  # fmt: skip
    assert [process.wait(180) for process in launched] == [0, 0], log.read_text()
    result = read_run(run)
    assert result.agrees
    assert result.totals.segments[0].facts["world_size"] == 2

"""Forks ranks of a launch that has a trouble, on demand: `python -m tests.distributed.troubled`, a JSON request a line.

Each rank runs the command of training with arguments, a host name and a fault of its own; the answer has its exit code
and what it printed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import torch
import torch._dynamo

from dist_epochs import terminal
from dist_epochs.errors import InputError, Origin
from dist_epochs.train import agreement, run, shared_folder
from dist_epochs.train.__main__ import main as train

SILENCE = 0.3
"""Seconds that silent ranks stay; there is no launcher here that would end the others with the first."""


def fails(error: Exception):
    def fail(*arguments, **named):
        raise error

    return fail


def carry(fault: str) -> None:
    """What is wrong on this rank."""
    if fault == "old code":
        agreement._code = lambda: "0ld"
    elif fault == "old torch":
        version = agreement.version
        agreement.version = lambda name: "2.0.0" if name == "torch" else version(name)
    elif fault == "clock":
        agreement.time = SimpleNamespace(time=lambda: time.time() + 95)
    elif fault == "device":
        run.join = fails(RuntimeError("the device is busy"))
    elif fault == "after they met":
        run.exact_plan = fails(InputError("no such plan", origin=Origin("a.yaml", 3)))
    elif fault == "bug":
        run.set_up = fails(ZeroDivisionError("a bug"))
    elif fault == "killed":
        run.build_model = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
    elif fault:
        raise ValueError(fault)


def be_rank(number: int, one: dict, port: int, log: Path) -> int:
    place = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= (
        {name: str(value) for name, value in place.items()} | {"ACCELERATE_USE_CPU": "true"} | one["environment"]
    )
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(log.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT), stream)
    host = one["host"]
    socket.gethostname = lambda: host
    terminal.PATIENCE, shared_folder.VISIBLE = SILENCE, 1.0
    carry(one["fault"])
    sys.argv[1:] = one["arguments"]
    try:
        train(one["arguments"])
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        ranks, folder = json.loads(line), Path(mkdtemp())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pids = []
        for at, one in enumerate(ranks):
            if pid := os.fork():
                pids.append(pid)
                continue
            code = 1
            try:
                code = be_rank(one["rank"], one, port, folder / str(at))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        said = [(folder / f"{at}.err").read_text() for at in range(len(ranks))]
        printed = [(folder / f"{at}.out").read_text() for at in range(len(ranks))]
        print(json.dumps({"codes": codes, "errors": said, "outputs": printed}), flush=True)


if __name__ == "__main__":
    main()

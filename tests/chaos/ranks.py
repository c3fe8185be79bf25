"""Forks ranks that train, on demand: `python ranks.py`, one JSON request a line on standard input.

Forked ranks start in a second where launched ones take ten; the parent has imported what they need and
runs on one thread. Each rank counts what it really did in memory of its own that survives a kill, and
may carry a fault.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch._dynamo

from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.runtime import meeting
from dist_epochs.train import loop, run

BEGUN, STEPPED, BOOKED = range(3)

NO_GATE = 2**62
"""A step that no run reaches, so its ranks never wait for the harness."""


def hash_row(inputs: np.ndarray, labels: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(inputs.tobytes() + labels.tobytes(), digest_size=8).digest(), "little")


def hashes_of(window) -> list[int]:
    """One number for each sample of a rank's window; rows that only fill up carry no label."""
    return [
        hash_row(inputs, labels)
        for batch in window.micro_batches
        for inputs, labels in zip(batch.input_ids, batch.labels, strict=True)
        if (labels != -100).any()
    ]


def memories(request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Instants of each step on rank 0; hashes of the samples of each rank and step; how far ranks may go for now."""
    folder, steps = Path(request["memory"]), request["steps"]
    times = np.memmap(folder / "times", np.int64, "r+", shape=(steps + 1, 3))
    rows = np.memmap(folder / "rows", np.uint64, "r+", shape=(request["world"], steps + 1, request["batch"]))
    return times, rows, np.memmap(folder / "gate", np.int64, "r", shape=(1,))


def count(request, rank: int) -> None:
    """Count independently of the program, in shared memory, and wait where the harness has something to do first."""
    times, rows, gate = memories(request)
    step_of, book = loop.take_step, RunLedger.book
    optimize = torch.optim.AdamW.step
    at = SimpleNamespace(step=0)

    def step(training, drawn):
        while drawn.step > gate[0]:
            time.sleep(0.002)
        at.step = drawn.step
        found = hashes_of(drawn.window)
        rows[rank, at.step, : len(found)] = found
        if rank == 0:
            times[at.step, BEGUN] += 1
        time.sleep(request["pause"])
        return step_of(training, drawn)

    def stepped(self, *arguments, **named):
        result = optimize(self, *arguments, **named)
        if rank == 0:
            times[at.step, STEPPED] += 1
        return result

    def booked(self, drawn, **named):
        book(self, drawn, **named)
        if rank == 0:
            times[at.step, BOOKED] += 1

    loop.take_step, torch.optim.AdamW.step, RunLedger.book = step, stepped, booked


def carry_fault(fault: dict, rank: int) -> None:
    """What goes wrong in this rank, at an instant of its own."""
    if fault.get("rank", rank) != rank:
        return
    if "kill_at_event" in fault:
        kill_at_event(fault["kill_at_event"])
    if "largest_file" in fault:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["largest_file"], resource.RLIM_INFINITY))
    if "factor" in fault:
        scale_loss(float(fault["factor"]), set(fault["steps"]))
    if "hang_at_step" in fault:
        hang(fault["hang_at_step"])


def kill_at_event(number: int) -> None:
    """Die at the n-th time that this rank opens, makes, renames or removes something below `checkpoints`."""
    left = [number]

    def hook(event, arguments):
        if event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            return
        if "checkpoints" in str(arguments[0]) and not str(arguments[0]).endswith(
            ".py"
        ):  # the package has such a folder
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def scale_loss(factor: float, steps: set[int]) -> None:
    """Multiply the loss of this rank in some steps: by inf or nan."""
    step_of, loss_of, at = loop.take_step, loop.loss_sum, SimpleNamespace(step=0)

    def step(training, drawn):
        at.step = drawn.step
        return step_of(training, drawn)

    loop.take_step = step
    loop.loss_sum = lambda model, batch: loss_of(model, batch) * (factor if at.step in steps else 1.0)


def hang(number: int) -> None:
    """The training of this rank stands still in a step, while its process lives."""
    step_of = loop.take_step

    def step(training, drawn):
        while drawn.step == number:
            signal.pause()
        return step_of(training, drawn)

    loop.take_step = step


def scale_gradients() -> None:
    """fp16's loss scale on the CPU, where Accelerate has none."""
    join = run.join

    def joined(*arguments):
        world = join(*arguments)
        world.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
        return world

    run.join = joined


def be_rank(rank: int, request: dict) -> None:
    world = request["world"]
    if world > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(request["port"]), "ACCELERATE_USE_CPU": "true"}
    log = os.open(request["log"].format(rank=rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if request.get("scaler"):
        scale_gradients()
    meeting.WATCHED_EVERY = 0.05  # many ranks are killed, and those that are left are soon done with them
    count(request, rank)
    for fault in request["faults"]:
        carry_fault(fault, rank)
    out = Path(request["out"])
    run.run_recipe(Path(request["recipe"]), out, request["overrides"], resume=True, replan=request["replan"])


def fork(rank: int, request: dict) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        be_rank(rank, request)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def exit_code(pid: int) -> int:
    """Wait for a rank's end, and leave it a zombie."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def main() -> None:
    torch.set_num_threads(1)
    ended: list[int] = []
    for line in sys.stdin:
        request = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            request["port"] = free.getsockname()[1]
        for pid in ended:
            os.waitpid(pid, 0)
        pids = [fork(rank, request) for rank in range(request["world"])]
        print(json.dumps({"request": request["request"], "pids": pids}), flush=True)
        codes = [exit_code(pid) for pid in pids]
        print(json.dumps({"request": request["request"], "codes": codes}), flush=True)
        ended = pids  # reaped with the next request: until then nothing else can have their numbers


if __name__ == "__main__":
    main()

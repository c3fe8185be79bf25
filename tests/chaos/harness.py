"""Runs that are disturbed, segment by segment, and the proof that their ledger still equals the plan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.ledger.reconcile import Reconciliation, read_run
from dist_epochs.plan.history import history_of
from dist_epochs.recipe import read_recipe
from dist_epochs.train.checkpoints.manifest import read_manifest
from tests.chaos.ranks import BEGUN, BOOKED, NO_GATE, STEPPED, hashes_of

PROGRAM = Path(__file__).with_name("ranks.py")

PATIENCE = 240
"""Seconds after which something will never happen, also on a machine that is busy with other things."""


class Ranks:
    """The process that forks ranks; one for all tests, and another after a request that was given up.

    Only ranks of the request under way are ever signalled, and only while they are in the process group that was made
    for them. Their process ids cannot mean anything else in that time: the forking process reaps a rank when the next
    request comes, and answers carry the number of their request.
    """

    def __init__(self, home: Path, program: Path = PROGRAM) -> None:
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("WANDB", "ACCELERATE"))}
        self._environment = clean | {"HOME": str(home), "OMP_NUM_THREADS": "1"}
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._lock, self._request = threading.Lock(), 0
        self._alive: frozenset[int] = frozenset()

    def start(self, request: dict[str, Any]) -> list[Rank]:
        """Fork the ranks of a request."""
        self._request += 1
        process = self._running()
        assert process.stdin
        process.stdin.write(json.dumps(request | {"request": self._request}) + "\n")
        process.stdin.flush()
        pids = self._answer(process, "pids")
        with self._lock:
            self._alive = frozenset(pids)
        return [Rank(pid, self._request, self) for pid in pids]

    def wait(self) -> list[int]:
        """Exit codes of the ranks, when all have ended."""
        return self._answer(self._running(), "codes")

    def signal(self, rank: Rank, number: int) -> bool:
        """Signal a rank of the request under way; whether it was one."""
        with self._lock:
            if rank.request != self._request or rank.pid not in self._alive or not self._forked(rank.pid):
                return False
            os.kill(rank.pid, number)
            return True

    def end(self) -> None:
        """The request is over: nothing is signalled any more."""
        with self._lock:
            self._alive = frozenset()

    def close(self) -> None:
        """Kill the forking process and all that it forked, which are a process group of their own."""
        self.end()
        if self._process is None:
            return
        if self._process.returncode is None and self._forked(self._process.pid):
            with suppress(ProcessLookupError):  # its leader is not reaped yet, so the number is still that of the group
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not sent yet is for nobody
                pipe.close()
        self._process = None

    def _forked(self, pid: int) -> bool:
        """Whether a process is in the group of the forking process, which is no group of ours."""
        group = self._process.pid if self._process is not None else 0
        with suppress(ProcessLookupError):
            return pid > 1 and group not in (0, 1, os.getpgrp()) and os.getpgid(pid) == group
        return False

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(self._program)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=self._environment, start_new_session=True,
            )  # fmt: skip
        return self._process

    def _answer(self, process: subprocess.Popen[str], name: str) -> list[int]:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"request {self._request} asked for {name}, and the forking process is gone")
        answer = json.loads(line)
        if answer["request"] != self._request or name not in answer:
            raise RuntimeError(f"request {self._request} asked for {name}, and was answered {answer}")
        return answer[name]


@dataclass(frozen=True, slots=True)
class Rank:
    """One process that trains.

    Attributes:
        pid: Its number.
        request: Number of the request that it was forked for.
    """

    pid: int
    request: int
    _ranks: Ranks

    def signal(self, number: int) -> bool:
        """Send it a signal, as long as its request is under way; whether it was sent."""
        return self._ranks.signal(self, number)

    def runs(self) -> bool:
        """Whether it is there and no zombie."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def has_pending(self, number: int) -> bool:
        """Whether a signal was sent to it and has not reached it yet."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return bool(int(status.partition("ShdPnd:")[2].split()[0], 16) >> (number - 1) & 1)


@dataclass
class Segment:
    """What the harness itself saw of one start of the program.

    Attributes:
        world: Ranks.
        times: For each step from 1, how often rank 0 began it, stepped its optimizer, and booked it.
        rows: Hashes of the samples that each rank was given in each step.
        gate: The step up to which ranks may go for now; one number.
        codes: Exit codes.
        log: What each rank printed.
    """

    world: int
    times: np.ndarray
    rows: np.ndarray
    gate: np.ndarray
    codes: list[int] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def steps(self, instant: int) -> set[int]:
        return set(map(int, np.flatnonzero(self.times[:, instant])))

    def samples(self, step: int) -> list[int]:
        return sorted(int(value) for value in self.rows[:, step].reshape(-1) if value)


class Chaos:
    """One run directory and everything that is done to it; `elapsed` seconds until its last segment ended."""

    def __init__(
        self, ranks: Ranks, recipe: Path, folder: Path, *overrides: str, scaler: bool = False, pause: float = 0
    ) -> None:
        self.recipe, self.folder, self.out = recipe, folder, folder / "run"
        self.overrides, self.segments = list(overrides), []
        self._ranks, self._scaler, self._pause = ranks, scaler, pause
        self._began, self.elapsed = time.time(), 0.0
        self.expect()

    def expect(self, after: int | None = None) -> None:
        """Work out which samples every step must draw, in one process; `after` a step, the recipe is a new plan."""
        recipe = read_recipe(self.recipe, self.overrides)
        history = None
        if after is not None:
            history = history_of(json.loads((self.out / "plan.json").read_text()), after)
        store = Store(Path(recipe.corpus.store))
        corpus, self.plan = exact_plan(recipe, store, objective_of(recipe.model, store), None, history=history)
        windows = corpus.windows([replace(batch, data_parallel_size=1, uneven=True) for batch in self.plan.batches], 0)
        self.expected = {window.step + 1: sorted(hashes_of(window)) for window in windows}
        self.batch = max(len(samples) for samples in self.expected.values())

    def run(
        self,
        world: int,
        *faults: dict[str, Any],
        replan: bool = False,
        during: Callable[[Segment, list[Rank]], None] = lambda s, r: None,
    ) -> Segment:
        """One start of the program.

        Args:
            world: Ranks.
            faults: What the ranks carry.
            replan: Whether the recipe may change the plan.
            during: Called with the segment and the ranks once they run.
        """
        number, steps = len(self.segments), self.plan.steps
        memory = self.folder / f"memory-{number}"
        memory.mkdir(parents=True)
        times = np.memmap(memory / "times", np.int64, "w+", shape=(steps + 1, 3))
        rows = np.memmap(memory / "rows", np.uint64, "w+", shape=(world, steps + 1, self.batch))
        gate = np.memmap(memory / "gate", np.int64, "w+", shape=(1,))
        gate[0] = during.until if isinstance(during, Kill) else NO_GATE
        segment = Segment(world, times, rows, gate)
        self.segments.append(segment)
        log = str(self.folder / f"log-{number}-{{rank}}.txt")
        request = {
            "world": world, "recipe": str(self.recipe), "out": str(self.out), "overrides": self.overrides,
            "memory": str(memory), "steps": steps, "batch": self.batch, "faults": faults, "log": log,
            "scaler": self._scaler, "replan": replan, "pause": self._pause,
        }  # fmt: skip
        try:
            ranks = self._ranks.start(request)
            failures: list[BaseException] = []

            def disturb() -> None:
                try:
                    during(segment, ranks)
                except BaseException as error:
                    failures.append(error)
                    for rank in ranks:
                        rank.signal(signal.SIGKILL)

            disturbing = threading.Thread(target=disturb, daemon=True)
            disturbing.start()
            segment.codes = self._ranks.wait()
            disturbing.join()
        except BaseException:  # pytest's time-out, or Ctrl-C: the ranks are of no use to the next test
            self._ranks.close()
            raise
        self._ranks.end()
        self.elapsed = time.time() - self._began
        if failures:
            raise failures[0]
        segment.log = [Path(log.format(rank=rank)).read_text() for rank in range(world)]
        return segment

    @property
    def result(self) -> Reconciliation:
        return read_run(self.out)

    def checkpoints(self) -> list[Path]:
        """Newest first; the names that resuming looks at."""
        return sorted(self.out.glob("checkpoints/step-?????????"), reverse=True)

    def weights(self) -> dict[str, np.ndarray]:
        return load_file(self.out / "model" / "model.safetensors")

    def check_checkpoints(self) -> None:
        """Whatever has the name of a checkpoint is whole."""
        for folder in self.checkpoints():
            read_manifest(folder).check_files(folder)

    def check_finished(self) -> None:
        """The proof: plan, ledger and what the harness saw are one."""
        result = self.result
        assert result.totals.segments[-1].status == "finished", self.segments[-1].log
        applied = result.totals.applied
        assert {(d.unit, d.cause) for d in result.differences} <= {("micro_steps", "topology changed")}
        assert f"{applied.counts.digest:032x}" == result.plan["sample_digest"]
        assert applied.steps == self.plan.steps
        for step, samples in self.expected.items():
            last = [segment for segment in self.segments if segment.times[step, BOOKED]][-1]
            assert last.samples(step) == samples, f"step {step}"
        self.check_replayed(result)
        self.check_time(result)

    def check_replayed(self, result: Reconciliation) -> None:
        """Replayed steps, from the harness's own memory: booked once, and begun again by a later segment."""
        replayed, unsure = 0, 0
        for number, segment in enumerate(self.segments):
            later = [min(begun) for s in self.segments[number + 1 :] if (begun := s.steps(BEGUN))]
            again = {step for step in segment.steps(STEPPED) if later and step >= min(later)}
            replayed += len(again & segment.steps(BOOKED))
            unsure += len(again - segment.steps(BOOKED))  # killed between the update and its line, or just after it
        assert replayed <= result.totals.replayed.steps <= replayed + unsure
        begun = sum(len(segment.steps(BEGUN)) for segment in self.segments)
        recorded = result.totals.applied.steps + result.totals.skipped.steps + result.totals.replayed.steps
        assert begun - len(self.segments) <= recorded + result.totals.unfinished <= begun + len(self.segments)

    def check_time(self, result: Reconciliation) -> None:
        """Every second of rank 0 has one cause: from the start of the first segment to the last line of the ledger."""
        lines = [json.loads(line) for line in (self.out / "ledger.jsonl").read_text().splitlines()]
        begun = [line.get("started", line["time"]) for line in lines if line["event"] == "segment"]
        wall = [line["time"] for line in lines if "time" in line][-1] - begun[0]
        found = result.time_line
        assert sum(found.causes.values()) / 1e6 == pytest.approx(wall, abs=1)
        assert wall < self.elapsed + 1
        assert (found.back_us, found.causes["unattributed"]) == (0, 0)
        assert (found.causes["replayed"] > 0) == (result.totals.replayed.steps > 0)
        assert (found.causes["idle"] > 0) == (len(begun) > 1)
        assert (found.causes["evaluation"] > 0) == any("evaluation" in line["event"] for line in lines)
        assert found.causes["compute"] > 0 < found.causes["start-up"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """Sends a signal once a step is booked. No rank runs away meanwhile, however late a busy machine lets it be sent.

    Attributes:
        step: The step.
        rank: Whom to send it; None is all.
        number: The signal.
        until: The step up to which ranks may go before it is sent.
    """

    step: int
    rank: int | None
    number: int
    until: int

    def __call__(self, segment: Segment, ranks: list[Rank]) -> None:
        segment.gate[0] = self.until
        wait_for(lambda: max(segment.steps(BOOKED), default=0) >= self.step)
        for one in ranks if self.rank is None else [ranks[self.rank]]:
            one.signal(self.number)
        segment.gate[0] = NO_GATE


def kill_after(step: int, rank: int | None = None, number: int = signal.SIGKILL, leash: int = 3) -> Kill:
    """Send a signal to one rank, or all, once a step is booked and before more than `leash` others are."""
    return Kill(step=step, rank=rank, number=number, until=step + leash)


def wait_for(happened: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something happened, and fail if it does not."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """‖Δw‖₂ ÷ ‖w‖₂ over all weights."""
    assert one.keys() == other.keys()
    squares = sum(float(np.square(one[name].astype(np.float64) - other[name]).sum()) for name in one)
    return (squares / sum(float(np.square(value.astype(np.float64)).sum()) for value in one.values())) ** 0.5


def bitwise_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def flip_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(data)


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)

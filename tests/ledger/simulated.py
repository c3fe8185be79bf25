"""A run on a clock that moves only by hand, with its own books of where the time went."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.file import drawn_to_json
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.ledger.totals import Tally
from dist_epochs.runtime.peers import Alone, Sums

BEGAN = 1.8e9


class SlowPeers(Alone):
    """Ranks of which the others are late with their counts."""

    def __init__(self, run):
        self.run, self.size = run, run.ranks

    def sum(self, values):
        def wait():
            self.run.spend("communication", self.run.late())
            return [value * self.size for value in values]

        return Sums(wait)


@dataclass
class SimulatedRun:
    """A run of phases of (steps, sequence length, samples), killed after some steps.

    Args:
        folder: The run directory.
        clock: The clock, in microseconds.
        seed: Of everything that varies.
        sources: The share of each source in the samples.
    """

    folder: Path
    clock: SimpleNamespace
    seed: int = 0
    phases: tuple = ((60, 128, 8), (60, 128, 16), (80, 512, 16))
    kills: tuple = ()
    ranks: int = 1
    evaluate_every: int = 20
    save_every: int = 15
    look: object = None
    scale: int = 1
    sources: Mapping = field(default_factory=lambda: {"web": Fraction(1)})
    books: Counter = field(default_factory=Counter)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.steps, self.cause = sum(steps for steps, *_ in self.phases), None

    @property
    def plan(self):
        """What the estimates know of its `plan.json`."""
        phases = [{"steps": n, "sequence_length": length, "global_batch": size} for n, length, size in self.phases]
        flops = {"128": 1000, "512": 1100}
        return {"phases": phases, "cost": {"flops_per_token_at": flops, "price_per_device_hour": 2.5, "price": 10}}

    def write_plan(self, sizes):
        """A `plan.json` of what is drawn where no step is skipped.

        Args:
            sizes: Samples of a pass of each source at each length.
        """
        tally = Tally()
        for step in range(self.steps):
            drawn = self.window(step).counts  # of one rank
            tally.add(1, {key: sum([counts] * self.ranks, Counts()) for key, counts in drawn.items()})
        tokens = sum(int(length) * count for by_length in sizes.values() for length, count in by_length.items())
        plan = {
            "steps": tally.steps, "micro_steps": tally.micro_steps, "samples": tally.counts.samples,
            "positions": tally.positions, "tokens": tally.counts.tokens, "loss_tokens": tally.counts.loss_tokens,
            "coverage": None, "phases": [phase | {"gradient_accumulation": 1} for phase in self.plan["phases"]],
            "sample_digest": f"{tally.counts.digest:032x}", "passes": drawn_to_json(tally.passes),
            "global_batch": {"data_parallel_size": self.ranks}, "fingerprint": "00",
            "corpus": {"samples": sizes, "tokens": tokens}, "cost": self.plan["cost"],
        }  # fmt: skip
        (self.folder / "plan.json").write_text(json.dumps(plan))

    def spend(self, cause, us):
        self.clock.us += us
        self.books[cause] += us

    def late(self):
        return self.random.randrange(3000)

    def work(self, step):
        for steps, length, samples in self.phases:
            if step <= steps:
                return length, samples
            step -= steps
        raise AssertionError("no such step")

    def window(self, step):
        length, samples = self.work(step + 1)
        counts = {}
        for source, share in self.sources.items():
            mine = int(samples * share)
            counts[PassKey(0, source, length, 0)] = Counts(mine, mine * length, mine, step)
        return SimpleNamespace(step=step, micro_batches=[None], counts=counts)

    def run(self):
        """Train to the end; the ledger of the last segment."""
        saved, kills = 0, list(self.kills)
        while True:
            taken = []
            if self.books:
                self.spend("idle", self.random.randrange(1, 20_000_000))
            started = self.clock.us / 1e6
            self.spend("start-up", self.random.randrange(4_000_000, 6_000_000))
            path = self.folder / "ledger.jsonl"
            totals = read_totals(path, up_to=saved) if path.exists() else None
            facts = {"started": started, "world_size": self.ranks, "device": "cuda", "watts": 400}
            before = self.books["communication"]
            ledger = RunLedger(self.folder, SlowPeers(self), totals=totals, segment=facts)
            for drawn in ledger.watch(map(self.window, range(saved, self.steps))):
                if not taken:  # what it waited for before its first step is of the start
                    late, self.books["communication"] = self.books["communication"] - before, before
                    self.books["start-up"] += late
                began = self.books.total()
                self.step(ledger, drawn, is_first=not taken)
                taken.append((drawn.step, began, self.books.total()))
                if self.look:
                    self.look(drawn.step, ledger)
                if kills and kills[0] == drawn.step:
                    break
                if drawn.step % self.evaluate_every == 0:
                    self.pause(ledger, "evaluation", drawn.step)
                if drawn.step % self.save_every == 0:
                    self.pause(ledger, "checkpoint", drawn.step)
                    saved = drawn.step
            else:
                self.spend("other", 250_000)
                ledger.close("finished")
                return ledger
            kills.pop(0)
            self.lost += [step for step, *_ in taken if step > saved]

    lost: list = field(default_factory=list)

    def step(self, ledger, drawn, *, is_first):
        length, samples = self.work(drawn.step)
        wait = self.random.randrange(500)
        self.spend("data", wait)
        mean = self.scale * (20_000 + samples * length * 40 * (1.04 if length == 512 else 1) / self.ranks)
        self.spend("compute", round(mean * self.random.gauss(1, 0.05)) + 3_000_000 * is_first)
        ledger.book(drawn, applied=drawn.step % 50 != 7, data_wait=wait / 1e6)

    def pause(self, ledger, cause, step):
        seconds = self.random.randrange(200_000, 400_000)
        self.spend("other", 100)
        self.spend(cause, seconds)
        if cause == "evaluation":
            ledger.evaluation(step, seconds / 1e6)
        else:
            ledger.checkpoint(step, f"step-{step}", seconds / 1e6)

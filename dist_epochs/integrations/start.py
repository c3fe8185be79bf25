"""Starts the ledger of a user's own loop: the directory, the ranks, and what is known of the data."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.loop_counter import LoopCounter, Topology
from dist_epochs.integrations.monitor import Monitor
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.ledger.loop_notes import read_loop_notes
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LEDGER_FILE, LedgerWriter, now, versions
from dist_epochs.runtime.files import run_lock
from dist_epochs.runtime.peers import Alone, Peers, on_first
from dist_epochs.terminal import show

__all__ = ["WAIT_BRIEFLY", "WAIT_FOR_RANKS", "Data", "Opened", "open_run", "peers_of", "say", "topology_of"]

SUM_TIMEOUT = 2 * 3600.0
"""Seconds that a sum may take. Training does not wait for it, and a rank may be late by a whole evaluation."""

WAIT_BRIEFLY, WAIT_FOR_RANKS = 2.0, 30.0
"""Seconds to wait for the counts of other ranks: briefly where they can be recorded later or the run has failed;
longer before a log, a checkpoint and the end."""

BATCH_LAYOUT = ("data_parallel_size", "per_device", "gradient_accumulation")
"""What makes up the batch of a step."""

VERSIONED_PACKAGES = ("torch", "accelerate", "transformers", "datasets")


@dataclass(frozen=True, slots=True)
class Data:
    """How large one pass over the data is.

    Attributes:
        samples: Samples of a pass; None if not known.
        tokens: Tokens of a pass; None if not known.
        known: How this is known: `stated`, `store`, `dataset` or `learned`.
        sources: Samples of a pass over each source; None if not known.
    """

    samples: int | None
    tokens: int | None
    known: str
    sources: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A run directory that this program writes to.

    Attributes:
        totals: What earlier segments recorded.
        from_step: Steps taken before this program.
        stack: Keeps the directory locked for this program.
        began: When it was opened, in seconds since 1970.
        steps: Steps of the whole run, where the loop knows them.
        data: What is known of the data before there is a loader.
        gap: Steps taken before this program that the ledger does not have.
        passed: Samples that were drawn up to the end of the last pass.
    """

    totals: Totals
    from_step: int
    stack: ExitStack
    began: float = field(default_factory=now)
    steps: int | None = None
    data: Data | None = None
    gap: int = 0
    passed: int = 0

    def release(self) -> None:
        """Let other programs write to the directory."""
        self.stack.close()

    def begin_loop(
        self,
        writer: LedgerWriter,
        peers: Peers,
        loader: object,
        first: object,
        settings: Any,
        *,
        source: str | None = None,
        is_hf_trainer: bool = False,
        sees: Sequence[str] = (),
    ) -> LoopCounter:
        """Begin a segment of the ledger for a loop, and return its counter.

        Args:
            writer: Of the run's ledger.
            peers: All ranks.
            loader: What the loop iterates over.
            first: Its first batch; None where this rank has none.
            settings: Accelerate's `Accelerator`, or the `TrainingArguments`, if the loop has one of them.
            source: Key of a batch that names the source of its samples.
            is_hf_trainer: Whether it is the HF Trainer's loop.
            sees: What the caller tells from computing: `data`, `evaluation`, `checkpoint`.

        Raises:
            InputError: If the parallelism cannot be counted.
        """
        from dist_epochs.integrations.batches import BatchCounter

        topology = topology_of(peers, getattr(settings, "parallelism_config", None))
        batches = BatchCounter(source)
        if first is not None:
            with suppress(Exception):  # whatever it is, training goes on: `add` tells what cannot be counted
                batches.inspect(first)
        accumulation = getattr(settings, "gradient_accumulation_steps", None)
        drawn = self.totals.samples_drawn
        observed = ObservedLoop(
            ranks=topology.groups,
            processes=peers.size,
            accumulation=accumulation,
            knows_windows=(accumulation or 1) > 1 or is_hf_trainer,  # 1 may be a loop that accumulates by hand
            loader=loader_facts(loader, topology.groups),
            from_step=self.from_step,
            before=drawn,
            in_pass=drawn - self.passed,
            gap=self.gap,
            is_hf_trainer=is_hf_trainer,
            assumes_tokens=batches.assumes_tokens,
            counts_restarts=batches.counts_restarts,
            hides_labels=is_hf_trainer and _has_no_labels(first),
        )
        monitor = Monitor(writer, observed, say)
        facts = _segment_facts(peers, topology, observed, settings)
        before = [segment.facts for segment in self.totals.segments[-1:]]
        observed.changed = any(facts.get(name) != old.get(name) for old in before for name in BATCH_LAYOUT)
        if self.gap:
            writer.write("totals", step=self.from_step, **self.totals.to_json())
        known = {"started": self.began, "timed": list(sees)} | ({"steps": self.steps} if self.steps else {})
        monitor.begin({"device": batches.device, **facts, **known, "counted": list(batches.units)})
        data = self.data
        if data is None and observed.loader.samples is not None:
            data = Data(observed.loader.samples, None, "dataset")
        if data is not None:
            monitor.know(data.samples, data.tokens, data.known, data.sources)
        return LoopCounter(monitor, batches, peers, topology, self.from_step)


def open_run(
    run: Path,
    peers: Peers,
    *,
    samples: int | Mapping[str, int] | None,
    store: str | Path | None,
    from_step: int | None,
) -> Opened:
    """Make a run directory, or open the one that is there. Every rank calls this; only rank 0 reads and writes it.

    Raises:
        InputError: As `Ledger`.
    """
    for size in samples.values() if isinstance(samples, Mapping) else [samples]:
        if size is not None and size < 1:
            raise InputError(
                f"samples must be at least 1, not {size}",
                rule="they are those of one pass over the data",
                origin=Origin("samples"),
            )
    if from_step is not None and from_step < 0:
        raise InputError(
            f"from_step must be at least 0, not {from_step}",
            rule="it counts the steps that were taken before",
            origin=Origin("from_step"),
        )
    _check_launch(peers)
    found = Opened(Totals(), from_step or 0, ExitStack())

    def open_directory() -> None:
        nonlocal found
        try:
            run.mkdir(parents=True, exist_ok=True)
            (run / LEDGER_FILE).open("ab").close()
        except OSError as error:
            raise InputError(
                error.strerror or str(error),
                rule="a ledger needs a directory that it can write to",
                origin=Origin(str(run)),
            ) from None
        with ExitStack() as stack:
            stack.enter_context(run_lock(run))
            earlier = _earlier(run / LEDGER_FILE, from_step)
            data = _stated_data(samples, store) or earlier.data
            found = replace(earlier, stack=stack.pop_all(), data=data)

    on_first(peers, open_directory)
    return found


def peers_of(ranks: Any) -> Peers:
    """The ranks of an accelerator, or of `torch.distributed`; one process where neither is there."""
    if hasattr(ranks, "sum"):
        peers: Peers = ranks
        return peers
    if "torch" not in sys.modules:
        return Alone()
    from dist_epochs.runtime.gloo import connect

    return connect(SUM_TIMEOUT)


def topology_of(peers: Peers, parallelism: Any) -> Topology:
    """Which ranks see the same data: those of one tensor-parallel or context-parallel group.

    Args:
        peers: All ranks.
        parallelism: Accelerate's `ParallelismConfig`, or None.

    Raises:
        InputError: With sequence parallelism, whose ranks draw different samples and train on them together.
    """
    if parallelism is None:
        return Topology(groups=peers.size, group=peers.rank)
    if getattr(parallelism, "sp_size", 1) > 1:
        raise InputError(
            f"sequence parallelism of {parallelism.sp_size} cannot be counted here",
            rule="its ranks draw different samples and share them",
            fixes=("context parallelism", "to count by the plan"),
        )
    same = parallelism.tp_size * parallelism.cp_size
    return Topology(groups=peers.size // same, group=peers.rank // same, counts=peers.rank % same == 0)


def _check_launch(peers: Peers) -> None:
    """Refuse several processes that are not connected: each would write its own counts to the same file."""
    launched = int(os.environ.get("WORLD_SIZE") or 1)
    if launched > 1 and peers.size == 1:
        raise InputError(
            f"WORLD_SIZE is {launched} and this process knows of no other rank",
            consequence="each of them would count alone",
            fixes=(
                "to make the Accelerator, or to call torch.distributed.init_process_group, before the Ledger",
                "on a CPU, a launch with ACCELERATE_USE_CPU=true",
            ),
        )


def _earlier(path: Path, from_step: int | None) -> Opened:
    """What earlier programs recorded, up to a step."""
    if not path.exists() or not path.stat().st_size:
        totals, passed, data = Totals(), 0, None
    else:
        last = read_totals(path).last_step
        if from_step is None and last:
            raise InputError(
                f"a ledger of {last:,} steps is there",
                consequence="nothing in it was changed",
                fixes=(
                    "another directory",
                    f"from_step={last}, where the loop resumes after the last step",
                    "resume_from_checkpoint, where the HF Trainer resumes",
                ),
                origin=Origin(str(path)),
            )
        totals, notes = read_totals(path, up_to=min(from_step or 0, last)), read_loop_notes(path)
        corpus = notes.corpus
        data = Data(corpus["samples"], corpus["tokens"], corpus["known"], corpus.get("sources")) if corpus else None
        ended = (entry for entry in notes.passes if entry["step"] + entry.get("left", False) <= (from_step or 0))
        passed = max((entry["drawn"] for entry in ended), default=0)
    gap = max((from_step or 0) - totals.last_step, 0)
    totals.applied.steps += gap
    return Opened(totals, from_step or 0, ExitStack(), data=data, gap=gap, passed=passed)


def _stated_data(samples: int | Mapping[str, int] | None, store: str | Path | None) -> Data | None:
    """The size of the data, where the user stated it or named a store."""
    sources = samples if isinstance(samples, Mapping) else None
    if isinstance(samples, Mapping):
        samples = sum(samples.values())
    if store is None:
        return None if samples is None else Data(samples, None, "stated", sources)
    path = Path(store)
    path = path / "manifest.json" if path.is_dir() else path
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        drawn = [source for source in manifest["sources"] if not source["held_out"]]
        documents, tokens = (sum(int(source[unit]) for source in drawn) for unit in ("documents", "tokens"))
    except OSError as error:
        raise InputError(
            error.strerror or str(error),
            rule="a store has a manifest.json, which `dist-epochs tokenize` writes",
            origin=Origin(str(path)),
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"no manifest of a store: {type(error).__name__} {error}", origin=Origin(str(path))) from None
    return Data(samples or documents, tokens, "store", sources)


def _segment_facts(peers: Peers, topology: Topology, observed: ObservedLoop, settings: Any) -> Mapping[str, Any]:
    """Topology and versions."""
    facts = {
        "world_size": peers.size,
        "data_parallel_size": topology.groups,
        "per_device": observed.loader.per_device,
        "gradient_accumulation": observed.accumulation,
        "device": getattr(getattr(settings, "device", None), "type", None),
        "precision": getattr(settings, "mixed_precision", None),
        "seed": _seed(settings),
        "learning_rate": _learning_rate(settings),
    }
    loaded = versions(name for name in VERSIONED_PACKAGES if name in sys.modules)
    return {name: value for name, value in facts.items() if value is not None} | {"versions": loaded}


def _seed(settings: Any) -> int | None:
    """The seed of a Trainer's settings, or the last one that torch was given on this rank; asking changes nothing."""
    stated = getattr(settings, "seed", None)
    if type(stated) is int and stated >= 0:
        return stated
    torch: Any = sys.modules.get("torch")
    return None if torch is None else int(torch.initial_seed())


def _learning_rate(settings: Any) -> float | None:
    """The rate that a schedule starts from: of a Trainer's settings, or of the first optimizer that was prepared."""
    stated: Any = getattr(settings, "learning_rate", None)
    for optimizer in getattr(settings, "_optimizers", [])[:1]:
        group: Mapping[str, Any] = next(iter(optimizer.param_groups), {})
        stated = group.get("initial_lr", group.get("lr"))
    try:
        rate = float(stated)  # a tensor, where the optimizer is captured in a graph
    except (TypeError, ValueError):
        return None
    return rate if isfinite(rate) else None


def _has_no_labels(batch: object) -> bool:
    """Whether the model is given token ids and no labels of any kind."""
    return isinstance(batch, Mapping) and "input_ids" in batch and not any("label" in str(key) for key in batch)


def say(line: str) -> None:
    """Print a line to standard error, where progress bars are."""
    show(line, err=True)

"""Starts the ledger of a user's own loop with its first batch: what is known of the loop then, and its settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any

from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.loop_counter import LoopCounter
from dist_epochs.integrations.monitor import Monitor
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.integrations.ranks import Topology, topology_of
from dist_epochs.integrations.run_directory import Data, Opened
from dist_epochs.ledger.writer import LedgerWriter, versions
from dist_epochs.runtime.peers import Peers
from dist_epochs.terminal import show

__all__ = ["begin_loop", "say"]

BATCH_LAYOUT = ("data_parallel_size", "per_device", "gradient_accumulation")
"""What makes up the batch of a step."""

VERSIONED_PACKAGES = ("torch", "accelerate", "transformers", "datasets")


def begin_loop(
    opened: Opened,
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
        opened: The run directory, with what it holds.
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
    drawn = opened.totals.samples_drawn
    observed = ObservedLoop(
        ranks=topology.groups,
        processes=peers.size,
        accumulation=accumulation,
        knows_windows=(accumulation or 1) > 1 or is_hf_trainer,  # 1 may be a loop that accumulates by hand
        loader=loader_facts(loader, topology.groups),
        from_step=opened.from_step,
        before=drawn,
        in_pass=drawn - opened.passed,
        gap=opened.gap,
        is_hf_trainer=is_hf_trainer,
        assumes_tokens=batches.assumes_tokens,
        counts_restarts=batches.counts_restarts,
        hides_labels=is_hf_trainer and _has_no_labels(first),
    )
    monitor = Monitor(writer, observed, say)
    facts = _segment_facts(peers, topology, observed, settings)
    before = [segment.facts for segment in opened.totals.segments[-1:]]
    observed.changed = any(facts.get(name) != old.get(name) for old in before for name in BATCH_LAYOUT)
    if opened.gap:
        writer.write("totals", step=opened.from_step, **opened.totals.to_json())
    known = {"started": opened.began, "timed": list(sees)} | ({"steps": opened.steps} if opened.steps else {})
    monitor.begin({"device": batches.device, **facts, **known, "counted": list(batches.units)})
    data = opened.data
    if data is None and observed.loader.samples is not None:
        data = Data(observed.loader.samples, None, "dataset")
    if data is not None:
        monitor.know(data.samples, data.tokens, data.known, data.sources)
    return LoopCounter(monitor, batches, peers, topology, opened.from_step)


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

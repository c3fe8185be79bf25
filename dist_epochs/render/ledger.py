"""The ledger compared with the plan, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dist_epochs.arithmetic.text import number, scaled
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.reconcile import Reconciliation
from dist_epochs.render.text import table

__all__ = ["ledger_text"]

SIZE_IS_KNOWN = {
    "stated": "as stated",
    "dataset": "the dataset's",
    "store": "the store's",
    "learned": "what the first pass drew",
}
"""How the size of the data is known."""


def ledger_text(result: Reconciliation, title: str) -> str:
    """Totals, epochs, segments, and every difference from the plan with its cause."""
    parts = [
        [title, *_segments(result)],
        [_units(result)],
        _epochs(result),
        _loop(result),
        _verdict(result),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def _segments(result: Reconciliation) -> Iterator[str]:
    for index, segment in enumerate(result.totals.segments):
        facts = segment.facts
        where = f", {facts['world_size']} × {facts.get('device', 'device')}" if "world_size" in facts else ""
        why = f" ({segment.reason})" if segment.reason else ""
        status = "no end recorded: still running, or killed" if segment.status == "no end" else segment.status
        restart = "".join(f", {text}" for text in _restarts(facts))
        yield f"segment {index}: steps {segment.first_step:,} to {segment.last_step:,}{where}{restart}, {status}{why}"
        for reason in facts.get("refused", ()):
            yield f"  checkpoint not used: {reason}"
    for change in (result.plan or {}).get("replanned", ()):
        yield f"plan changed after step {change['step']:,}"


def _restarts(facts: Mapping[str, Any]) -> Iterator[str]:
    """By whom a segment was started again, and for which time."""
    for launcher in ("torchrun", "slurm"):
        if count := facts.get(f"{launcher}_restarts"):
            yield f"restart {count} by {launcher.replace('slurm', 'Slurm')}"


def _units(result: Reconciliation) -> str:
    """What was recorded and planned in each unit; units that were not recorded are left out."""
    recorded = {"steps": result.totals.applied.steps, **result.recorded()}
    rows = []
    for unit in UNITS:
        value = recorded[unit]
        if value is None:
            continue
        row = [unit.replace("_", " ").replace("micro steps", "micro-steps"), number(value)]
        if result.plan is not None:
            planned = result.plan[unit]
            row[1:1] = [number(planned), "" if planned is None else "=" if planned == value else "≠"]
        rows.append(row)
    return table(["", "recorded"] if result.plan is None else ["", "planned", "", "recorded"], rows)


def _epochs(result: Reconciliation) -> Iterator[str]:
    """Epochs, coverage, the digest, and the steps that are in no epoch."""
    known = [f"{number(value)} by {basis}" for basis, value in result.epochs().items() if value is not None]
    if known:
        yield f"epochs {', '.join(known)}"
    sources = result.sources()
    for source in sources if len(sources) > 1 else ():
        drawn = [f"{number(source[unit])} {unit}" for unit in ("samples", "tokens") if source[unit] is not None]
        epochs = "epochs unknown" if source["epochs"] is None else f"{number(source['epochs'])} epochs"
        yield f"  {source['name']}: {', '.join([epochs, *drawn])}"
    if (coverage := result.coverage()) is not None:
        yield f"coverage {coverage:.2%} of the documents"
    totals = result.totals
    yield f"sample digest {totals.applied.counts.digest:032x}"
    others = {"skipped": totals.skipped.steps, "replayed": totals.replayed.steps, "unfinished": totals.unfinished}
    if extra := [f"{steps:,} {kind}" for kind, steps in others.items() if steps]:
        goodput = "" if result.goodput is None else f"; goodput {result.goodput:.1%} of the tokens computed"
        yield f"not among the applied steps: {', '.join(extra)}{goodput}"


def _loop(result: Reconciliation) -> Iterator[str]:
    """What a user's own loop reports, what it drew, and the warnings on the way."""
    notes, samples = result.loop_notes, result.totals.applied.counts.samples
    epoch = result.epochs()["samples"]
    if epoch is not None and notes.corpus:
        passes, left = len(notes.passes), sum(entry.get("left", False) for entry in notes.passes)
        says = f"{passes:,} pass{'es' if passes > 1 else ''}" if passes else None
        if says and left:
            says += f", {left:,} of them left early"
        if notes.reported is not None:
            says = f"epoch {scaled(notes.reported['epoch'])}"
        of = f"{samples:,} samples trained of {notes.corpus['samples']:,} ({SIZE_IS_KNOWN[notes.corpus['known']]})"
        yield f"{f'your loop says {says}; ' if says else ''}{of} = {scaled(epoch)} epoch{'s' * (epoch != 1)}"
    for warning in notes.warnings:
        yield f"  {warning['rule']}: {warning['message']}"


def _verdict(result: Reconciliation) -> Iterator[str]:
    if result.plan is None:
        if not result.loop_notes.corpus:
            yield "no plan.json beside this ledger: nothing to compare with"
        return
    if result.agrees:
        yield "plan = ledger in every unit"
        return
    for difference in result.differences:
        amount = "" if difference.amount is None else f"{difference.amount:,} "
        yield f"{difference.unit}: {amount}{difference.cause}"
    yield "every difference has its cause" if result.adds_up else "some differences have no known cause"
    if result.unchecked:
        yield f"not checked: tokens and digest of {result.unchecked:,} passes drawn in part"

"""The ledger compared with the plan, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dist_epochs.arithmetic.text import number, scaled
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.reconcile import Reconciliation
from dist_epochs.ledger.time import CAUSES
from dist_epochs.names import in_words
from dist_epochs.render.packing import tokens_left_out, tokens_lost
from dist_epochs.render.text import aligned, table

__all__ = ["ledger_line", "ledger_text"]

HOURS, SHORT = " h", 0.1
"""The unit of times, and hours below which they are shown in minutes or seconds."""

SPENT_HEADER = ("", "planned", "so far", "at the end", "")
SPENT = {
    "wall_hours": ("time", HOURS),
    "device_hours": ("devices", HOURS),
    "price": ("price", ""),
    "energy_kwh": ("energy", " kWh"),
}
"""What a run takes, and the unit of it."""

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
        _spending(result),
        _causes(result),
        _loop(result),
        _verdict(result),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def ledger_line(result: Reconciliation) -> str:
    """How far a run is, in one line."""
    planned, end = result.plan and result.plan["steps"], result.spending.wall_hours.expected
    steps = f"step {result.totals.last_step:,}{f' of {planned:,}' if planned else ''}"
    spent = [_told(recorded, SPENT[name][1] or " spent") for name, recorded in _known(result)]
    left = "" if end is None else f"; {' to '.join(_told(each, HOURS) for each in (end.low, end.high))} at the end"
    return f"{steps}, {', '.join(spent)}{left}"


def _known(result: Reconciliation) -> Iterator[tuple[str, float]]:
    """What is known of the spending so far, without the device-hours."""
    for name, spent in result.spending.rows().items():
        if spent.recorded is not None and name != "device_hours":
            yield name, spent.recorded


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
        row = [in_words(unit), number(value)]
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
    for index, phase in enumerate(result.phase_sources() or ()):
        told = (f"{number(s['samples'])} of {number(s['planned_samples'])} of {s['name']}" for s in phase["sources"])
        yield f"  phase {index + 1}, samples: {', '.join(told)}"
    if (coverage := result.coverage()) is not None:
        yield f"coverage {coverage:.2%} of the documents"
    for packed in result.packings():
        if lost := tokens_lost(packed):
            of = f"a pass at length {packed['sequence_length']} ({packed['packing']})"
            yield f"left out of {of}: {lost}, of {number(packed['tokens'] + tokens_left_out(packed))}"
    totals = result.totals
    yield f"sample digest {totals.applied.counts.digest:032x}"
    others = {"skipped": totals.skipped.steps, "replayed": totals.replayed.steps, "unfinished": totals.unfinished}
    if extra := [f"{steps:,} {kind}" for kind, steps in others.items() if steps]:
        goodput = "" if result.goodput is None else f"; goodput {result.goodput:.1%} of the tokens computed"
        yield f"not among the applied steps: {', '.join(extra)}{goodput}"


def _spending(result: Reconciliation) -> Iterator[str]:
    """What the run takes: planned, so far, and expected at its end."""
    spending = result.spending
    if not result.time_line.wall_us:
        return
    rows, notes = [], []
    unknown: dict[str, list[str]] = {}
    for name, spent in spending.rows().items():
        label, unit = SPENT[name]
        end = spent.expected
        numbers = (spent.planned, spent.recorded, None if end is None else end.point)
        interval = ""
        if end is not None and end.low < end.high:
            interval = " to ".join(_told(each, unit) for each in (end.low, end.high))
        if any(each is not None for each in numbers):
            rows.append([label, *("" if each is None else _told(each, unit) for each in numbers), interval])
        if spent.recorded is None:
            unknown.setdefault(spent.reason or "", []).append(label)
        elif spent.how is not None:
            notes.append(f"{label}: {spent.how}")
    if spending.wall_hours.expected is None and spending.wall_hours.reason:
        unknown.setdefault(spending.wall_hours.reason, []).append("time at the end")
    shown = [at for at in range(len(SPENT_HEADER)) if not at or any(row[at] for row in rows)]
    yield table([SPENT_HEADER[at] for at in shown], [[row[at] for at in shown] for row in rows])
    yield from notes
    for reason, labels in unknown.items():
        yield f"not known: {', '.join(labels)} ({reason})"


def _told(value: float, unit: str) -> str:
    """A number in four digits, with its unit; a short time in minutes or seconds."""
    if unit == HOURS and value < SHORT:
        return _duration(round(value * 3600 * 10**6))
    return f"{value:,.0f}{unit}" if value >= 1000 else f"{value:.4g}{unit}"


def _causes(result: Reconciliation) -> Iterator[str]:
    """Where the time went, the largest part first."""
    line = result.time_line
    whole = line.wall_us
    if not whole:
        return
    spent = sorted(((us, cause) for cause, us in line.causes.items() if us), key=lambda each: -each[0])
    rows = [(cause, _duration(us), f"{us / whole:6.1%}  {CAUSES[cause]}") for us, cause in spent]
    yield f"time of rank 0: {_duration(whole)}"
    yield aligned(rows)
    if line.not_told_apart:
        yield f"compute includes {', '.join(line.not_told_apart)}, which this loop does not tell apart"
    if line.back_us:
        yield f"the clock was set back by {_duration(line.back_us)} in all: such intervals count as nothing"
    if line.goodput is not None:
        tokens = "" if result.goodput is None else f"; {result.goodput:.1%} of the tokens computed"
        yield f"goodput {line.goodput:.1%} of the time{tokens}"


def _duration(us: int) -> str:
    """Microseconds in the unit that fits."""
    seconds = us / 10**6
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


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
    for difference in result.differences:
        amount = "" if difference.amount is None else f"{difference.amount:,} "
        yield f"{difference.unit}: {amount}{difference.cause}"
    if result.differences:
        yield "every difference has its cause" if result.adds_up else "some differences have no known cause"
    if result.unchecked:
        why = ", which this loop does not tell apart" if result.is_users_loop else " drawn in part"
        passes = "1 pass" if result.unchecked == 1 else f"{result.unchecked:,} passes"
        yield f"not checked: tokens and digest of {passes}{why}"

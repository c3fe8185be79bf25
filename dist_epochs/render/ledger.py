"""The ledger beside the plan, as text."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.arithmetic.text import number
from dist_epochs.ledger.reconcile import UNITS, Reconciliation
from dist_epochs.render.text import table

__all__ = ["ledger_text"]

KNOWN = {
    "stated": "as stated",
    "dataset": "the dataset's",
    "store": "the store's",
    "learned": "what the first pass drew",
}
"""How the size of the data is known."""


def ledger_text(result: Reconciliation, title: str) -> str:
    """Totals, epochs, segments, and every difference from the plan with its cause."""
    data = result.to_json()
    parts = [
        [title, *_segments(result)],
        _units(data),
        [*_epochs(data), *_kinds(data)],
        _loop(result),
        _verdict(result),
    ]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part)


def _segments(result: Reconciliation) -> Iterator[str]:
    for index, segment in enumerate(result.totals.segments):
        facts = segment.facts
        where = f", {facts['world_size']} × {facts.get('device', 'device')}" if "world_size" in facts else ""
        why = f" ({segment.reason})" if segment.reason else ""
        status = "no end recorded: still running, or killed" if segment.status == "no end" else segment.status
        yield f"segment {index}: steps {segment.first_step:,} to {segment.last_step:,}{where}, {status}{why}"
        for reason in facts.get("refused", ()):
            yield f"  checkpoint not used: {reason}"
    for change in (result.plan or {}).get("replanned", ()):
        yield f"plan changed after step {change['step']:,}"


def _units(data: dict[str, object]) -> Iterator[str]:
    recorded = data | {"steps": data["steps"]["applied"]}  # type: ignore[index]
    planned = data["planned"]
    rows = []
    for unit in UNITS:
        name = unit.replace("_", " ").replace("micro steps", "micro-steps")
        value = recorded[unit]
        if value is None:
            continue
        if isinstance(planned, dict):
            expected = planned[unit]
            same = "" if expected is None else "=" if expected == value else "≠"
            rows.append([name, number(expected), same, number(value)])
        else:
            rows.append([name, number(value)])
    yield table(["", "planned", "", "recorded"] if isinstance(planned, dict) else ["", "recorded"], rows)


def _epochs(data: dict[str, object]) -> Iterator[str]:
    epochs = data["epochs"]
    assert isinstance(epochs, dict)
    known = {basis: value for basis, value in epochs.items() if value is not None}
    if known:
        yield "epochs " + ", ".join(f"{number(value)} by {basis}" for basis, value in known.items())
    sources = data["sources"]
    assert isinstance(sources, list)
    if len(sources) > 1:
        for source in sources:
            drawn = f"{number(source['samples'])} samples, {number(source['tokens'])} tokens"
            yield f"  {source['name']}: {number(source['epochs'])} epochs, {drawn}"
    coverage = data["coverage"]
    if isinstance(coverage, int | float):
        yield f"coverage {coverage:.2%} of the documents"
    yield f"sample digest {data['sample_digest']}"


def _kinds(data: dict[str, object]) -> Iterator[str]:
    steps = data["steps"]
    assert isinstance(steps, dict)
    extra = [f"{steps[kind]:,} {kind}" for kind in ("skipped", "replayed", "unfinished") if steps[kind]]
    if extra:
        goodput = f"; goodput {data['goodput']:.1%} of the tokens computed" if data["goodput"] is not None else ""
        yield f"beside the applied steps: {', '.join(extra)}{goodput}"


def _loop(result: Reconciliation) -> Iterator[str]:
    """What somebody else's loop says beside what it drew, and what was noticed on the way."""
    notes, samples = result.loop_notes, result.totals.applied.counts.samples
    if notes.corpus and notes.corpus["samples"]:
        epoch = result.epochs()["samples"]
        assert epoch is not None, "the data has a size"
        passes = len(notes.passes)
        says = f"{passes:,} pass{'es' if passes > 1 else ''}" if passes else None
        if notes.reported is not None:
            says = f"epoch {notes.reported['epoch']:.4g}"
        of = f"{samples:,} samples trained of {notes.corpus['samples']:,} ({KNOWN[notes.corpus['known']]})"
        yield f"{f'your loop says {says}; ' if says else ''}{of} = {float(epoch):.4g} epochs"
    for warning in notes.warnings:
        yield f"  {warning['rule']}: {warning['message']}"


def _verdict(result: Reconciliation) -> Iterator[str]:
    if result.plan is None:
        if not result.loop_notes.corpus:
            yield "no plan.json beside this ledger: nothing to compare with"
    elif result.agrees:
        yield "plan = ledger in every unit"
    else:
        for difference in result.differences:
            amount = "" if difference.amount is None else f"{difference.amount:,} "
            yield f"{difference.unit}: {amount}{difference.cause}"
        yield "every difference has its cause" if result.adds_up else "the books do not add up"
        if result.unchecked:
            yield f"not checked: tokens and digest of {result.unchecked:,} passes drawn in part"

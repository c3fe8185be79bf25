"""Two runs compared, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.audit.compare.comparison import Comparison, FoundCause
from dist_epochs.audit.compare.differences import Difference
from dist_epochs.audit.compare.evidence import ComparedRun, Value
from dist_epochs.audit.compare.losses import LossCurve
from dist_epochs.audit.records.names import KINDS
from dist_epochs.render.text import table
from dist_epochs.render.wrapping import COLUMNS, paragraph

__all__ = ["comparison_of_runs_text"]

NAME, VALUE = 40, 16
"""Columns of a name and of a value; what is longer is cut, and whole in the JSON."""
MOST_NAMES = 6
"""Settings shown of one cause."""


def comparison_of_runs_text(comparison: Comparison) -> str:
    """Where two runs part, the causes, their losses, and what could not be compared."""
    parts = [
        [*_run("a", comparison.a), *_run("b", comparison.b)],
        _wrapped(_verdict(comparison)),
        list(_causes(comparison.causes)),
        list(_others(comparison.others)),
        list(_losses(comparison)),
        _wrapped(_limits(comparison)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _wrapped(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in paragraph(text, "  ")]


def _run(letter: str, run: ComparedRun) -> Iterator[str]:
    reached = ", ".join(f"{_text(value, large=True)} {name}" for name, value in run.reached.items())
    kind = "" if run.kind == "dist-epochs" else f" ({KINDS[run.kind]})"
    before = f"{letter}  "
    for line in paragraph(f"{run.path}{kind}{': ' * bool(reached)}{reached}", width=COLUMNS - len(before)):
        yield before + line
        before = " " * len(before)


def _verdict(found: Comparison) -> Iterator[str]:
    """The first difference, in a sentence."""
    samples, first = found.samples, found.first_difference
    if samples is not None and not samples.steps:
        yield "The two have no step in common."
        return
    if first is not None:
        values = "" if first.what == "samples" else f": {_text(first.a)} in a, {_text(first.b)} in b"
        yield f"They part at step {first.step:,}, in {_WHAT.get(first.what, f'the {first.what}')}{values}."
    if samples is not None and samples.differing:
        alike = ", and draw the same samples in all" if samples.is_same_in_all else ""
        if samples.is_reordered and not alike:
            alike = ", and whole passes have the same samples"
        yield f"{samples.differing:,} of {samples.steps:,} common steps differ{alike}."
    elif found.same_data and samples is not None:
        yield f"The same data in the same order, in all {samples.steps:,} common steps: look at numerics."
        yield from _numerics(found)
    elif samples is not None and samples.are_comparable and not samples.differing:
        yield f"All {samples.steps:,} common steps draw the same places of the data, and what stands there differs."
    elif samples is None and first is None:
        yield "Which samples each step drew is not told by both, so what they state and logged is compared."


_WHAT = {
    "samples": "the samples that the step draws",
    "batch": "the samples of a step",
    "tokens": "the tokens of the same samples",
    "skipped": "whether the step was applied",
}


def _numerics(found: Comparison) -> Iterator[str]:
    """What the logs of two runs with the same data tell."""
    logs = found.logs
    if not logs.rows:
        return
    if logs.loss is None:
        yield f"Their losses are equal in all {logs.rows:,} rows that both logged."
        return
    loss, most = logs.loss, f", and by {logs.largest:.1e} at most" if logs.largest is not None else ""
    apart = abs(float(loss.a) - float(loss.b)) / max(abs(float(loss.a)), abs(float(loss.b)))
    yield f"Their losses first differ at step {loss.step:,}, by {apart:.1e} of the value{most}."


def _causes(causes: Sequence[FoundCause]) -> Iterator[str]:
    if not causes:
        yield "No cause was found: what both tell is the same."
        return
    yield _row("causes, the likeliest first", "a", "b")
    for place, found in enumerate(causes, 1):
        yield f"  {place} {found.cause}{f', which follows from {found.follows_from}' if found.follows_from else ''}"
        yield from _rows(found.differences)


def _others(others: Sequence[Difference]) -> Iterator[str]:
    if others:
        yield _row("other settings that differ", "a", "b")
        yield from _rows(others)


def _rows(differences: Sequence[Difference]) -> Iterator[str]:
    for each in differences[:MOST_NAMES]:
        yield _row(f"    {each.name}", *(_text(value, grouped=each.cause != "seed") for value in (each.a, each.b)))
    if len(differences) > MOST_NAMES:
        yield f"      and {len(differences) - MOST_NAMES:,} more: --json has all"


def _row(name: str, a: str, b: str) -> str:
    return f"  {_cut(name, NAME):<{NAME}}  {_cut(a, VALUE):>{VALUE}}  {_cut(b, VALUE):>{VALUE}}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(value: Value, *, grouped: bool = True, large: bool = False) -> str:
    """A value: large ones with their scale, and whole ones with commas, unless they are no counts."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return scaled(value) if large else f"{value:.6g}"
    return short(value) if large else f"{value:,}" if grouped else str(value)


def _losses(comparison: Comparison) -> Iterator[str]:
    curve = comparison.logs.curve
    if curve is None or (comparison.same_data and comparison.logs.loss is None):
        return
    yield _loss_table(curve)


def _loss_table(curve: LossCurve) -> str:
    rows = [
        [short(end), *("" if loss is None else number(loss) for loss in pair)]
        for end, pair in zip(curve.ends, zip(curve.a, curve.b, strict=True), strict=True)
    ]
    return table([f"mean loss up to … {curve.unit}", "a", "b"], rows)


def _limits(comparison: Comparison) -> Iterator[str]:
    for note in dict.fromkeys((*comparison.a.notes, *comparison.b.notes)):
        of = [letter for letter, run in (("a", comparison.a), ("b", comparison.b)) if note in run.notes]
        yield f"{' and '.join(of)}: {note}"
    silent: dict[str, list[str]] = {}
    for cause, why in comparison.not_compared.items():
        silent.setdefault(why, []).append(cause)
    for why, causes in silent.items():
        yield f"not compared: {', '.join(causes)} ({why})"

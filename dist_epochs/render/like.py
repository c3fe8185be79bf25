"""What frameworks report of a plan, compared with what is true, and why they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.text import number
from dist_epochs.frameworks.run import Run
from dist_epochs.plan.framework_reports import FrameworkReport
from dist_epochs.render.text import table

__all__ = ["like_json", "like_texts"]

Row = tuple[str, int | Fraction | None, int | Fraction | None, str]

NOT_REPORTED = "–"

MOST_IN_FULL = 4
"""Frameworks that are shown one by one; more stand in a table."""


def like_texts(found: Sequence[FrameworkReport]) -> list[str]:
    """Few in full, those that can run the plan; many in a table."""
    if len(found) > MOST_IN_FULL:
        return [_table(found)]
    return [_text(each, each.run) for each in found if each.run is not None]


def _text(found: FrameworkReport, run: Run) -> str:
    """One framework: what it reports, what is true, and why they part."""
    lines = [f"like {found.chosen.title} ({found.chosen.basis})", "", *_numbers(run)]
    if found.causes:
        lines += ["", *(f"why {cause.rule}: {cause.message}" for cause in found.causes)]
    elif run.reported.epoch == run.truth.epochs:
        lines += ["", "what it reports is true"]
    return "\n".join(lines)


def _table(found: Sequence[FrameworkReport]) -> str:
    """A row for each framework, and below what some of them cannot run."""
    header = ["like", "steps", "its epoch", "true epochs", "samples drawn", "LR ends at", "main cause"]
    rows = [_row(each) for each in found]
    refusals = [f"{each.chosen.title}: {each.refusal}" for each in found if each.refusal is not None]
    taken_as = [(each.chosen.title, each.chosen.version.taken_as(each.chosen.asked)) for each in found]
    releases = [f"{title}: {said}" for title, said in taken_as if said]
    why = "Why, with numbers: --like NAME; with a page: dist-epochs explain CAUSE"
    return "\n".join([table(header, rows), "", *releases, *refusals, why])


def like_json(found: FrameworkReport) -> dict[str, Any]:
    """One framework as an object; the keys are documented in `docs/formats.md`."""
    version = found.chosen.version
    named = {"framework": found.chosen.framework.name, "version": version.name or None, "basis": found.chosen.basis}
    if found.run is None:
        return named | {"reported": None, "true": None, "causes": [], "refusal": str(found.refusal)}
    reported, truth = found.run.reported, found.run.truth
    return named | {
        "reported": {
            "steps": reported.steps,
            "epoch": json_number(reported.epoch),
            "epoch_exact": _exact(reported.epoch),
            "num_epochs": reported.num_epochs,
            "samples": json_number(reported.samples),
            "schedule_ends": reported.schedule_ends,
        },
        "true": {
            "steps": truth.steps,
            "micro_steps": truth.micro_steps,
            "drawn": truth.drawn,
            "samples": truth.samples,
            "duplicates": truth.duplicates,
            "epochs": json_number(truth.epochs),
            "epochs_exact": str(truth.epochs),
            "coverage": json_number(truth.coverage),
        },
        "causes": [{"rule": cause.rule, "message": cause.message} for cause in found.causes],
        "refusal": None,
    }


def _numbers(run: Run) -> Iterator[str]:
    """The rows that say something, each with how the true number comes about."""
    rows = [row for row in _rows(run) if row[1] is not None or row[2] is not None]
    lines = table(["", "it reports", "true"], [[label, _cell(said), _cell(true)] for label, said, true, _ in rows])
    for line, note in zip(lines.splitlines(), ["", *(row[3] for row in rows)], strict=True):
        yield f"{line}  {note}".rstrip()


def _rows(run: Run) -> Iterator[Row]:
    reported, truth = run.reported, run.truth
    yield "steps", reported.steps, truth.steps, ""
    yield "micro-steps", None, truth.micro_steps, "on each device"
    samples = "an estimate: tokens ÷ length" if run.setting.is_estimate else ""
    yield "samples drawn", None, truth.drawn, f"of {number(run.setting.samples)} a pass{f', {samples}' * bool(samples)}"
    throughput = "" if reported.samples is None else "its own is what it says of throughput"
    yield "samples trained", reported.samples, truth.samples, throughput
    yield "duplicates", None, truth.duplicates or None, "drawn again in the same pass"
    epochs = f"= {number(truth.samples)} ÷ {number(run.setting.samples)}"
    yield "epochs", reported.epoch, truth.epochs, epochs
    yield "epochs announced", reported.num_epochs, None, ""
    yield "schedule ends at step", reported.schedule_ends, truth.steps if reported.schedule_ends else None, ""
    coverage = truth.coverage
    yield "coverage, in %", None, None if coverage is None else coverage * 100, "of the samples at least once, expected"


def _row(found: FrameworkReport) -> list[str]:
    if found.run is None:
        return [found.chosen.title, *[NOT_REPORTED] * 5, "cannot run it"]
    reported, truth = found.run.reported, found.run.truth
    return [
        found.chosen.title,
        number(reported.steps),
        _cell(reported.epoch),
        number(truth.epochs),
        number(truth.drawn),
        _cell(reported.schedule_ends),
        found.causes[0].rule if found.causes else NOT_REPORTED,
    ]


def _cell(value: int | Fraction | None) -> str:
    return NOT_REPORTED if value is None else number(value)


def _exact(value: Fraction | None) -> str | None:
    return None if value is None else str(value)

"""`dist-epochs plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dist_epochs.cli.output import as_html, as_json, print_json, write_html
from dist_epochs.cli.plan_flags import FLAGS
from dist_epochs.cli.plan_input import PlanInput, read_input, verify_stores
from dist_epochs.cli.sections import SectionsCommand, add_flags
from dist_epochs.errors import EXIT_DISAGREES, InputError, Origin
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.plan.framework_reports import FrameworkReport
    from dist_epochs.plan.plan import Plan
    from dist_epochs.plan.sensitivity import ChangedAssumption
    from dist_epochs.settings.document import Document
    from dist_epochs.tool_configs.launch.report import LaunchReport


@dataclass(frozen=True, slots=True)
class ExtraOutput:
    """What is shown after a plan.

    Attributes:
        data: Keys for its JSON.
        text: For people.
    """

    data: dict[str, Any]
    text: str


@click.command(cls=SectionsCommand, short_help="What a run will draw and cost, before it runs.")
@click.argument("recipes", metavar="[RECIPE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--source", "sources", multiple=True, metavar="NAME:SIZE:WEIGHT",
              help="A source of a mixture, e.g. 'wiki:4B tokens:10%'.")  # fmt: skip
@click.option("--replacement", is_flag=True, help="Samples are drawn with replacement.")
@click.option("--activation-checkpointing", is_flag=True, help="Activations are computed again: less memory.")
@click.option("--from", "files", multiple=True, metavar="FILE", type=click.Path(path_type=Path),
              help="Another tool's configuration or launch script: batch, devices and length.")  # fmt: skip
@click.option("--launch", "launch_file", metavar="FILE", type=click.Path(path_type=Path),
              help="What will go wrong at a launch with this Accelerate YAML or script.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any setting, e.g. batch.devices=4.")
@click.option("--sweep", "sweeps", multiple=True, metavar="KEY=V1,V2",
              help="Plan with each value: at the same steps, and at the same tokens.")  # fmt: skip
@click.option("--like", "frameworks", multiple=True, metavar="FRAMEWORK[==VERSION]",
              help="What a framework will report, what is true, and why they differ; or 'all'.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Count parameters and FLOPs with torch instead of by formula.")
@click.option("--verify", is_flag=True, help="Compare all digests of the store, even if that was done before.")
@click.option("--strict", is_flag=True, help="Exit with 1 if there are warnings.")
@click.option("--markdown", is_flag=True, help="The plans side by side as a table of Markdown.")
@click.option("--csv", "as_csv", is_flag=True, help="The plans as CSV, one a row.")
@as_html
@as_json
def command(
    recipes: tuple[Path, ...],
    sources: tuple[str, ...],
    replacement: bool,
    activation_checkpointing: bool,
    files: tuple[Path, ...],
    launch_file: Path | None,
    overrides: tuple[str, ...],
    sweeps: tuple[str, ...],
    frameworks: tuple[str, ...],
    exact: bool,
    verify: bool,
    strict: bool,
    markdown: bool,
    as_csv: bool,
    html: Path | None,
    as_json: bool,
    **flags: str | None,
) -> None:
    """What a run will draw and cost: steps, samples, tokens, epochs, hours, each with its formula.

    The run is a RECIPE (a file, or a shipped one by its name: bert-base), or flags alone, or both; with several
    recipes they stand side by side. With a token store the integers are exact, and the ledger of the run will show
    the same ones. Without one, what cannot be known before counting is estimated and named.
    """
    from dist_epochs.recipe.shipped import find_recipe

    settings: dict[str, Any] = {name: text for name, text in flags.items() if text is not None}
    switches = {"replacement": replacement, "activation_checkpointing": activation_checkpointing}
    settings |= {name: True for name, on in switches.items() if on}
    report = None
    moves: Sequence[ChangedAssumption] = ()
    if frameworks and (sweeps or launch_file or len(recipes) > 1):
        raise InputError(
            "--like compares one plan with frameworks", fixes="leaving out --sweep, --launch and further recipes"
        )
    if markdown or as_csv:
        others = {"--json": as_json, "--sweep": sweeps, "--launch": launch_file, "--like": frameworks, "--html": html}
        _refuse_beside_table({"--markdown": markdown, "--csv": as_csv, **others})
    if html is not None and sweeps:
        raise InputError("--html reports the plans of recipes, and --sweep makes others", fixes="one of them")
    paths: list[Path | None] = [*map(find_recipe, recipes)] or [None]
    inputs = [read_input(path, files=files, flags=settings, sources=sources, overrides=overrides) for path in paths]
    places = [each.count_place() for each in inputs]
    if verify:
        verify_stores(inputs)
    if launch_file is not None:
        report = _check_launch(launch_file, inputs, sweeps, exact)
        plans = [report.launch.plan]
        moves = _sensitivity(plans)
        _show(plans, moves, inputs, [_launch_output(report)], as_json)
    elif sweeps:
        plans = _sweep(inputs, sweeps, exact, as_json)
    elif markdown or as_csv:
        from dist_epochs.render.comparison import comparison_csv, comparison_markdown

        plans = [each.plan(exact) for each in inputs]
        show((comparison_csv if as_csv else comparison_markdown)(plans))
    else:
        plans = [each.plan(exact) for each in inputs]
        found = _framework_reports(plans[0], frameworks, inputs[0].document) if len(plans) == 1 else []
        extra = [*_framework_output(found), *(ExtraOutput({"holds": holds}, "") for holds in places if holds)]
        moves = _sensitivity(plans)
        _show(plans, moves, inputs, extra, as_json)
        _raise_refusals(found, frameworks)
    if html is not None:
        _write_report(plans, moves, html)
    has_warnings = any(not warning.is_note for plan in plans for warning in plan.warnings)
    if (strict and has_warnings) or (report is not None and report.goes_wrong):
        raise SystemExit(EXIT_DISAGREES)


add_flags(command, FLAGS)


def _refuse_beside_table(outputs: Mapping[str, object]) -> None:
    given = [flag for flag, value in outputs.items() if value]
    if len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} are given, and it is not clear which is meant",
            rule="--markdown and --csv show the plans of recipes, and nothing else",
            fixes="one of them alone",
        )


def _check_launch(file: Path, inputs: Sequence[PlanInput], sweeps: Sequence[str], exact: bool) -> LaunchReport:
    """The plan on the devices of a launch file, and what will go wrong there."""
    from dist_epochs.tool_configs.launch.report import check_launch_file

    if len(inputs) > 1 or sweeps:
        raise InputError("--launch checks one recipe as it stands", fixes="leaving --sweep and other recipes out")
    (only,) = inputs
    return check_launch_file(file, only.document, only.file, lambda changed: only.plan_of(changed, exact))


def _launch_output(report: LaunchReport) -> ExtraOutput:
    """What will go wrong at a launch, after the plan."""
    from dist_epochs.render.launch import launch_text

    return ExtraOutput({"launch": report.to_json()}, launch_text(report))


def _framework_reports(plan: Plan, frameworks: Sequence[str], document: Document) -> list[FrameworkReport]:
    """What frameworks report of the plan; ends of passes that are only a Trainer's defaults are left to them.

    Where none is named, it is the one that runs the loop of the files that were read, if it can say anything.
    """
    names = frameworks or ([document.framework] if document.framework else [])
    if not names:
        return []
    from dist_epochs.plan.framework_reports import framework_reports

    ends = ("uneven", "last_window")
    assumed = [name for name in ends if document.is_default(("batch", name))]
    try:
        found = framework_reports(plan, names, assumed)
    except InputError:
        if frameworks:
            raise
        return []
    return found if frameworks else [one for one in found if one.refusal is None]


def _framework_output(found: Sequence[FrameworkReport]) -> list[ExtraOutput]:
    """What frameworks report of a plan, after it."""
    if not found:
        return []
    from dist_epochs.render.like import like_json, like_texts

    return [ExtraOutput({"like": [like_json(one) for one in found]}, "\n\n".join(like_texts(found)))]


def _raise_refusals(found: Sequence[FrameworkReport], frameworks: Sequence[str]) -> None:
    """Frameworks that are named and cannot run the plan are an error, once the plan is shown; of all, some may not."""
    refusals = [one.refusal for one in found if one.refusal is not None]
    if refusals and "all" not in (name.strip().lower() for name in frameworks):
        raise InputError.together(refusals)


def _sensitivity(plans: Sequence[Plan]) -> tuple[ChangedAssumption, ...]:
    """What one plan depends on; of several, that is not shown."""
    if len(plans) > 1:
        return ()
    from dist_epochs.plan.planner import make_plan
    from dist_epochs.plan.sensitivity import sensitivity_of

    (plan,) = plans
    return sensitivity_of(plan, lambda changed: make_plan(changed, facts=plan.facts))


def _show(
    plans: Sequence[Plan],
    moves: Sequence[ChangedAssumption],
    inputs: Sequence[PlanInput],
    extra: Sequence[ExtraOutput],
    as_json: bool,
) -> None:
    if len(plans) > 1:
        from dist_epochs.render.comparison import comparison_json, comparison_text

        print_json(comparison_json(plans)) if as_json else show(comparison_text(plans))
        return
    from dist_epochs.plan.plan_json import plan_json

    (plan,) = plans
    if as_json:
        from dist_epochs.tool_configs.read_values import read_json

        shown = plan_json(plan) | {"moves": [move.to_json() for move in moves], "from": inputs[0].document.remarks}
        shown["read"] = read_json(inputs[0].document.values_read, plan)
        for more in extra:
            shown |= more.data
        print_json(shown)
    else:
        from dist_epochs.render.plan import plan_text

        show(plan_text(plan, moves))
        for text in (more.text for more in extra if more.text):
            show(f"\n{text}")


def _write_report(plans: Sequence[Plan], moves: Sequence[ChangedAssumption], path: Path) -> None:
    from dist_epochs.report.plan import plan_report, plans_report

    write_html(path, plans_report(plans) if len(plans) > 1 else plan_report(plans[0], moves))


def _sweep(inputs: Sequence[PlanInput], texts: Sequence[str], exact: bool, as_json: bool) -> list[Plan]:
    from dist_epochs.plan.sweep import sweep
    from dist_epochs.render.comparison import sweep_json, sweep_text

    if len(texts) > 1:
        raise InputError(f"--sweep {' and '.join(texts)}", rule="one setting is changed at a time", fixes="one of them")
    if len(inputs) > 1:
        raise InputError("--sweep changes one recipe", fixes="leaving it out: several recipes then stand side by side")
    (only,) = inputs
    found = sweep(only.document, texts[0], lambda changed: only.plan_of(changed, exact))
    if not any(swept.plan for swept in (*found.fixed_steps, *found.fixed_data)):
        raise InputError(
            "no value can be planned",
            rule=f"the first: {found.fixed_steps[0].error}",
            origin=Origin(f"--sweep {texts[0]}"),
        )
    print_json(sweep_json(found)) if as_json else show(sweep_text(found))
    return [swept.plan for swept in (*found.fixed_steps, *found.fixed_data) if swept.plan is not None]

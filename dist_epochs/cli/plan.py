"""`dist-epochs plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dist_epochs.cli.output import as_html, as_json, print_json, write_html
from dist_epochs.cli.sections import SectionsCommand, add_flags
from dist_epochs.errors import EXIT_DISAGREES, InputError, Origin
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.plan.cost.trained_part import ModelCost
    from dist_epochs.plan.framework_reports import FrameworkReport
    from dist_epochs.plan.plan import Plan
    from dist_epochs.plan.sensitivity import ChangedAssumption
    from dist_epochs.recipe import Recipe
    from dist_epochs.settings.document import Document
    from dist_epochs.tool_configs.launch.report import LaunchReport

FLAGS = {
    "How long: one of": {
        "steps": ("1M", "Optimizer steps."),
        "samples": ("256M", "Samples drawn in all."),
        "tokens": ("300B", "Tokens drawn in all, padding included."),
        "epochs": ("40", "Times the corpus is drawn."),
        "hours": ("72", "Hours from start to end (or '3 days')."),
        "flops": ("1e21", "Training FLOPs."),
        "money": ("5000", "What may be spent, in the currency of --price."),
    },
    "What is drawn": {
        "corpus": ("'3.3B words'", "Size of the corpus with its unit, a store, or another tool's tokens."),
        "tokens-per-word": ("1.24", "Tokens for one word of a corpus in words."),
        "temperature": ("2", "Mix sources by size to the power of 1 ÷ temperature."),
        "max-epochs": ("4", "Cap on how often a source may be repeated."),
        "batch": ("256x512", "What a step draws: samples × length, '4Mi tokens', or samples."),
        "global-batch": ("256", "Samples per step, over all devices."),
        "sequence-length": ("512", "Positions per sample."),
        "ramp": ("'16 8 5859375'", "Batch ramp as Megatron writes it: start, increment, samples."),
    },
    "How it is laid over devices": {
        "devices": ("8xH100", "Devices, with their kind if they are to be priced."),
        "per-device": ("8", "Samples per device and micro-step."),
        "gradient-accumulation": ("4", "Micro-steps per step."),
        "tensor-parallel": ("2", "Devices that share each layer."),
        "pipeline-parallel": ("2", "Devices that share the stack of layers."),
        "context-parallel": ("2", "Devices that share each sequence."),
        "expert-parallel": ("2", "Devices that share the experts."),
    },
    "Another trainer's loop": {
        "last-window": ("flush|carry|drop", "What happens to a partial window at the end of a pass."),
        "uneven": ("pad|drop|keep", "What happens where devices do not divide a pass."),
    },
    "What it costs": {
        "model": ("bert-base", "A size name, or a transformers config.json."),
        "parameters": ("7B", "Instead: the number of parameters, at 6 FLOPs each a token."),
        "precision": ("bf16", "fp32, bf16 or fp16."),
        "mfu": ("40%", "Model FLOPs utilization; default: a range."),
        "peak-tflops": ("989", "Dense peak of a device, where the table has another or none."),
        "tokens-per-second": ("1.2M", "Instead: measured, over all devices."),
        "price": ("2.5", "Price of one device for one hour."),
        "zero-stage": ("3", "ZeRO stage 0 to 3; FSDP is 3."),
        "restarts": ("4", "Restarts expected; needs --checkpoint-every."),
        "checkpoint-every": ("'2 hours'", "Hours between checkpoints."),
        "restart-time": ("0.5", "Hours from a failure to the next step."),
    },
}
"""Flags that are settings of a recipe, by section of the help: an example and what it is."""


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
    recipes = tuple(map(find_recipe, recipes))
    documents = [_document(path, files, settings, sources, overrides) for path in recipes or (None,)]
    places = [_count_place(document, path) for document, path in _named(documents, recipes)]
    if verify:
        _verify([_recipe(document, path) for document, path in _named(documents, recipes)])
    if launch_file is not None:
        report = _check_launch(launch_file, documents, recipes, sweeps, exact)
        plans = [report.launch.plan]
        moves = _sensitivity(plans)
        _show(plans, moves, documents, [_launch_output(report)], as_json)
    elif sweeps:
        plans = _sweep(documents, recipes, sweeps, exact, as_json)
    elif markdown or as_csv:
        from dist_epochs.render.comparison import comparison_csv, comparison_markdown

        plans = [_plan(_recipe(document, path), exact) for document, path in _named(documents, recipes)]
        show((comparison_csv if as_csv else comparison_markdown)(plans))
    else:
        plans = [_plan(_recipe(document, path), exact) for document, path in _named(documents, recipes)]
        found = _framework_reports(plans[0], frameworks, documents[0]) if len(plans) == 1 else []
        extra = [*_framework_output(found), *(ExtraOutput({"holds": holds}, "") for holds in places if holds)]
        moves = _sensitivity(plans)
        _show(plans, moves, documents, extra, as_json)
        _raise_refusals(found, frameworks)
    if html is not None:
        _write_report(plans, moves, html)
    if report is not None and report.goes_wrong:
        raise SystemExit(EXIT_DISAGREES)
    if strict and any(not warning.is_note for plan in plans for warning in plan.warnings):
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


def _document(
    path: Path | None,
    files: Sequence[Path],
    flags: dict[str, Any],
    sources: Sequence[str],
    overrides: Sequence[str],
) -> Document:
    """A recipe with other tools' files, flags and settings over it."""
    from dist_epochs.recipe.flags import apply_flags
    from dist_epochs.settings.document import Document

    document = Document("flags") if path is None else _read(path)
    if "model_type" in document.data and "batch" not in document.data:
        raise InputError("a model's configuration, not a recipe", fixes=f"--model {path}", origin=Origin(str(path)))
    if path is None or flags or sources:
        apply_flags(document, flags, sources)
    for setting in overrides:
        document.override(setting)
    if files:
        _apply_files(document, files)
    if document.get(("batch",)) is None and path is None:
        fixes = ("--batch", "--global-batch", "--per-device with --devices")
        of_recipe = () if flags or files else ("a recipe, such as dist-epochs plan bert-base",)
        raise InputError("what a step draws is not stated", fixes=(*of_recipe, *fixes))
    return document


def _read(path: Path) -> Document:
    """A recipe, and no configuration of another tool."""
    from dist_epochs.settings.document import Document

    try:
        document, failed = Document.read(path), None
    except InputError as error:
        document, failed = None, error
    if document is None or not {"batch", "phases", "budget"} & document.data.keys():
        from dist_epochs.tool_configs.detect import tool_of

        if (tool := tool_of(path)) is not None:
            raise InputError(
                f"this is {tool}, and no recipe", fixes=f"dist-epochs plan --from {path}", origin=Origin(str(path))
            )
    if document is None:
        assert failed is not None
        from dist_epochs.recipe.shipped import shipped_recipes

        is_shipped = not path.exists() and path.stem in shipped_recipes()
        raise failed.but(fixes=f"{path.stem}, which comes with the package") if is_shipped else failed
    return document


def _apply_files(document: Document, files: Sequence[Path]) -> None:
    """Other tools' settings; what is to be known of them is printed with the plan."""
    from dist_epochs.tool_configs.apply import apply_files

    found = apply_files(document, files)
    document.remarks += [*found.notes, *(f"{key}: left open, or not used here" for key in found.ignored)]
    for remark in document.remarks:
        show(f"note {remark}", err=True)


def _count_place(document: Document, path: Path) -> dict[str, Any] | None:
    """Count a corpus of another tool's tokens where it lies; what is to be known of it is printed with the plan."""
    if document.get(("corpus", "store")) is None:
        return None
    from dist_epochs.corpus.input.place import count_place

    known = len(document.remarks)
    holds = count_place(document, path.resolve().parent)
    for remark in document.remarks[known:]:
        show(f"note {remark}", err=True)
    return holds


def _named(documents: Sequence[Document], recipes: Sequence[Path]) -> list[tuple[Document, Path]]:
    return list(zip(documents, recipes or (Path("plan"),), strict=True))


def _recipe(document: Document, path: Path) -> Recipe:
    from dist_epochs.recipe import make_recipe

    return make_recipe(document, path)


def _plan(recipe: Recipe, exact: bool) -> Plan:
    """The plan, on a store if the recipe has one."""
    from dist_epochs.plan.planner import make_plan

    model = None
    if exact:
        model = _measured(recipe)
    if recipe.corpus.store is None:
        return make_plan(recipe, model=model)
    from dist_epochs.corpus.streaming.planning import plan_on_store

    return plan_on_store(recipe, model)


def _verify(recipes: Sequence[Recipe]) -> None:
    """Compare the digests of every store that the recipes name."""
    stores = {recipe.corpus.store: recipe for recipe in recipes if recipe.corpus.store is not None}
    if not stores:
        raise InputError(
            "--verify compares the digests of a token store, and no recipe has one", fixes="leaving it out"
        )
    from dist_epochs.corpus.stores.opening import store_of
    from dist_epochs.corpus.stores.verify import verify_store

    for recipe in stores.values():
        verify_store(store_of(recipe), again=True)


def _measured(recipe: Recipe) -> ModelCost:
    """The recipe's model, built without weights and counted."""
    from dist_epochs.plan.models import MeasuredModel, config_of

    model = recipe.model
    if model is None or model.config is None:
        raise InputError("--exact builds the model and counts", fixes="--model, a size name or a config.json")
    if model.objective is None:
        raise InputError(
            "--exact builds the model with its head",
            fixes=("--set model.objective=causal", "--set model.objective=masked"),
        )
    if any(phase.sequence_length is None for phase in recipe.phases):
        raise InputError("--exact counts FLOPs at a length", fixes="--sequence-length")
    from dist_epochs.train.exact_cost import exact_cost

    lengths = [phase.sequence_length for phase in recipe.phases if phase.sequence_length]
    found = exact_cost(config_of(model), model.objective, lengths)
    return MeasuredModel(found.parameters, found.matmul_parameters, found.flops_per_token)


def _check_launch(
    file: Path, documents: Sequence[Document], recipes: Sequence[Path], sweeps: Sequence[str], exact: bool
) -> LaunchReport:
    """The plan on the devices of a launch file, and what will go wrong there."""
    from dist_epochs.tool_configs.launch.report import check_launch_file

    if len(documents) > 1 or sweeps:
        raise InputError("--launch checks one recipe as it stands", fixes="leaving --sweep and other recipes out")
    ((document, path),) = _named(documents, recipes)
    recipe = path if recipes else None
    return check_launch_file(file, document, recipe, lambda changed: _plan(_recipe(changed, path), exact))


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
    documents: Sequence[Document],
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

        shown = plan_json(plan) | {"moves": [move.to_json() for move in moves], "from": documents[0].remarks}
        shown["read"] = read_json(documents[0].values_read, plan)
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


def _sweep(
    documents: Sequence[Document], recipes: Sequence[Path], texts: Sequence[str], exact: bool, as_json: bool
) -> list[Plan]:
    from dist_epochs.plan.sweep import sweep
    from dist_epochs.render.comparison import sweep_json, sweep_text

    if len(texts) > 1:
        raise InputError(f"--sweep {' and '.join(texts)}", rule="one setting is changed at a time", fixes="one of them")
    if len(documents) > 1:
        raise InputError("--sweep changes one recipe", fixes="leaving it out: several recipes then stand side by side")
    ((document, path),) = _named(documents, recipes)
    found = sweep(document, texts[0], lambda changed: _plan(_recipe(changed, path), exact))
    if not any(swept.plan for swept in (*found.fixed_steps, *found.fixed_data)):
        raise InputError(
            "no value can be planned",
            rule=f"the first: {found.fixed_steps[0].error}",
            origin=Origin(f"--sweep {texts[0]}"),
        )
    print_json(sweep_json(found)) if as_json else show(sweep_text(found))
    return [swept.plan for swept in (*found.fixed_steps, *found.fixed_data) if swept.plan is not None]

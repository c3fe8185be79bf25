"""What `dist-epochs plan` plans: recipes, with flags and other tools' files laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.plan.cost.trained_part import ModelCost
    from dist_epochs.plan.plan import Plan
    from dist_epochs.recipe import Recipe
    from dist_epochs.settings.document import Document

__all__ = ["PlanInput", "read_input", "verify_stores"]


@dataclass(frozen=True, slots=True)
class PlanInput:
    """One recipe as it is planned.

    Attributes:
        document: Its keys, with flags and other tools' settings over them.
        file: Where it was read; None where there are flags alone.
    """

    document: Document
    file: Path | None

    @property
    def path(self) -> Path:
        """The file; of flags alone, what a plan of them is called."""
        from dist_epochs.plan.plan import FROM_FLAGS_ALONE

        return self.file or Path(FROM_FLAGS_ALONE)

    def recipe(self) -> Recipe:
        """The recipe, checked."""
        return self._recipe_of(self.document)

    def plan(self, exact: bool) -> Plan:
        """The plan, on a store if the recipe has one; its model is built and counted where `exact` asks for that."""
        return self.plan_of(self.document, exact)

    def plan_of(self, changed: Document, exact: bool) -> Plan:
        """The plan of the document with other settings."""
        from dist_epochs.plan.planner import make_plan

        recipe = self._recipe_of(changed)
        model = _measured(recipe) if exact else None
        if recipe.corpus.store is None:
            return make_plan(recipe, model=model)
        from dist_epochs.corpus.streaming.planning import plan_on_store

        return plan_on_store(recipe, model)

    def count_place(self) -> dict[str, Any] | None:
        """Count a corpus of another tool's tokens where it lies; what is to be known of it is printed with the plan."""
        if self.document.get(("corpus", "store")) is None:
            return None
        from dist_epochs.corpus.input.place import count_place

        known = len(self.document.remarks)
        holds = count_place(self.document, self.path.resolve().parent)
        for remark in self.document.remarks[known:]:
            show(f"note {remark}", err=True)
        return holds

    def _recipe_of(self, document: Document) -> Recipe:
        from dist_epochs.recipe import make_recipe

        return make_recipe(document, self.path)


def read_input(
    path: Path | None,
    *,
    files: Sequence[Path],
    flags: dict[str, Any],
    sources: Sequence[str],
    overrides: Sequence[str],
) -> PlanInput:
    """Read a recipe, and lay other tools' files, flags and settings over it.

    Args:
        path: The recipe; None where there are flags alone.
        files: Other tools' configurations and launch scripts.
        flags: Flags that are settings of a recipe.
        sources: Sources of a mixture, `NAME:SIZE:WEIGHT`.
        overrides: `key=value` settings.

    Raises:
        InputError: If one of them cannot be read, or nothing says what a step draws.
    """
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
    return PlanInput(document, path)


def _read(path: Path) -> Document:
    """A recipe, and no configuration of another tool."""
    from dist_epochs.recipe.shipped import shipped_recipes
    from dist_epochs.settings.document import Document

    try:
        document = Document.read(path)
    except InputError as error:
        _refuse_other_tool(path)
        is_shipped = not path.exists() and path.stem in shipped_recipes()
        raise error.but(fixes=f"{path.stem}, which comes with the package") if is_shipped else error from None
    if not {"batch", "phases", "budget"} & document.data.keys():
        _refuse_other_tool(path)
    return document


def _refuse_other_tool(path: Path) -> None:
    """Refuse a configuration of another tool."""
    from dist_epochs.tool_configs.detect import tool_of

    if (tool := tool_of(path)) is not None:
        raise InputError(
            f"this is {tool}, and no recipe", fixes=f"dist-epochs plan --from {path}", origin=Origin(str(path))
        )


def _apply_files(document: Document, files: Sequence[Path]) -> None:
    """Other tools' settings; what is to be known of them is printed with the plan."""
    from dist_epochs.tool_configs.apply import apply_files

    found = apply_files(document, files)
    document.remarks += [*found.notes, *(f"{key}: left open, or not used here" for key in found.ignored)]
    for remark in document.remarks:
        show(f"note {remark}", err=True)


def verify_stores(inputs: Sequence[PlanInput]) -> None:
    """Compare the digests of every store that the recipes name.

    Raises:
        InputError: If none has a store, or a digest differs.
    """
    recipes = [each.recipe() for each in inputs]
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

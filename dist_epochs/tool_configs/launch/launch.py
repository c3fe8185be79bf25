"""A launch: an Accelerate configuration, the plan that it is to run, and what a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.plan import Plan
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Place
from dist_epochs.tool_configs.accelerate_file import AccelerateFile

__all__ = ["Finding", "Launch", "plan_launch"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that will go wrong at a launch, or a note about it.

    Attributes:
        where: The line of the launch file.
        message: What will happen, with its numbers.
        fix: A line or a command that works.
        rule: Name of the rule that found it, for `dist-epochs explain`.
        is_note: Whether it only informs; the exit code is 1 for the others.
        is_of_trainer: Whether only this package's trainer stops at it, and another program may run that way.
    """

    where: Origin
    message: str
    fix: str
    rule: str = ""
    is_note: bool = False
    is_of_trainer: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A launch file beside a plan.

    Attributes:
        file: What will be launched.
        plan: What it is to run: for the file's devices, where the recipe states none and they can build its batch.
        recipe: Where the recipe stands: its file, or the flags.
        states_devices: Whether the recipe itself says on how many devices it runs.
        states_stage: Whether the recipe itself states a ZeRO stage.
        refusal: Why the recipe cannot be planned for the file's devices, where it cannot.
    """

    file: AccelerateFile
    plan: Plan
    recipe: Origin
    states_devices: bool
    states_stage: bool
    refusal: InputError | None = None

    @property
    def planned(self) -> int | None:
        """Devices that the recipe states."""
        return self.plan.recipe.batch.devices if self.states_devices else None

    @property
    def shards_itself(self) -> bool:
        """Whether this package's trainer runs, which shards as the recipe says under any launch that it supports."""
        return not self.missing and (self.file.is_ddp or self.file.kind == "FSDP")

    @property
    def recipe_stage(self) -> int:
        """The ZeRO stage of the recipe itself: 0 where it states none."""
        hardware = self.plan.recipe.hardware
        return hardware.zero_stage if hardware is not None and self.states_stage else 0

    @property
    def zero_stage(self) -> int | None:
        """The ZeRO stage that shards as much as what runs: 0 for DDP; None where it is not known."""
        if self.shards_itself:
            return self.recipe_stage
        stage = self.file.zero_stage
        return None if stage is None else stage.value

    @property
    def precision(self) -> str:
        """Arithmetic that the trainer takes from the recipe."""
        return self.plan.recipe.arithmetic

    @property
    def missing(self) -> tuple[str, ...]:
        """What the recipe lacks to be trained by this package; where it lacks any, another program is launched."""
        recipe = self.plan.recipe
        is_partly_trained = recipe.model is not None and recipe.model.is_partly_trained
        needed = {
            "corpus.store": recipe.corpus.store,
            "batch.per_device": recipe.batch.per_device,
            "model.config": recipe.model and recipe.model.config,
            "optimizer": recipe.optimizer,
            "a model that is trained in full": None if is_partly_trained else True,
        }
        return tuple(name for name, value in needed.items() if value is None)

    @property
    def outcome(self) -> str:
        """What happens where recipe and file contradict each other, for a message."""
        return "this is not the run that is planned" if self.missing else "dist_epochs.train stops"


def plan_launch(document: Document, file: AccelerateFile, make: Callable[[Document], Plan]) -> Launch:
    """Plan a recipe for the devices of a launch file, and where they contradict each other, for its own.

    Args:
        document: The recipe, flags included; it stays as it is.
        file: The launch file.
        make: Makes the plan of a document.

    Raises:
        InputError: If the recipe cannot be planned without the launch file either.
    """
    launch = partial(
        Launch,
        file=file,
        recipe=document.where(()),
        states_devices=document.get(("batch", "devices")) is not None,
        states_stage=document.get(("hardware", "zero_stage")) is not None,
    )
    adapted = document.copy()
    for place, value, where in _taken_over(document, file):
        if adapted.get(place) is None:
            adapted.put(place, value, where)
    try:
        return launch(plan=make(adapted))
    except InputError as error:
        refusal = error
    return launch(plan=make(document), refusal=refusal)


def _taken_over(document: Document, file: AccelerateFile) -> Iterator[tuple[Place, Any, Origin]]:
    """What the plan takes from a launch file: the devices, how they share the model, and the ZeRO stage."""
    if file.processes is not None:
        yield ("batch", "devices"), file.processes, file.top.where("num_processes")
    for name in ("tensor_parallel", "pipeline_parallel", "context_parallel"):
        size = file.sharing(name)
        if size is not None:
            yield ("batch", name), size.value, size.where
    if file.zero_stage is not None and document.get(("hardware",)) is not None:
        yield ("hardware", "zero_stage"), file.zero_stage.value, file.zero_stage.where

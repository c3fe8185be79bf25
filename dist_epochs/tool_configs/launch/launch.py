"""A launch: an Accelerate configuration, and the plan that it is to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.plan.plan import Plan
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Place
from dist_epochs.tool_configs.launch.launch_file import LaunchFile

__all__ = ["Launch", "plan_launch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A launch file beside a plan.

    Attributes:
        file: What will be launched.
        plan: What it is to run: for the file's devices, where the recipe states none and they can build its batch.
        recipe: Where the recipe stands: `path:line`, or the flags.
        states_devices: Whether the recipe itself says on how many devices it runs.
        refusal: Why the recipe cannot be planned for the file's devices, where it cannot.
    """

    file: LaunchFile
    plan: Plan
    recipe: str
    states_devices: bool
    refusal: str | None = None

    @property
    def planned(self) -> int | None:
        """Devices that the recipe states."""
        return self.plan.recipe.batch.devices if self.states_devices else None

    @property
    def precision(self) -> str:
        """Arithmetic that the trainer takes from the recipe."""
        return self.plan.recipe.arithmetic

    @property
    def missing(self) -> tuple[str, ...]:
        """What the recipe lacks to be trained by this package; where it lacks any, another program is launched."""
        recipe = self.plan.recipe
        needed = {
            "corpus.store": recipe.corpus.store,
            "batch.per_device": recipe.batch.per_device,
            "model.config": recipe.model and recipe.model.config,
            "optimizer": recipe.optimizer,
        }
        return tuple(name for name, value in needed.items() if value is None)

    @property
    def outcome(self) -> str:
        """What comes of a recipe and a file that contradict each other."""
        return "this is not the run that is planned" if self.missing else "dist_epochs.train stops"


def plan_launch(document: Document, file: LaunchFile, make: Callable[[Document], Plan]) -> Launch:
    """Plan a recipe for the devices of a launch file, and where they contradict each other, for its own.

    Args:
        document: The recipe, flags included; it stays as it is.
        file: The launch file.
        make: Makes the plan of a document.

    Raises:
        InputError: If the recipe cannot be planned without the launch file either.
    """
    states_devices, recipe = document.get(("batch", "devices")) is not None, document.where(())
    adapted = document.copy()
    for place, value, where in _stated(document, file):
        if adapted.get(place) is None:
            adapted.put(place, value, where)
    try:
        return Launch(file=file, plan=make(adapted), recipe=recipe, states_devices=states_devices)
    except InputError as error:
        refusal = str(error)
    return Launch(file=file, plan=make(document), recipe=recipe, states_devices=states_devices, refusal=refusal)


def _stated(document: Document, file: LaunchFile) -> Iterator[tuple[Place, Any, str]]:
    """What a file says of the plan: devices, how they share the model, and the memory that follows."""
    if file.processes is not None:
        yield ("batch", "devices"), file.processes, f"{file.line('num_processes')} num_processes"
    section = f"{file.line('parallelism_config')} parallelism_config"
    for name, size in (
        ("tensor_parallel", file.sizes["tp_size"]),
        ("context_parallel", file.sizes["cp_size"] * file.sizes["sp_size"]),
    ):
        if size > 1:
            yield ("batch", name), size, section
    if file.stage is not None and document.get(("hardware",)) is not None:
        yield ("hardware", "zero_stage"), file.stage, f"{file.line('distributed_type')} distributed_type"

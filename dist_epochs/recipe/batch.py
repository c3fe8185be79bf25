"""How a step's samples are laid over devices, and how the batch grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from dist_epochs.arithmetic.batch import nearest_batches
from dist_epochs.arithmetic.quantity import Quantity, Unit, parse, parse_count
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.errors import InputError
from dist_epochs.recipe.values import BATCH, COUNT, DEVICES, FLAG, PER_DEVICE, SAMPLES, quantity, read_quantity
from dist_epochs.settings.fields import Choice, Part, Place, Problem, Table, key

__all__ = ["BatchRecipe", "RampRecipe"]

PROGRESS = (Unit.STEP, Unit.SAMPLE, Unit.TOKEN, Unit.POSITION)


@dataclass(frozen=True, kw_only=True)
class RampRecipe:
    """A batch that grows during the run: in equal increments, or at stated points."""

    start: int | None = key(SAMPLES, None)
    """Samples of the first step; it grows to batch.global_batch."""
    increment: int | None = key(SAMPLES, None)
    """Samples it grows by, again and again. A small one is a linear ramp."""
    over: Quantity | None = key(quantity(*PROGRESS), None)
    """How long it grows: steps, samples or tokens."""
    stages: Mapping[str, int] | None = key(Table(SAMPLES), None)
    """Global batch from a point of the run on: `{0: 512, 50k steps: 1024}`. Points in steps, samples or tokens."""

    def __post_init__(self) -> None:
        grown = [name for name in ("start", "increment", "over") if getattr(self, name) is not None]
        if len(grown) != (0 if self.stages is not None else 3):
            raise InputError("a ramp is either start, increment and over, or stages alone")
        if self.over is not None and self.over.unit is None:
            raise InputError(
                f"over: {self.over.text!r} does not say what it counts",
                fixes=[f"'{self.over.text} {unit}'" for unit in ("samples", "steps", "tokens")],
            )
        self.levels(self.start or 1)

    def levels(self, global_batch: int) -> Ramp:
        """The ramp, growing to `global_batch`.

        Raises:
            InputError: If the increments do not end there, or stages mix units.
        """
        if self.stages is None:
            assert self.start is not None
            assert self.increment is not None
            assert self.over is not None
            assert self.over.unit is not None
            return Ramp.increments(
                start=self.start,
                increment=self.increment,
                over=self.over.value,
                unit=_progress(self.over.unit),
                global_batch=global_batch,
            )
        points = {text: read_quantity(text, *PROGRESS) if parse(text).value else parse(text) for text in self.stages}
        units = {_progress(point.unit) for point in points.values() if point.unit is not None}
        if len(units) != 1 or any(point.unit is None and point.value for point in points.values()):
            raise InputError(
                "stages start at 0 and at points of one unit", fixes="steps, samples or tokens, as in `50k steps`"
            )
        return Ramp.stages(unit=units.pop(), levels={points[text].value: batch for text, batch in self.stages.items()})


class RampReader:
    """A ramp as keys, or as Megatron's three numbers: start, increment, samples."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """Read either form."""
        if not isinstance(data, str):
            return Part(RampRecipe).read(data, place, problems)
        try:
            start, increment, samples = data.split()
            return RampRecipe(
                start=parse_count(start, unit=Unit.SAMPLE, what="start"),
                increment=parse_count(increment, unit=Unit.SAMPLE, what="increment"),
                over=Quantity.exact(parse_count(samples, unit=Unit.SAMPLE, what="ramp-up samples"), Unit.SAMPLE),
            )
        except ValueError as error:
            rule = "as text a ramp is Megatron's `start increment samples`, for example `16 8 5859375`"
            is_ours = isinstance(error, InputError)
            problems.append(Problem.of(place, error) if is_ours else Problem(place, f"{rule}, not {data!r}"))
            return None

    def schema(self) -> dict[str, Any]:
        """JSON schema of either form."""
        return {"anyOf": [{"type": "string", "pattern": r"^\s*\S+\s+\S+\s+\S+\s*$"}, Part(RampRecipe).schema()]}


@dataclass(frozen=True, kw_only=True)
class BatchRecipe:
    """How a step's samples are laid over devices. The global batch is fixed; the rest follows the launch."""

    global_batch: Quantity | None = key(BATCH, None)
    """Samples per step over all devices (or tokens, divided by the length). Default: the product of the rest."""
    per_device: int | None = key(PER_DEVICE, None, also="per_device_train_batch_size")
    """The most samples one device takes in one micro-step. Needed to train."""
    gradient_accumulation: int | None = key(COUNT, None, also="gradient_accumulation_steps")
    """Micro-steps per step. Only needed where no global batch is stated."""
    devices: int | None = key(DEVICES, None)
    """Devices of the launch; a launch with another number is refused."""
    tensor_parallel: int = key(COUNT, 1)
    """Devices that share each layer; they see the same data."""
    pipeline_parallel: int = key(COUNT, 1)
    """Devices that share the stack of layers; they see the same data."""
    context_parallel: int = key(COUNT, 1)
    """Devices that share each sequence; they see the same samples."""
    expert_parallel: int = key(COUNT, 1)
    """Devices that share the experts; they see different data, so the data-parallel size stays."""
    ramp: RampRecipe | None = key(RampReader(), None)
    """A batch that grows to `global_batch`; as keys, or as Megatron's `start increment samples`."""
    uneven: Literal["error", "allow", "pad", "drop", "keep"] = key(
        Choice(("error", "allow", "pad", "drop", "keep")), "error"
    )
    """Where the devices do not divide the batch: `error`, or `allow` them to differ by one sample. For another
    trainer's loop, where they do not divide the data: `pad` with duplicates, `drop` the rest, or `keep` it."""
    last_window: Literal["flush", "carry", "drop"] | None = key(Choice(("flush", "carry", "drop")), None)
    """For another trainer's loop: what happens to a partial accumulation window at the end of a pass. This package's
    own batches run on across passes, so it has none."""
    replacement: bool = key(FLAG, False)
    """Whether samples are drawn with replacement; planned, never trained here."""

    def __post_init__(self) -> None:
        stages = self.ramp is not None and self.ramp.stages is not None
        if self.global_batch is None and self.per_device is None and not stages:
            raise InputError(
                "what a step draws is not stated",
                fixes=("global_batch", "per_device, devices and gradient_accumulation to derive it from"),
            )
        self._check_ramp()
        self._check_parallelism()
        if self.replacement and self.is_foreign:
            raise InputError(
                "replacement draws without end",
                rule="it has no passes, so uneven: pad, drop, keep and last_window do not apply",
                fixes="one of them",
            )
        if self.is_foreign and self.ramp is not None:
            raise InputError(
                "a ramp is planned for this package's own batches, not with last_window or uneven: pad, drop"
            )

    def _check_ramp(self) -> None:
        """Stages end with the global batch, where both are stated in samples."""
        stated = self.global_batch
        if self.ramp is None or self.ramp.stages is None or stated is None or stated.unit in PROGRESS[2:]:
            return
        last = list(self.ramp.stages.values())[-1]
        if last != stated.value:
            raise InputError(
                f"the last stage of the ramp draws {last}, and global_batch is {stated.text}",
                rule="a ramp ends with the global batch",
                fixes=("making them equal", "leaving global_batch out"),
            )

    def _check_parallelism(self) -> None:
        if self.devices is None:
            for name, size in self.parallel_sizes.items():
                if size > 1:
                    raise InputError(
                        f"{name}_parallel is a part of the devices", fixes="stating devices too (--devices 64)"
                    )
            return
        if self.devices % self.model_parallel_size:
            named = " × ".join(
                f"{name} {size}" for name, size in self.parallel_sizes.items() if size > 1 and name != "expert"
            )
            raise InputError(
                f"{self.devices} devices do not divide by {named} = {self.model_parallel_size}",
                rule=f"the data-parallel size would be {self.devices}/{self.model_parallel_size}",
                fixes=(
                    *(f"{fit} devices" for fit in nearest_batches(self.devices, self.model_parallel_size)),
                    "other parallel sizes",
                ),
            )
        stage = self.devices // self.pipeline_parallel
        if stage % self.expert_parallel:
            raise InputError(
                f"{self.devices} devices cannot hold expert_parallel {self.expert_parallel}",
                rule=f"each pipeline stage has {stage} devices",
                fixes="a divisor of that",
            )

    @property
    def parallel_sizes(self) -> dict[str, int]:
        """Devices that share a part of the model or of a sample, by the name of what they share, such as `tensor`."""
        return {
            field.name.removesuffix("_parallel"): getattr(self, field.name)
            for field in fields(self)
            if field.name.endswith("_parallel")
        }

    @property
    def model_parallel_size(self) -> int:
        """Devices that see the same data."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel

    @property
    def data_parallel_size(self) -> int | None:
        """Devices that see different data: devices ÷ (tensor × pipeline × context parallel)."""
        if self.devices is None:
            return None
        return self.devices // self.model_parallel_size

    @property
    def is_foreign(self) -> bool:
        """Whether another trainer's loop is planned: passes by a sampler, windows that end with them."""
        return self.last_window is not None or self.uneven in ("pad", "drop", "keep")


def _progress(unit: Unit) -> Unit:
    """A unit as the run counts it: what papers call tokens are positions."""
    return Unit.POSITION if unit is Unit.TOKEN else unit

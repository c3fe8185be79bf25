"""The global batch = samples per device × accumulation × data-parallel devices, solved for what is missing.

What may be missing is DeepSpeed's rule (`_set_batch_related_parameters` and `_batch_assertion` in
`deepspeed/runtime/config.py`): of the batch, the micro-batch and the accumulation any two give the third, and the batch
or the micro-batch alone goes with an accumulation of 1. DeepSpeed divides rounding down and then compares; here nothing
is rounded. The Trainer and Accelerate multiply the same three numbers, and their accumulation is 1 by default too.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from dist_epochs.arithmetic.batch import cannot_be_built, nearest_batches
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["complete", "data_parallel_size"]

SHARING = ("tensor_parallel", "pipeline_parallel", "context_parallel")
"""Ways to share a model in which the devices of a group see the same samples."""


def data_parallel_size(settings: LaunchSettings) -> int | None:
    """Devices that see different data: devices ÷ (tensor × pipeline × context parallel); None without devices.

    Raises:
        InputError: If that is no whole number.

    Examples:
        >>> devices, tensor = Stated(8, Origin("--devices")), Stated(2, Origin("ds.json", 3))
        >>> data_parallel_size(LaunchSettings(devices=devices, tensor_parallel=tensor))
        4
    """
    if settings.devices is None:
        return None
    devices, shared = settings.devices.value, _shared(settings)
    if devices % shared:
        named = " × ".join(f"{size.value} ({size.where})" for size in _sharing(settings))
        raise InputError(
            f"{devices} devices ({settings.devices.where}) do not divide by {named} = {shared}",
            rule=f"so many see the same samples: the data-parallel size would be {devices}/{shared}",
            fixes=[*(f"{fit} devices" for fit in nearest_batches(devices, shared)), "other sizes"],
        )
    return devices // shared


def complete(settings: LaunchSettings, *, accumulates_once: bool = True) -> LaunchSettings:
    """Compute what follows from the rest; what does not follow stays None.

    Args:
        settings: What is stated.
        accumulates_once: Whether the accumulation is 1 where only one other factor of the batch is stated.

    Raises:
        InputError: If the numbers contradict each other, or do not divide, with the places and the nearest fits.

    Examples:
        >>> given = {"devices": Stated(8, Origin("acc.yaml", 2)), "global_batch": Stated(256, Origin("ds.json", 2))}
        >>> complete(LaunchSettings(**given, per_device=Stated(4, Origin("ds.json", 3)))).gradient_accumulation.value
        8
    """
    size = data_parallel_size(settings)
    batch, each, accumulation = settings.global_batch, settings.per_device, settings.gradient_accumulation
    if size is None:
        return _with_devices(settings) if batch and each and accumulation else settings
    if batch and each and accumulation:
        _check(settings, batch, each, accumulation, size)
        return settings
    if accumulates_once and accumulation is None and (batch is None) != (each is None):
        accumulation = Stated(1, Origin("the default of DeepSpeed, Accelerate and the Trainer"))
        note = "gradient_accumulation is stated nowhere: 1, as the tools take it; a script may set another"
        settings = replace(settings, gradient_accumulation=accumulation, notes=(*settings.notes, note))
    if each and accumulation:
        product = each.value * accumulation.value * size
        return replace(settings, global_batch=_follows(product, "×", settings, each, accumulation))
    if batch and each:
        count = _divide(batch, each.value, size, cannot_be_built(batch.value, size, each.value), settings)
        return replace(settings, gradient_accumulation=_follows(count, "÷", settings, batch, each))
    if batch and accumulation:
        error = _cannot_split(batch.value, size, accumulation.value)
        count = _divide(batch, accumulation.value, size, error, settings)
        return replace(settings, per_device=_follows(count, "÷", settings, batch, accumulation))
    return settings


def _sharing(settings: LaunchSettings) -> list[Stated[int]]:
    sizes: list[Stated[int] | None] = [getattr(settings, name) for name in SHARING]
    return [size for size in sizes if size is not None and size.value > 1]


def _shared(settings: LaunchSettings) -> int:
    return prod(size.value for size in _sharing(settings))


def _follows(value: int, sign: str, settings: LaunchSettings, *sources: Stated[int]) -> Stated[int]:
    places = [str(source.where) for source in (*sources, settings.devices, *_sharing(settings)) if source is not None]
    return Stated(value, Origin(f"{sign} of {', '.join(places)}"))


def _divide(batch: Stated[int], factor: int, size: int, error: InputError, settings: LaunchSettings) -> int:
    if batch.value % (factor * size):
        places = [batch, settings.per_device, settings.gradient_accumulation, settings.devices, *_sharing(settings)]
        stated = ", ".join(str(place.where) for place in places if place is not None)
        raise error.but(origin=Origin(stated))
    return batch.value // (factor * size)


def _cannot_split(batch: int, size: int, accumulation: int) -> InputError:
    if accumulation == 1:
        return cannot_be_built(batch, size)
    multiples = ", ".join(str(size * accumulation * count) for count in (1, 2, 3))
    return InputError(
        f"global batch {batch} cannot be split over {size} devices in {accumulation} micro-steps",
        rule=f"{size} × {accumulation} × k = {multiples}, …",
        fixes=[f"{fit} ({fit // (size * accumulation)} each)" for fit in nearest_batches(batch, size, accumulation)],
    )


def _with_devices(settings: LaunchSettings) -> LaunchSettings:
    """The number of devices, which follows where all numbers of the batch are stated."""
    batch, each, accumulation = settings.global_batch, settings.per_device, settings.gradient_accumulation
    assert batch is not None
    assert each is not None
    assert accumulation is not None
    micro_batch = each.value * accumulation.value
    if batch.value % micro_batch:
        raise InputError(
            f"no number of devices makes a batch of {batch.value} ({batch.where}) of {each.value} samples each "
            f"({each.where}) in {accumulation.value} micro-steps ({accumulation.where})",
            rule=f"it is no multiple of {micro_batch}",
            fixes=[f"{fit} ({fit // micro_batch} devices)" for fit in nearest_batches(batch.value, 1, micro_batch)],
        )
    devices = _follows(batch.value // micro_batch * _shared(settings), "÷", settings, batch, each, accumulation)
    note = f"{devices.value} devices: the only number with which the stated batch adds up"
    return replace(settings, devices=devices, notes=(*settings.notes, note))


def _check(
    settings: LaunchSettings, batch: Stated[int], each: Stated[int], accumulation: Stated[int], size: int
) -> None:
    product = each.value * accumulation.value * size
    if batch.value == product:
        return
    assert settings.devices is not None
    shared = _shared(settings)
    seen = f"{size} device{'s' * (size > 1)} ({settings.devices.where})"
    hint = ""
    if shared > 1:
        named = " × ".join(f"{group.value} ({group.where})" for group in _sharing(settings))
        seen = f"{size} data-parallel devices ({settings.devices.value}, {settings.devices.where}, ÷ {named})"
        if batch.value == product * shared:
            hint = f". It counts the {shared} devices that see the same samples as if each saw its own"
    raise InputError(
        "the batch does not add up",
        rule=f"{batch.value} ({batch.where}) ≠ {each.value} samples each ({each.where}) × {accumulation.value} "
        f"micro-steps ({accumulation.where}) × {seen} = {product}{hint}",
        consequence="one run cannot have all of them (DeepSpeed stops at its start)",
        fixes=_fixes(batch.value, each.value, accumulation.value, size, shared),
    )


def _fixes(batch: int, each: int, accumulation: int, size: int, shared: int) -> list[str]:
    """Changes of one number with which the batch adds up; and the nearest batches, where those cannot build it."""
    product = each * accumulation * size
    fixes = [f"global_batch {product}"]
    for name, rest, times in (
        ("gradient_accumulation", each * size, 1), ("per_device", accumulation * size, 1),
        ("devices", each * accumulation, shared),
    ):  # fmt: skip
        if batch % rest == 0:
            fixes.append(f"{name} {batch // rest * times}")
    if batch % (each * size):
        near = [fit for fit in nearest_batches(batch, size, each) if fit != product]
        fixes += [f"global_batch {fit} with gradient_accumulation {fit // (each * size)}" for fit in near]
    return fixes

"""What a run costs: FLOPs, hours, money and memory, as ranges where an input is a guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.arithmetic.text import rounded
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.hardware import Device, find_device
from dist_epochs.plan.cost.memory import Memory
from dist_epochs.recipe import BatchRecipe, BudgetRecipe, HardwareRecipe

__all__ = [
    "GUESSED_MFU",
    "Cost",
    "ModelCost",
    "SixPerParameter",
    "Speed",
    "price",
    "price_per_position",
    "speed_of",
]

GUESSED_MFU = Interval.between(Fraction(30, 100), Fraction(45, 100))
"""Model FLOPs utilization where none is stated: well-tuned runs on A100 and H100 measured by llm-foundry
(scripts/train/benchmarking/README.md) lie mostly between 35 and 60 %, untuned ones below."""

TERA = 10**12


class ModelCost(Protocol):
    """A model as far as its price goes."""

    @property
    def parameters(self) -> int:
        """Trainable numbers, shared ones once."""

    def flops_per_token(self, sequence_length: int) -> int | Fraction:
        """Training FLOPs for one position: forward and backward."""


@dataclass(frozen=True, slots=True)
class SixPerParameter:
    """A model of which only the size is known: 6 FLOPs for each parameter and position.

    Two for the forward pass and four for the backward one; attention and embeddings are left out, which is
    6 to 20 % too little for usual models. Source: Kaplan et al. 2020, arXiv:2001.08361, section 2.1.
    """

    parameters: int

    def flops_per_token(self, sequence_length: int) -> int:
        """Six times the parameters, whatever the length."""
        return 6 * self.parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """How fast the devices compute.

    Attributes:
        hardware: What the recipe says.
        device: The device's row in the table, if it is named.
        devices: All devices of the launch, those that see the same data included; None if not stated.
        peak: Dense peak of one device in FLOP/s.
        precision: What the peak holds for.
        mfu: Share of it that the model's FLOPs reach.
        positions_per_second: Measured, over all devices; then peak and MFU are not used.
    """

    hardware: HardwareRecipe
    device: Device | None
    devices: int | None
    peak: Fraction | None
    precision: str
    mfu: Interval
    positions_per_second: Fraction | None

    @property
    def is_guess(self) -> bool:
        """Whether the utilization was assumed."""
        return self.positions_per_second is None and self.hardware.mfu is None

    @property
    def lost_hours(self) -> Fraction:
        """Hours that restarts cost: half a checkpoint interval of work each, and the time to start again."""
        hardware = self.hardware
        if not hardware.restarts or hardware.checkpoint_every is None:
            return Fraction(0)
        return hardware.restarts * (hardware.checkpoint_every / 2 + hardware.restart_time)

    def device_hours(self, positions: int, flops: Fraction | None) -> Interval | None:
        """Hours of computing, added over devices (of one, where a measured run has no number of them).

        None if too little is known.
        """
        if self.positions_per_second is not None:
            return Interval.exact((self.devices or 1) * positions / self.positions_per_second / 3600)
        if self.peak is None or flops is None:
            return None
        at_full_peak = flops / (self.peak * 3600)
        return Interval.between(at_full_peak / self.mfu.high, at_full_peak / self.mfu.low)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The price of a run. None means: too little is stated to say.

    Attributes:
        parameters: Of the model, shared ones once.
        flops_per_token: Training FLOPs per position at each sequence length.
        flops: Training FLOPs of the run: full attention, no recomputation, as MFU counts them.
        positions: Positions they are spent on.
        speed: What the hours rest on.
        wall_hours: From start to end, restarts included.
        device_hours: The same, added over devices.
        price: Device-hours times the price of one.
        memory: What one device holds.
    """

    parameters: int | None = None
    flops_per_token: Mapping[int, Fraction] | None = None
    flops: Fraction | None = None
    positions: int | None = None
    speed: Speed | None = None
    wall_hours: Interval | None = None
    device_hours: Interval | None = None
    price: Interval | None = None
    memory: Memory | None = None

    def to_json(self) -> dict[str, Any]:
        """One number for each, and the ranges beside them."""
        per_token = self.flops_per_token or {}
        memory = self.memory.total if self.memory else None
        points = {"wall_hours": self.wall_hours, "device_hours": self.device_hours, "price": self.price}
        ranges = points | {"memory_bytes": memory}
        speed = self.speed
        return {
            "parameters": self.parameters,
            "flops_per_token": json_number(self.flops / self.positions if self.flops and self.positions else None),
            "flops_per_token_at": {str(length): json_number(flops) for length, flops in per_token.items()},
            "flops": json_number(self.flops),
            **{name: json_number(found.point) if found else None for name, found in points.items()},
            "memory_bytes": json_number(memory.high) if memory else None,
            "ranges": {
                name: {"low": json_number(found.low), "high": json_number(found.high)}
                for name, found in ranges.items()
                if found
            },
            "mfu": [json_number(speed.mfu.low), json_number(speed.mfu.high)]
            if speed and speed.positions_per_second is None
            else None,
            "peak_flops": json_number(speed.peak) if speed else None,
            "device": speed.device.name if speed and speed.device else None,
            "precision": speed.precision if speed else None,
            "zero_stage": speed.hardware.zero_stage if speed else None,
            "price_per_device_hour": json_number(speed.hardware.price) if speed else None,
            "lost_hours": json_number(speed.lost_hours) if speed else None,
            "states_bytes": json_number(self.memory.states) if self.memory else None,
        }


def speed_of(hardware: HardwareRecipe | None, batch: BatchRecipe, precision: str) -> Speed | None:
    """How fast a recipe's devices compute; None if it names no hardware.

    Raises:
        InputError: If the device is not in the table, or has no such precision.
    """
    if hardware is None:
        return None
    device = find_device(hardware.device) if hardware.device else None
    peak = hardware.peak_tflops * TERA if hardware.peak_tflops else None
    if peak is None and device is not None:
        peak = device.peak_flops(precision)
    return Speed(
        hardware=hardware,
        device=device,
        devices=batch.devices,
        peak=peak,
        precision=precision,
        mfu=hardware.mfu or GUESSED_MFU,
        positions_per_second=hardware.tokens_per_second,
    )


def price(phases: Sequence[Phase], model: ModelCost | None, speed: Speed | None, memory: Memory | None) -> Cost:
    """What phases cost on some hardware, as far as model and hardware are stated."""
    parameters = model.parameters if model else None
    if any(phase.sequence_length == 1 for phase in phases):  # samples without a length have no tokens to price
        return Cost(parameters=parameters, speed=speed)
    per_token = flops = None
    positions = sum(phase.positions for phase in phases)
    if model is not None:
        lengths = sorted({phase.sequence_length for phase in phases})
        per_token = {length: Fraction(model.flops_per_token(length)) for length in lengths}
        flops = sum((phase.positions * per_token[phase.sequence_length] for phase in phases), Fraction(0))
    computed = speed.device_hours(positions, flops) if speed else None
    wall = device = money = None
    if speed is not None and computed is not None:
        device = computed
        devices = speed.devices or (1 if speed.positions_per_second is not None else None)
        if devices is not None:
            wall = computed / Interval.exact(devices) + Interval.exact(speed.lost_hours)
        device = wall * Interval.exact(speed.devices) if wall and speed.devices else computed if wall is None else None
        money = device * Interval.exact(speed.hardware.price) if device and speed.hardware.price else None
    return Cost(
        parameters=parameters,
        flops_per_token=per_token,
        flops=flops,
        positions=positions,
        speed=speed,
        wall_hours=wall,
        device_hours=device,
        price=money,
        memory=memory,
    )


def price_per_position(
    budget: BudgetRecipe | None, batch: BatchRecipe, model: ModelCost | None, speed: Speed | None
) -> Callable[[str, int], Fraction]:
    """What positions take of a budget in hours, FLOPs or money, where the recipe states enough."""

    def price_of_one(unit: str, length: int) -> Fraction:
        per_token = Fraction(model.flops_per_token(length)) if model else None
        if unit == "flops":
            if per_token is None:
                raise InputError(
                    "a budget in FLOPs needs the model that they are spent on",
                    fixes=("model.config", "model.parameters"),
                )
            return per_token
        device_hours = speed.device_hours(1, per_token) if speed else None
        devices, rate = batch.devices, speed.hardware.price if speed else None
        if unit == "money" and rate is None:
            raise InputError("a budget in money needs hardware.price", rule="it is the price of a device for one hour")
        if devices is None:
            raise InputError(
                f"a budget in {unit} needs batch.devices", rule="hours are counted from start to end on all of them"
            )
        if speed is None or device_hours is None:
            raise InputError(
                f"a budget in {unit} needs to know how fast it goes",
                fixes=("hardware.tokens_per_second", "a model and hardware.device (or peak_tflops)"),
            )
        per_hour = Fraction(1) if rate is None or unit == "hours" else rate * devices
        return device_hours.point / devices * per_hour / _share_that_computes(budget, speed, per_hour)

    return price_of_one


def _share_that_computes(budget: BudgetRecipe | None, speed: Speed, per_hour: Fraction) -> Fraction:
    """What restarts leave of a budget in hours or money."""
    assert budget is not None  # hours and money stand nowhere else
    whole = budget.amount[1] / per_hour
    if speed.lost_hours >= whole:
        raise InputError(
            f"restarts alone take {rounded(speed.lost_hours)} of {rounded(whole)} hours",
            rule="nothing is left to train",
        )
    return 1 - speed.lost_hours / whole

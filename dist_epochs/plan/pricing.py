"""What a run costs: FLOPs, hours, money and memory, as ranges where an input is a guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.arithmetic.text import rounded
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.memory import Memory
from dist_epochs.plan.cost.trained_part import ModelCost, weights_of
from dist_epochs.plan.speed import Speed
from dist_epochs.recipe import BatchRecipe, BudgetRecipe

__all__ = [
    "Cost",
    "SixPerParameter",
    "price",
    "price_per_position",
]

HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True)
class SixPerParameter:
    """A model of which only the size is known: 6 FLOPs for each parameter and position.

    Two for the forward pass and four for the backward one; attention and embeddings are left out, which is
    6 to 20 % too little for usual models. Source: Kaplan et al. 2020, arXiv:2001.08361, section 2.1.
    """

    parameters: int

    @property
    def product_flops(self) -> int:
        """All of the FLOPs, since attention is left out."""
        return 6 * self.parameters

    def flops_per_token(self, sequence_length: int) -> int:
        """Six times the parameters, whatever the length."""
        return 6 * self.parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The price of a run. None means: too little is stated to say.

    Attributes:
        parameters: Of the model, shared ones once, those of adapters included.
        trained: Those of them that are trained.
        flops_per_token: Training FLOPs per position at each sequence length.
        flops: Training FLOPs of the run: full attention, no recomputation, as MFU counts them.
        positions: Positions they are spent on.
        speed: What the hours rest on.
        wall_hours: From start to end, restarts included.
        device_hours: The same, added over devices.
        price: Device-hours times the price of one.
        energy_kwh: Device-hours times the power of a device and the PUE, in kilowatt-hours.
        memory: What one device holds.
        utilization: Share of the devices' dense peak that a measured speed makes.
    """

    parameters: int | None = None
    trained: int | None = None
    flops_per_token: Mapping[int, Fraction] | None = None
    flops: Fraction | None = None
    positions: int | None = None
    speed: Speed | None = None
    wall_hours: Interval | None = None
    device_hours: Interval | None = None
    price: Interval | None = None
    energy_kwh: Interval | None = None
    memory: Memory | None = None
    utilization: Fraction | None = None

    @property
    def wall_days(self) -> Interval | None:
        """The hours from start to end in days."""
        return self.wall_hours / Interval.exact(HOURS_A_DAY) if self.wall_hours else None

    def to_json(self) -> dict[str, Any]:
        """One number for each, and the ranges beside them."""
        per_token = self.flops_per_token or {}
        memory = self.memory.total if self.memory else None
        points = {
            "wall_hours": self.wall_hours,
            "wall_days": self.wall_days,
            "device_hours": self.device_hours,
            "price": self.price,
            "energy_kwh": self.energy_kwh,
        }
        ranges = points | {"memory_bytes": memory}
        speed = self.speed
        return {
            "parameters": self.parameters,
            "trained_parameters": self.trained,
            "flops_per_token": json_number(self.flops / self.positions if self.flops and self.positions else None),
            "flops_per_token_at": {str(length): json_number(flops) for length, flops in per_token.items()},
            "flops": json_number(self.flops),
            **{name: json_number(found.point) if found else None for name, found in points.items()},
            "memory_bytes": json_number(memory.high) if memory else None,
            "memory_is_floor": self.memory.is_floor if self.memory else None,
            "utilization": json_number(self.utilization),
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
            "watts_per_device": json_number(speed.watts) if speed else None,
            "pue": json_number(speed.pue) if speed else None,
            "lost_hours": json_number(speed.lost_hours) if speed else None,
            "states_bytes": json_number(self.memory.states) if self.memory else None,
        }


def price(phases: Sequence[Phase], model: ModelCost | None, speed: Speed | None, memory: Memory | None) -> Cost:
    """What phases cost on some hardware, as far as model and hardware are stated.

    Raises:
        InputError: If a measured speed is beyond what the devices can compute.
    """
    parameters, trained = (model.parameters, weights_of(model).trained) if model else (None, None)
    if any(phase.sequence_length == 1 for phase in phases):  # samples without a length have no tokens to price
        return Cost(parameters=parameters, trained=trained, speed=speed, memory=memory)
    per_token = flops = utilization = None
    positions = sum(phase.positions for phase in phases)
    if model is not None:
        lengths = sorted({phase.sequence_length for phase in phases})
        per_token = {length: Fraction(model.flops_per_token(length)) for length in lengths}
        flops = sum((phase.positions * per_token[phase.sequence_length] for phase in phases), Fraction(0))
        if speed is not None:
            utilization = speed.measured_utilization(flops / positions, model.product_flops)
    computed = speed.device_hours(positions, flops) if speed else None
    wall = device = money = energy = None
    if speed is not None and computed is not None:
        devices = speed.devices or (1 if speed.positions_per_second is not None else None)
        if devices is None:
            device = computed
        else:
            wall = computed / Interval.exact(devices) + Interval.exact(speed.lost_hours)
            device = wall * Interval.exact(speed.devices) if speed.devices else None
        energy = device * Interval.exact(speed.watts * speed.pue / 1000) if device and speed.watts else None
        money = device * Interval.exact(speed.hardware.price) if device and speed.hardware.price else None
    return Cost(
        parameters=parameters,
        trained=trained,
        flops_per_token=per_token,
        flops=flops,
        positions=positions,
        speed=speed,
        wall_hours=wall,
        device_hours=device,
        price=money,
        energy_kwh=energy,
        memory=memory,
        utilization=utilization,
    )


def price_per_position(
    budget: BudgetRecipe | None,
    batch: BatchRecipe,
    model: ModelCost | None,
    speed: Speed | None,
    not_known: str | None = None,
) -> Callable[[str, int], Fraction]:
    """What positions take of a budget in hours, FLOPs or money, where the recipe states enough.

    Args:
        budget: The budget.
        batch: The devices that it is spent on.
        model: The model's cost, if it is known.
        speed: How fast the devices compute, if it is known.
        not_known: Which parameters the cost is not known for, if some are not trained.
    """

    def price_of_one(unit: str, length: int) -> Fraction:
        per_token = Fraction(model.flops_per_token(length)) if model else None
        if unit == "flops":
            if per_token is None and not_known is not None:
                raise _not_priced(unit, not_known)
            if per_token is None:
                raise InputError(
                    "a budget in FLOPs needs the model that they are spent on",
                    fixes=("model.config", "model.parameters"),
                )
            return per_token
        device_hours = speed.device_hours(1, per_token) if speed else None
        devices, rate = batch.devices, speed.hardware.price if speed else None
        if unit == "money" and rate is None:
            raise InputError(
                "a budget in money needs hardware.price",
                rule="it is the price of a device for one hour",
                fixes=("--price 2.5", "hardware.price: 2.5"),
            )
        if devices is None:
            raise InputError(
                f"a budget in {unit} needs batch.devices", rule="hours are counted from start to end on all of them"
            )
        if speed is not None and device_hours is None and model is None and not_known is not None:
            raise _not_priced(unit, not_known)
        if speed is None or device_hours is None:
            raise InputError(
                f"a budget in {unit} needs to know how fast it goes",
                fixes=("hardware.tokens_per_second", "a model and hardware.device (or peak_tflops)"),
            )
        per_hour = Fraction(1) if rate is None or unit == "hours" else rate * devices
        return device_hours.point / devices * per_hour / _share_that_computes(budget, speed, per_hour)

    return price_of_one


def _not_priced(unit: str, part: str) -> InputError:
    return InputError(
        f"a budget in {unit} for a run whose FLOPs are not known for {part}",
        rule="full training is not priced in its place",
        fixes=("what the note partly-trained-not-counted names", "steps, samples, tokens or epochs as the budget"),
    )


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

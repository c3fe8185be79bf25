"""What a plan costs, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import number, percent, scaled, short
from dist_epochs.plan.cost.hardware import TERA
from dist_epochs.plan.cost.memory import GIB, Memory
from dist_epochs.plan.cost.trained_part import not_known_of
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.pricing import Cost
from dist_epochs.plan.speed import Speed

__all__ = ["cost_rows", "memory_span", "span"]

Row = tuple[str, str, str]

LONG = 48
"""Hours from which days are shown too."""


def cost_rows(plan: Plan) -> Iterator[Row]:
    """Compute, time, price and memory, as far as they are known."""
    cost, part = plan.cost, not_known_of(plan.recipe.model)
    if cost.parameters is not None and cost.trained is not None:
        yield "parameters", short(cost.parameters), _trained(cost.parameters, cost.trained)
    if cost.flops is not None and cost.flops_per_token is not None:
        per_token = " and ".join(short(flops) for flops in cost.flops_per_token.values())
        yield "compute", f"{float(cost.flops):.3g} FLOPs", f"{per_token} per position"
    elif part is not None and cost.trained is None:
        yield "compute", "not known", f"for {part}"
    yield from _time_rows(cost)
    if cost.utilization is not None and cost.speed is not None:
        yield "utilization", percent(cost.utilization), _utilization(cost, cost.speed)
    if cost.price is not None and cost.speed is not None and cost.speed.hardware.price is not None:
        yield "price", span(cost.price), f"at {scaled(cost.speed.hardware.price)} a device-hour"
    if cost.energy_kwh is not None and cost.speed is not None and cost.speed.watts is not None:
        factor = f" × {scaled(cost.speed.pue)}, the PUE" if cost.speed.hardware.pue is not None else ""
        yield "energy", f"{span(cost.energy_kwh)} kWh", f"at {number(cost.speed.watts)} W a device{factor}"
    if cost.memory is not None:
        stage = cost.speed.hardware.zero_stage if cost.speed else 0
        yield "memory", f"{memory_span(cost.memory)} GiB", _memory(cost, cost.memory, stage)
    elif part is not None and cost.trained is None:
        yield "memory", "not known", f"for {part}"


def memory_span(memory: Memory) -> str:
    """What a device holds, in GiB; `≥` where activations come on top."""
    return f"{'≥ ' * memory.is_floor}{span(memory.total / Interval.exact(GIB))}"


def _trained(parameters: int, trained: int) -> str:
    """How many of the parameters are trained, where not all are."""
    if trained == parameters:
        return "shared ones once"
    return f"{short(trained)} of them trained ({percent(Fraction(trained, parameters))}), the others frozen"


def _utilization(cost: Cost, speed: Speed) -> str:
    """The formula of a measured utilization."""
    assert cost.flops is not None
    assert cost.positions is not None
    assert speed.peak is not None
    assert speed.positions_per_second is not None
    per_position = f"{short(cost.flops / cost.positions)} FLOPs × {number(speed.positions_per_second)}"
    return f"= {per_position} ÷ ({speed.devices} × {float(speed.peak / TERA):,.4g} TFLOP/s), {_peak_of(speed)}"


def _peak_of(speed: Speed) -> str:
    if speed.hardware.peak_tflops is not None or speed.device is None:
        return "as stated"
    return f"the dense {speed.precision} peak of {speed.device.name}"


def _memory(cost: Cost, memory: Memory, stage: int) -> str:
    """What the memory of a device is made of."""
    kept = "weights, gradients and Adam"
    if cost.trained != cost.parameters:
        kept = "all weights, and gradients and Adam of the trained"
    elif memory.is_floor:
        kept += " at 16 bytes a parameter"
    if memory.is_floor:
        return f"a device, {kept} (ZeRO stage {stage}); activations come on top"
    return f"a device, {float(memory.states / GIB):.3g} of it {kept} (ZeRO stage {stage}); activations are estimated"


def span(found: Interval) -> str:
    """A range in three digits, one number where both ends read the same.

    Examples:
        >>> from fractions import Fraction
        >>> span(Interval.between(Fraction(9, 4), Fraction(7, 2)))
        '2.25–3.5'
    """
    low, high = (f"{float(end):,.0f}" if end >= 1000 else f"{float(end):.3g}" for end in (found.low, found.high))
    return low if low == high else f"{low}–{high}"


def _time_rows(cost: Cost) -> Iterator[Row]:
    speed, hours, wall = cost.speed, cost.device_hours, cost.wall_hours
    if speed is None or (hours is None and wall is None):
        return
    how = _how_fast(cost)
    if wall is None and hours is not None:
        yield "device-hours", span(hours), how
    if wall is None:
        return
    days = f" ({span(cost.wall_days)} days)" if cost.wall_days and wall.high >= LONG else ""
    lost = f", {scaled(speed.lost_hours)} h of them for {speed.hardware.restarts} restarts" if speed.lost_hours else ""
    total = f"; {span(hours)} device-hours" if hours is not None else ""
    yield "time", f"{span(wall)} h", f"{how}{days}{lost}{total}"


def _how_fast(cost: Cost) -> str:
    speed = cost.speed
    assert speed is not None
    if speed.positions_per_second is not None:
        return f"at {number(speed.positions_per_second)} positions a second, measured"
    assert speed.peak is not None
    low, high = (float(end) for end in (speed.mfu.low, speed.mfu.high))
    utilization = f"{high:.0%}" if low == high else f"{high:.0%} to {low:.0%}"
    peak = f"{float(speed.peak / 10**12):,.4g} TFLOP/s"
    if speed.device is not None and speed.hardware.peak_tflops is None:
        peak += f" in {speed.precision}"
    guess = ", a guess" if speed.is_guess else ""
    return f"at {utilization} of {peak}{guess}"

"""What a plan costs, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.pricing import Cost

__all__ = ["cost_rows", "span"]

Row = tuple[str, str, str]

HOURS_A_DAY = 24
GIB = Interval.exact(2**30)


def cost_rows(plan: Plan) -> Iterator[Row]:
    """Compute, time, price and memory, as far as they are known."""
    cost = plan.cost
    if cost.parameters is not None:
        yield "parameters", short(cost.parameters), "shared ones once"
    if cost.flops is not None and cost.flops_per_token is not None:
        per_token = " and ".join(short(flops) for flops in cost.flops_per_token.values())
        yield "compute", f"{float(cost.flops):.3g} FLOPs", f"{per_token} per position"
    yield from _time_rows(cost)
    if cost.price is not None and cost.speed is not None and cost.speed.hardware.price is not None:
        yield "price", span(cost.price), f"at {scaled(cost.speed.hardware.price)} a device-hour"
    if cost.memory is not None:
        stage = cost.speed.hardware.zero_stage if cost.speed else 0
        states = f"{float(cost.memory.states / 2**30):.3g} of it weights, gradients and Adam (ZeRO stage {stage})"
        yield "memory", f"{span(cost.memory.total / GIB)} GiB", f"a device, {states}; activations are estimated"


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
    days = f" ({span(wall / Interval.exact(HOURS_A_DAY))} days)" if wall.high >= 2 * HOURS_A_DAY else ""
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

"""Hours, device-hours, money and energy of a run: planned, so far, and expected at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dist_epochs.ledger.expected import Expected, expected_end, stretches_of
from dist_epochs.ledger.time import time_line
from dist_epochs.ledger.totals import Totals
from dist_epochs.settings.shapes import number_or_none

__all__ = ["Spending", "Spent", "spending_of"]

HOUR = 3600.0
HOUR_US = 3_600_000_000
KWH_MJ = 3_600_000_000
"""Millijoules of a kilowatt-hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """One thing that a run takes.

    Attributes:
        planned: What the plan says; None where it does not.
        recorded: What was taken so far; None where that cannot be known.
        expected: What will be taken in all.
        reason: Why something of it is not known.
        how: What the recorded number was computed from.
    """

    planned: float | None = None
    recorded: float | None = None
    expected: Expected | None = None
    reason: str | None = None
    how: str | None = None

    def to_json(self) -> dict[str, Any]:
        """With the interval as a list."""
        expected = self.expected
        return {
            "planned": self.planned,
            "recorded": self.recorded,
            "expected": expected and expected.point,
            "expected_range": expected and [expected.low, expected.high],
            "reason": self.reason,
            "how": self.how,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What a run takes.

    Attributes:
        wall_hours: From the start of the first segment to the last line.
        device_hours: Of the segments, added over their devices.
        price: In the currency of the plan's price.
        energy_kwh: Kilowatt-hours.
    """

    wall_hours: Spent
    device_hours: Spent
    price: Spent
    energy_kwh: Spent

    def rows(self) -> dict[str, Spent]:
        """By name, in the order in which they are shown."""
        return {name: getattr(self, name) for name in self.__slots__}

    def to_json(self) -> dict[str, Any]:
        """As `dist-epochs ledger --json` has it under `spending`."""
        return {name: spent.to_json() for name, spent in self.rows().items()}

    def values(self) -> dict[str, float | int]:
        """What is known, under the names that it has in wandb and other logs."""
        found: dict[str, float | int] = {}
        for name, spent in self.rows().items():
            expected = None if spent.expected is None else spent.expected.point
            for kind, value in (("", spent.recorded), ("planned_", spent.planned), ("expected_", expected)):
                if value is not None:
                    found[f"ledger/{kind}{name}"] = value
        return found


def spending_of(totals: Totals, plan: Mapping[str, Any] | None, facts: Mapping[str, Any] | None = None) -> Spending:
    """What a run has taken and will take.

    Args:
        totals: What was recorded.
        plan: The content of `plan.json`; None without one.
        facts: The line of the last segment; by default that of `totals`.
    """
    cost: Mapping[str, Any] = (plan or {}).get("cost") or {}
    if facts is None:
        facts = totals.segments[-1].facts if totals.segments else {}
    line, clock = time_line(totals), totals.clock
    stretches = stretches_of(plan, facts)
    ends = expected_end(totals, stretches) if stretches else None
    unknown = wall = by_device = None
    if stretches is None:
        unknown = "there is no plan.json"
    elif ends is None:
        unknown = "no step has recorded its time"
    else:
        whole, active = ends
        wall = whole.times(1 / HOUR)
        if clock.device_us is not None and clock.world:  # what is left runs on the devices of the last segment
            so_far = (line.wall_us - line.causes["idle"]) / 1e6
            by_device = active.plus(-so_far).times(clock.world / HOUR).plus(clock.device_us / HOUR_US)
    planned = number_or_none(cost.get("wall_hours"))
    each = number_or_none(((plan or {}).get("global_batch") or {}).get("devices"))
    if planned is None and each and cost.get("device_hours") is not None:
        planned = cost["device_hours"] / each  # the recipe leaves the number of devices to the launch
    hours = Spent(planned=planned, recorded=line.wall_us / HOUR_US, expected=wall, reason=unknown)
    device_hours = Spent(
        planned=number_or_none(cost.get("device_hours")),
        recorded=None if clock.device_us is None else clock.device_us / HOUR_US,
        expected=by_device,
        reason="a segment does not say how many devices it had" if clock.device_us is None else unknown,
    )
    return Spending(
        wall_hours=hours,
        device_hours=device_hours,
        price=_price(device_hours, cost, plan),
        energy_kwh=_energy(device_hours, cost, plan, facts, clock.measured_energy_mj),
    )


def _price(hours: Spent, cost: Mapping[str, Any], plan: Mapping[str, Any] | None) -> Spent:
    rate, planned = number_or_none(cost.get("price_per_device_hour")), number_or_none(cost.get("price"))
    if rate is None:
        reason = "there is no plan.json" if plan is None else "the recipe states no hardware.price"
        return Spent(planned=planned, reason=reason)
    return _at(hours, rate, planned, f"{rate:g} a device-hour")


def _energy(
    hours: Spent, cost: Mapping[str, Any], plan: Mapping[str, Any] | None, facts: Mapping[str, Any],
    measured_mj: int | None,
) -> Spent:  # fmt: skip
    planned, factor = number_or_none(cost.get("energy_kwh")), number_or_none(cost.get("pue")) or 1.0
    times = "" if factor == 1 else f" × {factor:g}, the PUE"
    device = facts.get("device")
    watts = number_or_none(facts.get("watts"))
    if watts is None and device != "cpu":
        watts = number_or_none(cost.get("watts_per_device"))
    if measured_mj is not None and hours.recorded:
        recorded = measured_mj / KWH_MJ * factor
        return _at(hours, recorded / hours.recorded, planned, f"measured by the devices{times}")
    if watts is None:
        reason = "there is no plan.json" if plan is None else "the recipe states no hardware.watts of these devices"
        return Spent(planned=planned, reason=reason)
    return _at(hours, watts * factor / 1000, planned, f"{watts:g} W a device{times}, as if always at its limit")


def _at(hours: Spent, rate: float, planned: float | None, how: str) -> Spent:
    """Device-hours at a rate."""
    return Spent(
        planned=planned,
        recorded=None if hours.recorded is None else hours.recorded * rate,
        expected=hours.expected and hours.expected.times(rate),
        reason=hours.reason,
        how=how,
    )

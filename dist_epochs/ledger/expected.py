"""When a run will end, by what its steps, pauses and restarts have taken so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dist_epochs.ledger.clock import Group, GroupKey
from dist_epochs.ledger.time import time_line
from dist_epochs.ledger.totals import Totals

__all__ = ["Expected", "Stretch", "expected_end", "stretches_of"]

DEVIATIONS = 1.96
"""Half the width of the interval in standard deviations: 95 of 100 runs are within, if nothing changes."""

TAIL = 0.025
"""Share of the numbers of restarts that are left out at each end."""

DRIFT = 0.01
"""Error of a mean step time that no number of steps removes: machines get slower and faster."""

UNSEEN = 0.15
"""Error of the time of steps that were not taken yet, where it follows from the work in them."""

CHANCE = 2
"""Restarts of which half are taken to be chance, and not to come again at their rate."""

MANY, MOST_RESTARTS = 100, 10_000
"""Restarts from which their number is taken to be normally distributed, and beyond which none are expected."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps that are alike, and still to be taken.

    Attributes:
        steps: How many.
        length: Their sequence length; 0 where lengths vary.
        samples: Samples of one; 0 where lengths vary.
        work: What one computes, in any unit that is the same for all stretches.
    """

    steps: int
    length: int
    samples: int
    work: float


@dataclass(frozen=True, slots=True)
class Expected:
    """A time at the end of the run, in seconds.

    Attributes:
        low: Lower end of the interval.
        point: The expected value.
        high: Upper end.
    """

    low: float
    point: float
    high: float

    def plus(self, seconds: float) -> Expected:
        """Later by so much."""
        return Expected(self.low + seconds, self.point + seconds, self.high + seconds)

    def times(self, factor: float) -> Expected:
        """In another unit."""
        return Expected(self.low * factor, self.point * factor, self.high * factor)


def stretches_of(plan: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> list[Stretch] | None:
    """All stretches of a run in order; None where it is not known how long it will be.

    Args:
        plan: The content of `plan.json`.
        facts: The line of the last segment, which has the steps of a loop that knows them.
    """
    if plan is None:
        steps = facts.get("steps")
        return [Stretch(steps, 0, 0, 1.0)] if isinstance(steps, int) and not isinstance(steps, bool) else None
    per_token: Mapping[str, Any] = (plan.get("cost") or {}).get("flops_per_token_at") or {}
    found = []
    for phase in plan["phases"]:
        length, samples = phase["sequence_length"] or 0, phase["global_batch"]
        work = float(samples) * (length or 1) * float(per_token.get(str(length)) or 1) or 1.0
        found.append(Stretch(phase["steps"], length, samples if length else 0, work))
    return found


def expected_end(totals: Totals, stretches: Sequence[Stretch]) -> tuple[Expected, Expected] | None:
    """Wall time and time of the devices (without the idle time between segments) at the end of the run.

    Args:
        totals: What was recorded so far.
        stretches: All stretches of the run.

    Returns:
        None before the first step that was timed.
    """
    line = time_line(totals)
    idle = line.causes["idle"] / 1e6
    active = line.wall_us / 1e6 - idle
    groups = _groups(totals)
    left = list(_left(stretches, totals.last_step))
    if not left:
        now = Expected(active, active, active)
        return now.plus(idle), now
    if not groups:
        return None
    steps, variance = _step_seconds(left, groups, stretches, totals.clock.world)
    drawn = totals.last_step + totals.replayed.steps
    pauses = sum(line.causes[cause] for cause in ("evaluation", "checkpoint", "other")) / 1e6
    remaining = steps + pauses / drawn * sum(stretch.steps for stretch in left)
    deviation = DEVIATIONS * math.sqrt(variance + (0.1 * (remaining - steps)) ** 2)
    low, high = max(0.0, remaining - deviation), remaining + deviation
    restarts = totals.clock.events.get("segment", 1) - 1
    lost, waited = _lost_in_a_restart(totals, restarts, active)
    number = Expected(*_restarts(restarts, active, remaining))

    def end(loss: float, before: float) -> Expected:
        more = Expected(low + number.low * loss, remaining + number.point * loss, high + number.high * loss)
        return more.plus(before)

    return end(lost + waited, active + idle), end(lost, active)


def _groups(totals: Totals) -> dict[GroupKey, Group]:
    """Times of all steps that were taken; first steps stand for the others where there is none of them."""
    time = totals.applied.time.combined(totals.skipped.time, 1).combined(totals.replayed.time, 1)
    found = {
        key: group if group.steps else Group(group.first_steps, group.first_us) for key, group in time.groups.items()
    }
    return {key: group for key, group in found.items() if group.steps}


def _left(stretches: Iterable[Stretch], done: int) -> Iterable[Stretch]:
    """What is left after some steps."""
    for stretch in stretches:
        steps = stretch.steps - min(done, stretch.steps)
        done -= stretch.steps - steps
        if steps:
            yield Stretch(steps, stretch.length, stretch.samples, stretch.work)


def _step_seconds(
    left: Iterable[Stretch], groups: Mapping[GroupKey, Group], all_stretches: Iterable[Stretch], world: int
) -> tuple[float, float]:
    """Seconds that steps will take, and the variance of that."""
    known = {(stretch.length, stretch.samples): stretch.work for stretch in all_stretches}
    points = [
        (known.get(key[:2], 1.0) / (key[2] or 1), group.us / group.steps / 1e6, group.steps)
        for key, group in groups.items()
    ]
    seconds = variance = 0.0
    for stretch in left:
        group = groups.get((stretch.length, stretch.samples, world))
        if group is not None:
            mean = group.us / group.steps / 1e6
            spread = max(0.0, group.squares / group.steps / 1e12 - mean * mean) if group.squares else mean * mean / 4
            variance += stretch.steps * spread + (stretch.steps**2) * spread / group.steps
            error = DRIFT
        else:
            mean, error = _by_work(points, stretch.work / (world or 1)), UNSEEN
        seconds += stretch.steps * mean
        variance += (stretch.steps * mean * error) ** 2
    return seconds, variance


def _by_work(points: Sequence[tuple[float, float, int]], work: float) -> float:
    """Seconds of a step that was not taken yet: a part that is always the same, and one that grows with the work.

    Args:
        points: Work on a device, seconds and number of the steps that were taken.
        work: The work of this one.
    """
    nearest = min(points, key=lambda point: abs(math.log(point[0] / work)))
    in_proportion = nearest[1] * work / nearest[0]
    weight = sum(number for *_, number in points)
    mean_work = sum(each * number for each, _, number in points) / weight
    mean_seconds = sum(seconds * number for _, seconds, number in points) / weight
    spread = sum((each - mean_work) ** 2 * number for each, _, number in points)
    if not spread:
        return in_proportion
    slope = sum((each - mean_work) * (seconds - mean_seconds) * number for each, seconds, number in points) / spread
    fixed = mean_seconds - slope * mean_work
    return fixed + slope * work if slope > 0 and fixed >= 0 else in_proportion


def _lost_in_a_restart(totals: Totals, restarts: int, active: float) -> tuple[float, float]:
    """Seconds of the devices and seconds of waiting that a restart costs, on average or by what is known before one."""
    clock, line = totals.clock, time_line(totals)
    start = (line.causes["start-up"] + line.causes["compile"]) / 1e6 / (restarts + 1)
    if restarts:
        return start + totals.replayed.time.us / 1e6 / restarts, clock.spent.get("idle", 0) / 1e6 / restarts
    between = active / (clock.events.get("checkpoint", 0) + 1)
    return start + between / 2, 0.0


def _restarts(before: int, active: float, remaining: float) -> tuple[int, float, int]:
    """Restarts that are still to come, by their rate so far: fewest, expected and most.

    The numbers of events in two stretches of time, of which one is known, follow a negative binomial distribution.
    """
    if active <= 0:
        return 0, 0.0, 0
    shape, share = before + 0.5, remaining / (active + remaining)
    steady = before / (before + CHANCE)  # how far their rate is more than chance
    point, low, high = steady * before * remaining / active, 0, 0
    if before > MANY:
        mean = shape * share / (1 - share)
        reach = DEVIATIONS * math.sqrt(mean / (1 - share))
        return max(0, round(mean - reach)), point, round(mean + reach)
    below, chance = 0.0, (1 - share) ** shape
    while below + chance < 1 - TAIL and high < MOST_RESTARTS:
        below += chance
        chance *= (high + shape) / (high + 1) * share
        high += 1
        low = high if below <= TAIL else low
    return low, point, high

"""How fast a run trains, by the counts of its ledger, beside what was planned."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import scaled
from dist_epochs.plan.cost.architecture import Architecture
from dist_epochs.plan.plan import Plan
from dist_epochs.train.peak import Peak
from dist_epochs.train.times import PARTS, PAUSES, Elapsed, StepTimes

__all__ = ["Throughput"]


@dataclass(kw_only=True, slots=True)
class _Work:
    """What some steps trained, over all devices.

    Attributes:
        steps: Steps taken, skipped ones included.
        planned_seconds: What was planned for them.
        applied: Those that were applied; the rest counts them alone.
        samples: Samples.
        tokens: Tokens, without padding.
        positions: Positions by sequence length.
        predicted: Those that the loss counts, by sequence length.
    """

    steps: int = 0
    planned_seconds: float = 0.0
    applied: int = 0
    samples: int = 0
    tokens: int = 0
    positions: Counter[int] = field(default_factory=Counter)
    predicted: Counter[int] = field(default_factory=Counter)

    def add(self, passes: Mapping[PassKey, Counts]) -> None:
        """Add a step that was applied."""
        self.applied += 1
        for key, counts in passes.items():
            self.samples += counts.samples
            self.tokens += counts.tokens
            self.positions[key.sequence_length] += key.sequence_length * counts.samples
            self.predicted[key.sequence_length] += counts.loss_tokens

    def __add__(self, other: _Work) -> _Work:
        return _Work(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


class Throughput:
    """Adds up steps, and divides them by the time they took.

    Args:
        times: Where the time of a step goes.
        plan: The plan of the run, whose prediction stands beside each number.
        architecture: The sizes of the model; None where its FLOPs are not known in closed form.
        peak: What utilization is divided by; None where the devices' peak is not known.
        device: The device of this rank.
    """

    def __init__(
        self,
        times: StepTimes,
        plan: Plan,
        *,
        architecture: Architecture | None,
        peak: Peak | None,
        device: torch.device,
    ) -> None:
        self._times, self._plan, self._architecture, self._peak = times, plan, architecture, peak
        self._device = device
        self._planned_seconds = _planned_step_seconds(plan)
        self._work, self._whole = _Work(), (_Work(), Elapsed())

    def count(self, passes: Mapping[PassKey, Counts], *, applied: bool) -> None:
        """Count one step.

        Args:
            passes: What it drew from each pass, over all ranks.
            applied: Whether it was applied.
        """
        work = self._work
        work.steps += 1
        if self._planned_seconds:
            work.planned_seconds += self._planned_seconds[next(iter(passes)).phase]
        if applied:
            work.add(passes)

    def take(self) -> Callable[[], dict[str, float | int]]:
        """End an interval here, and begin the next.

        Returns:
            Gives the values to log; on CUDA, call it when the device has come as far.
        """
        work, read = self._work, self._times.take()
        self._work = _Work()

        def values() -> dict[str, float | int]:
            interval = read()
            self._whole = (self._whole[0] + work, self._whole[1] + interval)
            return {**self._rates(work, interval), "memory/peak_bytes": _peak_memory(self._device), **self._planned()}

        return values

    def lines(self) -> Iterator[str]:
        """Throughput, utilization and memory from the first step of this segment to the last logged one, in words."""
        work, interval = self._whole
        if not work.steps or interval.of_steps <= 0:
            return
        rates = self._rates(work, interval)
        planned = f" (planned {scaled(rates['time/planned_step_seconds'])})" if self._planned_seconds else ""
        parts = ", ".join(f"{part} {rates[f'time/{part}_seconds'] / rates['time/step_seconds']:.0%}" for part in PARTS)
        per_second = ", ".join(f"{scaled(rates[f'rate/{unit}_per_second'])} {unit}/s" for unit in ("tokens", "samples"))
        yield f"{per_second}, {scaled(rates['time/step_seconds'])} s a step{planned}: {parts}"
        if self._peak is not None and "rate/utilization" in rates:
            planned = f" (planned {_percent(self._mfu)})" if self._mfu else ""
            yield (
                f"utilization {rates['rate/utilization']:.1%} of {self._peak}; with every position through the output "
                f"head, as MFU counts, {rates['rate/mfu']:.1%}{planned}"
            )
        memory = self._plan.cost.memory
        planned = f" (planned {_gib(memory.total.low)} to {_gib(memory.total.high)})" if memory else ""
        what = "of the device" if self._device.type == "cuda" else "of the process"
        yield f"peak memory {what} of rank 0: {_gib(_peak_memory(self._device))} GiB{planned}"

    @property
    def _mfu(self) -> Interval | None:
        speed = self._plan.cost.speed
        return None if speed is None or speed.positions_per_second is not None else speed.mfu

    def _flops(self, work: _Work) -> tuple[float, float]:
        """What the counts needed, and the model FLOPs of all their positions; 0 where that is not known."""
        needed = model = 0.0
        if self._architecture is not None:
            for length, positions in work.positions.items():
                counted = Fraction(work.predicted[length], positions)
                needed += float(positions * self._architecture.executed_flops_per_token(length, counted))
                model += float(positions * self._architecture.flops_per_token(length))
        return needed, model

    def _rates(self, work: _Work, interval: Elapsed) -> dict[str, float | int]:
        seconds = interval.of_steps
        values: dict[str, float | int] = {
            "rate/steps_per_second": work.applied / seconds,
            "rate/samples_per_second": work.samples / seconds,
            "rate/tokens_per_second": work.tokens / seconds,
            "time/step_seconds": seconds / work.steps,
            **{f"time/{part}_seconds": interval.seconds.get(part, 0.0) / work.steps for part in PARTS},
            **{f"time/{part}_seconds": interval.seconds[part] for part in PAUSES if part in interval.seconds},
        }
        needed, model = self._flops(work)
        if self._peak is not None and model:
            whole = float(self._peak.flops) * seconds
            values |= {"rate/utilization": needed / whole, "rate/mfu": model / whole}
        if self._planned_seconds:
            values["time/planned_step_seconds"] = work.planned_seconds / work.steps
        return values

    def _planned(self) -> dict[str, float | int]:
        """What is planned for the whole run."""
        values: dict[str, float | int] = {}
        if self._mfu is not None:
            values["rate/planned_mfu"] = float(self._mfu.point)
        if self._plan.cost.memory is not None:
            values["memory/planned_bytes"] = int(self._plan.cost.memory.total.high)
        return values


def _planned_step_seconds(plan: Plan) -> tuple[float, ...]:
    """Seconds that a step of each phase was planned to take, restarts not included; empty if that is not known."""
    speed, per_token = plan.cost.speed, plan.cost.flops_per_token
    if speed is None:
        return ()
    devices = speed.devices or (plan.devices if speed.positions_per_second is None else 1)
    planned = []
    for phase in plan.phases:
        positions = phase.global_batch * phase.sequence_length
        flops = per_token[phase.sequence_length] * positions if per_token else None
        hours = speed.device_hours(positions, flops)
        if hours is None:
            return ()
        planned.append(float(hours.point) * 3600 / devices)
    return tuple(planned)


def _peak_memory(device: torch.device) -> int:
    """Bytes: the most that torch has allocated on the device; on the CPU, the most that the process has held."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def _gib(size: float | Fraction) -> str:
    return f"{float(size) / 2**30:.3g}"


def _percent(share: Interval) -> str:
    return f"{float(share.low):.0%}" if share.is_exact else f"{float(share.low):.0%} to {float(share.high):.0%}"

"""Throughput of a finished run, and the share of its devices' peak that it used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.runs.evidence import Bench, Value, plain
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.architecture import read_architecture
from dist_epochs.plan.cost.hardware import TERA, find_device
from dist_epochs.recipe.model_sizes import named_config

__all__ = ["check_speed", "missing_for_mfu"]

IMPOSSIBLE = "at most 100 %"
CLOSE = Fraction(1, 20)
"""How near a ratio must be to the devices to be taken for them."""


def check_speed(bench: Bench) -> None:
    """Tokens a second, and model FLOPs utilization with its denominator."""
    _hours(bench)
    _throughput(bench)
    _utilization(bench)


def _hours(bench: Bench) -> None:
    """The logged seconds are of steps alone: more hours may hold evaluations and pauses, fewer hold not all steps."""
    claimed = bench.claims.numbers.get("hours")
    if claimed is None or not bench.has("seconds", "steps"):
        return
    timed = "timed_steps" if bench.has("timed_steps") else "steps"
    derived, how, names = bench.work_out(f"seconds * steps / {timed} / 3600" if timed != "steps" else "seconds / 3600")
    derived = Interval(derived.point, derived.low, derived.high * (1 + CLOSE))
    if claimed.interval.low > derived.high:
        bench.open["hours"] = "the pauses between steps: " + f"{how} is less"
        bench.inform("hours of steps", derived, how, uses=names)
    else:
        bench.hold("hours", derived, how, uses=names | {"hours"})


def _throughput(bench: Bench) -> None:
    if bench.run.kind in ("megatron", "gpt-neox") and bench.has("timed_samples", "seconds"):
        bench.follow("samples_per_second", "timed_samples / seconds")
    before = len(bench.checks)
    if bench.has("timed_tokens", "seconds"):
        bench.follow("tokens_per_second", "timed_tokens / seconds")
    elif bench.has("timed_samples", "seconds", "sequence_length"):
        bench.follow("tokens_per_second", "timed_samples * sequence_length / seconds")
    elif bench.has("tokens", "hours"):
        bench.follow("tokens_per_second", "tokens / (hours * 3600)")
    if len(bench.checks) > before:  # what was measured, not what is claimed, goes into the utilization
        bench.values["tokens_per_second"] = Value(bench.checks[-1].derived, "derived")


def _utilization(bench: Bench) -> None:
    if next(_unknown_of_peak(bench), None) is not None:
        return
    claimed = "mfu" in bench.claims.numbers
    try:
        peak, told = _peak(bench)
    except InputError as error:
        if claimed:
            raise
        bench.notes.append(f"No utilization is derived: {error}")  # nobody asked for one
        return
    if bench.has("tflops_per_device"):
        derived = bench.values["tflops_per_device"].interval / Interval.exact(peak / TERA)
        rate = plain(bench.values["tflops_per_device"].interval.point)
        how = f"{rate} TFLOP/s of a device, as the log counts FLOPs ÷ {told}"
        _hold_share(bench, derived, how, frozenset({"mfu"}))
    if next(_unknown_of_flops(bench), None) is not None or (claimed and bench.has("tflops_per_device")):
        return
    flops, formula = _flops_per_token(bench)
    speed, devices = bench.values["tokens_per_second"].interval, bench.values["devices"].interval
    derived = flops * speed / (devices * Interval.exact(peak))
    how = f"{formula} FLOPs × {plain(speed.point)} tokens/s ÷ ({plain(devices.point)} × {told})"
    _hold_share(bench, derived, how, frozenset({"mfu", "devices", "tokens_per_second", "parameters"}))


def _hold_share(bench: Bench, derived: Interval, how: str, uses: frozenset[str]) -> None:
    bench.hold("mfu", derived, how, uses=uses)
    check = bench.checks[-1]
    if derived.low > 1:
        bench.checks[-1] = replace(check, stated=check.stated or IMPOSSIBLE, agreement=Agreement.CONTRADICTS)
        bench.notes.append(
            f"A utilization of {float(derived.point):.1%} is impossible: no device makes more FLOPs than its peak. "
            "Look for tokens of all devices on the FLOPs of one, a micro-step counted as a step, or a model's size."
        )
    elif check.agreement is Agreement.CONTRADICTS and check.against and derived.point:
        _name_factor(bench, check.against / derived.point)


def _name_factor(bench: Bench, factor: Fraction) -> None:
    """A claim that is off by a number of the run."""
    names = {"devices": "the tokens of all on the FLOPs of one", "gradient_accumulation": "a micro-step for a step"}
    for name, slip in names.items():
        number = bench.values.get(name)
        if number is None or number.interval.point <= 1:
            continue
        count = number.interval.point
        if abs(factor / count - 1) <= CLOSE:
            label = name.replace("_", " ")
            bench.notes.append(f"The claim is {plain(count)} × the derived share, as many as its {label}: {slip}?")
        elif abs(factor * count - 1) <= CLOSE:
            bench.notes.append(
                f"The claim is 1/{plain(count)} of the derived share: divided by its {name} once too often?"
            )


def _peak(bench: Bench) -> tuple[Fraction, str]:
    """Dense peak of one device in FLOP/s, and how to write it."""
    stated = bench.claims.numbers.get("peak_tflops")
    if stated is not None:
        peak = stated.number.value
        return peak * TERA, f"{plain(peak)} TFLOP/s"
    assert bench.claims.device is not None
    precision = bench.claims.precision or bench.run.precision
    assert precision is not None
    device = find_device(bench.claims.device)
    peak = device.peak_flops(precision)
    return peak, f"{plain(peak / TERA)} TFLOP/s of {device.name} in {precision}"


def _flops_per_token(bench: Bench) -> tuple[Interval, str]:
    """Training FLOPs of one position, and their formula."""
    if bench.claims.model is not None:
        length = int(bench.values["sequence_length"].interval.point)
        model = read_architecture(named_config(bench.claims.model), where=bench.claims.model)
        flops = Fraction(model.flops_per_token(length))
        return Interval.exact(flops), f"{float(flops):.4g} ({bench.claims.model} at length {length:,})"
    derived = Interval.exact(6) * bench.values["parameters"].interval
    return derived, f"6 × {bench.claims.numbers['parameters'].printed}"


def missing_for_mfu(bench: Bench) -> str:
    """What would have to be known for a utilization."""
    return ", ".join([*_unknown_of_peak(bench), *([] if bench.has("tflops_per_device") else _unknown_of_flops(bench))])


def _unknown_of_peak(bench: Bench) -> Iterator[str]:
    if "peak_tflops" in bench.claims.numbers:
        return
    if bench.claims.device is None:
        yield "the kind of the devices (--devices 8xH100, or --peak-tflops)"
    if (bench.claims.precision or bench.run.precision) is None:
        yield "--precision"


def _unknown_of_flops(bench: Bench) -> Iterator[str]:
    if bench.claims.model is None and not bench.has("parameters"):
        yield "--parameters or --model"
    if bench.claims.model is not None and not bench.has("sequence_length"):
        yield "--sequence-length"
    if not bench.has("tokens_per_second"):
        yield "tokens a second (--tokens-per-second, or --hours with tokens)"
    if not bench.has("devices"):
        yield "--devices"

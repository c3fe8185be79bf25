"""What is claimed of a finished run: flags, in the same spellings as `solve` and `plan`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dist_epochs.arithmetic.duration import refuse_minutes_or_millions
from dist_epochs.arithmetic.given import in_whole_run
from dist_epochs.arithmetic.quantity import Quantity, Unit, parse, parse_count, parse_length
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.fact import Fact
from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.names import find_name, folded
from dist_epochs.recipe.flags import split_devices
from dist_epochs.recipe.model_sizes import named_config

__all__ = ["Claims", "read_claims"]

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8")
TEXTS = ("model", "precision")
COUNTS = (
    "per_device", "gradient_accumulation", "global_batch", "tensor_parallel", "pipeline_parallel", "context_parallel",
    "steps", "samples", "documents",
)  # fmt: skip
UNITS = {
    "per_device": Unit.SAMPLE, "global_batch": Unit.SAMPLE, "steps": Unit.STEP, "samples": Unit.SAMPLE,
    "tokens": Unit.TOKEN, "epochs": Unit.EPOCH, "documents": Unit.DOCUMENT,
}  # fmt: skip
PER = {
    "steps": (Unit.EPOCH,), "samples": (Unit.STEP, Unit.EPOCH), "tokens": (Unit.STEP, Unit.EPOCH),
    "global_batch": (Unit.STEP,), "per_device": (Unit.DEVICE,), "gradient_accumulation": (Unit.STEP,),
}  # fmt: skip
"""What numbers may be for; those of the whole run are then multiplied."""
WITHOUT_UNIT = ("parameters", "peak_tflops", "tokens_per_second", "hours", "mfu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What somebody says of a run.

    Attributes:
        numbers: By the names of the flags, with underscores.
        device: Kind of the devices.
        model: A size name.
        precision: Whose peak counts.
    """

    numbers: Mapping[str, Fact]
    device: str | None = None
    model: str | None = None
    precision: str | None = None


def read_claims(texts: Mapping[str, str]) -> Claims:
    """Read flags, by name.

    Raises:
        InputError: If a number cannot be read, counts something else, or is zero; if a model or precision is not known.

    Examples:
        >>> read_claims({"devices": "8xH100", "epochs": "3"}).numbers["devices"].number.value
        Fraction(8, 1)
    """
    device = None
    numbers = {}
    for name, text in texts.items():
        what = f"--{name.replace('_', '-')}"
        if name in TEXTS:
            continue
        if name == "devices":
            count, device = split_devices(text)
            numbers[name] = _count(count, Unit.DEVICE, what)
        elif name == "sequence_length":
            numbers[name] = Fact(number=Quantity.exact(parse_length(text, what=what), Unit.POSITION))
        elif name in COUNTS:
            numbers[name] = _count(text, UNITS.get(name), what, PER.get(name, ()), is_rounded=name == "samples")
        else:
            numbers[name] = _amount(name, text, what)
    stated = {name: fact.number for name, fact in numbers.items()}
    for name in [name for name, number in stated.items() if number.per and name in ("steps", "samples", "tokens")]:
        whole = in_whole_run(
            stated[name], f"--{name}", steps=stated.get("steps"), epochs=stated.get("epochs")
        )  # fmt: skip
        numbers[name] = replace(numbers[name], number=whole)
    model, precision = texts.get("model"), texts.get("precision")
    if model is not None:
        named_config(model)
    named = None if precision is None else find_name(precision, PRECISIONS)
    if precision is not None and named is None:
        raise InputError(
            f"no peak is known in {precision!r}",
            rule=f"peaks are known in {', '.join(PRECISIONS)}",
            fixes=close_matches(folded(precision), PRECISIONS),
            origin=Origin("--precision"),
        )
    return Claims(numbers=numbers, device=device, model=model, precision=named)


def _count(text: str, unit: Unit | None, what: str, per: tuple[Unit, ...] = (), *, is_rounded: bool = False) -> Fact:
    """A whole number. What a run was told is exact, unless it is written with `~`; a total is as precise as written."""
    if re.fullmatch(r"0+(\.0*)?", text.strip()):
        raise InputError(
            f"{what} {text}: nothing is claimed of a run by zero",
            rule="whatever it made would contradict it",
            fixes=["a whole number from 1 on", "leaving it out"],
        )
    parse_count(text, unit=unit, per=per, what=what)
    quantity = parse(text, unit=unit, per=per, what=what)
    if is_rounded and not quantity.is_about:
        return Fact(number=quantity, exact=quantity.is_written_out)
    if quantity.is_about:
        return Fact(number=quantity)
    return Fact(number=replace(quantity.exactly(), text=quantity.text.strip() or rounded(quantity.value)))


def _amount(name: str, text: str, what: str) -> Fact:
    if name == "hours":
        refuse_minutes_or_millions(text)
    quantity = parse(text, unit=UNITS.get(name), per=PER.get(name, ()), what=what)
    if name in WITHOUT_UNIT and quantity.unit is not None:
        raise InputError(f"{what} {text!r} counts {quantity.unit}s", rule="it is a plain number")
    if quantity.value <= 0:
        raise InputError(f"{what} {text!r}", rule="it must be above zero")
    if name == "corpus" and quantity.unit not in (Unit.SAMPLE, Unit.TOKEN):
        counted = f"counts {quantity.unit}s" if quantity.unit else "has no unit"
        raise InputError(
            f"{what} {text!r} {counted}",
            rule="a run draws samples or tokens, and only those can be divided by its corpus; no unit is converted",
            fixes=["'698 samples'", "'5B tokens'"],
        )
    if name == "mfu" and quantity.value > 1:
        raise InputError(
            f"{what} {text!r} is {rounded(quantity.value)} × 100 %, which is impossible",
            rule="a device cannot make more FLOPs than its peak",
            fixes=["'45%'", "0.45"],
        )
    if name in ("corpus", "tokens") and not quantity.is_about:
        return Fact(number=quantity, exact=quantity.is_written_out)  # a corpus of 175k samples is a rounded number
    return Fact(number=quantity)

"""What is claimed of a finished run: flags, in the same spellings as `solve` and `plan`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from dist_epochs.arithmetic.given import in_whole_run
from dist_epochs.arithmetic.quantity import Quantity, QuantityError, Unit, parse, parse_count, parse_length
from dist_epochs.audit.fact import Fact
from dist_epochs.errors import InputError
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
PLAIN = ("parameters", "peak_tflops", "tokens_per_second", "hours", "mfu")
WRITTEN_OUT = 1
"""Play of a size that is written out to the last sample or token, `698 samples`: it is exact."""


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
            numbers[name] = _count(text, UNITS.get(name), what, PER.get(name, ()))
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
    if precision not in (None, *PRECISIONS):
        raise InputError(f"--precision {precision!r}: peaks are known in {', '.join(PRECISIONS)}. Name one of them.")
    return Claims(numbers=numbers, device=device, model=model, precision=precision)


def _count(text: str, unit: Unit | None, what: str, per: tuple[Unit, ...] = ()) -> Fact:
    """A whole number; written with `~`, it has play."""
    if re.fullmatch(r"0+(\.0*)?", text.strip()):
        raise InputError(
            f"{what} {text}: nothing is claimed of a run by zero, since whatever it made would contradict it. Write a "
            "whole number from 1 on, or leave it out."
        )
    parse_count(text, unit=unit, per=per, what=what)
    quantity = parse(text, unit=unit, per=per, what=what)
    about = text.strip().startswith(("~", "about", "approx"))
    return Fact(number=quantity if about else replace(quantity.exactly(), text=_spelled(quantity)))


def _amount(name: str, text: str, what: str) -> Fact:
    try:
        quantity = parse(text, unit=UNITS.get(name), per=PER.get(name, ()), what=what)
    except QuantityError as error:
        if "beyond anything" not in str(error):
            raise
        raise InputError(
            f"{error} (10⁴⁰): no run draws that much, so it cannot be held against one. Nothing was read of it. Look "
            "for a zero too many in its exponent."
        ) from None
    if name in PLAIN and quantity.unit is not None:
        raise InputError(f"{what} {text!r} is a plain number, without {quantity.unit}s")
    if quantity.value <= 0:
        raise InputError(f"{what} {text!r}: it must be above zero")
    if name == "corpus" and quantity.unit not in (Unit.SAMPLE, Unit.TOKEN):
        counted = f"counts {quantity.unit}s" if quantity.unit else "has no unit"
        raise InputError(
            f"{what} {text!r} {counted}: a run draws samples or tokens, and only those can be divided by its corpus. "
            "Write how many of either it has, for example '698 samples' or '5B tokens'; other units are not converted."
        )
    if name == "mfu" and quantity.value > 1:
        raise InputError(
            f"{what} {text!r} is {_percent(quantity.value)}: a device cannot make more FLOPs than its peak, so this is "
            f"impossible. Write a share up to 100%, for example '45%' or 0.45."
        )
    whole = quantity.high - quantity.low <= WRITTEN_OUT and quantity.value.denominator == 1
    is_count = name in ("corpus", "tokens") and whole
    return Fact(number=quantity, exact=True if is_count and not text.strip().startswith("~") else None)


def _percent(value: Fraction) -> str:
    return f"{float(value):.4g} × 100 %"


def _spelled(quantity: Quantity) -> str:
    return quantity.text.strip() or f"{int(quantity.value):,}"

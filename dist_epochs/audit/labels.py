"""What numbers of claims count beside the project's own units: a fact's name says it, or it is refused.

Formulas know numbers alone, so `16GB` in a fact called `corpus` would be divided into as if it were tokens, and
`3 days` that are stated for `hours` would be 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dist_epochs.arithmetic.duration import HOURS_IN, refuse_minutes_or_millions
from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.arithmetic.text import rounded, short
from dist_epochs.arithmetic.unit import PER
from dist_epochs.arithmetic.usual_ratios import USUAL_BYTES_PER_TOKEN
from dist_epochs.errors import InputError

__all__ = ["as_named", "rate_of", "split_label"]

SAID_BY: Mapping[str, tuple[str, ...]] = {
    **{time: tuple(HOURS_IN) for time in HOURS_IN},
    "byte": ("byte",),
    "parameter": ("param", "model", "weight"),
    "param": ("param", "model", "weight"),
    "FLOP": ("flop", "compute"),
    "TPU": ("tpu", "device", "accelerator", "chip", "core"),
    "pair": ("pair", "sample", "example", "image", "corpus", "data", "batch"),
    "dollar": ("dollar", "usd", "price", "cost", "money", "budget"),
}
"""Labels, singular, and the words of a name that say what they count."""

SHORT = {"h": "hour", "hr": "hour", "min": "minute", "sec": "second", "USD": "dollar"}
"""Shorter spellings of labels."""

PARTS: Mapping[Unit, tuple[str, ...]] = {
    Unit.STEP: ("batch",),
    Unit.SAMPLE: ("length",),
    Unit.DEVICE: ("device",),
    Unit.WORD: ("ratio",),
}
"""What a number is for, and words of a name that say so without `per`."""

COUNTS = {"samples": Unit.SAMPLE, "global_batch": Unit.SAMPLE, "per_device": Unit.SAMPLE, "devices": Unit.DEVICE}
"""Names of numbers that are no product of two things."""

_WHOSE = (
    r"(?:(?:[A-Z]+\d+\w*[\s-]+)?(?:GPU|TPU|device|accelerator|chip|core)s?[\s-]+(?=second|minute|hour|day|week|year))?"
)
"""Whose time it is: `1.3M GPU hours`, `2.788M H800 GPU-hours`."""

_LABEL = re.compile(
    rf"\s*{_WHOSE}(?P<label>{'|'.join(SAID_BY)}|(?<=[\d\sKMB])(?:{'|'.join(SHORT)}))s?\s*$", re.IGNORECASE
)
_RATE = re.compile(rf"\s*(?:/|\bper\b|\ban?\b)\s*{_WHOSE}(?P<time>{'|'.join(HOURS_IN)})s?\s*$", re.IGNORECASE)
_DOLLARS = re.compile(r"(?:US)?\$\s*(?=\d)")
_BYTES = re.compile(r"(?<=\d)\s*(?P<scale>[KMGT]i?)B\s*$")
_DEVICES = re.compile(
    r"(?<=[\dKk])\s*[x×]?\s*(?:NVIDIA|Nvidia|AMD|Google|Intel)?\s*"
    r"[A-Z][A-Za-z]*[ -]?v?\d+\w*(?:[ -](?:\d+\s?GB|SXM\w*|PCIe|NVL))*"
    r"(?:\s+(?:GPU|TPU|device|accelerator|chip)s?)\s*$"
)
"""`256 A100 GPUs`, `64 TPU v4 chips`: the kind between the count and the word for devices."""


def split_label(text: str) -> tuple[str, str | None]:
    """A number without its label, and the label.

    Examples:
        >>> split_label("60K GPU hours"), split_label("160GB"), split_label("3.3B words"), split_label("$4.6M")
        (('60K', 'hour'), ('160B', 'byte'), ('3.3B words', None), ('4.6M', 'dollar'))
    """
    text = _RATE.sub("", text)
    if _DOLLARS.search(text):
        return _DOLLARS.sub("", text), "dollar"
    if _DEVICES.search(text):
        return _DEVICES.sub(" devices", text), None
    if match := _LABEL.search(text):
        known = {label.lower(): label for label in SAID_BY} | {name.lower(): label for name, label in SHORT.items()}
        rest, label = text[: match.start()], known[match["label"].lower()]
        return (_BYTES.sub(_scaled, rest) if label == "byte" else rest), label
    scaled = _BYTES.sub(_scaled, text)
    return scaled, "byte" if scaled != text else None


def rate_of(text: str) -> str | None:
    """What time a number is for: `24K tokens per second`, `$2 per GPU hour`; None if for none."""
    match = _RATE.search(text)
    return None if match is None or " = " in text else match["time"].lower()


def _scaled(match: re.Match[str]) -> str:
    """GB are 10⁹ bytes, and GiB are 2³⁰; sizes in either are rounded, unlike counts in Gi."""
    scale = match["scale"]
    return f"x2**{10 * (1 + 'KMGT'.index(scale[0]))}" if scale.endswith("i") else scale.replace("G", "B")


def as_named(number: Quantity, name: str) -> Quantity:
    """A number in what its name counts.

    Args:
        number: As it was read, its label left out.
        name: Of the fact, or of what is stated.

    Returns:
        The same number; or a time in the time of the name, whose `text` says what was made of it.

    Raises:
        InputError: If the name says nothing of the label, or of what the number is for.

    Examples:
        >>> as_named(replace(parse("3"), text="3 days"), "hours").text
        '3 days = 72 hours'
    """
    said = re.sub(r"[^a-z]+", "_", name.lower())
    if name in COUNTS and number.is_product:
        parse(number.text, unit=COUNTS[name], what=name)
    if number.per is not None and not _says_part(said, number.per):
        raise InputError(
            f"{number.text!r} is for one {number.per}, and the name {name} does not say so",
            consequence="it would be read as a number of the whole run",
            fixes=[f"the name {said.strip('_')}_per_{number.per}", "multiplying it"],
        )
    time = rate_of(number.text)
    if time is not None and time not in said:
        raise InputError(
            f"{number.text!r} is for one {time}, and the name {name} does not say so",
            consequence="it would be read as a number of the whole run",
            fixes=[f"the name {said.strip('_')}_per_{time}", f"a number for one of what the name says, not {time}s"],
        )
    label = split_label(number.text)[1]
    if label is None:
        if _first(said, HOURS_IN) is not None and number.unit is None:
            refuse_minutes_or_millions(number.text)
        return number
    found = _first(said, SAID_BY[label])
    if found is None:
        raise InputError(
            f"{number.text!r} counts {label}s, and the name {name} does not say so",
            rule=_as_tokens(number) if label == "byte" else "",
            consequence="formulas would take it for something else",
            fixes=[f"the name {said.strip('_')}_{label.lower()}s", "a number of what the name counts"],
        )
    return _converted(number, label, found) if label in HOURS_IN and found != label else number


def _as_tokens(number: Quantity) -> str:
    """What bytes come to in tokens, at the usual ratios."""
    answers = "; ".join(
        f"at {float(ratio):g} bytes a token ({whose}) {number.text} are {short(number.value / ratio)} tokens"
        for ratio, whose in USUAL_BYTES_PER_TOKEN
    )
    return f"bytes do not turn into tokens without a ratio: {answers}"


def _converted(number: Quantity, label: str, wanted: str) -> Quantity:
    factor = HOURS_IN[label] / HOURS_IN[wanted]
    converted = number * Quantity.exact(factor)
    value = converted.value
    days = " at 365.25 days a year" if "year" in (label, wanted) else ""
    half = None if number.half is None else number.half * factor
    return replace(converted, factors=(value,), half=half, text=f"{number.text} = {rounded(value)} {wanted}s{days}")


def _says_part(said: str, part: Unit) -> bool:
    """Whether a name says that its number is for one step, one sample and so on."""
    names = "|".join(re.escape(spelling) for spelling, unit in PER.items() if unit is part)
    return bool(re.search(rf"(^|_)(per|a|an|each)_({names})", said)) or _first(said, PARTS.get(part, ())) is not None


def _first(said: str, words: Iterable[str]) -> str | None:
    """The word that stands first in a name."""
    return min((word for word in words if word in said), key=said.index, default=None)

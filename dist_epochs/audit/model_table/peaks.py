"""The dense peak of the devices that a row names, in the format that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from dist_epochs.errors import InputError
from dist_epochs.plan.cost.hardware import Device, find_device

__all__ = ["Peaks", "peaks_of"]

FORMATS = ("fp8", "bf16", "fp16", "tf32", "fp32")
"""Formats of which the table of devices has peaks, the fastest first."""
USUAL = ("bf16", "fp16", "tf32")
"""Where a row names no format, the first that the device has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peaks:
    """What a device of a row can do.

    Attributes:
        name: What the row calls it, or them.
        peak: Dense FLOP/s of one in the row's format; of several kinds, of the fastest.
        least: The same of the slowest.
        format: The format that it is the peak of.
        others: Other peaks that may be meant, by what is then assumed.
        unknown: Devices that are not in the table of devices; with one of them there is no peak.
    """

    name: str
    peak: Fraction | None
    least: Fraction | None
    format: str
    others: tuple[tuple[str, Fraction], ...]
    unknown: tuple[str, ...]


@cache
def peaks_of(hardware: str, formats: str) -> Peaks:
    """The peaks of the devices of a row.

    Args:
        hardware: Names of devices, with commas between them.
        formats: Names of formats, with commas between them; may be empty.
    """
    found, unknown = [], []
    for name in (each.strip() for each in hardware.split(",")):
        try:
            found.append(find_device(name))
        except InputError:
            unknown.append(name)
    named = [each for each in FORMATS if each in re.findall(r"[a-z]+\d+", formats.lower())]
    if unknown or not found:
        return Peaks(name=hardware, peak=None, least=None, format="", others=(), unknown=tuple(unknown))
    chosen = [_peak(device, (*named, *USUAL)) for device in found]
    peaks = [peak for _, peak in chosen if peak is not None]
    formats_used = list(dict.fromkeys(each for each, _ in chosen))
    return Peaks(
        name=hardware,
        peak=max(peaks, default=None) if len(peaks) == len(found) else None,
        least=min(peaks, default=None),
        format=" and ".join(formats_used),
        others=tuple(_others(found, formats_used)),
        unknown=(),
    )


def _peak(device: Device, formats: Sequence[str]) -> tuple[str, Fraction | None]:
    """The peak in the first format that the device has; of halves that are sold as one, that of the whole."""
    for name in formats:
        peak = max(_peaks(device, name), default=None)
        if peak is not None:
            return name, peak
    return formats[0], None


def _peaks(device: Device, name: str) -> list[Fraction]:
    mode = "tf32" if name == "fp32" else name
    rows = device.variants or (device,)
    return [peak * 10**12 for each in rows if (peak := each.dense_tflops.get(mode)) is not None]


def _others(found: Sequence[Device], formats: Sequence[str]) -> Iterator[tuple[str, Fraction]]:
    """What else the peak may be that somebody reckoned with."""
    if len(found) > 1 or len(formats) > 1:
        return
    device, name = found[0], formats[0]
    peaks = _peaks(device, name)
    if not peaks:
        return
    for each in device.variants:
        own = max(_peaks(each, name), default=None)
        if own is not None and own != max(peaks):
            yield f"a device is a {each.name}", own
    for faster in ("bf16", "fp16"):
        own = max(_peaks(device, faster), default=None)
        if name in ("fp32", "tf32") and own is not None:
            yield f"products were made in {faster}, not {name}", own
            break
    eight = max(_peaks(device, "fp8"), default=None)
    if eight is not None and name != "fp8":
        yield f"products were made in fp8, not {name}", eight
    if device.dense_tflops.get("tf32") is not None:  # devices of that generation and later halve sparse products
        yield "the peak is that of sparse matrices, twice the dense one", 2 * max(peaks)

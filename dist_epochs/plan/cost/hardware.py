"""Accelerators: dense peak, memory, power, each with its source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from dist_epochs.errors import InputError, close_matches

__all__ = ["Device", "devices", "find_device", "sparse_twin"]

Shared = TypeVar("Shared")

TERA = 10**12

MAKERS = frozenset({"nvidia", "geforce", "tesla", "amd", "radeon", "instinct", "google", "cloud", "gpu"})
"""Words of a device's full name that tell no two devices apart."""

SPARSE_RATIO = (Fraction(195, 100), Fraction(205, 100))
"""2:4 sparsity doubles the printed peak; data sheets round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One accelerator; where a framework sees its halves as devices, those have a row of their own.

    Attributes:
        name: Its name here.
        aliases: Other names for it, without its maker.
        dense_tflops: Dense peak of matrix products by precision (`bf16`, `fp16`, `tf32`, `fp8`) in
            10¹² FLOP/s, summed in fp32; None where the device has no such mode or no number is known.
        memory_gb: Memory as sold; what programs can take is a few percent off.
        bandwidth_tb_s: Memory bandwidth in 10¹² bytes/s.
        watts: Board power at its limit; None where none is published.
        source: Where the numbers were read.
        date: When they were read.
        recalled: Numbers that no stored source confirmed.
        note: What to know before multiplying.
        variants: The rows that a name may mean, where it does not tell them apart (`A100` is sold with 40 and 80 GB);
            each number is then the one that all of them have, and None where they differ.
    """

    name: str
    aliases: tuple[str, ...]
    dense_tflops: Mapping[str, Fraction | None]
    memory_gb: Fraction | None
    bandwidth_tb_s: Fraction | None
    watts: int | None
    source: tuple[str, ...]
    date: str
    recalled: tuple[str, ...] = ()
    note: str | None = None
    variants: tuple[Device, ...] = ()

    @property
    def memories_gb(self) -> tuple[Fraction, Fraction]:
        """The least and the most memory that it may have; the same where its name says which it is."""
        sizes = [device.memory_gb for device in (self, *self.variants) if device.memory_gb is not None]
        return min(sizes), max(sizes)

    def differ(self, what: str, answers: Mapping[str, str]) -> InputError:
        """The error for a question that its variants answer differently.

        Args:
            what: What is asked.
            answers: The answer of each variant, by its name.
        """
        return InputError(
            f"device {self.name!r} may be any of several, which differ in {what}",
            rule="; ".join(f"{name}: {answer}" for name, answer in answers.items()),
            fixes=(f"--devices with its whole name, {name}" for name in answers),
        )

    def peak_flops(self, precision: str) -> Fraction:
        """Dense peak of one device in FLOP/s, the denominator of model FLOPs utilization.

        Dense always: the doubled peaks of data sheets hold for weights of which half are zero, and
        training has none (PaLM, arXiv:2204.02311, appendix B, divides by the dense peak).

        `fp32` has the `tf32` peak for its denominator, which says what the device could do for fp32
        tensors. PyTorch does not use TF32 for matrix products unless told
        (`torch.set_float32_matmul_precision`), and reaches a fraction of this peak until then: hours
        that are computed with it are too few.

        Args:
            precision: `fp32`, `tf32`, `bf16`, `fp16` or `fp8`.

        Raises:
            InputError: If the device has no such peak, with those that it has, or its variants have different ones.

        Examples:
            >>> find_device("H100 SXM").peak_flops("bf16") / 10**12
            Fraction(4947, 5)
        """
        mode = "tf32" if precision == "fp32" else precision
        peak = self.dense_tflops.get(mode)
        peaks = {device.name: device.dense_tflops.get(mode) for device in self.variants}
        if peak is None and any(peaks.values()):
            shown = {name: f"{float(each):g} TFLOP/s" if each else "not known" for name, each in peaks.items()}
            raise self.differ(f"the dense {precision} peak", shown)
        if peak is None:
            has = ", ".join(f"{name} ({float(value):g} TFLOP/s)" for name, value in self.dense_tflops.items() if value)
            raise InputError(
                f"no dense {precision} peak is known for {self.name}, so its hours cannot be computed",
                rule=f"it has {has}",
                fixes="hardware.peak_tflops, to state the peak yourself",
            )
        return peak * TERA


@cache
def devices() -> tuple[Device, ...]:
    """The whole table, from `hardware.json`."""
    text = files(__package__).joinpath("hardware.json").read_text(encoding="utf-8")
    return tuple(_device(row) for row in json.loads(text, parse_float=Fraction))


def find_device(name: str) -> Device:
    """The device of a name, however its maker, a shop or `torch.cuda.get_device_name` writes it.

    Names match by whole words, in any order and case, or run together in their order (`RTX4090`): `L4` is not L40S,
    and a word that no row has (`Ti`, `Laptop`, `NVL`, `MIG`) makes another device. A name that several rows have is a
    device with `variants`.

    Raises:
        InputError: If no row has the name, with the nearest.

    Examples:
        >>> find_device("NVIDIA H100 80GB HBM3").name, find_device("a100-80gb pcie").name
        ('H100 SXM', 'A100 PCIe 80GB')
        >>> a100 = find_device("A100")
        >>> a100.name, len(a100.variants), float(a100.dense_tflops["bf16"]), a100.memory_gb
        ('A100', 4, 312.0, None)
    """
    words = _words(name)
    run_together = "".join(_words_in_order(name))
    ways = (
        lambda known: _words(known) == words,
        lambda known: _words(known) == words - MAKERS,
        lambda known: "".join(_words_in_order(known)) == run_together,
    )
    for is_it in ways:
        found = [device for device in devices() if any(map(is_it, _names(device)))]
        if found:
            return found[0] if len(found) == 1 else _of_variants(found)
    spelled = {" ".join(sorted(_words(known))): device.name for device in devices() for known in _names(device)}
    close = close_matches(" ".join(sorted(words - MAKERS)), spelled, most=4)
    nearest = dict.fromkeys(spelled[match] for match in close) or [", ".join(device.name for device in devices())]
    raise InputError(
        f"device {name!r} is not in the table, so no peak, memory or power is known for it",
        fixes=(*nearest, "hardware.peak_tflops, to state its dense peak yourself"),
    )


def _of_variants(found: Sequence[Device]) -> Device:
    """One device for several, with what they have in common."""

    def common(values: Iterable[Shared]) -> Shared | None:
        first, *others = values
        return first if all(other == first for other in others) else None

    words = [device.name.split() for device in found]
    return Device(
        name=" ".join(word for word in words[0] if all(word in other for other in words)),
        aliases=(),
        dense_tflops={mode: common(each.dense_tflops[mode] for each in found) for mode in found[0].dense_tflops},
        memory_gb=common(device.memory_gb for device in found),
        bandwidth_tb_s=common(device.bandwidth_tb_s for device in found),
        watts=common(device.watts for device in found),
        source=tuple(dict.fromkeys(source for device in found for source in device.source)),
        date=min(device.date for device in found),
        variants=tuple(found),
    )


def sparse_twin(device: Device, precision: str, peak: Fraction) -> bool:
    """Whether a stated peak in FLOP/s looks like the device's peak with 2:4 sparsity: about twice the dense one.

    Consumer cards print the same number for dense products with sums in fp16, which is not what
    training does either.

    Raises:
        InputError: If the device has no peak in this precision.

    Examples:
        >>> sparse_twin(find_device("H100 SXM"), "bf16", Fraction(1979 * 10**12))
        True
    """
    low, high = SPARSE_RATIO
    return low <= peak / device.peak_flops(precision) <= high


def _names(device: Device) -> tuple[str, ...]:
    return (device.name, *device.aliases)


def _words(name: str) -> frozenset[str]:
    return frozenset(_words_in_order(name))


def _words_in_order(name: str) -> list[str]:
    """The words of a name; a size and its unit are one."""
    joined = re.sub(r"(\d)\s*gi?b\b", r"\1gb", name.lower())
    return re.findall(r"[a-z0-9]+", joined)


def _device(row: Mapping[str, Any]) -> Device:
    lists = {key: tuple(row.get(key, ())) for key in ("aliases", "source", "recalled")}
    peaks = {key: None if peak is None else Fraction(peak) for key, peak in row["dense_tflops"].items()}
    exact = {key: Fraction(row[key]) for key in ("memory_gb", "bandwidth_tb_s")}
    return Device(**{**row, **lists, **exact, "dense_tflops": peaks})

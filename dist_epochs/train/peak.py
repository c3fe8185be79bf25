"""The peak that a run's utilization is divided by."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from dist_epochs.arithmetic.text import scaled
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.hardware import TERA, Device, find_device
from dist_epochs.recipe import HardwareRecipe

__all__ = ["Peak", "device_name", "peak_of", "watts_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """Dense peak of all devices of a run.

    Attributes:
        per_device: FLOP/s of one.
        devices: How many.
        device: Its name in the table of devices; None where the recipe states the peak.
        precision: What the peak holds for.
    """

    per_device: Fraction
    devices: int
    device: str | None
    precision: str

    @property
    def flops(self) -> Fraction:
        """FLOP/s of all devices."""
        return self.per_device * self.devices

    def __str__(self) -> str:
        whose = f"dense {self.precision} peak of {self.device}" if self.device else "as hardware.peak_tflops states"
        return f"{self.devices} × {scaled(self.per_device / TERA)} TFLOP/s ({whose})"

    def to_json(self) -> dict[str, Any]:
        """For the line of a segment in the ledger."""
        return {
            "flops_per_device": int(self.per_device), "devices": self.devices, "device": self.device,
            "precision": self.precision,
        }  # fmt: skip


def device_name(device: torch.device) -> str | None:
    """What the device calls itself; None for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def watts_of(name: str | None, hardware: HardwareRecipe | None) -> float | None:
    """Power of one of the devices that really train, in watts: as the recipe states it, or the table's for their name.

    Args:
        name: What the devices call themselves; None for a CPU, whose power is not known unless it is stated.
        hardware: What the recipe plans with.

    Examples:
        >>> watts_of("NVIDIA H100 80GB HBM3", None), watts_of(None, None)
        (700.0, None)
    """
    if hardware is not None and hardware.watts is not None:
        return float(hardware.watts)
    with suppress(InputError):
        watts = find_device(name).watts if name is not None else None
        return None if watts is None else float(watts)
    return None


def peak_of(name: str | None, hardware: HardwareRecipe | None, *, precision: str, devices: int) -> Peak | None:
    """The peak of the devices that really train, which may be others than those planned.

    It is the table's, for their name; or the recipe's `peak_tflops`, where that is stated of these devices or of none.

    Args:
        name: What the devices call themselves.
        hardware: What the recipe plans with.
        precision: What is trained in; fp32 has the tf32 peak for its denominator (`Device.peak_flops`).
        devices: How many devices train.

    Returns:
        None for a CPU, and where the table has no such device or no such precision of it.

    Examples:
        >>> print(peak_of("NVIDIA H100 80GB HBM3", None, precision="fp32", devices=8))
        8 × 494.7 TFLOP/s (dense tf32 peak of H100 SXM)
        >>> peak_of("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, precision="bf16", devices=1) is None
        True
    """
    if name is None:
        return None
    known: Device | None = None
    with suppress(InputError):
        known = find_device(name)
    stated = hardware.peak_tflops if hardware is not None else None
    if (
        hardware is not None
        and stated is not None
        and (hardware.device is None or find_device(hardware.device) == known)
    ):
        return Peak(per_device=stated * TERA, devices=devices, device=None, precision=precision)
    if known is None:
        return None
    with suppress(InputError):
        peak = known.peak_flops(precision)
        return Peak(
            per_device=peak, devices=devices, device=known.name, precision="tf32" if precision == "fp32" else precision
        )
    return None

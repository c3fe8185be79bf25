"""How fast the devices of a run compute: by their peak and a utilization, or as it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import number, percent, rounded, short
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.hardware import TERA, Device, find_device
from dist_epochs.recipe import BatchRecipe, HardwareRecipe

__all__ = ["GUESSED_MFU", "Speed", "speed_of"]

GUESSED_MFU = Interval.between(Fraction(30, 100), Fraction(45, 100))
"""Model FLOPs utilization where none is stated: well-tuned runs on A100 and H100 measured by llm-foundry
(scripts/train/benchmarking/README.md) lie mostly between 35 and 60 %, untuned ones below."""

HIGHEST_IN_PRODUCTS = Fraction(90, 100)
"""Share of the dense peak that no training reaches in products with weights alone: the best single products measured
reach 87 % on an A100 and 80 % on an H100 (stas00/ml-engineering, compute/accelerator/README.md, MAMF)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """How fast the devices compute.

    Attributes:
        hardware: What the recipe says.
        device: The device's row in the table, if it is named.
        devices: All devices of the launch, those that see the same data included; None if not stated.
        peak: Dense peak of one device in FLOP/s.
        precision: What the peak holds for.
        mfu: Share of it that the model's FLOPs reach.
        positions_per_second: Measured, over all devices; then peak and MFU are not used.
    """

    hardware: HardwareRecipe
    device: Device | None
    devices: int | None
    peak: Fraction | None
    precision: str
    mfu: Interval
    positions_per_second: Fraction | None

    @property
    def is_guess(self) -> bool:
        """Whether the utilization was assumed."""
        return self.positions_per_second is None and self.hardware.mfu is None

    def measured_utilization(self, flops: Fraction, product_flops: int | Fraction) -> Fraction | None:
        """Share of the dense peak of all devices that the measured speed makes.

        Args:
            flops: Training FLOPs of a position, on average.
            product_flops: Those of products with weights alone. Attention is counted in full, and may take less: causal
                models need half of it, and packed documents only their own part.

        Returns:
            None if the speed was not measured, or the devices or their peak are not known.

        Raises:
            InputError: If it is above 100 %, and attention does not explain it.
        """
        if self.positions_per_second is None or self.peak is None or self.devices is None:
            return None
        per_flop = self.positions_per_second / (self.devices * self.peak)
        utilization = flops * per_flop
        if utilization > 1 and product_flops * per_flop > HIGHEST_IN_PRODUCTS:
            raise self._beyond_the_peak(flops, utilization)
        return utilization

    def _beyond_the_peak(self, flops: Fraction, utilization: Fraction) -> InputError:
        assert self.positions_per_second is not None
        assert self.peak is not None
        assert self.devices is not None
        rate, each = number(self.positions_per_second), f"{float(self.peak / TERA):.5g} TFLOP/s"
        kind = f" {self.device.name}" if self.device else " devices"
        good = GUESSED_MFU.high
        possible = short(round(self.positions_per_second * good / utilization))
        return InputError(
            f"{rate} tokens a second on {self.devices}{kind} are {percent(utilization)} of their dense peak",
            rule=f"{short(flops)} FLOPs a token × {rate} ÷ ({self.devices} × {each} in {self.precision}) = "
            f"{percent(utilization)}, and no device computes more than its peak",
            consequence=f"at {percent(good)}, hours and price would be {rounded(utilization / good)} times as many",
            fixes=(
                f"tokens_per_second over all devices, which would be {possible} at {percent(good)}",
                "the number and kind of devices that it was measured on (--devices 64xH100)",
                "the precision and the model that it was measured with, or peak_tflops",
            ),
        )

    @property
    def watts(self) -> Fraction | None:
        """Power of one device: as the recipe states it, or that of its board at its limit."""
        if self.hardware.watts is not None:
            return self.hardware.watts
        return Fraction(self.device.watts) if self.device is not None and self.device.watts is not None else None

    @property
    def pue(self) -> Fraction:
        """Energy of the data centre ÷ that of its devices; 1 where it is not stated."""
        return self.hardware.pue or Fraction(1)

    @property
    def lost_hours(self) -> Fraction:
        """Hours that restarts cost: half a checkpoint interval of work each, and the time to start again."""
        hardware = self.hardware
        if not hardware.restarts or hardware.checkpoint_every is None:
            return Fraction(0)
        return hardware.restarts * (hardware.checkpoint_every / 2 + (hardware.restart_time or 0))

    def device_hours(self, positions: int, flops: Fraction | None) -> Interval | None:
        """Hours of computing, added over devices (of one, where a measured run has no number of them).

        None if too little is known.
        """
        if self.positions_per_second is not None:
            return Interval.exact((self.devices or 1) * positions / self.positions_per_second / 3600)
        if self.peak is None or flops is None:
            return None
        at_full_peak = flops / (self.peak * 3600)
        return Interval.between(at_full_peak / self.mfu.high, at_full_peak / self.mfu.low)


def speed_of(hardware: HardwareRecipe | None, batch: BatchRecipe, precision: str) -> Speed | None:
    """How fast a recipe's devices compute; None if it names no hardware.

    Raises:
        InputError: If the device is not in the table, or has no such precision.
    """
    if hardware is None:
        return None
    device = find_device(hardware.device) if hardware.device else None
    peak = hardware.peak_tflops * TERA if hardware.peak_tflops else None
    if peak is None and device is not None:
        peak = device.peak_flops(precision)
    return Speed(
        hardware=hardware,
        device=device,
        devices=batch.devices,
        peak=peak,
        precision=precision,
        mfu=hardware.mfu or GUESSED_MFU,
        positions_per_second=hardware.tokens_per_second,
    )

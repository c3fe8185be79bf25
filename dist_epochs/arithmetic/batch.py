"""The global batch: which samples of a step go to which device, in how many micro-steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dist_epochs.errors import InputError

__all__ = ["BatchError", "GlobalBatch", "cannot_be_built", "nearest_batches", "split_evenly"]


class BatchError(InputError):
    """A global batch that the devices cannot build."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalBatch:
    """Samples of one step, laid over data-parallel devices and micro-steps.

    Attributes:
        samples: Samples per step, over all devices.
        data_parallel_size: Devices that see different data.
        per_device: The most samples that one device takes in one micro-step.
        uneven: Whether devices may differ by one sample.

    Raises:
        BatchError: If the devices do not divide the batch and `uneven` is not set.

    Examples:
        >>> GlobalBatch(samples=256, data_parallel_size=8, per_device=8).gradient_accumulation
        4
    """

    samples: int
    data_parallel_size: int
    per_device: int
    uneven: bool = False

    def __post_init__(self) -> None:
        for name in ("samples", "data_parallel_size", "per_device"):
            if getattr(self, name) < 1:
                raise BatchError(f"{name.replace('_', ' ')} must be at least 1, not {getattr(self, name)}")
        if self.samples % self.data_parallel_size and not self.uneven:
            raise cannot_be_built(
                self.samples,
                self.data_parallel_size,
                self.per_device,
                others=(*_smaller_micro_steps(self), "`uneven: allow`, which lets devices differ by one sample"),
            )

    @property
    def gradient_accumulation(self) -> int:
        """Micro-steps per step, the same on every device."""
        largest_slice = -(-self.samples // self.data_parallel_size)
        return -(-largest_slice // self.per_device)

    @property
    def largest_micro_batch(self) -> int:
        """The most samples that a device really takes in one micro-step."""
        largest_slice = -(-self.samples // self.data_parallel_size)
        return -(-largest_slice // self.gradient_accumulation)

    def micro_batches(self, rank: int) -> tuple[range, ...]:
        """Which samples of the batch (0 to `samples` − 1) device `rank` takes, micro-step by micro-step.

        Devices take neighbouring samples, and sizes differ by at most one. A range is empty only when
        `uneven` left this device fewer samples than micro-steps.

        Examples:
            >>> GlobalBatch(samples=12, data_parallel_size=2, per_device=4).micro_batches(1)
            (range(6, 9), range(9, 12))
        """
        mine = _part(range(self.samples), self.data_parallel_size, rank)
        return split_evenly(mine, self.gradient_accumulation)


def split_evenly(items: range, parts: int) -> tuple[range, ...]:
    """Cut a range into neighbouring parts whose sizes differ by at most one, longer ones first."""
    return tuple(_part(items, parts, number) for number in range(parts))


def _part(items: range, parts: int, number: int) -> range:
    """One of these parts, without the others: there may be thousands of devices."""
    size, longer = divmod(len(items), parts)
    start, stop = (part * size + min(part, longer) for part in (number, number + 1))
    return items[start:stop]


def nearest_batches(samples: int, devices: int, per_device: int = 1) -> tuple[int, ...]:
    """The multiples of devices × samples per device on either side of `samples`.

    Examples:
        >>> nearest_batches(64, 6, 4)
        (48, 72)
        >>> nearest_batches(256, 7)
        (252, 259)
    """
    micro_batch = devices * per_device
    below = samples // micro_batch * micro_batch
    return tuple(size for size in (below, below + micro_batch) if size > 0)


def _smaller_micro_steps(batch: GlobalBatch) -> tuple[str, ...]:
    """The nearest batches that need fewer samples in some micro-steps, where that reaches others."""
    size = batch.data_parallel_size
    full = nearest_batches(batch.samples, size, batch.per_device)
    others = " or ".join(str(fit) for fit in nearest_batches(batch.samples, size) if fit not in full)
    return (f"{others}, with fewer samples in some micro-steps",) if others else ()


def cannot_be_built(
    samples: int, devices: int, per_device: int | None = None, *, others: Iterable[str] = ()
) -> BatchError:
    """The error for a global batch that devices × per device × accumulation never reaches.

    Args:
        samples: Samples per step, over all devices.
        devices: Devices that see different data.
        per_device: Samples of a micro-batch, if they are given.
        others: What else may be done than to take the nearest batch.
    """
    each = per_device or 1
    micro_batch = devices * each
    multiples = ", ".join(str(micro_batch * count) for count in (1, 2, 3))
    fits = (
        f"{size} ({f'accumulate {size // micro_batch}' if per_device else f'{size // devices} each'})"
        for size in nearest_batches(samples, devices, each)
    )
    asked = f"{devices} devices" + (f" with {per_device} samples each" if per_device else "")
    product = f"{devices} × {each} × k" if per_device else f"{devices} × k"
    return BatchError(
        f"global batch {samples} cannot be built on {asked}",
        rule=f"{product} = {multiples}, …",
        fixes=(*fits, *others),
    )

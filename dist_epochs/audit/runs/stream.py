"""What the HF Trainer draws of data without a length, where its own epoch counts none."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.errors import InputError
from dist_epochs.frameworks.setting import Setting
from dist_epochs.frameworks.transformers import TRANSFORMERS_STREAMING

__all__ = ["stream_samples"]

MOST_LAYOUTS = 1000
"""Accumulations that are tried where none is known."""


def stream_samples(
    *, corpus: int, batch: int, per_device: int | None, accumulation: int | None, steps: int
) -> Interval | None:
    """Samples that so many steps trained, under every layout of the batch that fits; None if none does.

    Args:
        corpus: Samples of the stream.
        batch: Samples of a step, over all devices.
        per_device: Samples of a micro-batch, where they are known.
        accumulation: Micro-steps of a step, where they are known.
        steps: Steps made.

    Examples:
        >>> stream_samples(corpus=100, batch=40, per_device=10, accumulation=4, steps=30).point
        Fraction(1480, 1)
    """
    found = [_trained(setting) for setting in _layouts(corpus, batch, per_device, accumulation, steps)]
    known = [Fraction(count) for count in found if count is not None]
    return Interval(known[0], min(known), max(known)) if known else None


def _layouts(
    corpus: int, batch: int, per_device: int | None, accumulation: int | None, steps: int
) -> Iterator[Setting]:
    windows = [accumulation] if accumulation else range(1, min(batch // (per_device or 1), MOST_LAYOUTS) + 1)
    for window in windows:
        if batch % (window * (per_device or 1)):
            continue
        size = batch // (window * per_device) if per_device else 1
        yield Setting(
            samples=corpus,
            per_device=per_device or batch // window,
            data_parallel_size=size,
            gradient_accumulation=window,
            steps=steps,
        )


def _trained(setting: Setting) -> int | None:
    try:
        return TRANSFORMERS_STREAMING.versions[-1].run(setting).counts.samples
    except InputError:  # a layout that cannot run
        return None

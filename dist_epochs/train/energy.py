"""The energy that a device measures itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["energy_meter"]


def energy_meter(device: torch.device) -> Callable[[], int | None] | None:
    """Reads the energy that this rank's GPU has taken since now, in millijoules, from NVML's counter.

    Returns:
        None for a device without such a counter. Where NVML or its Python package is missing, what is returned gives
        None, so that every rank with a GPU tells the others whether it measures.
    """
    if device.type != "cuda":
        return None
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode())
        before = int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except Exception:  # no package, no driver, no counter (before Volta, or in a slice of a GPU)
        return lambda: None

    def read() -> int | None:
        try:
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) - before
        except Exception:  # the driver was reset: the estimate by watts stands in
            return None

    return read

"""When this process began."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["process_began"]


def process_began() -> float | None:
    """When this process began, imports included, in seconds since 1970; None where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return time.time() - max(age, 0.0)

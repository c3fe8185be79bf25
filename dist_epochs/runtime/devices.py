"""The accelerators of this machine."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["devices_at_hand"]


def devices_at_hand() -> tuple[int, str | None]:
    """How many accelerators there are, and the name of the first; one and None, where training would use the CPU."""
    if find_spec("torch") is None:
        return 1, None
    import torch

    count = torch.cuda.device_count()
    return (count, torch.cuda.get_device_name(0)) if count else (1, None)

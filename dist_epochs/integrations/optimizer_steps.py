"""Which optimizers have stepped, as torch's hooks tell: a loss scaler leaves a step out where gradients overflow."""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakSet

__all__ = ["OptimizerSteps"]


class OptimizerSteps:
    """Notes every `optimizer.step()` of this process, until it is closed.

    `GradScaler.step` does not call the optimizer's where gradients are not finite. A fused optimizer on a GPU is called
    all the same, and leaves the update out on the device: that is not seen here.
    """

    def __init__(self) -> None:
        self._since: WeakSet[Any] = WeakSet()
        self._ever: WeakSet[Any] = WeakSet()
        self._handle: Any = None
        if "torch" in sys.modules:
            from torch.optim.optimizer import register_optimizer_step_post_hook

            self._handle = register_optimizer_step_post_hook(self._note)

    def _note(self, optimizer: Any, arguments: object, named: object) -> None:
        self._since.add(optimizer)
        self._ever.add(optimizer)

    def was_skipped(self, optimizer: object) -> bool:
        """Whether an optimizer has not stepped since it was asked for before. Where that cannot be told, it has.

        One that was never seen to step may step where hooks are not called, as when it is compiled. But those that
        average gradients (`betas`) have a state once they have stepped.
        """
        if self._handle is None or not hasattr(optimizer, "param_groups"):
            return False
        stepped = optimizer in self._since
        self._since.discard(optimizer)
        if stepped or optimizer in self._ever:
            return not stepped
        return "betas" in getattr(optimizer, "defaults", {}) and not getattr(optimizer, "state", True)

    def close(self) -> None:
        """Take the hook away."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

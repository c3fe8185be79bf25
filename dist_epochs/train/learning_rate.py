"""The learning rate as a function of applied steps: exact after any restart."""

from __future__ import annotations

from math import cos, pi

from dist_epochs.recipe import OptimizerRecipe

__all__ = ["learning_rate"]


def learning_rate(optimizer: OptimizerRecipe, applied: int, steps: int) -> float:
    """Learning rate of the next update.

    It rises over `warmup_steps` updates to the peak, and then falls so that it would reach zero one update after the
    last.

    Args:
        optimizer: Peak, warm-up and decay.
        applied: Updates applied so far.
        steps: Updates of the whole run.

    Examples:
        >>> recipe = OptimizerRecipe(learning_rate=1, warmup_steps=2)
        >>> [learning_rate(recipe, applied, 6) for applied in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    peak, warmup = optimizer.learning_rate, optimizer.warmup_steps
    if applied < warmup:
        return peak * (applied + 1) / warmup
    left = (steps - applied) / max(1, steps - warmup)
    match optimizer.decay:
        case "linear":
            return peak * left
        case "cosine":
            return peak * (1 - cos(pi * left)) / 2
        case _:
            return peak

"""Which samples each iteration takes, pass by pass, under each method: small numbers that can be drawn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from dist_epochs.frameworks.words.methods import METHODS, Method, count_updates

__all__ = ["passes"]

NAMES: Mapping[Method, str] = {
    "gradient descent": "gradient descent (GD)",
    "stochastic": "stochastic gradient descent (SGD)",
    "mini-batch": "mini-batch",
}
MOST_SAMPLES, MOST_PASSES = 40, 6
"""More than that is not drawn."""
SEED = 7


def passes(examples: int, epochs: int, batch_size: int) -> list[dict[str, Any]]:
    """For each method its passes, each a list of iterations: their number over the whole run, and their samples.

    Every pass takes each sample once, in an order of its own, and the same order under each method, as a framework's
    shuffled loader does.

    Returns:
        An object a method; none where there is too much to draw.

    Examples:
        >>> [descent, stochastic, batches] = passes(4, 2, 2)
        >>> [[iteration["number"] for iteration in each] for each in batches["passes"]]
        [[1, 2], [3, 4]]
        >>> len(descent["passes"][0]), len(stochastic["passes"][0])
        (1, 4)
    """
    if examples > MOST_SAMPLES or epochs > MOST_PASSES:
        return []
    draw = random.Random(SEED)
    orders = [draw.sample(range(1, examples + 1), examples) for _ in range(epochs)]
    drawn = []
    for method in METHODS:
        counted = count_updates(method, "framework", examples=examples, epochs=epochs, batch_size=batch_size)
        numbers = iter(range(1, counted.updates + 1))
        each = [
            [
                {"number": next(numbers), "samples": order[start : start + counted.batch]}
                for start in range(0, examples, counted.batch)
            ]
            for order in orders
        ]
        said = {"batch": counted.batch, "iterations": counted.updates, "draws": counted.draws}
        drawn.append({"method": NAMES[method]} | said | {"passes": each})
    return drawn

"""Gradient descent, stochastic and mini-batch: how many updates, and how often an example is drawn.

The same words count differently in textbooks and in frameworks. In a textbook an iteration is one update, and
stochastic methods draw its examples at random; running E iterations makes E updates, whatever the method. In a
framework an epoch is a pass over the data, cut into batches, with an update for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Literal

from dist_epochs.arithmetic.replacement import share_never_drawn, spread_of_draws
from dist_epochs.errors import InputError

__all__ = ["METHODS", "USUAL_MINI_BATCH", "Convention", "Method", "Updates", "count_updates"]

Method = Literal["gradient descent", "stochastic", "mini-batch"]
Convention = Literal["textbook", "framework"]

METHODS: tuple[Method, ...] = ("gradient descent", "stochastic", "mini-batch")
"""All examples, one, or some of them in an update."""

USUAL_MINI_BATCH = 10
"""Examples of a mini-batch where none is stated: an example, and said to be one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Updates:
    """What a method has done after a number of epochs.

    Attributes:
        method: How many examples an update sees.
        convention: Whose words are used.
        batch: Examples of an update.
        per_epoch: Updates in one epoch.
        updates: Updates in all.
        draws: Examples drawn in all.
        mean: How often one example is drawn on average.
        spread: Standard deviation of that over the examples.
        never: Expected share of the examples that are never drawn.
    """

    method: Method
    convention: Convention
    batch: int
    per_epoch: int
    updates: int
    draws: int
    mean: Fraction
    spread: float
    never: float


def count_updates(method: Method, convention: Convention, *, examples: int, epochs: int, batch_size: int) -> Updates:
    """Count a method's updates and draws.

    In a textbook an epoch is one update. Gradient descent uses every example in it; the others draw theirs
    at random with replacement between updates (a mini-batch has no example twice). In a framework an epoch
    is a pass: every example once, the last batch may be smaller.

    Args:
        method: The method.
        convention: Whose words.
        examples: Examples of the data.
        epochs: Epochs, in those words.
        batch_size: Examples of a mini-batch; the other methods have their own.

    Raises:
        InputError: If a number is below 1, or a mini-batch is larger than the data.

    Examples:
        >>> given = {"examples": 100, "epochs": 500, "batch_size": 5}
        >>> found = count_updates("mini-batch", "textbook", **given)
        >>> found.updates, found.mean
        (500, Fraction(25, 1))
        >>> found = count_updates("mini-batch", "framework", **given)
        >>> found.per_epoch, found.updates, found.mean
        (20, 10000, Fraction(500, 1))
    """
    for name, value in (("examples", examples), ("epochs", epochs), ("batch size", batch_size)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    if batch_size > examples:
        raise InputError(
            f"a batch of {batch_size:,} examples cannot be drawn from {examples:,}",
            rule="an update would see some of them twice",
            fixes=f"at most {examples:,}",
        )
    batch = {"gradient descent": examples, "stochastic": 1, "mini-batch": batch_size}[method]
    per_epoch = 1 if convention == "textbook" else -(-examples // batch)
    draws = epochs * (batch if convention == "textbook" else examples)
    at_random = convention == "textbook" and batch < examples
    return Updates(
        method=method,
        convention=convention,
        batch=batch,
        per_epoch=per_epoch,
        updates=epochs * per_epoch,
        draws=draws,
        mean=Fraction(draws, examples),
        spread=_spread(examples, batch, epochs) if at_random else 0.0,
        never=share_never_drawn(Fraction(examples, batch), epochs) if at_random else 0.0,
    )


def _spread(examples: int, batch: int, updates: int) -> float:
    """An example is in an update with probability batch ÷ examples, independently of the other updates."""
    if batch == 1:
        return spread_of_draws(examples, updates)
    share = batch / examples
    return sqrt(updates * share * (1 - share))

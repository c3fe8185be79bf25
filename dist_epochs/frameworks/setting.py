"""The settings of a run, as far as a framework has arguments for them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.loader import LastWindow, Uneven
from dist_epochs.errors import InputError

__all__ = ["Setting"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The settings of a run, as far as a framework has arguments for them.

    Attributes:
        samples: Samples of the corpus.
        per_device: Samples of a micro-batch, on one device.
        data_parallel_size: Devices that see different data.
        gradient_accumulation: Micro-steps of a window.
        epochs: Length of the run in passes; None where it is stated in steps.
        steps: Length of the run in steps; None where it is stated in epochs.
        devices: All devices, those that see the same data included.
        uneven: What happens at the last round of a pass; None where the user leaves it to the framework.
        last_window: What happens at the last window of a pass; None where the user leaves it to the framework.
        tokens: Tokens of the corpus, where they are known.
        sequence_length: Positions of a sample, where it has a length.
        is_estimate: Whether the samples are estimated as tokens ÷ length, since the corpus is not packed.
    """

    samples: int
    per_device: int
    data_parallel_size: int
    gradient_accumulation: int
    epochs: Fraction | None = None
    steps: int | None = None
    devices: int = 1
    uneven: Uneven | None = None
    last_window: LastWindow | None = None
    tokens: int | None = None
    sequence_length: int | None = None
    is_estimate: bool = False

    @property
    def global_batch(self) -> int:
        """Samples of a full step, over all devices."""
        return self.per_device * self.data_parallel_size * self.gradient_accumulation

    @property
    def epochs_text(self) -> str:
        """Epochs as people write them.

        Examples:
            >>> sizes = {"samples": 8, "per_device": 1, "data_parallel_size": 1, "gradient_accumulation": 1}
            >>> [Setting(**sizes, epochs=Fraction(text)).epochs_text for text in ("2.5", "3", "1/3")]
            ['2.5', '3', '1/3']
        """
        assert self.epochs is not None
        decimal = Decimal(self.epochs.numerator) / self.epochs.denominator
        return f"{decimal:f}" if Fraction(decimal) == self.epochs else str(self.epochs)

    @property
    def steps_by_hand(self) -> int:
        """Steps, or ⌈epochs × samples ÷ global batch⌉, which users compute for a framework that takes no epochs."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return ceil(self.epochs * self.samples / self.global_batch)

    def whole_epochs(self, framework: str) -> int:
        """Epochs of a loop over whole passes.

        Raises:
            InputError: If a fraction of a pass is asked for.
        """
        assert self.epochs is not None
        if self.epochs.denominator == 1:
            return int(self.epochs)
        around = sorted({max(int(self.epochs), 1), ceil(self.epochs)})
        raise InputError(
            f"--epochs {self.epochs_text} like {framework}",
            rule="its loop counts whole passes, so it has no fraction of one",
            fixes=(*(f"--epochs {whole}" for whole in around), f"--steps {self.steps_by_hand}"),
        )

"""What a framework is told: the part of a plan that its arguments say."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.loader import LastWindow, Uneven
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.errors import InputError
from dist_epochs.plan.loops import foreign_uneven, micro_batches
from dist_epochs.plan.plan import Plan

__all__ = ["Setting", "setting_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A run as a framework's arguments say it.

    Attributes:
        samples: Samples of the corpus.
        per_device: Samples of a micro-batch, on one device.
        data_parallel_size: Devices that see different data.
        gradient_accumulation: Micro-steps of a window.
        epochs: How long, in passes; None where steps are asked for.
        steps: How long, in steps; None where epochs are.
        devices: All devices, those that see the same data included.
        uneven: What the user says of the last round of a pass; None, where it is left to the framework.
        last_window: What the user says of the last window of a pass; None, where it is left to the framework.
        tokens: Tokens of the corpus, where they are known.
        sequence_length: Positions of a sample, where it has a length.
        is_estimate: Whether the samples are tokens ÷ length, and nothing was packed.
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
    def epochs_in_words(self) -> str:
        """Epochs as people write them.

        Examples:
            >>> sizes = {"samples": 8, "per_device": 1, "data_parallel_size": 1, "gradient_accumulation": 1}
            >>> [Setting(**sizes, epochs=Fraction(text)).epochs_in_words for text in ("2.5", "3", "1/3")]
            ['2.5', '3', '1/3']
        """
        assert self.epochs is not None
        decimal = Decimal(self.epochs.numerator) / self.epochs.denominator
        return f"{decimal:f}" if Fraction(decimal) == self.epochs else str(self.epochs)

    @property
    def steps_by_hand(self) -> int:
        """Steps, or ⌈epochs × samples ÷ global batch⌉, which users work out for what takes no epochs."""
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
        around = f"{int(self.epochs)} or {ceil(self.epochs)}" if self.epochs > 1 else "1"
        raise InputError(
            f"--epochs {self.epochs_in_words} like {framework}: its loop counts whole passes, so it has no fraction of "
            f"one. Nearest: --epochs {around}, or --steps {self.steps_by_hand}. Nothing was rounded."
        )


def setting_of(plan: Plan) -> Setting:
    """What a plan tells a framework.

    Raises:
        InputError: If something that every framework needs is missing, or the plan is not one loop over one corpus.
    """
    recipe, batch = plan.recipe, plan.recipe.batch
    _check_one_loop(plan)
    missing = {
        "--per-device (samples of a micro-batch)": batch.per_device is None,
        "--devices": batch.devices is None and None in (batch.global_batch, batch.gradient_accumulation),
        "--corpus": plan.corpus_size is None,
    }
    if any(missing.values()):
        names = " and ".join(name for name, is_missing in missing.items() if is_missing)
        raise InputError(
            f"--like needs {names}: what a framework reports follows from samples, samples per device, devices, "
            "accumulation, and epochs or steps. With one of them left open there is no number to report."
        )
    samples, tokens = _corpus(plan)
    size = plan.batches[0].data_parallel_size
    per_device, accumulation = micro_batches(recipe, size)
    ((name, amount), *_) = plan.amounts
    return Setting(
        samples=samples,
        per_device=per_device,
        data_parallel_size=size,
        gradient_accumulation=accumulation,
        epochs=amount if name == "epochs" else None,
        steps=None if name == "epochs" else plan.steps,
        devices=plan.devices,
        uneven=foreign_uneven(batch.uneven),
        last_window=batch.last_window,
        tokens=tokens,
        sequence_length=recipe.phases[0].sequence_length,
        is_estimate=plan.is_estimate,
    )


def _check_one_loop(plan: Plan) -> None:
    """Frameworks are laid beside one loop over one corpus with one batch."""
    batch = plan.recipe.batch
    several = {
        "phases": len(plan.recipe.phases) > 1,
        "a batch ramp": batch.ramp is not None,
        "a mixture of sources": len(plan.sources) > 1,
        "sampling with replacement": batch.replacement,
        "uneven: allow": batch.uneven == "allow",
    }
    found = [name for name, is_there in several.items() if is_there]
    if found:
        raise InputError(
            f"--like lays one loop over one corpus beside a framework's, and this plan has {' and '.join(found)}, "
            "which their loops do not know. Plan one phase, one source and one batch, or leave --like out."
        )


def _corpus(plan: Plan) -> tuple[int, int | None]:
    """Samples and tokens of the corpus; samples are ⌊tokens ÷ length⌋ where nothing was packed."""
    size, length = plan.corpus_size, plan.recipe.phases[0].sequence_length
    assert size is not None
    if size.unit is Unit.SAMPLE:
        return int(size.value), None
    assert length is not None  # the recipe checks it
    one_pass = plan.pass_at(length)
    if one_pass is None:
        raise InputError(f"--like counts samples, and the store is not packed at length {length}: pack it, or another")
    if one_pass < 1:
        raise InputError(f"--like counts samples, and {size.value} tokens are less than one of length {length}")
    return int(one_pass), int(size.value)

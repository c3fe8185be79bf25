"""Passes as tools cut them into steps by rules of their own, and what is given for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

from dist_epochs.arithmetic.loader import LastWindow, Uneven
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import DerivedOrigin, KeyOrigin, Stated
from dist_epochs.tool_configs.complete import complete, data_parallel_size
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["Given", "Pass", "counted", "either", "ends", "held_out", "pass_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What flags and recipe state, as far as a tool's own rules need it.

    Attributes:
        batch: Factors of the batch.
        samples: Samples of the corpus, of all its sources together; None where they are not stated as such.
        sources: Samples by source, where the corpus has several.
        sequence_length: Positions of a sample, where there is one length.
        epochs: Passes that are asked for, in place of the file's.
        has_length: Whether the length of the run is stated, in whatever unit: the file's is then not used.
    """

    batch: LaunchSettings = field(default_factory=LaunchSettings)
    samples: int | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    sequence_length: int | None = None
    epochs: Stated[Fraction] | None = None
    has_length: bool = False

    def passes(self, own: LaunchSettings) -> Stated[Fraction] | None:
        """The passes that decide how long the run is; None where steps, or something else that is given, do.

        Args:
            own: What the file states; its steps win over its passes.
        """
        if self.has_length:
            return self.epochs
        return None if own.steps is not None else own.epochs


def either(tool: str, *stated: Stated[Any] | None) -> None:
    """Refuse two ways of saying how long a run is, of which a tool takes one.

    Raises:
        InputError: If several are stated.
    """
    found = [str(one.where) for one in stated if one is not None]
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(found)} are both stated",
            rule=f"{tool} takes one of them, and stops at its start",
            fixes="removing one",
        )


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass that a tool's own rule cuts into steps, where all that it needs is known.

    Attributes:
        samples: Samples of the corpus.
        size: Devices that see different data.
        each: Samples of a micro-step of a device.
        accumulation: Micro-steps of a step.
        epochs: The passes that are asked for.
    """

    samples: int
    size: int
    each: int
    accumulation: int
    epochs: Stated[Fraction]

    @property
    def round(self) -> int:
        """Samples of a micro-step, of all devices."""
        return self.each * self.size

    @property
    def batch(self) -> int:
        """Samples of a step."""
        return self.round * self.accumulation

    @property
    def times(self) -> str:
        """The passes, for a rule."""
        return f"{float(self.epochs.value):g}"

    def counted(self, steps: Fraction | int, rule: str, tool: str) -> Stated[int]:
        """The whole steps that a tool's own rule makes of the passes, as `counted` tells them."""
        return counted(int(steps), rule, self.epochs, tool)

    def told(self, micro_steps: int | None, steps: int) -> dict[str, Stated[int]]:
        """The micro-steps and steps of one pass, by the names under which they are told."""
        where = Origin(f"{self.samples:,} samples on {self.size:,} devices that see different data")
        found = {"micro_steps_per_pass": micro_steps, "steps_per_pass": steps}
        return {name: Stated(value, where) for name, value in found.items() if value is not None}


def pass_of(own: LaunchSettings, given: Given, samples: int | None = None) -> Pass | None:
    """The pass that a rule cuts; None where something that it needs is not known, or steps say how long the run is.

    Args:
        own: What the file states.
        given: What is given.
        samples: Samples of the corpus, where they are not those that are given.

    Raises:
        InputError: If the numbers of the batch contradict each other.
    """
    samples, epochs, whole = samples or given.samples, given.passes(own), complete(own, accumulates_once=False)
    size, each, accumulation = data_parallel_size(whole), whole.per_device, whole.gradient_accumulation
    if samples is None or epochs is None or size is None or each is None or accumulation is None:
        return None
    return Pass(samples, size, each.value, accumulation.value, epochs)


def counted(steps: int, rule: str, passes: Stated[Fraction], tool: str) -> Stated[int]:
    """The steps that a tool's own rule makes of its passes.

    Args:
        steps: The steps.
        rule: The rule with its numbers.
        passes: The passes, with the place that states them.
        tool: The tool.

    Raises:
        InputError: If that is no step at all.
    """
    if steps < 1:
        raise InputError(
            f"{float(passes.value):g} passes make no step in {tool}",
            rule=f"{rule} = 0",
            fixes=("a smaller batch", "more passes"),
            origin=passes.where,
        )
    where, made = passes.where, f"{tool} makes {rule} = {steps:,} steps"
    if isinstance(where, KeyOrigin):
        return Stated(steps, DerivedOrigin(where.name, where.line, key=where.key, rule=made))
    return Stated(steps, Origin(f"{where}: {made}"))


def ends(part: str, uneven: Uneven, last_window: LastWindow) -> dict[str, Any]:
    """What happens at the ends of passes, by a part of a tool, such as its loop."""
    return {"uneven": Stated(uneven, Origin(part)), "last_window": Stated(last_window, Origin(part))}


def held_out(top: Section, key: str, samples: int | None, *, largest_share: Fraction) -> int | None:
    """The samples that are left for training where a key holds some out: a share, or a number of rows.

    Args:
        top: The file.
        key: The key.
        samples: All samples; None where the corpus is not stated in them, which is then noted.
        largest_share: The largest number that is still a share; the tools differ about 1.

    Raises:
        InputError: If nothing would be left.
    """
    stated = top.number(key, "a share, or a number of rows")
    if stated is None or not stated.value:
        return samples
    if samples is None:
        top.note(key, "not taken off: it needs a corpus that is stated in samples")
        return None
    rows = ceil(stated.value * samples) if stated.value <= largest_share else int(stated.value)
    if rows >= samples:
        top.refuse(key, f"less than the {samples:,} samples that there are")
    top.note(key, f"holds {rows:,} of {samples:,} rows out: {samples - rows:,} are trained on")
    return samples - rows

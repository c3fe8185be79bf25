"""What happens at the end of a pass in a Trainer's run, as far as its own epoch tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.text import number
from dist_epochs.audit.runs.counts import known_passes
from dist_epochs.audit.runs.evidence import RunEvidence
from dist_epochs.audit.runs.trainer_passes import Ending, Passes
from dist_epochs.frameworks.setting import Setting

__all__ = ["ENDINGS", "OTHER_ENDINGS", "told_ending"]

ENDINGS: Mapping[Ending, str] = {
    "flush": "the last, partial window of a pass is stepped",
    "carry": "the last, partial window of a pass goes on into the next pass",
    "drop": "the last, partial window of a pass is dropped",
    "drop_last": "the last, partial micro-batch of a pass is not drawn (drop_last)",
}
"""The Trainer flushes since Transformers 4.52. Until 4.51 its plan drops the window, which its loop carries in 4.44 and
steps in 4.48 and 4.51. With drop_last all leave samples out."""

OTHER_ENDINGS: tuple[Ending, ...] = ("carry", "drop", "drop_last")
TOLD_ENDINGS: tuple[Ending, ...] = ("drop_last", "carry", "drop")
"""In the order in which they are taken where several log the same epoch: the newest version's first."""


def told_ending(evidence: RunEvidence) -> tuple[Ending, str] | None:
    """Another ending than flushing, where flushing does not log the run's epoch; what to say of it, if only one does.

    An epoch inside a pass is micro-steps ÷ micro-steps of a pass: to all the digits of a state it is logged by few
    layouts. At the end of a pass it tells nothing.
    """
    passes, epochs, steps = (
        known_passes(evidence),
        evidence.run.numbers.get("epochs"),
        evidence.run.numbers.get("steps"),
    )
    if passes is None or epochs is None or steps is None or passes.ending != "flush" or epochs.value.denominator == 1:
        return None
    made = int(steps.value)
    if not made or _settings(evidence, passes, made):
        return None
    others = [replace(passes, ending=ending) for ending in TOLD_ENDINGS]
    found = [(other, settings[0]) for other in others if (settings := _settings(evidence, other, made))]
    if not found:
        return None
    other, setting = found[0]
    return other.ending, _note(other, setting, made, epochs.text) if len(found) == 1 else ""


def _settings(evidence: RunEvidence, passes: Passes, steps: int) -> list[Setting]:
    """Layouts that log the run's epoch, if the plan makes as many epochs as it was told; those are rounded up."""
    planned, told = (evidence.run.numbers.get(name) for name in ("planned_steps", "planned_epochs"))
    if planned is not None and told is not None:
        most, least = (-(-planned.value // per_pass) for per_pass in (passes.least_per_pass, passes.per_pass))
        if not least <= told.value <= most:
            return []
    return passes.settings_that_log(steps)


def _note(passes: Passes, setting: Setting, steps: int, epoch: str) -> str:
    window = setting.gradient_accumulation
    micro_steps = -(-passes.corpus // (passes.batch // window))
    told = f"The logged epoch, {epoch}, says what happens at the end of a pass: {ENDINGS[passes.ending]}"
    if passes.ending != "carry":
        return f"{told}."
    return (
        f"{told}, as in Transformers 4.44. It is {steps * window:,} micro-steps ÷ {micro_steps:,} a pass = "
        f"{number(Fraction(steps * window, micro_steps))}, with a gradient accumulation of {window} or a multiple "
        "of it."
    )

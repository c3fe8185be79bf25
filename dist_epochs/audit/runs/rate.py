"""The samples a second that the HF Trainer logs, against the batch and the samples that are claimed.

At the end of `train` it divides the samples of the plan by the seconds: steps × batch if it was told its steps, else
samples of the data × epochs (Transformers 4.10 to 5.24, `trainer.py`). Rate × seconds ÷ steps is therefore the batch,
but for what each pass may leave out or make up at its end: at most a step. Since 5.19 both are scaled to the steps of
the last start, which are known to the digits of the logged steps a second only.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.check import compare_with_stated
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.runs.evidence import RunEvidence

__all__ = ["BY_RATE", "check_rate"]

BY_RATE = ("global batch by the logged rate", "samples by the logged rate")
"""Names of the checks."""

LAYOUT = ("per_device", "gradient_accumulation", "devices")


def check_rate(evidence: RunEvidence) -> None:
    """Compare a claimed batch, or a claimed layout, and claimed samples with the logged rate."""
    passes = _passes(evidence)
    if passes is None or not evidence.has("timed_samples", "rated_steps") or evidence.run.changes_batch:
        return
    if evidence.values["split"].count != 1:
        return  # devices that share a model are counted by some versions as if they saw different data
    samples, steps = evidence.values["timed_samples"].interval, evidence.values["rated_steps"].interval
    made = evidence.run.numbers["steps"].value
    shortest = steps.low - passes
    how = f"{evidence.run.numbers['timed_samples'].text} samples/s"
    if shortest > 0:
        batch = Interval(samples.point / steps.point, samples.low / (steps.high + passes), samples.high / shortest)
        fact, said = _claimed_batch(evidence)
        evidence.checks.append(
            compare_with_stated(
                BY_RATE[0], batch, f"{how} ÷ {rounded(steps.point)}{said}", fact,
                uses=frozenset({"global_batch", "timed_samples", "samples_per_second", "seconds", "steps"}),
            )
        )  # fmt: skip
    claimed = evidence.claims.numbers.get("samples")
    if claimed is not None:
        partial = samples.high * passes / max(shortest, Fraction(1))
        low, high = samples.low * made / steps.high, samples.high * made / steps.low  # the rate may be of other steps
        near = Interval(
            samples.point, max(min(low, samples.point) - partial, Fraction(0)), max(high, samples.point) + partial
        )
        evidence.checks.append(
            compare_with_stated(BY_RATE[1], near, how, claimed, uses=frozenset({"samples", "timed_samples"}))
        )


def _passes(evidence: RunEvidence) -> int | None:
    """Passes that were begun or told: each may end with a short step, or without one; a stream is in whole steps.

    The rate is of the passes that were told. Until 4.44 windows went on over their ends, so that fewer were begun.
    """
    epochs, told = evidence.run.numbers.get("epochs"), evidence.run.numbers.get("planned_epochs")
    if epochs is not None:
        return ceil(max(epochs.interval.high, told.interval.high if told is not None else Fraction(0)))
    return 0 if evidence.run.streams else None


def _claimed_batch(evidence: RunEvidence) -> tuple[Fact | None, str]:
    """The batch as claimed, or as the claimed layout makes it, with what to say of that."""
    claims = evidence.claims.numbers
    if "global_batch" in claims:
        return claims["global_batch"], ""
    if not evidence.has(*LAYOUT) or not any(name in claims for name in LAYOUT):
        return None, ""
    product, how, _ = evidence.work_out(" * ".join(LAYOUT))
    if not product.is_exact:
        return None, ""
    return Fact.exactly(product.point), f", against {how}"

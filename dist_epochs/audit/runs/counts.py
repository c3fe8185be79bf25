"""Steps, samples, tokens and epochs of a finished run, each derived and compared with what is stated."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.check import compare_with_stated
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.runs.batch_layout import COUNTS_POSITIONS, check_layout
from dist_epochs.audit.runs.evidence import KnownNumber, RunEvidence
from dist_epochs.audit.runs.trainer_passes import Passes
from dist_epochs.errors import InputError

__all__ = ["TRAINERS", "check_counts", "known_passes"]

LOGGED_AND_CLAIMED = (
    "global_batch", "per_device", "gradient_accumulation", "devices", "tensor_parallel", "pipeline_parallel",
    "context_parallel", "sequence_length", "corpus", "steps", "samples", "tokens", "epochs", "tokens_per_second",
)  # fmt: skip


TRAINERS = ("hf-trainer", "hf-console", "hf-results", "model-card", "llamafactory", "tfevents")
"""Records that hold what a Trainer was told."""


def check_counts(evidence: RunEvidence) -> None:
    """Everything that follows from steps, batch and corpus."""
    for name in LOGGED_AND_CLAIMED:
        _claimed_and_logged(evidence, name)
    check_layout(evidence)
    _planned_steps(evidence)
    _samples(evidence)
    _tokens(evidence)
    _epochs(evidence)
    _documents(evidence)
    _balances(evidence)


def _claimed_and_logged(evidence: RunEvidence, name: str) -> None:
    number = evidence.run.numbers.get(name)
    if number is None or name not in evidence.claims.numbers or (name == "global_batch" and evidence.run.changes_batch):
        return
    if name == "corpus" and evidence.corpus is evidence.claims.numbers["corpus"]:
        return  # in tokens, which the run did not count
    derived = number.interval
    if name == "epochs" and evidence.run.counts_passes:
        derived = _of_data(evidence, derived)
    evidence.compare(name, derived, number.where, uses=frozenset({name}))


def _of_data(evidence: RunEvidence, logged: Interval) -> Interval:
    """The Trainer's epoch counts micro-steps: a pass that drops or pads its last ones has fewer or more samples."""
    made = evidence.run.numbers.get("steps")
    if made is None:  # then nothing tells how many micro-steps a pass has
        return logged
    steps = made.value
    per_pass = steps / logged.point if logged.point else Fraction(0)
    if per_pass <= 1:
        return Interval(logged.point, Fraction(0), max(logged.high, steps * 10**6))
    low = min(logged.low * per_pass / (per_pass + 1), (steps - 1) / per_pass)
    return Interval(logged.point, low, logged.high * per_pass / (per_pass - 1))


def _planned_steps(evidence: RunEvidence) -> None:
    """Steps of the epochs that the Trainer was told, if it made them all."""
    passes, epochs = known_passes(evidence), _epochs_told(evidence)
    if passes is None or not evidence.run.counts_passes:
        return
    if epochs is None:
        _plan_of_steps(evidence, passes)
        return
    steps = passes.steps(epochs.point)
    fewest = steps if epochs.is_exact else passes.least_steps(epochs.low)
    derived = Interval(
        Fraction(steps),
        Fraction(min(steps, fewest)),
        Fraction(max(steps, floor(epochs.high * passes.per_pass))),
    )
    how = f"{rounded(epochs.point)} × {_steps_a_pass(passes)}"
    evidence.compare_with_log("steps", derived, how, uses=frozenset({"corpus", "global_batch"}))


def _plan_of_steps(evidence: RunEvidence, passes: Passes) -> None:
    """The planned steps beside the planned epochs, of a run that logged its corpus.

    Some versions plan whole windows of a pass, others the partial one, too. Of a run that was told its steps, the
    epochs are rounded up.
    """
    told, planned = evidence.run.numbers.get("planned_epochs"), evidence.run.numbers.get("planned_steps")
    if told is None or planned is None or "corpus" not in evidence.run.numbers:
        return
    plans = (passes, replace(passes, ending="drop"))
    passes = next((one for one in plans if one.steps(told.value) == planned.value), passes)
    steps, fewer = passes.steps(told.value), passes.least_steps(told.value - 1)
    derived = Interval(Fraction(steps), Fraction(min(fewer + 1, steps)), Fraction(steps))
    how = f"{rounded(told.value)} × {_steps_a_pass(passes)}"
    evidence.compare_with_log("planned_steps", derived, how, uses=frozenset({"corpus", "global_batch"}))


def _steps_a_pass(passes: Passes) -> str:
    """Steps of a pass by their formula, if one of the two gives them."""
    per_pass, ratio = passes.per_pass, f"{passes.corpus:,} ÷ {passes.batch:,}"
    if per_pass == -(-passes.corpus // passes.batch):
        return f"⌈{ratio}⌉"
    return f"⌊{ratio}⌋" if per_pass == passes.corpus // passes.batch else f"{per_pass:,} steps a pass"


def _epochs_told(evidence: RunEvidence) -> Interval | None:
    """Epochs that were asked for and made; None for a run that was told its steps, or ended before."""
    numbers = evidence.run.numbers
    planned, epochs, steps = numbers.get("planned_epochs"), numbers.get("epochs"), numbers.get("planned_steps")
    made = numbers.get("steps")
    if epochs is None or evidence.run.is_cut or (steps is not None and (made is None or steps.value > made.value)):
        return None
    if evidence.run.kind == "wandb" and planned is not None and steps is None and epochs.interval.high >= planned.value:
        return Interval.exact(planned.value)
    is_trainer = evidence.run.kind in TRAINERS
    if evidence.ending in ("carry", "drop") and is_trainer and planned is not None and planned.value:
        # their plan and their passes part, and of a run that was told its steps the epochs are rounded up
        is_whole = planned.value == epochs.value
        return Interval(planned.value, planned.value - (not is_whole), planned.value)
    if epochs.value.denominator != 1 or not epochs.value:
        return None
    told = planned.value if is_trainer and planned is not None else epochs.value
    tolerance = epochs.interval.high - epochs.value
    return Interval(told, told - tolerance, told + tolerance)


def known_passes(evidence: RunEvidence) -> Passes | None:
    """Passes over the corpus, where it and the batch are whole."""
    corpus, batch = evidence.corpus, evidence.values.get("global_batch")
    if corpus is None or corpus.number.unit is not Unit.SAMPLE or batch is None or not batch.count:
        return None
    if corpus.number.value.denominator != 1 or not corpus.interval.is_exact:
        return None
    per_device = evidence.values.get("per_device")
    return Passes(
        corpus=int(corpus.number.value),
        batch=batch.count,
        accumulation=_accumulation(evidence),
        ending="stream" if evidence.run.streams else evidence.ending,
        per_device=per_device.count if per_device is not None else None,
        logged=logged.interval if (logged := evidence.run.numbers.get("epochs")) is not None else None,
    )


def _accumulation(evidence: RunEvidence) -> int | None:
    """As it is stated, or by the rest of the layout."""
    known = evidence.values.get("gradient_accumulation")
    if known is not None or not evidence.has("per_device", "devices", "split"):
        return known.count if known else None
    derived, *_ = evidence.work_out("global_batch * split / (per_device * devices)")
    return KnownNumber(derived, "derived").count


def _samples(evidence: RunEvidence) -> None:
    numbers = evidence.run.numbers
    if "segment_samples" in numbers:
        derived = numbers["segment_batches"].interval
        how = "steps between lines × their batch, added"
        evidence.compare("samples_between_lines", derived, how, uses=frozenset({"samples"}), logged="segment_samples")
    if evidence.run.changes_batch or ("samples" in numbers and evidence.run.kind not in COUNTS_POSITIONS):
        return  # a partial batch may end each pass
    batch = evidence.values.get("global_batch")
    if "samples" in numbers and (batch is None or batch.origin == "derived"):
        return  # the batch came from the samples, or changes
    steps = evidence.values.get("steps")
    if evidence.run.streams or (
        evidence.run.kind in (*TRAINERS, "wandb", "lightning") and steps is not None and steps.count
    ):
        _samples_in_passes(evidence)
    elif not ("samples" in numbers and _begins_late(evidence)):
        evidence.compare_formula("samples", "steps * global_batch")


def _begins_late(evidence: RunEvidence) -> bool:
    """A log that begins in the middle says nothing of the batches before it."""
    first = evidence.first_step
    derived, how, _ = evidence.work_out("steps * global_batch")
    logged = evidence.run.numbers["samples"].value
    if first <= 1 or derived.holds(logged):
        return False
    evidence.notes.append(
        f"The log begins at step {first:,}. {how} would be {rounded(derived.point)} samples, and {rounded(logged)} are "
        "logged: other batches came before it, such as a ramp."
    )
    return True


def _samples_in_passes(evidence: RunEvidence) -> None:
    """As the Trainer draws them: short of full batches where a pass ends, and at most full batches.

    Nothing is derived of a stream without its corpus.
    """
    passes, known = known_passes(evidence), evidence.values.get("steps")
    steps = known.count if known is not None else None
    if passes is None and not evidence.run.streams:
        _samples_at_most(evidence)
    if passes is None or not steps:
        return
    try:
        derived = passes.samples(steps)
    except InputError:  # a corpus smaller than a window that is dropped, or no layout of the batch that can run
        return
    how = f"{steps:,} × {passes.batch:,}"
    if passes.ending == "stream":
        how += f", as the Trainer draws a stream of {passes.corpus:,}"
    elif derived.point != steps * passes.batch:
        how += f", the last of each pass of {passes.corpus:,} partial"
    evidence.compare("samples", derived, how, uses=frozenset({"steps", "global_batch", "corpus"}))


def _samples_at_most(evidence: RunEvidence) -> None:
    """Full batches; each pass of a Trainer may end with a partial one, or leave some of it to the next."""
    epochs = evidence.run.numbers.get("epochs")
    if not evidence.run.counts_passes or not evidence.has("steps", "global_batch"):
        evidence.compare_formula("samples", "steps * global_batch")
        return
    derived, how, names = evidence.work_out("steps * global_batch")
    ended = ceil(epochs.interval.high) if epochs else evidence.values["steps"].interval.high
    partial = ended * evidence.values["global_batch"].interval.high
    drawn = Interval(derived.point, max(derived.low - partial, Fraction(0)), derived.high + partial)
    evidence.compare("samples", drawn, how, uses=names)


def _tokens(evidence: RunEvidence) -> None:
    if not evidence.has("samples", "sequence_length"):
        return
    if "tokens" not in evidence.run.numbers or evidence.run.kind in COUNTS_POSITIONS:
        evidence.compare_formula("tokens", "samples * sequence_length")
    else:  # what was logged may leave padding out
        derived, how, names = evidence.work_out("tokens / (samples * sequence_length)")
        evidence.inform("tokens for a position", derived, how, uses=names)


def _epochs(evidence: RunEvidence) -> None:
    corpus = evidence.corpus
    if corpus is None:
        return
    drawn = "samples" if corpus.number.unit is Unit.SAMPLE else "tokens"
    if not evidence.has(drawn, "corpus"):
        return
    derived, how, names = evidence.work_out(f"{drawn} / corpus")
    passes, steps = known_passes(evidence), evidence.values.get("steps")
    if drawn == "samples" and evidence.run.counts_passes and passes is not None and steps is not None and steps.count:
        with suppress(InputError):  # a corpus smaller than a window that is dropped
            whole = passes.epochs(steps.count)
            derived = Interval(derived.point, min(derived.low, whole.low), max(derived.high, whole.high))
    elif drawn == "samples" and evidence.run.counts_passes and "epochs" in evidence.run.numbers:
        derived = _of_data(evidence, derived)
    evidence.compare("epochs", derived, how, uses=names)
    stream = evidence.run.numbers.get("stream_epoch")
    if stream is not None:
        evidence.notes.append(
            f"The Trainer logged epoch {stream.text} of its stream: {rounded(derived.point)} were drawn."
        )


def _documents(evidence: RunEvidence) -> None:
    corpus = evidence.corpus
    if corpus is not None and corpus.number.unit is Unit.SAMPLE and evidence.has("documents", "corpus"):
        derived, how, names = evidence.work_out("documents / corpus")
        evidence.inform("documents for a sample", derived, how, uses=names)


def _balances(evidence: RunEvidence) -> None:
    """Files of one run against each other; of our own ledger, the plan against what was recorded and has a cause."""
    for other in evidence.run.comparisons:
        evidence.compare_two(other.name, other.mine, other.theirs)
    for balance in evidence.run.balances:
        parts = [f"{balance.recorded:,} recorded", *(f"{n:,} {cause}" for cause, n in balance.explained.items())]
        total = Interval.exact(balance.recorded + sum(balance.explained.values()))
        planned = Fact.exactly(balance.planned)
        name = f"planned {balance.unit}"
        evidence.checks.append(compare_with_stated(name, total, " + ".join(parts), planned, uses=frozenset()))

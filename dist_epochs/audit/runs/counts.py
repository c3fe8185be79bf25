"""Steps, samples, tokens and epochs of a finished run, each derived and held against what is stated."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.runs.batch_layout import COUNTS_POSITIONS, check_layout
from dist_epochs.audit.runs.check import RunCheck
from dist_epochs.audit.runs.evidence import Bench, Value, plain
from dist_epochs.audit.runs.stream import stream_samples
from dist_epochs.audit.runs.trainer_passes import Passes
from dist_epochs.errors import InputError

__all__ = ["check_counts"]

LOGGED_AND_CLAIMED = (
    "global_batch", "per_device", "gradient_accumulation", "devices", "tensor_parallel", "pipeline_parallel",
    "context_parallel", "sequence_length", "steps", "samples", "tokens", "epochs", "tokens_per_second",
)  # fmt: skip


def check_counts(bench: Bench) -> None:
    """Everything that follows from steps, batch and corpus."""
    for name in LOGGED_AND_CLAIMED:
        _claimed_and_logged(bench, name)
    check_layout(bench)
    _planned_steps(bench)
    _samples(bench)
    _tokens(bench)
    _epochs(bench)
    _documents(bench)
    _balances(bench)


def _claimed_and_logged(bench: Bench, name: str) -> None:
    number = bench.run.numbers.get(name)
    if number is None or name not in bench.claims.numbers or (name == "global_batch" and bench.run.changes_batch):
        return
    derived = number.interval
    if name == "epochs" and bench.run.counts_passes:
        derived = _of_data(bench, derived)
    bench.hold(name, derived, number.where, uses=frozenset({name}))


def _of_data(bench: Bench, logged: Interval) -> Interval:
    """The Trainer's epoch counts micro-steps: a pass that drops or pads its last ones has fewer or more samples."""
    steps = bench.run.numbers["steps"].value
    per_pass = steps / logged.point if logged.point else Fraction(0)
    if per_pass <= 1:
        return Interval(logged.point, Fraction(0), max(logged.high, steps * 10**6))
    low = min(logged.low * per_pass / (per_pass + 1), (steps - 1) / per_pass)
    return Interval(logged.point, low, logged.high * per_pass / (per_pass - 1))


def _planned_steps(bench: Bench) -> None:
    """Steps of the epochs that the Trainer was told, if it made them all."""
    passes, epochs = _passes(bench), _epochs_told(bench)
    if passes is None or epochs is None or not bench.run.counts_passes:
        return
    steps = passes.steps(epochs.point)
    derived = Interval(
        Fraction(steps),
        Fraction(min(steps, passes.steps(epochs.low))),
        Fraction(max(steps, floor(epochs.high * passes.per_pass))),
    )
    how = f"{plain(epochs.point)} × {_steps_a_pass(passes)}"
    bench.hold_logged("steps", derived, how, uses=frozenset({"corpus", "global_batch"}))


def _steps_a_pass(passes: Passes) -> str:
    """Steps of a pass by their formula, if one of the two gives them."""
    per_pass, ratio = passes.per_pass, f"{passes.corpus:,} ÷ {passes.batch:,}"
    if per_pass == -(-passes.corpus // passes.batch):
        return f"⌈{ratio}⌉"
    return f"⌊{ratio}⌋" if per_pass == passes.corpus // passes.batch else f"{per_pass:,} steps a pass"


def _epochs_told(bench: Bench) -> Interval | None:
    """Epochs that were asked for and made; None for a run that was told its steps, or ended before."""
    numbers = bench.run.numbers
    planned, epochs, steps = numbers.get("planned_epochs"), numbers.get("epochs"), numbers.get("planned_steps")
    if epochs is None or bench.run.is_cut or (steps is not None and steps.value > numbers["steps"].value):
        return None
    if bench.run.kind == "wandb" and planned is not None and steps is None and epochs.interval.high >= planned.value:
        return Interval.exact(planned.value)
    if epochs.value.denominator != 1 or not epochs.value:
        return None
    told = planned.value if bench.run.kind == "hf-trainer" and planned is not None else epochs.value
    play = epochs.interval.high - epochs.value
    if told != epochs.value and bench.ending in ("carry", "drop"):  # until 4.48 its plan and its passes parted
        return Interval(told, min(told, told - 1), told + play)
    return Interval(told, told - play, told + play)


def _passes(bench: Bench) -> Passes | None:
    """Passes over the corpus, where it and the batch are whole."""
    corpus, batch = bench.claims.numbers.get("corpus"), bench.values.get("global_batch")
    if corpus is None or corpus.number.unit is not Unit.SAMPLE or batch is None or not batch.count:
        return None
    if corpus.number.value.denominator != 1 or not corpus.interval.is_exact:
        return None
    return Passes(int(corpus.number.value), batch.count, _accumulation(bench, batch.count), bench.ending)


def _accumulation(bench: Bench, batch: int) -> int | None:
    """As it is stated, or by the rest of the layout."""
    known = bench.values.get("gradient_accumulation")
    if known is not None or not bench.has("per_device", "devices", "split"):
        return known.count if known else None
    derived, *_ = bench.work_out("global_batch * split / (per_device * devices)")
    return Value(derived, "derived").count


def _samples(bench: Bench) -> None:
    numbers = bench.run.numbers
    if "segment_samples" in numbers:
        derived = numbers["segment_batches"].interval
        how = "steps between lines × their batch, added"
        bench.hold("samples_between_lines", derived, how, uses=frozenset({"samples"}), logged="segment_samples")
    if bench.run.changes_batch or ("samples" in numbers and bench.run.kind not in COUNTS_POSITIONS):
        return  # a partial batch may end each pass
    batch = bench.values.get("global_batch")
    if "samples" in numbers and (batch is None or batch.origin == "derived"):
        return  # the batch came from the samples, or changes
    steps = bench.values.get("steps")
    if bench.run.streams:
        _samples_of_stream(bench)
    elif bench.run.kind in ("hf-trainer", "wandb") and steps is not None and steps.count:
        _samples_in_passes(bench, steps.count)
    elif not ("samples" in numbers and _begins_late(bench)):
        bench.follow("samples", "steps * global_batch")


def _samples_of_stream(bench: Bench) -> None:
    """By the Trainer's own loop, whose windows grow at the end of a pass; nothing without the corpus."""
    passes, steps = _passes(bench), bench.values["steps"].count
    if passes is None or not steps:
        return
    per_device = bench.values.get("per_device")
    derived = stream_samples(
        corpus=passes.corpus,
        batch=passes.batch,
        per_device=per_device.count if per_device else None,
        accumulation=passes.accumulation,
        steps=steps,
    )
    if derived is not None:
        how = f"{steps:,} × {passes.batch:,}, as the Trainer draws a stream of {passes.corpus:,}"
        bench.hold("samples", derived, how, uses=frozenset({"steps", "global_batch", "corpus"}))


def _begins_late(bench: Bench) -> bool:
    """A log that begins in the middle says nothing of the batches before it."""
    first = bench.run.segments[0].steps.first if bench.run.segments else 1
    derived, how, _ = bench.work_out("steps * global_batch")
    logged = bench.run.numbers["samples"].value
    if first <= 1 or derived.holds(logged):
        return False
    bench.notes.append(
        f"The log begins at step {first:,}. {how} would be {plain(derived.point)} samples, and {plain(logged)} are "
        "logged: other batches came before it, such as a ramp."
    )
    return True


def _samples_in_passes(bench: Bench, steps: int) -> None:
    """Short of full batches where a pass ends; at most full batches."""
    passes = _passes(bench)
    if passes is None:
        _samples_at_most(bench)
        return
    try:
        derived = passes.samples(steps)
    except InputError:  # a corpus smaller than a window that is dropped
        return
    how = f"{steps:,} × {passes.batch:,}"
    if derived.point != steps * passes.batch:
        how += f", the last of each pass of {passes.corpus:,} partial"
    bench.hold("samples", derived, how, uses=frozenset({"steps", "global_batch", "corpus"}))


def _samples_at_most(bench: Bench) -> None:
    """Full batches; each pass of a Trainer may end with a partial one, or leave some of it to the next."""
    epochs = bench.run.numbers.get("epochs")
    if not bench.run.counts_passes or not bench.has("steps", "global_batch"):
        bench.follow("samples", "steps * global_batch")
        return
    derived, how, names = bench.work_out("steps * global_batch")
    ended = ceil(epochs.interval.high) if epochs else bench.values["steps"].interval.high
    play = ended * bench.values["global_batch"].interval.high
    bench.hold(
        "samples", Interval(derived.point, max(derived.low - play, Fraction(0)), derived.high + play), how, uses=names
    )


def _tokens(bench: Bench) -> None:
    if not bench.has("samples", "sequence_length"):
        return
    if "tokens" not in bench.run.numbers or bench.run.kind in COUNTS_POSITIONS:
        bench.follow("tokens", "samples * sequence_length")
    else:  # what was logged may leave padding out
        derived, how, names = bench.work_out("tokens / (samples * sequence_length)")
        bench.inform("tokens for a position", derived, how, uses=names)


def _epochs(bench: Bench) -> None:
    corpus = bench.claims.numbers.get("corpus")
    if corpus is None:
        return
    drawn = "samples" if corpus.number.unit is Unit.SAMPLE else "tokens"
    if not bench.has(drawn, "corpus"):
        return
    derived, how, names = bench.work_out(f"{drawn} / corpus")
    passes, steps = _passes(bench), bench.values.get("steps")
    if drawn == "samples" and bench.run.counts_passes and passes is not None and steps is not None and steps.count:
        with suppress(InputError):  # a corpus smaller than a window that is dropped
            whole = passes.epochs(steps.count)
            derived = Interval(derived.point, min(derived.low, whole.low), max(derived.high, whole.high))
    elif drawn == "samples" and bench.run.counts_passes and "epochs" in bench.run.numbers:
        derived = _of_data(bench, derived)
    bench.hold("epochs", derived, how, uses=names)
    stream = bench.run.numbers.get("stream_epoch")
    if stream is not None:
        bench.notes.append(f"The Trainer logged epoch {stream.text} of its stream: {plain(derived.point)} were drawn.")


def _documents(bench: Bench) -> None:
    corpus = bench.claims.numbers.get("corpus")
    if corpus is not None and corpus.number.unit is Unit.SAMPLE and bench.has("documents", "corpus"):
        derived, how, names = bench.work_out("documents / corpus")
        bench.inform("documents for a sample", derived, how, uses=names)


def _balances(bench: Bench) -> None:
    """Our own books: what was planned is what was recorded and what has a cause."""
    for balance in bench.run.balances:
        parts = [f"{balance.recorded:,} recorded", *(f"{n:,} {cause}" for cause, n in balance.explained.items())]
        total = balance.recorded + sum(balance.explained.values())
        agreement = Agreement.EXACT if total == balance.planned else Agreement.CONTRADICTS
        bench.checks.append(
            RunCheck(
                name=f"planned {balance.unit}", derived=Interval.exact(total), how=" + ".join(parts),
                stated=f"{balance.planned:,}", against=Fraction(balance.planned), agreement=agreement,
            )
        )  # fmt: skip

"""Steps, samples, tokens and epochs of a finished run, each derived and held against what is stated."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from dist_epochs.arithmetic.loader import Loader
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.agreement import Agreement
from dist_epochs.audit.interval import Interval
from dist_epochs.audit.runs.bench import Bench, plain
from dist_epochs.audit.runs.check import RunCheck
from dist_epochs.audit.runs.layout import COUNTS_POSITIONS, check_layout
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
    if number is not None and name in bench.claims.numbers:
        bench.hold(name, number.interval, number.where, uses=frozenset({name}))
        if name == "per_device" and bench.run.kind == "hf-trainer":
            _told_of_data_parallel(bench, bench.checks[-1])


def _told_of_data_parallel(bench: Bench, check: RunCheck) -> None:
    """One process that sees several GPUs multiplies the batch, and writes the product down."""
    times = check.derived.point / check.against if check.against else Fraction(0)
    if times > 1 and times.denominator == 1:
        bench.notes.append(
            f"train_batch_size is {times} × what is claimed: with nn.DataParallel, where one process sees {times} "
            "GPUs, the Trainer multiplies per_device_train_batch_size by them."
        )


def _planned_steps(bench: Bench) -> None:
    """Steps of so many passes, where windows end with the pass."""
    sizes = _pass(bench)
    if sizes is None or not bench.run.counts_passes:
        return
    corpus, batch = sizes
    claimed = bench.claims.numbers.get("epochs")
    epochs, logged = (claimed.number.value, "planned_steps") if claimed else (_whole_epochs(bench), "steps")
    if epochs is None:
        return
    ratio = f"{corpus:,} ÷ {batch:,}"
    match bench.last_window:
        case "flush":
            steps, how = ceil(epochs * ceil(Fraction(corpus, batch))), f"{plain(epochs)} × ⌈{ratio}⌉"
        case "carry":
            steps, how = floor(epochs * Fraction(corpus, batch)), f"⌊{plain(epochs)} × {ratio}⌋"
        case "drop":
            steps, how = floor(epochs * (corpus // batch)), f"{plain(epochs)} × ⌊{ratio}⌋"
    used = frozenset({"corpus", "global_batch", "epochs"} if claimed else {"corpus", "global_batch"})
    stated = bench.run.numbers.get(logged) or bench.run.numbers.get("steps")
    if stated is not None and stated.value != bench.values["steps"].interval.point:
        how = f"{how}, planned"  # a run that stopped early
    bench.hold("steps", Interval.exact(steps), how, uses=used, logged=logged if stated else None)


def _whole_epochs(bench: Bench) -> Fraction | None:
    epochs = bench.run.numbers.get("epochs")
    return epochs.value if epochs and epochs.value.denominator == 1 and epochs.value > 0 else None


def _pass(bench: Bench) -> tuple[int, int] | None:
    """Samples of the corpus and of a step, where both are whole."""
    corpus, batch = bench.claims.numbers.get("corpus"), bench.values.get("global_batch")
    if corpus is None or corpus.number.unit is not Unit.SAMPLE or batch is None or not batch.count:
        return None
    return (int(corpus.number.value), batch.count) if corpus.number.value.denominator == 1 else None


def _samples(bench: Bench) -> None:
    numbers = bench.run.numbers
    if "segment_samples" in numbers:
        derived = numbers["segment_batches"].interval
        how = "steps between lines × their batch, added"
        bench.hold("samples_between_lines", derived, how, uses=frozenset({"samples"}), logged="segment_samples")
    if "samples" in numbers and bench.run.kind not in COUNTS_POSITIONS:
        return  # a partial batch may end each pass
    batch = bench.values.get("global_batch")
    if "samples" in numbers and (batch is None or batch.origin == "derived"):
        return  # the batch came from the samples, or changes
    sizes, steps = _pass(bench), bench.values.get("steps")
    if sizes is not None and bench.run.counts_passes and steps is not None and steps.count:
        _samples_in_passes(bench, *sizes, steps.count)
        return
    if "samples" in numbers and _begins_late(bench):
        return
    bench.follow("samples", "steps * global_batch")


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


def _samples_in_passes(bench: Bench, corpus: int, batch: int, steps: int) -> None:
    """Without the duplicates that complete the last round of a pass; at most full batches."""
    try:
        loader = Loader(samples=corpus, per_device=batch, uneven="keep", last_window=bench.last_window)
        drawn = Fraction(loader.after_steps(steps).samples)
    except InputError:  # a corpus smaller than a window that is dropped
        return
    how = f"{steps:,} × {batch:,}, the last of each pass of {corpus:,} partial"
    if corpus % batch == 0 or drawn == steps * batch:
        how = f"{steps:,} × {batch:,}"
    most = max(drawn, Fraction(steps * batch))
    used = frozenset({"steps", "global_batch", "corpus"})
    bench.hold("samples", Interval(drawn, drawn, most), how, uses=used)


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
    logged = bench.run.numbers.get("epochs")
    if "epochs" not in bench.claims.numbers and logged is not None and logged.value.denominator != 1:
        derived = _within_a_pass(bench, derived)
    bench.hold("epochs", derived, how, uses=names)
    if bench.checks[-1].agreement is Agreement.CONTRADICTS and bench.checks[-1].stated and logged is not None:
        _told_of_epochs(bench)


def _within_a_pass(bench: Bench, derived: Interval) -> Interval:
    """Inside a pass the HF Trainer divides micro-steps, of which the last of a pass may be short."""
    sizes = _pass(bench)
    if sizes is None or not bench.run.counts_passes:
        return derived
    short = Fraction(sizes[1], sizes[0])
    return Interval(derived.point, max(derived.low - short, Fraction(0)), derived.high)


def _told_of_epochs(bench: Bench) -> None:
    if bench.run.kind == "hf-trainer" and not bench.run.counts_passes:
        bench.notes.append("The epoch of a stream is no count of data: take samples drawn ÷ samples of the corpus.")


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

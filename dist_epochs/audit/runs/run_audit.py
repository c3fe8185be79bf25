"""A finished run, audited: readings and the verdict, by the rules of claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.text import number
from dist_epochs.audit.check import LITERAL, Reading
from dist_epochs.audit.records.record import FinishedRun, Number, as_stream
from dist_epochs.audit.runs.batch_layout import SPLITS
from dist_epochs.audit.runs.claims import Claims
from dist_epochs.audit.runs.counts import TRAINERS, check_counts
from dist_epochs.audit.runs.endings import ENDINGS, OTHER_ENDINGS, told_ending
from dist_epochs.audit.runs.evidence import RunEvidence
from dist_epochs.audit.runs.own_numbers import tell_own_numbers
from dist_epochs.audit.runs.rate import BY_RATE, check_rate
from dist_epochs.audit.runs.speed import check_speed, missing_for_mfu
from dist_epochs.audit.runs.trainer_passes import Ending
from dist_epochs.audit.runs.whole_record import record_json
from dist_epochs.audit.verdict import Audit, judge

__all__ = ["audit_run"]

NEEDS = {
    "devices": "the global batch, --per-device and --gradient-accumulation",
    "global_batch": "--per-device, --gradient-accumulation and --devices, or a counter of samples",
    "steps": "--corpus, --epochs and the global batch",
    "samples": "the steps and --global-batch",
    "tokens": "the samples drawn and --sequence-length",
    "epochs": "--corpus in the unit that is counted, and the samples or tokens drawn",
    "gradient_accumulation": "the global batch, --per-device and --devices",
    "hours": "the seconds that the run logged",
    "documents": "--corpus in samples",
    "tokens_per_second": "the seconds of the run's steps, or --hours",
}
"""What a claim needs to be compared with something."""


FOR_MFU = ("mfu", "peak_tflops", "parameters")
"""Claims that only a utilization uses."""


def audit_run(run: FinishedRun, claims: Claims) -> Audit:
    """Compare a run with what is claimed of it, and with itself.

    The verdict follows by the rules of `judge`. What the run logged goes before what is claimed: a claim is derived
    from logged numbers as far as they reach, and from other claims where the log is silent.

    Raises:
        InputError: If a device, model or precision is not known.
    """
    ending: Ending = "flush"
    literal, evidence = _reading(run, claims, ending, LITERAL)
    if (told := told_ending(evidence)) is not None:
        ending, note = told
        literal, evidence = _reading(run, claims, ending, LITERAL)
        evidence.notes += [note] if note else []
    readings = [literal]
    if literal.worst is Agreement.CONTRADICTS:
        readings += _others(run, claims, literal, ending)
    missing = _missing(evidence)
    if missing is None and literal.worst is None:
        missing = "nothing is claimed, and no number is logged that follows from the others"
    alone = evidence if not claims.numbers and run.streams is not None else _alone(run)
    verdict, only_if = judge(readings, is_open=missing is not None)
    return Audit(
        id=run.path,
        title=f"A finished run: {run.path}",
        heading=run.heading,
        verdict=verdict,
        only_if=only_if,
        readings=tuple(readings),
        missing=missing,
        notes=(*_stopped(run), *run.notes, *dict.fromkeys(evidence.notes)),
        run=run,
        record=record_json(alone, is_open=run.streams is None),
    )


def _stopped(run: FinishedRun) -> Iterator[str]:
    """That a run ended before its plan, as far as its files tell."""
    steps, planned = run.numbers.get("steps"), run.numbers.get("planned_steps")
    if steps is None or planned is None or steps.interval.high + run.unlogged >= planned.interval.low:
        return
    end = "this checkpoint is not its last" if run.kind == "hf-trainer" else "its files end before it did"
    yield f"It stopped at step {number(steps.value)} of {number(planned.value)}, or {end}."


def _alone(run: FinishedRun) -> RunEvidence:
    """The run with nothing claimed of it."""
    nothing = Claims(numbers={})
    if run.kind == "hf-results" and run.streams is None:  # rate × seconds are then steps × batch
        run = as_stream(run)
    _, evidence = _reading(run, nothing, "flush", LITERAL)
    if (told := told_ending(evidence)) is not None:
        _, evidence = _reading(run, nothing, told[0], LITERAL)
    return evidence


def _others(run: FinishedRun, claims: Claims, literal: Reading, taken: Ending) -> Iterator[Reading]:
    """What else the files may mean: other ends of passes, a stream, one process that sees several devices."""
    is_open = run.counts_passes and taken == "flush"  # the run's own epoch tells no other one
    if is_open and (_contradicts(literal, "steps", by_log=True) or _contradicts_passes(literal)):
        for ending in OTHER_ENDINGS:
            yield _reading(run, claims, ending, ENDINGS[ending])[0]
    if run.streams is None:
        yield _reading(as_stream(run), claims, "flush", "its data had no length, so its epoch counts none")[0]
    by_rate = any(check.name in BY_RATE for check in literal.contradictions)
    if by_rate and "paced_steps" in run.numbers:
        numbers = {**run.numbers, "rated_steps": run.numbers["paced_steps"]}
        title = "it was resumed after its first steps, and the logged rates are of the steps since (Transformers 5.19)"
        yield _reading(replace(run, numbers=numbers), claims, taken, title)[0]
    of_one_process = run.kind == "model-card" and "devices" not in run.numbers
    if run.kind in TRAINERS and (
        by_rate
        or _contradicts(literal, "per_device", by_log=False)
        or (of_one_process and _contradicts(literal, "devices", by_log=False))
    ):
        yield from _several_devices(run, claims, taken)


def _several_devices(run: FinishedRun, claims: Claims, taken: Ending) -> Iterator[Reading]:
    """One process saw all devices, or as many as make the claimed share of what was logged."""
    logged, claims_of = run.numbers.get("per_device"), claims.numbers
    if logged is None:
        return
    if "per_device" in claims_of:
        times = logged.value / claims_of["per_device"].number.value
    elif "devices" in claims_of:
        times = claims_of["devices"].number.value
    else:
        return
    share = logged.value / times
    if times.denominator == 1 and times > 1 and share.denominator == 1:
        numbers = {**run.numbers, "per_device": Number.exact(int(share), logged.where)}
        title = f"one process saw {times} devices (nn.DataParallel), and {logged.text} is their product"
        yield _reading(replace(run, numbers=numbers), claims, taken, title)[0]


def _reading(run: FinishedRun, claims: Claims, ending: Ending, name: str) -> tuple[Reading, RunEvidence]:
    evidence = RunEvidence(run, claims, ending)
    check_counts(evidence)
    check_rate(evidence)
    check_speed(evidence)
    tell_own_numbers(evidence)
    assumes = {}
    if run.counts_passes:
        assumes["last_window"] = ENDINGS[ending]
    if not {"tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel_size"} & set(evidence.values):
        assumes["split"] = "every device holds a whole model and sees its own data"
    return Reading(name=name, assumes=assumes, checks=tuple(evidence.checks)), evidence


def _contradicts(reading: Reading, name: str, *, by_log: bool) -> bool:
    return any(check.name == name and check.is_logged == by_log for check in reading.contradictions)


def _contradicts_passes(reading: Reading) -> bool:
    """Whether something contradicts that rests on how passes end."""
    names = ("samples", "epochs", "global_batch", "devices")
    if any(check.name in names and "corpus" in check.uses for check in reading.contradictions):
        return True
    by_pace = any("steps_per_epoch" in check.uses for check in reading.checks)
    return by_pace and _contradicts(reading, "devices", by_log=False)


def _missing(evidence: RunEvidence) -> str | None:
    """Claims that no check uses."""
    told = []
    compared = {check.name for check in evidence.checks} | evidence.used
    if compared & {"devices", "split"}:
        compared |= set(SPLITS)
    for name in evidence.claims.numbers:
        label = f"--{name.replace('_', '-')}"
        if name in evidence.undecided:
            told.append(f"{name.replace('_', ' ')} cannot be told without {evidence.undecided[name]}")
        elif name in compared:
            continue
        elif name in FOR_MFU:
            told.append(f"MFU cannot be derived without {missing_for_mfu(evidence)}")
        elif name in NEEDS:
            told.append(f"{name.replace('_', ' ')} cannot be derived without {NEEDS[name]}")
        else:
            told.append(f"nothing was found that {label} could be compared with")
    return "; ".join(dict.fromkeys(told)) or None

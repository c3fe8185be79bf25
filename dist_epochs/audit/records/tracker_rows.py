"""Rows, configuration and summary of an experiment tracker as a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any

from dist_epochs.arithmetic.written_number import LARGEST
from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.passes import Passes, logged_epoch
from dist_epochs.audit.records.record import FinishedRun, Number, Place, whole
from dist_epochs.audit.records.timeline import Line, Track
from dist_epochs.audit.records.trainer_clock import last_call
from dist_epochs.errors import InputError, Origin

__all__ = ["KEYS", "SETTING_KEYS", "is_number", "run_of_rows"]

COUNTERS: Keys = {
    "steps": (
        "ledger/steps", "train/global_step", "trainer/global_step", "global_step", "optimizer_step", "iteration",
        "step",
    ),
    "samples": ("ledger/samples", "consumed_samples", "consumed-samples", "samples_seen", "samples"),
    "tokens": (
        "ledger/tokens", "train/num_input_tokens_seen", "num_input_tokens_seen", "throughput/total_tokens",
        "consumed_tokens", "tokens_seen", "total_tokens", "tokens",
    ),
    "epochs": ("ledger/epoch", "train/epoch"),
}  # fmt: skip
"""Keys under which trainers log a counter. wandb's own `_step` counts calls of `log`, not steps; a plain `epoch` is the
index of a pass in most loops, and counts no data."""

TOTAL_OR_AMOUNT = ("samples", "tokens")
"""Keys that are totals in some loops and amounts of one step in others."""

NEAREST_PACE = 0.5

SPEEDS = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos")
FLOPS: Keys = {"total_flops": ("train/total_flos", "total_flos")}
KEYS = frozenset((*chain(*COUNTERS.values()), *SPEEDS, *(f"train/{key}" for key in SPEEDS)))
"""What is kept of rows, so that memory grows with what is counted alone."""

CONFIG: Keys = {
    "planned_steps": ("max_steps", "train_iters", "max_duration_steps"),
    "planned_epochs": ("num_train_epochs",),
    "per_device": ("per_device_train_batch_size", "train_micro_batch_size_per_gpu", "micro_batch_size"),
    "gradient_accumulation": ("gradient_accumulation_steps",),
    "global_batch": ("global_batch_size", "global_train_batch_size", "total_train_batch_size"),
    "devices": ("world_size", "global_num_gpus"),
    "sequence_length": ("seq_length", "max_seq_length", "sequence_length", "block_size"),
    "tensor_parallel": ("tensor_model_parallel_size",),
    "pipeline_parallel": ("pipeline_model_parallel_size",),
    "context_parallel": ("context_parallel_size",),
}
"""Keys of configurations, of the HF Trainer, Megatron-LM and OLMo. `max_length` is left alone: with the HF Trainer it
is that of generation. So is any length beside its arguments: the model's configuration, where it is the most that the
model takes, stands among them."""


SETTING_KEYS = frozenset((*chain(*CONFIG.values()), "bf16", "fp16"))
"""What is kept of a configuration."""


def is_number(value: object) -> bool:
    """Whether a logged value may be a counter: a number that is finite, and no larger than what is counted."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]


def run_of_rows(
    rows: Iterable[Mapping[str, Any]],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    *,
    name: str,
    starts: Sequence[int] = (0,),
    notes: Sequence[str] = (),
    is_cut: bool = False,
    kind: str = "wandb",
    places: Mapping[str, Place] | None = None,
    further: Mapping[str, Number | bool] | None = None,
) -> FinishedRun:
    """Read what a tracker holds.

    Args:
        rows: Logged rows in their order, each with the keys that were logged together.
        config: The run's configuration.
        summary: Its last values, for what no row holds.
        name: The file or the run, for places.
        starts: Rows before which the program began.
        notes: What the reader of the rows has to say.
        is_cut: Whether rows may be missing at the end.
        kind: What wrote them.
        places: Where keys of the configuration stand, if it is in a file of its own.
        further: What else was found, that no check uses.

    Raises:
        InputError: If no row and no summary counts steps, samples or tokens.
    """
    kept = list(rows)
    of_rows = {key: value for row in kept for key, value in row.items()}
    last = {**summary, **of_rows}
    keys = _counter_keys(kept, last, name)
    track = _track(kept, keys, starts, name)
    is_trainer = "per_device_train_batch_size" in config
    settings = {key: value for key, value in config.items() if not is_trainer or key not in CONFIG["sequence_length"]}
    numbers = read_keys(settings, CONFIG, lambda key: (places or {}).get(key) or Place(name, None, f"config, {key}"))
    numbers |= track.numbers(name)
    for meaning, key in keys.items():
        where = Place(name, None, key if key in of_rows else f"summary, {key}")
        number = logged_epoch(last[key], where) if meaning == "epochs" else whole(last[key], where, least=0)
        if meaning not in numbers and number is not None:
            numbers[meaning] = number
    numbers |= read_keys(last, FLOPS, lambda _: Place(name, None, "total_flos"))
    if len(track.segments) <= 1:  # else the clock is that of the last start
        numbers |= dict(last_call({key.removeprefix("train/"): last[key] for key in last}, numbers, Place(name)))
    passes = Passes(_passes(kept, keys, name) if is_trainer else ())
    run = FinishedRun(
        kind=kind,
        path=name,
        numbers=numbers,
        counts_passes=is_trainer,
        streams=_streams(passes, numbers),
        unlogged=_unlogged(kept, keys, track),
        is_cut=is_cut,
        precision=next((mode for mode in ("bf16", "fp16") if config.get(mode) is True), None),
        segments=track.segments,
        overlaps=track.overlaps,
        further=further or {},
        notes=(*notes, *_notes(keys, track, is_wandb=kind == "wandb")),
    )
    return passes.told_of(run, Place(name, None, keys.get("epochs", "")))


def _counter_keys(rows: Sequence[Mapping[str, Any]], last: Mapping[str, Any], name: str) -> dict[str, str]:
    """The surest key under which each counter was logged."""
    keys: dict[str, str] = {}
    for meaning, candidates in COUNTERS.items():
        key = next((key for key in candidates if key in last), None)
        if key is not None and (key not in TOTAL_OR_AMOUNT or _is_total(rows, key, keys.get("steps"))):
            keys[meaning] = key
    if keys.keys() <= {"epochs"}:
        looked_for = "; ".join(", ".join(keys) for meaning, keys in COUNTERS.items() if meaning != "epochs")
        raise InputError(
            f"nothing in its {len(rows):,} rows counts optimizer steps, samples or tokens",
            rule=f"wandb's own _step counts calls of log; looked for {looked_for}",
            fixes=["logging one of them", "an audit of the trainer's own log"],
            origin=Origin(name),
        )
    return keys


def _track(rows: Sequence[Mapping[str, Any]], keys: Mapping[str, str], starts: Sequence[int], name: str) -> Track:
    track = Track(lambda row: Place(name, None, f"row {row}"))
    begins = set(starts)
    for at, row in enumerate(rows):
        if at in begins:
            track.start()
        counts = {
            meaning: int(number.value)
            for meaning, key in keys.items()
            if meaning != "epochs" and key in row and (number := whole(row[key], name, least=0)) is not None
        }
        if "steps" in counts:
            track.add(Line(step=counts["steps"], at=at + 1, samples=counts.get("samples"), tokens=counts.get("tokens")))
    return track


def _is_total(rows: Sequence[Mapping[str, Any]], key: str, steps: str | None) -> bool:
    """Whether a key grows from row to row, as fast as the steps; one of a single step stays where it is."""
    pairs = [(row[steps], row[key]) for row in rows if steps in row and key in row] if steps is not None else []
    if len(pairs) < 2 or any(later[1] < earlier[1] for earlier, later in pairwise(pairs)):
        return False
    (first, low), (last, high) = pairs[0], max(pairs)  # after a restart the steps may begin at 0 again
    return bool(first > 0 and low > 0 and low / first * NEAREST_PACE < high / last < low / first / NEAREST_PACE)


def _passes(rows: Sequence[Mapping[str, Any]], keys: Mapping[str, str], name: str) -> Iterator[tuple[int, object]]:
    """Step and epoch of each row that has both, the epoch as it was logged."""
    if keys.keys() >= {"steps", "epochs"}:
        for row in rows:
            if (step := whole(row.get(keys["steps"]), name)) is not None:
                yield int(step.value), row.get(keys["epochs"])


def _streams(passes: Passes, numbers: Mapping[str, Number]) -> bool | None:
    """Whether a Trainer's data had no length: it then takes a pass for max_steps long, whatever it is."""
    planned, epochs = numbers.get("planned_steps"), numbers.get("epochs")
    if epochs is None or not passes.is_as_long_as(planned):
        return False
    return True if epochs.interval.low > 1 + Fraction(1, 20) else None


def _unlogged(rows: Sequence[Mapping[str, Any]], keys: Mapping[str, str], track: Track) -> int:
    """Steps that may have followed the last row: none where the Trainer's closing summary was logged."""
    counts_from_0 = keys.get("steps") == "trainer/global_step"
    if "steps" not in keys or any("train_runtime" in row or "train/train_runtime" in row for row in rows[-3:]):
        return 0
    return track.stride - 1 + counts_from_0


def _notes(keys: Mapping[str, str], track: Track, *, is_wandb: bool) -> Iterator[str]:
    told = [f"{meaning} from {key}" for meaning, key in keys.items()]
    own = " wandb's own _step counts calls of log, and is not used." if is_wandb else ""
    yield f"Read: {', '.join(told)}.{own}"
    if keys.get("steps") == "trainer/global_step":
        yield "Lightning logs trainer/global_step from 0: after N + 1 steps it is N."
    if track.repeated:
        yield f"Rows that repeat the step of the row before them: {track.repeated:,}."

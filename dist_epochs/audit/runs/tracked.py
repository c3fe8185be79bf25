"""Rows, configuration and summary of an experiment tracker as a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dist_epochs.audit.runs.passes import last_call, logged_epoch, steps_per_epoch
from dist_epochs.audit.runs.record import FinishedRun, Number, whole
from dist_epochs.audit.runs.track import Line, Track
from dist_epochs.audit.runs.wandb_file import WandbFile, read_wandb_file
from dist_epochs.errors import InputError

__all__ = ["read_wandb_files", "run_of_rows"]

STEPS = (
    "ledger/steps",
    "train/global_step",
    "trainer/global_step",
    "global_step",
    "optimizer_step",
    "iteration",
    "step",
)
SAMPLES = ("ledger/samples", "consumed_samples", "consumed-samples", "samples_seen", "samples")
TOKENS = (
    "ledger/tokens", "train/num_input_tokens_seen", "num_input_tokens_seen", "throughput/total_tokens",
    "consumed_tokens", "tokens_seen", "total_tokens", "tokens",
)  # fmt: skip
EPOCHS = ("ledger/epoch", "train/epoch")
"""Keys under which trainers log a counter, the surest first. wandb's own `_step` counts calls of `log`, not steps; a
plain `epoch` is the index of a pass in most loops, and counts no data."""

SPEEDS = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos")
KEYS = frozenset((*STEPS, *SAMPLES, *TOKENS, *EPOCHS, *SPEEDS, *(f"train/{key}" for key in SPEEDS)))
"""What is kept of rows, so that memory grows with what is counted alone."""

CONFIG = {
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
is that of generation."""


def run_of_rows(
    rows: Iterable[Mapping[str, Any]],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    *,
    name: str,
    starts: Sequence[int] = (0,),
    notes: Sequence[str] = (),
) -> FinishedRun:
    """Read what a tracker holds.

    Args:
        rows: Logged rows in their order, each with the keys that were logged together.
        config: The run's configuration.
        summary: Its last values, for what no row holds.
        name: For messages.
        starts: Rows before which the program began.
        notes: What the reader of the rows has to say.

    Raises:
        InputError: If no row and no summary counts steps, samples or tokens.
    """
    kept = list(rows)
    keys = {meaning: _key(kept, summary, names) for meaning, names in _COUNTERS.items()}
    if not any(keys[meaning] for meaning in ("steps", "samples", "tokens")):
        raise InputError(
            f"{name}: nothing in its {len(kept):,} rows counts optimizer steps, samples or tokens, and wandb's own "
            f"_step counts calls of log. Looked for {', '.join(STEPS)}; {', '.join(SAMPLES)}; {', '.join(TOKENS)}. Log "
            "one of them, or audit the trainer's own log."
        )
    track = _track(kept, keys, starts, name)
    numbers = dict(_settings(config, name))
    numbers |= track.numbers(name)
    numbers |= dict(_last(kept, summary, keys, numbers, name))
    numbers |= dict(_speed(kept, summary, numbers, name, resumed=len(track.segments) > 1))
    is_trainer = "per_device_train_batch_size" in config
    if is_trainer and (found := _steps_per_epoch(kept, keys, numbers, name)):
        numbers["steps_per_epoch"] = found
    return FinishedRun(
        kind="wandb",
        path=name,
        numbers=numbers,
        counts_passes=is_trainer,
        precision=next((mode for mode in ("bf16", "fp16") if config.get(mode) is True), None),
        segments=track.segments,
        overlaps=track.overlaps,
        notes=(*notes, *_notes(keys, track)),
    )


_COUNTERS = {"steps": STEPS, "samples": SAMPLES, "tokens": TOKENS, "epochs": EPOCHS}


def _key(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The surest key that is logged."""
    logged = {*summary, *(key for row in rows for key in row)}
    return next((name for name in names if name in logged), None)


def _track(
    rows: Sequence[Mapping[str, Any]], keys: Mapping[str, str | None], starts: Sequence[int], name: str
) -> Track:
    track = Track()
    begins = set(starts)
    for at, row in enumerate(rows):
        if at in begins:
            track.start()
        counts = {
            meaning: whole(row[key], name, least=0)
            for meaning in ("steps", "samples", "tokens")
            if (key := keys[meaning]) is not None and key in row
        }
        step = counts.pop("steps", None)
        if step is not None:
            samples, tokens = (_int(counts.get(meaning)) for meaning in ("samples", "tokens"))
            track.add(Line(step=int(step.value), where=f"{name}: row {at + 1}", samples=samples, tokens=tokens))
    return track


def _int(number: Number | None) -> int | None:
    return int(number.value) if number is not None else None


def _settings(config: Mapping[str, Any], name: str) -> Iterator[tuple[str, Number]]:
    for meaning, keys in CONFIG.items():
        for key in keys:
            where = f"{name}: config, {key}"
            read = Number.read(config.get(key), where) if meaning == "planned_epochs" else whole(config.get(key), where)
            if read is not None and read.value:
                yield meaning, read
                break


def _last(
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    keys: Mapping[str, str | None],
    found: Mapping[str, Number],
    name: str,
) -> Iterator[tuple[str, Number]]:
    """The last value of each counter: of a row, else of the summary."""
    for meaning, key in keys.items():
        if key is None or meaning in found:
            continue
        row = next((row for row in reversed(rows) if key in row), None)
        where = f"{name}: {key}" if row is not None else f"{name}: summary, {key}"
        value = (row if row is not None else summary)[key]
        number = logged_epoch(value, where) if meaning == "epochs" else whole(value, where, least=0)
        if number is not None:
            yield meaning, number


def _steps_per_epoch(
    rows: Sequence[Mapping[str, Any]], keys: Mapping[str, str | None], numbers: Mapping[str, Number], name: str
) -> Number | None:
    steps, epochs = keys["steps"], keys["epochs"]
    if steps is None or epochs is None:
        return None
    pairs = []
    for row in rows:
        step = whole(row.get(steps), name)
        if step is not None:
            pairs.append((int(step.value), logged_epoch(row.get(epochs), name)))
    return steps_per_epoch(pairs, numbers.get("steps"), numbers.get("epochs"), f"{name}: {epochs}")


def _speed(
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    numbers: Mapping[str, Number],
    name: str,
    *,
    resumed: bool,
) -> Iterator[tuple[str, Number]]:
    """FLOPs, and the clock of a run that was made in one piece."""
    last = {**summary, **{key: value for row in rows for key, value in row.items()}}
    flops = Number.read(last.get("train/total_flos", last.get("total_flos")), f"{name}: total_flos")
    if flops is not None and flops.value:
        yield "total_flops", flops
    if resumed:
        return
    plain = {key.removeprefix("train/"): value for key, value in last.items()}
    yield from last_call(plain, numbers, name)


def _notes(keys: Mapping[str, str | None], track: Track) -> Iterator[str]:
    told = [f"{meaning} from {key}" for meaning, key in keys.items() if key]
    yield f"Read: {', '.join(told)}. wandb's own _step counts calls of log, and is not used."
    if keys["steps"] == "trainer/global_step":
        yield "Lightning logs trainer/global_step from 0: after N + 1 steps it is N."
    if track.repeated:
        yield f"Rows that repeat the step of the row before them: {track.repeated:,}."


def read_wandb_files(paths: Sequence[Path], title: str) -> FinishedRun:
    """Read the offline files of one run, one for each of its starts.

    Raises:
        InputError: If they belong to several runs, or none counts anything.
    """
    files = sorted(((path, read_wandb_file(path, KEYS)) for path in paths), key=lambda pair: pair[0].parent.name)
    names = {found.run_id or path.stem for path, found in files}
    if len(names) > 1:
        raise InputError(
            f"{title}: files of {len(names)} wandb runs ({', '.join(sorted(names)[:5])}); an audit reads one run, "
            "since their steps do not add up. Name one of the folders."
        )
    rows: list[Mapping[str, Any]] = []
    starts: list[int] = []
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for _, found in files:
        starts.append(len(rows))
        rows += found.rows
        config |= found.config
        summary |= found.summary
    notes = [note for path, found in files for note in _file_notes(path, found)]
    return run_of_rows(rows, config, summary, name=Path(title).name or title, starts=starts, notes=notes)


def _file_notes(path: Path, found: WandbFile) -> Iterator[str]:
    if found.damage:
        yield f"{path.name}: read up to its damage: {found.damage}. What was logged after it is not here."
    elif found.exit_code is None:
        yield f"{path.name}: it has no end: the run was killed, or still runs. The last seconds of rows may be missing."
    elif found.exit_code:
        yield f"{path.name}: the run ended with exit code {found.exit_code}."
    if found.machine:
        yield f"{path.name}: its machine had {found.machine}; how many machines there were, wandb does not say."

"""A folder of a run: everything in it that belongs to the run, read and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dist_epochs.audit.readers import (
    lightning_csv,
    llama_factory_log,
    model_card,
    results_json,
    tfevents,
    wandb_summary,
)
from dist_epochs.audit.readers.detect import read_file
from dist_epochs.audit.readers.own_run import read_own_run
from dist_epochs.audit.readers.packed import ENDINGS, plain_name
from dist_epochs.audit.readers.record import Comparison, FinishedRun
from dist_epochs.audit.readers.trainer_state import STATE, read_trainer_state, state_files
from dist_epochs.audit.readers.wandb_run import read_wandb_files
from dist_epochs.errors import InputError, Origin

__all__ = ["holds_run", "read_finished_run"]

BESIDE = (
    *llama_factory_log.NAMES_OF_FILES,
    *results_json.NAMES_OF_FILES,
    *model_card.NAMES_OF_FILES,
    *wandb_summary.NAMES_OF_FILES,
    *lightning_csv.NAMES_OF_FILES,
)
"""Names of files that belong to a run, the surest first."""

PLACES = ("", "files", "*/files", "wandb/*/files", "version_*", "lightning_logs/version_*")
EVENTS = ("", "runs", "runs/*", "logs", "logs/*", "version_*", "lightning_logs/version_*")
"""Folders in which they stand."""
MOST_PARTS = 64

SETTINGS = (
    "planned_steps", "planned_epochs", "per_device", "gradient_accumulation", "global_batch", "devices", "corpus",
    "sequence_length",
)  # fmt: skip
"""What is the same in all files of a run, and is taken from another file where the first one does not have it."""
TOTALS = ("steps", "epochs", "samples", "tokens")
"""What is the same where both files tell of the whole run."""


def read_finished_run(path: Path) -> FinishedRun | None:
    """Read a run; None for a file that is not a run, and may be a claim.

    A folder is read as the first of: a run of our own (`ledger.jsonl`), a Trainer's output or checkpoint
    (`trainer_state.json`), a wandb run (`*.wandb`), and the other files that belong to a run. What else is there of
    the same run is compared with it.

    Raises:
        InputError: If a folder holds none, or what was found is damaged.
    """
    if not path.is_dir():
        return read_file(path)
    run, found = _first(path), list(_others(path))
    notes, parts = [], []
    for other in found[:MOST_PARTS]:
        try:
            part = read_file(other)
        except InputError as error:
            notes.append(f"Not read: {error}")
            continue
        if part is not None:
            parts.append(part)
    if len(found) > MOST_PARTS:
        notes.append(f"{len(found):,} files of runs are here: the first {MOST_PARTS} were read.")
    if run is None and parts:
        run, parts = parts[0], parts[1:]
        run = replace(run, path=str(path))
    if run is None:
        raise InputError(
            "there is no finished run in this folder",
            rule=f"looked for ledger.jsonl, {STATE}, checkpoint-*/{STATE}, *.wandb and offline-run-*/*.wandb, "
            f"{', '.join(BESIDE)}, {tfevents.PATTERN}, and one log",
            consequence=" ".join(notes),
            fixes="the name of the log",
            origin=Origin(str(path)),
        )
    return _compared(run, parts, notes)


def holds_run(path: Path) -> bool:
    """Whether a folder has files that belong to a run, by their names."""
    if not path.is_dir():
        return False
    if (path / "ledger.jsonl").is_file() or state_files(path) or next(path.glob("*.wandb"), None) is not None:
        return True
    return next(_others(path), None) is not None


def _first(path: Path) -> FinishedRun | None:
    """The run by the files that hold most of one."""
    if (path / "ledger.jsonl").is_file():
        return read_own_run(path)
    if states := state_files(path):
        return read_trainer_state(states, str(path))
    files = sorted({*path.glob("*.wandb"), *path.glob("*/*.wandb"), *path.glob("wandb/*/*.wandb")})
    if found := [file for file in files if not file.parent.is_symlink()]:  # latest-run points at one of them
        return read_wandb_files(found, str(path))
    return None


def _others(path: Path) -> Iterator[Path]:
    """The other files that belong to a run; a log only where it is the only one."""
    patterns = [f"{place}/{name}{end}" for name in BESIDE for end in ("", *ENDINGS) for place in PLACES]
    seen = set()
    for pattern in (*patterns, *(f"{place}/{tfevents.PATTERN}" for place in EVENTS)):
        for file in sorted(path.glob(pattern.lstrip("/"))):
            if file.is_file() and file.resolve() not in seen:
                seen.add(file.resolve())
                yield file
    logs = [file for file in sorted(path.iterdir()) if plain_name(file).endswith((".log", ".out")) and file.is_file()]
    if len(logs) == 1:
        yield logs[0]


def _compared(run: FinishedRun, parts: Sequence[FinishedRun], notes: list[str]) -> FinishedRun:
    """The run with the settings that only other files have, and what both have to be compared."""
    numbers, comparisons = dict(run.numbers), []
    for part in parts:
        for name in (*SETTINGS, *TOTALS):
            theirs, mine = part.numbers.get(name), numbers.get(name)
            if theirs is None or not theirs.value:
                continue
            if mine is None:
                if name in SETTINGS and not (name == "global_batch" and run.changes_batch):
                    numbers[name] = theirs
            elif name in SETTINGS or (_is_whole(run) and _is_whole(part)):
                comparisons.append(Comparison(name, mine, theirs, part.path))
    if parts:
        notes.append(f"Read with it: {', '.join(f'{Path(part.path).name} ({part.kind})' for part in parts)}.")
    return replace(run, numbers=numbers, comparisons=tuple(comparisons), notes=(*run.notes, *notes))


def _is_whole(run: FinishedRun) -> bool:
    """Whether its totals are those of the whole run."""
    return not run.is_cut and not run.unlogged

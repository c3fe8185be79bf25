"""A folder of a run: everything in it that belongs to the run, read and compared."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from dist_epochs.audit.detect.file import FILES, read_file
from dist_epochs.audit.readers import model_card, tfevents
from dist_epochs.audit.readers.own_run import read_own_run
from dist_epochs.audit.readers.trainer_state import read_trainer_state
from dist_epochs.audit.readers.wandb_file import read_wandb_files
from dist_epochs.audit.records.packed import ENDINGS, plain_name
from dist_epochs.audit.records.record import Comparison, FinishedRun, Number, several_runs
from dist_epochs.audit.records.trainer_states import STATE, state_files
from dist_epochs.errors import InputError, Origin

__all__ = ["holds_run", "read_finished_run"]

BESIDE = tuple(name for key, kind in FILES.items() if key != "tfevents" for name in kind.NAMES_OF_FILES)
"""Names of files that belong to a run, the surest first."""

PLACES = ("", "files", "*/files", "wandb/*/files", "version_*", "lightning_logs/version_*")
EVENTS = ("", "runs", "runs/*", "logs", "logs/*", "version_*", "lightning_logs/version_*")
"""Folders in which they stand."""
MOST_PARTS = 64
ARGUMENTS = ("wandb", "tfevents")
"""Kinds that hold the arguments of a Trainer, whatever came of them."""

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
    versions = [Path(part.path).parent.name for part in parts if part.kind == "lightning"]  # each is a run
    if len(versions) > 1:
        raise several_runs(f"{len(versions)} runs of Lightning", versions, str(path), [f"--many {path}"])
    if run is None and parts:
        run, parts = parts[0], parts[1:]
        run = replace(run, path=str(path))
    if run is None:
        raise InputError(
            "there is no finished run in this folder",
            rule=f"looked for ledger.jsonl, {STATE}, checkpoint-*/{STATE}, *.wandb and offline-run-*/*.wandb, "
            f"{', '.join(BESIDE)}, {tfevents.NAMES_OF_FILES[0]}, and one log",
            consequence=" ".join(notes),
            fixes=_may_be_records(path) or "the name of the log",
            origin=Origin(str(path)),
        )
    return _compared(run, parts, notes)


LOG_ENDINGS, TEXT_ENDINGS = (".log", ".out"), (".txt", ".err", ".json", ".jsonl", ".csv")
MOST_NAMED = 3
"""Files that an error names."""


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
    patterns += [f"{STATE}{end}" for end in ENDINGS]
    seen = set()
    for pattern in (*patterns, *(f"{place}/{tfevents.NAMES_OF_FILES[0]}" for place in EVENTS)):
        for file in sorted(path.glob(pattern.lstrip("/"))):
            is_new = file.is_file() and file.resolve() not in seen
            if is_new and (not file.name.startswith("README") or model_card.has_marks(file, b"")):
                seen.add(file.resolve())
                yield file
    logs = _files_that_end(path, LOG_ENDINGS)
    if len(logs) == 1:
        yield logs[0]


def _files_that_end(path: Path, endings: tuple[str, ...]) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if plain_name(file).endswith(endings) and file.is_file()]


def _may_be_records(path: Path) -> list[str]:
    """Files of a folder that may be of a run, and are not taken for one by their names: each is given by itself."""
    found = _files_that_end(path, LOG_ENDINGS) or _files_that_end(path, TEXT_ENDINGS)
    return [f"dist-epochs audit {shlex.quote(str(file))}" for file in found[:MOST_NAMED]]


def _compared(run: FinishedRun, parts: Sequence[FinishedRun], notes: list[str]) -> FinishedRun:
    """The run with the settings that only other files have, and what both have to be compared."""
    numbers, comparisons = dict(run.numbers), []
    of_kind = Counter(one.kind for one in (run, *parts))
    for part in parts:
        found = list(_comparisons(run, numbers, part))
        if of_kind[part.kind] > 1 and any(not _agree(one) for one in found):
            notes.append(f"{part.path} is of another run: {', '.join(one.name for one in found if not _agree(one))}.")
            continue  # each run into the same folder leaves its events and its wandb files there
        comparisons += found
        for name in SETTINGS:
            is_open = name not in numbers and not (name == "global_batch" and run.changes_batch)
            if name in part.numbers and is_open and _tells(part, name):
                numbers[name] = part.numbers[name]
    if parts:
        notes.append(f"Read with it: {', '.join(f'{Path(part.path).name} ({part.kind})' for part in parts)}.")
    return replace(run, numbers=numbers, comparisons=tuple(comparisons), notes=(*run.notes, *notes))


def _comparisons(run: FinishedRun, numbers: Mapping[str, Number], part: FinishedRun) -> Iterator[Comparison]:
    """What both tell, where it must be the same."""
    names = (*SETTINGS, *(TOTALS if _is_whole(run) and _is_whole(part) else ()))
    if _is_whole(run) and part.kind == "hf-results":
        names = tuple(dict.fromkeys((*names, "epochs")))  # it is of the whole run, whatever its rates are of
    for name in names:
        mine, theirs = numbers.get(name), part.numbers.get(name)
        if mine is not None and theirs is not None and theirs.value and _tells(part, name) and _tells(run, name):
            comparison = Comparison(name, mine, theirs, part.path)
            if not _is_rounded(comparison):
                yield comparison


def _tells(run: FinishedRun, name: str) -> bool:
    """Whether a number of a file is that of the run.

    The rates of results may be of one call; epochs that were asked for count nothing where steps were asked for, too.
    """
    if name == "planned_steps":
        return run.kind != "hf-results"
    return name != "planned_epochs" or run.kind not in ARGUMENTS or "planned_steps" not in run.numbers


def _is_rounded(one: Comparison) -> bool:
    """A state rounds the epochs up that were asked for, and multiplies a micro-batch by the devices of one process."""
    if one.name == "planned_epochs":
        return ceil(one.mine.value) == ceil(one.theirs.value) and one.mine.value != one.theirs.value
    ratio = one.mine.value / one.theirs.value
    return one.name == "per_device" and ratio > 1 and ratio.denominator == 1


def _agree(one: Comparison) -> bool:
    return one.mine.interval.overlaps(one.theirs.interval)


def _is_whole(run: FinishedRun) -> bool:
    """Whether its totals are those of the whole run; a state may be that of a checkpoint before its end."""
    steps, planned = (run.numbers.get(name) for name in ("steps", "planned_steps"))
    is_before = steps is not None and planned is not None and steps.value < planned.value
    return not run.is_cut and not run.unlogged and not is_before

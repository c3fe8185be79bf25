"""What all ranks must agree in before they train: their code, recipe and store, their clocks, and the run directory."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import dist_epochs
from dist_epochs.errors import InputError
from dist_epochs.recipe.writing import flat, recipe_to_data
from dist_epochs.runtime.meeting import Meeting, NoMeeting, Said
from dist_epochs.runtime.troubles import Place, error_to_text, places, told_once
from dist_epochs.train.setup import Setup
from dist_epochs.train.shared_folder import Probe, not_shared_error

__all__ = ["agree", "clocks_error", "differences_error", "facts_of"]

PACKAGES = ("torch", "transformers", "accelerate", "numpy", "tokenizers")
"""Packages that decide what is trained, or how ranks talk to each other."""

CLOCKS = 30.0
"""Seconds that clocks may be apart. Synchronized ones are within milliseconds; times and rates of the ledger come from
rank 0, which may run on another machine after a restart."""

MOST_SHOWN = 12
"""Differences that are shown one by one."""


def agree(
    meeting: Meeting | NoMeeting, prepared: Setup | Exception, out: Path, *, resumes: Callable[[], bool]
) -> tuple[Setup, bool]:
    """See that all ranks could prepare, and prepared the same; every rank calls this.

    Args:
        meeting: All ranks.
        prepared: The recipe and what it names, as this rank read it, or the error that this rank has.
        out: The run directory, which need not exist yet.
        resumes: Whether the run in it is resumed; rank 0 is asked, for a new folder may not be seen everywhere yet.

    Returns:
        What was prepared, and what `resumes` returned on rank 0.

    Raises:
        InputError: The same on every rank, with ranks and hosts where it is not all of them: their errors, or in what
            they differ.
        RankFailed: If something else failed on any rank.
    """
    if isinstance(meeting, NoMeeting):
        if isinstance(prepared, Exception):
            raise prepared
        return prepared, resumes()
    text = error_to_text(prepared) if isinstance(prepared, Exception) else json.dumps(facts_of(prepared))
    begun = json.loads(meeting.round(text, lambda said: _judge_preparations(said, meeting.size, resumes)))
    with Probe(out) as probe:
        where = meeting.round(repr(time.time()), lambda said: _judge_clocks(said, begun["time"], probe))
        meeting.round(str(int(probe.wait_for(where))), lambda said: _judge_folder(said, out))
    assert isinstance(prepared, Setup), "an error is raised by the first round"
    return prepared, bool(begun["resumes"])


def _judge_preparations(said: Sequence[Said], size: int, resumes: Callable[[], bool]) -> str:
    if wrong := [(place, text) for place, text in said if not text.startswith("{")]:
        raise told_once(wrong, size)
    if error := differences_error([(place, json.loads(text)) for place, text in said]):
        raise error
    return json.dumps({"resumes": resumes(), "time": time.time()})


def _judge_clocks(said: Sequence[Said], asked: float, probe: Probe) -> str:
    if error := clocks_error([(place, float(text)) for place, text in said], asked, time.time()):
        raise error
    return probe.make()


def _judge_folder(said: Sequence[Said], out: Path) -> str:
    if blind := [place for place, text in said if text == "0"]:
        raise not_shared_error(out, blind, len(said))
    return ""


def facts_of(setup: Setup) -> dict[str, str]:
    """What must be the same on every rank, by the names under which differences are shown."""
    elsewhere = ("model.config", "corpus.store", "corpus.cache")  # a file or folder, whose content is compared
    recipe = {name: value for name, value in flat(recipe_to_data(setup.recipe)) if not name.startswith(elsewhere)}
    settings = recipe | dict(flat(dict(setup.config_data), "model.config"))
    return {
        "the code of dist_epochs": _code(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "the store": setup.store.manifest["fingerprint"][:12],
        "the store's tokenizer": setup.tokenizer.fingerprint[:12],
        **{f"recipe: {name}": json.dumps(value) for name, value in sorted(settings.items())},
    }


def _code() -> str:
    """Digest of the package's source files and their names."""
    root, digest = Path(dist_epochs.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def differences_error(said: Sequence[tuple[Place, Mapping[str, str]]]) -> InputError | None:
    """The error for facts that differ between ranks, if any do.

    Args:
        said: The facts of each rank.
    """
    names = list(dict.fromkeys(name for _, facts in said for name in facts))
    lines, different = [], []
    for name in names:
        by_value: dict[str, list[Place]] = {}
        for place, facts in said:
            by_value.setdefault(facts.get(name, "not set"), []).append(place)
        if len(by_value) > 1:
            different.append(name)
            lines.append(f"{name}: " + "; ".join(f"{value} on {places(who)}" for value, who in by_value.items()))
    if not different:
        return None
    recipe = [name for name in different if name.startswith("recipe: ")]
    store = [name for name in different if name.startswith("the store")]
    code = [name for name in different if name not in recipe and name not in store]
    what = [name for name, found in (("code", code), ("recipe", recipe), ("store", store)) if found]
    if len(lines) > MOST_SHOWN:
        lines[MOST_SHOWN:] = [f"and {len(lines) - MOST_SHOWN} more"]
    fixes = {
        "code": "one Python environment for all machines, on a file system they share, or the same versions on each",
        "recipe": "the same recipe file and the same --set on every machine",
        "store": "one store on a file system that all machines share, or a whole copy of it on each",
    }
    return InputError(
        f"ranks differ in {' and '.join(what) if len(what) < 3 else 'code, recipe and store'}",
        rule="\n".join(lines),
        consequence="they would train on other data than planned, or wait for each other; nothing was written",
        fixes=[fixes[name] for name in what],
    )


def clocks_error(said: Sequence[tuple[Place, float]], asked: float, heard: float) -> InputError | None:
    """The error for clocks that are apart, if any are for certain, however long the ranks took to answer.

    Args:
        said: The time that each rank read after rank 0 asked for it, in seconds since 1970.
        asked: When rank 0 asked, by its own clock.
        heard: When it had all answers.
    """
    first = next(place for place, _ in said if place.rank == 0)
    apart: dict[str, float] = {}
    for place, read in said:
        least = max(read - heard, 0.0) or min(read - asked, 0.0)  # between these two is how far ahead the clock is
        if abs(least) > CLOCKS:
            apart[place.host] = least
    if not apart:
        return None
    lines = [f"{host} is {abs(by):,.0f} s {'ahead' if by > 0 else 'behind'}" for host, by in apart.items()]
    return InputError(
        f"the clocks of {len(apart)} of {len({place.host for place, _ in said})} hosts are apart from rank 0's",
        rule="\n".join([f"beside {first.host}, where rank 0 runs, by more than {CLOCKS:g} s:", *lines]),
        consequence="times and rates in the ledger would be wrong after a restart; nothing was written",
        fixes="a time service (chrony, ntpd) on these hosts; `chronyc tracking` shows how far a clock is off",
    )

"""One case: a subject, a mutation drawn from a number, and what must not happen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from tests.fuzz.explained import result_of, without_what_differs
from tests.fuzz.mutations import TOKENS, Mutation, mutate, mutate_twice
from tests.fuzz.running import Outcome, run
from tests.fuzz.subjects import Subject, subjects
from tests.fuzz.wandb_bytes import wandb_bytes

TWICE = 0.2
"""Share of the cases with two mutations, of which only the faults are looked at: one may hide the other."""


@dataclass(frozen=True)
class Failure:
    """A case that must not be.

    Attributes:
        number: Of the case.
        subject: Its name.
        what: What was done to the file, or the words.
        fault: What happened.
    """

    number: int
    subject: str
    what: str
    fault: str

    def __str__(self) -> str:
        return f"case {self.number}, {self.subject}: {self.what}\n  {self.fault}"


class Bench:
    """A folder in which cases run one after the other."""

    def __init__(self) -> None:
        self.home = Path(mkdtemp(prefix="fuzz-"))
        self._known: dict[str, tuple[Path, Outcome]] = {}

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.home)

    def case(self, number: int) -> Failure | None:
        """Run a case; None if all is well."""
        draw = Random(number)
        subject = draw.choices(subjects(), _weights())[0]
        folder, before = self._folder(subject)
        if subject.target is None:
            words = _changed_words(subject.words, draw)
            after = run([*(word.replace("{}", str(folder)) for word in words), "--json"])
            return Failure(number, subject.name, ascii(words), after.fault) if after.fault else None
        twice = draw.random() < TWICE and subject.form != "wandb"
        content = subject.files[subject.target]
        mutation = mutate_twice(content, draw) if twice else mutate(content, draw, subject.form)
        path = folder / subject.target
        path.write_bytes(mutation.content)
        try:
            after = run(_command(subject, folder))
        finally:
            path.write_bytes(_content(subject))
        fault = after.fault or (None if twice else self._unexplained(subject, mutation, before, after))
        return Failure(number, subject.name, mutation.what, fault) if fault else None

    def _unexplained(self, subject: Subject, mutation: Mutation, before: Outcome, after: Outcome) -> str | None:
        """How an accepted file gives another result that nothing explains."""
        if 2 in (before.code, after.code):
            return None
        try:
            results = [result_of(outcome.out) for outcome in (before, after)]
        except ValueError as error:
            return f"no JSON on standard output: {error}"
        if results[0] == results[1]:
            return None
        assert subject.target is not None
        if subject.form == "wandb" and mutation.data is None:
            return None if _says_damage(after) else "a damaged file of wandb gives another result, and nothing says so"
        changed = mutation.content if mutation.data is None else mutation.data
        if subject.explains.explains(subject.files[subject.target], changed):
            return None
        if subject.explains.leaves_out and self._is_left_out(subject, changed, results[1]):
            return None
        return f"accepted with another result: {_parted(*results)}"

    def _is_left_out(self, subject: Subject, changed: bytes, result: object) -> bool:
        """Whether the result is that of the file without the value that was changed."""
        assert subject.target is not None
        folder, _ = self._folder(subject)
        path = folder / subject.target
        try:
            for bare in without_what_differs(subject.files[subject.target], changed):
                path.write_bytes(wandb_bytes(json.loads(bare)) if subject.form == "wandb" else bare)
                outcome = run(_command(subject, folder))
                if outcome.code in (0, 1) and result_of(outcome.out) == result:
                    return True
            return False
        finally:
            path.write_bytes(_content(subject))

    def _folder(self, subject: Subject) -> tuple[Path, Outcome]:
        """The folder of a subject's files, and what the command says of them as they are."""
        if subject.name not in self._known:
            folder = self.home / f"{len(self._known):03d}"
            folder.mkdir()
            for name, content in subject.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(_content(subject) if name == subject.target else content)
            self._known[subject.name] = folder, run(_command(subject, folder))
        return self._known[subject.name]


def run_cases(numbers: Iterable[int]) -> list[Failure]:
    """Run cases by their numbers."""
    bench = Bench()
    try:
        return [failure for number in numbers if (failure := bench.case(number)) is not None]
    finally:
        bench.close()


@cache
def _weights() -> tuple[int, ...]:
    return tuple(subject.weight for subject in subjects())


def _content(subject: Subject) -> bytes:
    """The file as it is read when nothing is done to it."""
    assert subject.target is not None
    content = subject.files[subject.target]
    if subject.form != "wandb":
        return content
    return wandb_bytes(json.loads(content))


def _command(subject: Subject, folder: Path) -> list[str]:
    return [*(word.replace("{}", str(folder)) for word in subject.words), "--json"]


def _changed_words(words: tuple[str, ...], draw: Random) -> list[str]:
    """One word of a command replaced, taken out or said twice."""
    changed = list(words)
    at = draw.randrange(1, len(changed))
    token = draw.choice(TOKENS).replace("\0", "\\0")  # no command line has a NUL
    kind = draw.randrange(6)
    if kind == 0:
        del changed[at]
    elif kind == 1:
        changed.insert(at, changed[draw.randrange(len(changed))])
    elif kind == 2:
        changed[at] += token
    elif kind == 3:
        changed[at] = token + changed[at]
    else:
        changed[at] = token
    return changed


def _says_damage(outcome: Outcome) -> bool:
    return "damage" in outcome.out or "has no end" in outcome.out


def _parted(one: object, other: object, place: str = "") -> str:
    """The first value in which two results differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            if one.get(key) != other.get(key):
                return _parted(one.get(key), other.get(key), f"{place}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (here, there) in enumerate(zip(one, other, strict=True)):
            if here != there:
                return _parted(here, there, f"{place}.{at}")
    return f"{place[1:]}: {ascii(one)[:200]} became {ascii(other)[:200]}"


def numbers_of(start: int, count: int, parts: int) -> Iterator[range]:
    """Numbers of cases in parts of one size."""
    step = -(-count // parts)
    for first in range(start, start + count, step):
        yield range(first, min(first + step, start + count))

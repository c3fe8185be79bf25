"""Which steps of two ledgers drew other samples: both are read side by side, a step at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.steps import RecordedStep, recorded_steps
from dist_epochs.names import in_words

__all__ = ["FirstDifference", "Pass", "SamplesCompared", "compare_samples", "same_stream"]

Pass = tuple[str, int, int]
"""A source, the length that its samples have there (0 where lengths vary), and the number of the pass."""
Rows = list[list[Any]]
"""What a step drew, as it stands in its line."""


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """The first step at which two runs part.

    Attributes:
        step: From 1.
        what: `samples`, `batch` (how many), `sequence length`, `tokens` (of the same samples), `loss tokens` or
            `skipped`; of logs `learning rate`, `epoch` or `loss`.
        a: What the first run has there.
        b: What the second one has.
    """

    step: int
    what: str
    a: int | float | str
    b: int | float | str

    def to_json(self) -> dict[str, int | float | str]:
        """As in `dist-epochs compare --json`."""
        return {"step": self.step, "what": self.what, "a": self.a, "b": self.b}


@dataclass(slots=True)
class SamplesCompared:
    """What came of comparing two ledgers step by step.

    Attributes:
        steps: Steps that both runs took.
        first: The first of them that differs.
        differing: How many drew something else.
        are_comparable: Whether digests of the two say anything about each other: those of a store are of the places of
            samples, and those of other loops of their tokens.
        is_reordered: Whether the steps that differ drew the same samples all the same, in all or pass by pass.
        is_same_in_all: Whether they did in all.
        is_other_data: Whether, once both had drawn all of their data, they had drawn other samples.
        repeats: Whether the first step that differs drew what the step before it drew, in the first and the second run.
        skipped: Steps among them that the first, and that the second run skipped.
        first_skipped: The first step that only one of them skipped, and which one.
    """

    steps: int = 0
    first: FirstDifference | None = None
    differing: int = 0
    are_comparable: bool = True
    is_reordered: bool = False
    is_same_in_all: bool = False
    is_other_data: bool = False
    repeats: tuple[bool, bool] = (False, False)
    skipped: tuple[int, int] = (0, 0)
    first_skipped: FirstDifference | None = None


@dataclass(slots=True)
class _Sums:
    """What the steps that differ drew by pass: samples, tokens, loss tokens and the halves of the digest.

    They are plain integers, since there may be a million steps.
    """

    by_pass: dict[Pass, list[int]] = field(default_factory=dict)

    def add(self, rows: Rows) -> None:
        for _, source, length, number, samples, tokens, loss_tokens, digest in rows:
            sums = self.by_pass.get((source, length, number))
            if sums is None:
                sums = self.by_pass[source, length, number] = [0] * 5
            sums[0] += samples
            sums[1] += tokens
            sums[2] += loss_tokens
            sums[3] += int(digest[:16], 16)
            sums[4] += int(digest[16:], 16)

    def of(self, key: Pass) -> Counts:
        """The sums of one pass."""
        samples, tokens, loss_tokens, high, low = self.by_pass.get(key, [0] * 5)
        return Counts(samples, tokens, loss_tokens, (high % 2**64) << 64 | low % 2**64)

    def in_all(self) -> dict[tuple[str, int], Counts]:
        """The sums over all passes, by source and length."""
        found: dict[tuple[str, int], Counts] = {}
        for source, length, number in self.by_pass:
            found[source, length] = found.get((source, length), NOTHING) + self.of((source, length, number))
        return found


NOTHING = Counts()


def compare_samples(
    a: Path, b: Path, *, pass_ends: Collection[int] = (), whole: Collection[Pass] = ()
) -> SamplesCompared:
    """Compare two ledgers.

    A step whose text is the same in both is not parsed, and nothing of any step is kept but sums.

    Args:
        a: The ledger of the first run.
        b: The ledger of the second run.
        pass_ends: Steps at which both have drawn the whole data once more.
        whole: Passes that both have drawn in whole, where the steps tell to which pass they belong.

    Raises:
        InputError: If a line is damaged.
    """
    found = SamplesCompared()
    sums = _Sums(), _Sums()
    skipped, before = [0, 0], None
    for one, two in _together(a, b):
        found.steps += 1
        if one.is_applied != two.is_applied and found.first_skipped is None:
            words = [("applied" if each.is_applied else "skipped") for each in (one, two)]
            found.first_skipped = FirstDifference(one.number, "skipped", *words)
        skipped[0] += not one.is_applied
        skipped[1] += not two.is_applied
        if one.drawn is None or one.drawn != two.drawn:
            rows = one.rows(), two.rows()
            if found.first is None:
                found.first = _first_difference(found, one, two, before)
            found.differing += _differ(one, two) if not found.are_comparable else _named(rows[0]) != _named(rows[1])
            for each, drawn in zip(sums, rows, strict=True):
                each.add(drawn)
        found.first = found.first or found.first_skipped
        if one.number in pass_ends and found.differing:
            alike = sums[0].in_all() == sums[1].in_all()
            found.is_reordered |= alike
            found.is_other_data |= not alike
        before = one, two
    found.skipped = skipped[0], skipped[1]
    if found.differing and found.are_comparable:
        found.is_same_in_all = sums[0].in_all() == sums[1].in_all()
        found.is_reordered |= found.is_same_in_all or _same_passes(*sums, whole)
    return found


def _first_difference(
    found: SamplesCompared, one: RecordedStep, two: RecordedStep, before: tuple[RecordedStep, RecordedStep] | None
) -> FirstDifference | None:
    """What two steps of which none before them differs differ in, if in anything."""
    passes = one.passes(), two.passes()
    found.are_comparable = _is_placed(passes[0]) == _is_placed(passes[1])
    difference = _difference(one.number, *passes, digests=found.are_comparable)
    if difference is not None and before is not None:
        found.repeats = _drawn(before[0]) == _drawn(one), _drawn(before[1]) == _drawn(two)
    return difference


def _differ(one: RecordedStep, two: RecordedStep) -> bool:
    """Whether two steps differ in what they count, where their digests say nothing about each other."""
    return _difference(one.number, one.passes(), two.passes(), digests=False) is not None


def _named(rows: Rows) -> Rows:
    """The rows without the numbers of their phases and passes, which are names alone."""
    return [[*row[1:3], *row[4:]] for row in rows]


def same_stream(a: Path, b: Path) -> bool | None:
    """Whether two runs with batches of different sizes drew the same samples wherever both had drawn equally many.

    Returns:
        None if that was never so, and nothing can be said.
    """
    common = 0
    one, two = _drawn_so_far(a), _drawn_so_far(b)
    here, there = next(one, None), next(two, None)
    while here is not None and there is not None:
        if here.samples < there.samples:
            here = next(one, None)
            continue
        if here.samples == there.samples:
            if here.digest != there.digest:
                return False
            common += 1
            here = next(one, None)
        there = next(two, None)
    return True if common else None


def _drawn(step: RecordedStep) -> tuple[int, int]:
    """How many samples a step drew, and which."""
    counts = sum(step.passes().values(), NOTHING)
    return counts.samples, counts.digest


def _drawn_so_far(path: Path) -> Iterator[Counts]:
    """What was drawn after each step, over all sources."""
    drawn = NOTHING
    for step in recorded_steps(path):
        drawn = sum(step.passes().values(), drawn)
        yield drawn


def _together(a: Path, b: Path) -> Iterator[tuple[RecordedStep, RecordedStep]]:
    """The steps that both ledgers have, in order."""
    one, two = recorded_steps(a), recorded_steps(b)
    here, there = next(one, None), next(two, None)
    while here is not None and there is not None:
        if here.number < there.number:
            here = next(one, None)
        elif there.number < here.number:
            there = next(two, None)
        else:
            yield here, there
            here, there = next(one, None), next(two, None)


def _is_placed(passes: Mapping[PassKey, Counts]) -> bool:
    """Whether digests are of places in a store, where every sample has a length."""
    return any(key.sequence_length for key in passes)


def _difference(
    step: int, a: Mapping[PassKey, Counts], b: Mapping[PassKey, Counts], *, digests: bool
) -> FirstDifference | None:
    """What two steps differ in; the numbers of phases and passes are names alone."""
    totals = sum(a.values(), NOTHING), sum(b.values(), NOTHING)
    if totals[0].samples != totals[1].samples:
        return FirstDifference(step, "batch", totals[0].samples, totals[1].samples)
    lengths = [{key.sequence_length for key, counts in each.items() if counts.samples} for each in (a, b)]
    if digests and lengths[0] != lengths[1]:
        return FirstDifference(step, "sequence length", *(" and ".join(map(str, sorted(each))) for each in lengths))
    if digests and totals[0].digest != totals[1].digest:
        return FirstDifference(step, "samples", *(f"{each.digest:032x}"[-16:] for each in totals))
    for unit in ("tokens", "loss_tokens"):
        values = [getattr(each, unit) for each in totals]
        if values[0] != values[1] and all(values):  # none is what a loop has that shows no tokens
            return FirstDifference(step, in_words(unit), *values)
    return None


def _same_passes(a: _Sums, b: _Sums, whole: Collection[Pass]) -> bool:
    """Whether the whole passes drew the same; what is left of a pass that is not whole says nothing."""
    touched = [key for key in whole if key in a.by_pass or key in b.by_pass]
    return bool(touched) and all(a.of(key) == b.of(key) for key in touched)

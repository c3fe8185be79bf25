"""Which steps of two ledgers drew other samples: both are read side by side, a step at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.steps import RecordedStep, recorded_steps

__all__ = ["FirstDifference", "Pass", "SamplesCompared", "compare_samples", "same_stream"]

Place = tuple[str, int]
"""A source, and the length that its samples have there; 0 where lengths vary."""
Pass = tuple[str, int, int]
"""The same, and the number of the pass."""


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
        is_reordered: Whether the steps that differ drew the same samples all the same, in whole passes or in all.
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
    is_other_data: bool = False
    repeats: tuple[bool, bool] = (False, False)
    skipped: tuple[int, int] = (0, 0)
    first_skipped: FirstDifference | None = None


@dataclass(slots=True)
class _Sums:
    """What the steps that differ drew, by source and length, and by pass too."""

    in_all: dict[Place, Counts] = field(default_factory=dict)
    by_pass: dict[Pass, Counts] = field(default_factory=dict)

    def add(self, passes: Mapping[PassKey, Counts]) -> None:
        for key, counts in passes.items():
            place = (key.source, key.sequence_length)
            self.in_all[place] = self.in_all.get(place, NOTHING) + counts
            one = (*place, key.number)
            self.by_pass[one] = self.by_pass.get(one, NOTHING) + counts


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
            passes = one.passes(), two.passes()
            if found.first is None:
                found.are_comparable = found.are_comparable and _is_placed(passes[0]) == _is_placed(passes[1])
            difference = _difference(one.number, *passes, digests=found.are_comparable)
            found.differing += difference is not None
            if found.first is None and difference is not None and before is not None:
                found.repeats = _drawn(before[0]) == _drawn(one), _drawn(before[1]) == _drawn(two)
            found.first = found.first or difference
            for each, drawn in zip(sums, passes, strict=True):
                each.add(drawn)
        found.first = found.first or found.first_skipped
        if one.number in pass_ends and found.differing:
            alike = sums[0].in_all == sums[1].in_all
            found.is_reordered |= alike
            found.is_other_data |= not alike
        before = one, two
    found.skipped = skipped[0], skipped[1]
    if found.differing and found.are_comparable:
        found.is_reordered |= sums[0].in_all == sums[1].in_all or _same_passes(*sums, whole)
    return found


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
            return FirstDifference(step, unit.replace("_", " "), *values)
    return None


def _same_passes(a: _Sums, b: _Sums, whole: Collection[Pass]) -> bool:
    """Whether the whole passes drew the same; what is left of a pass that is not whole says nothing."""
    touched = [key for key in whole if key in a.by_pass or key in b.by_pass]
    return bool(touched) and all(a.by_pass.get(key) == b.by_pass.get(key) for key in touched)

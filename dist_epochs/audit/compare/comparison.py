"""Two runs compared: the first step at which they part, and the causes, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dist_epochs.audit.compare.differences import DATA, Difference, differences
from dist_epochs.audit.compare.evidence import CAUSES, Cause, ComparedRun
from dist_epochs.audit.compare.losses import LogsCompared, compare_logs
from dist_epochs.audit.compare.samples import FirstDifference, SamplesCompared, compare_samples

__all__ = ["Comparison", "FoundCause", "compare_runs"]

NUMERIC: tuple[Cause, ...] = ("learning rate", "precision", "world", "versions")
"""What changes the numbers of the same samples."""

UNSEEN: tuple[Cause, ...] = ("corpus", "tokenizer", "masks")
"""What changes the content of samples whose places, of which the digests are, stay the same."""

EFFECTS: tuple[Cause, ...] = (
    "duplicates", "corpus", "packing", "mixture", "global batch", "order", "masks", "skipped", "learning rate",
)  # fmt: skip
"""What is observed of two runs, the likelier to be behind the others first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCause:
    """A cause, with everything that differs of it.

    Attributes:
        cause: Its name.
        differences: What differs, the settings first.
        is_effect: Whether the runs arrived at all of it, so that another cause may be behind it.
        follows_from: The cause that is behind it, where one was found.
    """

    cause: Cause
    differences: tuple[Difference, ...]
    is_effect: bool
    follows_from: Cause | None = None

    def to_json(self) -> dict[str, Any]:
        """As in `dist-epochs compare --json`."""
        first = self.differences[0]
        return {
            "cause": self.cause,
            "a": first.a,
            "b": first.b,
            "name": first.name,
            "follows_from": self.follows_from,
            "differences": [{"name": each.name, "a": each.a, "b": each.b} for each in self.differences],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs beside each other.

    Attributes:
        a: The first run.
        b: The second run.
        samples: What comparing their steps gave; None where one of them has none.
        logs: What comparing their logs gave.
        causes: Ranked, the likeliest first.
        others: Settings that differ and are none of the causes.
        not_compared: Causes of which one run tells nothing, with the reason.
    """

    a: ComparedRun
    b: ComparedRun
    samples: SamplesCompared | None
    logs: LogsCompared
    causes: tuple[FoundCause, ...]
    others: tuple[Difference, ...]
    not_compared: Mapping[Cause, str]

    @property
    def first_difference(self) -> FirstDifference | None:
        """The first step that drew, counted or applied something else; of logs the first row that tells of it."""
        return self.logs.epoch if self.samples is None else self.samples.first

    @property
    def same_data(self) -> bool | None:
        """Whether all steps that both took drew the same samples; None where that cannot be told.

        Digests are of the places of samples, so that two stores, or other masks, may have the same ones.
        """
        samples = self.samples
        if samples is None or not samples.are_comparable or not samples.steps:
            return None
        if samples.differing:
            return False
        unseen = any(each.cause in UNSEEN and not each.is_effect for each in self.causes)
        return None if unseen else True

    def to_json(self) -> dict[str, Any]:
        """As in `dist-epochs compare --json`."""
        first, logged, curve, samples = self.first_difference, self.logs.first, self.logs.curve, self.samples
        return {
            "first_difference": first and first.to_json(),
            "causes": [cause.to_json() for cause in self.causes],
            "same_data": self.same_data,
            "steps_compared": samples.steps if samples else None,
            "steps_that_differ": samples.differing if samples else None,
            "skipped": dict(zip("ab", samples.skipped, strict=True)) if samples else None,
            "first_logged_difference": logged and logged.to_json(),
            "rows_compared": self.logs.rows,
            "largest_loss_difference": self.logs.largest,
            "loss": curve and {"unit": curve.unit, "ends": curve.ends, "a": curve.a, "b": curve.b},
            "other_settings": [{"name": each.name, "a": each.a, "b": each.b} for each in self.others],
            "not_compared": [{"cause": cause, "why": why} for cause, why in self.not_compared.items()],
            "runs": [
                {"path": run.path, "kind": run.kind, **run.reached, "notes": list(run.notes)}
                for run in (self.a, self.b)
            ],
        }


def compare_runs(a: ComparedRun, b: ComparedRun) -> Comparison:
    """Compare two runs.

    Raises:
        InputError: If a line of a ledger is damaged.
    """
    samples = None
    if a.ledger is not None and b.ledger is not None:
        whole, ends = a.whole_passes & b.whole_passes, a.pass_ends & b.pass_ends
        samples = compare_samples(a.ledger, b.ledger, pass_ends=ends, whole=whole)
    logs = compare_logs(a, b)
    found = list(differences(a, b, samples, logs))
    first = logs.epoch if samples is None else samples.first
    return Comparison(
        a=a,
        b=b,
        samples=samples,
        logs=logs,
        causes=tuple(_ranked(found, first, _explaining(first, samples, _world_matters(a, b)))),
        others=tuple(each for each in found if each.cause is None),
        not_compared=dict(_not_compared(a, b, samples, logs)),
    )


def _world_matters(a: ComparedRun, b: ComparedRun) -> bool:
    """Whether the devices decide what a step draws: in other loops, and where the batch is derived from them."""
    return any(not run.stretches or run.derives_batch for run in (a, b))


def _ranked(
    found: Sequence[Difference], first: FirstDifference | None, explaining: Sequence[Cause]
) -> Iterator[FoundCause]:
    """The causes in order: settings that explain the first difference, what was observed, settings that do not."""
    by_cause: dict[Cause, list[Difference]] = {}
    for each in found:
        if each.cause is not None:
            by_cause.setdefault(each.cause, []).append(each)

    def place(cause: Cause) -> tuple[int, int]:
        explains = cause in explaining and any(_concerns(each, first) for each in by_cause[cause])
        if all(each.follows for each in by_cause[cause]):
            return 1, (EFFECTS.index(cause) if cause in EFFECTS else len(EFFECTS))
        order = explaining.index(cause) if explains else CAUSES.index(cause)
        return (0 if explains else 2), order

    behind: Cause | None = None
    for cause in sorted(by_cause, key=place):
        differing = tuple(sorted(by_cause[cause], key=lambda each: (each.follows, each.from_step)))
        is_effect = place(cause)[0] == 1
        yield FoundCause(
            cause=cause, differences=differing, is_effect=is_effect, follows_from=behind if is_effect else None
        )
        if behind is None and place(cause)[0] < 2:
            behind = cause


def _explaining(
    first: FirstDifference | None, samples: SamplesCompared | None, world_matters: bool
) -> tuple[Cause, ...]:
    """The settings that can be behind a first difference, the likeliest first."""
    at = DATA.index("global batch")
    data: tuple[Cause, ...] = (*DATA[:at], "world", *DATA[at:]) if world_matters else DATA
    if samples is None or (first is None and not samples.are_comparable):
        return (*data, *(cause for cause in NUMERIC if cause not in data))  # what was drawn is not known
    if first is None:
        return (*UNSEEN, *NUMERIC, "seed")  # of the weights, in loops whose data do not depend on it
    if first.what == "skipped":
        return ("precision", "learning rate", "world", "versions")
    return data


def _concerns(difference: Difference, first: FirstDifference | None) -> bool:
    """Whether a setting that differs was in force at the first step that does."""
    return not difference.follows and (first is None or difference.from_step <= first.step)


def _not_compared(
    a: ComparedRun, b: ComparedRun, samples: SamplesCompared | None, logs: LogsCompared
) -> Iterator[tuple[Cause, str]]:
    """Causes that one run, or both, tell nothing of."""
    tells = [_told(run, tells_rate) for run, tells_rate in zip((a, b), logs.tell_rates, strict=True)]
    for cause in CAUSES:
        silent = [letter for letter, told in zip("ab", tells, strict=True) if cause not in told]
        if cause == "order" and not silent and samples is not None and not samples.are_comparable:
            yield cause, "one ledger tells samples by their place in a store, and the other by their tokens"
        elif silent:
            yield cause, f"not told by {' or '.join(silent)}"


def _told(run: ComparedRun, tells_rate: bool) -> set[Cause | None]:
    """The causes of which a run tells something."""
    told = {each.cause for each in run.settings}
    if run.ledger is not None:
        told |= {"global batch", "order", "skipped"}
    return told | {"learning rate"} if tells_rate else told

"""What two runs differ in: settings, plans, and what they drew, by cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dist_epochs.audit.compare.evidence import Cause, ComparedRun, Setting, Stretch, Value
from dist_epochs.audit.compare.losses import LogsCompared
from dist_epochs.audit.compare.samples import SamplesCompared, same_stream
from dist_epochs.names import in_words

__all__ = ["DATA", "Difference", "differences"]

NOT_SET = "not set"

DATA: tuple[Cause, ...] = ("corpus", "tokenizer", "packing", "mixture", "seed", "masks", "global batch", "order")
"""Settings that decide which samples a step draws, and what the loss counts of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing that two runs have otherwise.

    Attributes:
        cause: What it would be; None for a setting that is none of the causes.
        name: What it is.
        a: The first run's.
        b: The second run's.
        follows: Whether it may be the effect of another one.
        from_step: The first step that it concerns.
    """

    cause: Cause | None
    name: str
    a: Value
    b: Value
    follows: bool = False
    from_step: int = 1


def differences(
    a: ComparedRun, b: ComparedRun, samples: SamplesCompared | None, logs: LogsCompared
) -> Iterator[Difference]:
    """Everything that differs, settings before what the runs arrived at.

    Args:
        a: The first run.
        b: The second run.
        samples: What comparing their steps gave; None where one of them has none.
        logs: What comparing their logs gave.

    Raises:
        InputError: If a line of a ledger is damaged.
    """
    stated = [each for each in _settings(a, b) if samples is None or each.cause != "skipped"]
    stated += _plans(a.stretches, b.stretches)
    yield from stated
    if samples is not None:
        yield from _drawn(a, b, samples, {each.cause for each in stated if not each.follows})
    if logs.rate is not None:
        rate = logs.rate
        name = f"learning rate logged at step {rate.step:,}"
        yield Difference(cause="learning rate", name=name, a=rate.a, b=rate.b, follows=True, from_step=rate.step)
    if logs.epoch is not None and samples is None:  # else the steps themselves tell more
        epoch = logs.epoch
        name = f"epoch logged at step {epoch.step:,}"
        yield Difference(cause="global batch", name=name, a=epoch.a, b=epoch.b, follows=True, from_step=epoch.step)


def _settings(a: ComparedRun, b: ComparedRun) -> Iterator[Difference]:
    mine, theirs = a.by_name(), b.by_name()
    all_stated = [any(each.is_stated for each in run.settings) for run in (a, b)]
    corpus = set(_of_the_corpus(mine, theirs))
    for name in dict.fromkeys((*mine, *theirs)):
        here, there = mine.get(name), theirs.get(name)
        setting = here or there
        assert setting is not None
        if here is not None and there is not None:
            if not here.differs(there):
                continue
        elif not (setting.is_stated and all(all_stated)):
            continue
        if setting.cause in ("corpus", "tokenizer") and name not in corpus:
            continue
        values = [NOT_SET if each is None else each.value for each in (here, there)]
        cause: Cause | None = "tokenizer" if corpus == {BY_COUNTS} and setting.cause == "corpus" else setting.cause
        yield Difference(cause=cause, name=name, a=values[0], b=values[1], follows=setting.follows)


CONTENT, BY_COUNTS, TOKENIZER = "content of the corpus", "tokens of the corpus", "tokenizer"
ORDER = "rule of order"
"""Of each format of stores there is one."""


def _of_the_corpus(a: dict[str, Setting], b: dict[str, Setting]) -> Iterator[str]:
    """Which differences of corpus and tokenizer are causes.

    The digest of a store covers its tokenizer, so that it tells of another corpus only where the tokenizer is the same.
    Stores of two formats have two digests of one text: their counts tell then whether it is the same.
    Where the tokenizer's own digest is not known, other tokens of the same documents and words tell of it.
    """
    shared = {name for name in a if name in b and a[name].cause in ("corpus", "tokenizer")}
    differing = {name for name in shared if a[name].differs(b[name])}
    counted = {"documents of the corpus", "words of the corpus"}
    same_text = counted <= shared and not counted & differing
    if ORDER in a and ORDER in b and a[ORDER].differs(b[ORDER]) and same_text and BY_COUNTS not in differing:
        differing.discard(CONTENT)
    if CONTENT in shared and CONTENT not in differing:
        return  # the same store, of which other sources are drawn
    if TOKENIZER in differing:
        yield TOKENIZER
        yield from differing & counted
    elif same_text and BY_COUNTS in differing and TOKENIZER not in shared:
        yield BY_COUNTS
    else:
        yield from differing


def _plans(a: Sequence[Stretch], b: Sequence[Stretch]) -> Iterator[Difference]:
    """Where two plans have another length or batch, as far as both go."""
    found: dict[Cause, Difference] = {}
    names: tuple[tuple[Cause, str], ...] = (("packing", "sequence_length"), ("global batch", "global_batch"))
    starts = {0}
    for stretches in (a, b):
        total = 0
        for stretch in stretches:
            total += stretch.steps
            starts.add(total)
    for start, _ in pairwise(sorted(starts)):
        here, there = _stretch_at(a, start), _stretch_at(b, start)
        if here is None or there is None:
            break
        for cause, field in names:
            values = [getattr(each, field) for each in (here, there)]
            if values[0] != values[1] and None not in values:
                name = in_words(field) + (f" from step {start + 1:,}" if start else "")
                found.setdefault(
                    cause, Difference(cause=cause, name=name, a=values[0], b=values[1], from_step=start + 1)
                )
    yield from found.values()


def _stretch_at(stretches: Sequence[Stretch], step: int) -> Stretch | None:
    """The stretch of a step, from 0."""
    for stretch in stretches:
        if step < stretch.steps:
            return stretch
        step -= stretch.steps
    return None


def _drawn(a: ComparedRun, b: ComparedRun, samples: SamplesCompared, stated: set[Cause | None]) -> Iterator[Difference]:
    """What the steps show: other batches, another order, other masks, skipped steps."""
    first = samples.first
    if (skipped := samples.first_skipped) is not None:
        name = f"skipped steps, the first one at {skipped.step:,}"
        values = samples.skipped if samples.skipped[0] != samples.skipped[1] else (skipped.a, skipped.b)
        yield Difference(cause="skipped", name=name, a=values[0], b=values[1], follows=True, from_step=skipped.step)
    if first is None or first.what == "skipped":
        return
    if samples.repeats[0] != samples.repeats[1]:
        name = f"step {first.step:,} repeats the samples of the step before"
        a_repeats, b_repeats = ("yes" if repeats else "no" for repeats in samples.repeats)
        yield Difference(cause="duplicates", name=name, a=a_repeats, b=b_repeats, follows=True, from_step=first.step)
    observed: dict[str, Cause] = {"batch": "global batch", "sequence length": "packing", "loss tokens": "masks"}
    if first.what in observed:
        name = f"{first.what} of step {first.step:,}"
        seen = observed[first.what]
        yield Difference(cause=seen, name=name, a=first.a, b=first.b, follows=True, from_step=first.step)
    if not samples.are_comparable or first.what not in ("samples", "batch"):
        return
    cause: Cause = "order"
    follows = True
    if samples.is_reordered:
        name = f"the same samples in other steps, from step {first.step:,} on"
    elif samples.is_other_data and first.what == "samples" and not stated & {"corpus", "tokenizer"}:
        cause, name, follows = "corpus", "samples of a whole pass", False
    elif first.what == "samples" and not stated & {"corpus", "tokenizer", "packing", "mixture"}:
        name = f"samples of step {first.step:,}"
    elif first.what == "batch" and not stated & {"corpus", "tokenizer", "packing", "mixture", "seed"}:
        assert a.ledger is not None
        assert b.ledger is not None
        if same_stream(a.ledger, b.ledger) is not False:
            return
        name = "samples after equally many were drawn"
    else:
        return
    values = _shown(first.a), _shown(first.b)
    yield Difference(cause=cause, name=name, a=values[0], b=values[1], follows=follows, from_step=first.step)


def _shown(value: Value) -> Value:
    """A digest, or the size of a batch, as it is shown."""
    return f"…{value[-8:]}" if isinstance(value, str) else f"steps of {value:,}"

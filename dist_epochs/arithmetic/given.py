"""What is known of a run, and in which unit its draws are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dist_epochs.arithmetic.batch import cannot_be_built
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.text import number
from dist_epochs.errors import InputError

__all__ = [
    "DRAWN",
    "PARTS",
    "Contradiction",
    "Given",
    "SolveError",
    "counts_tokens",
    "in_samples",
    "in_whole_run",
    "known_numbers",
    "meant_exactly",
]

WHOLE = ("steps", "devices", "per_device", "gradient_accumulation", "global_batch", "sequence_length")
"""Settings that are counts."""

PARTS = ("devices", "gradient_accumulation", "per_device", "sequence_length", "global_batch")
"""What the batch is made of."""

DRAWN = ("tokens", "samples")
"""What is drawn in all."""


UNITS: Mapping[str, tuple[Unit | None, Unit | None]] = {
    "steps": (Unit.STEP, None),
    "epochs": (Unit.EPOCH, None),
    "devices": (Unit.DEVICE, None),
    "per_device": (Unit.SAMPLE, Unit.DEVICE),
    "gradient_accumulation": (None, Unit.STEP),
    "global_batch": (Unit.SAMPLE, Unit.STEP),
    "sequence_length": (Unit.TOKEN, Unit.SAMPLE),
    "tokens_per_word": (Unit.TOKEN, Unit.WORD),
    "tokens": (Unit.TOKEN, None),
    "samples": (Unit.SAMPLE, None),
}
"""What each number of the identity counts, and for what; positions count as tokens in it."""


class SolveError(InputError):
    """Too little is known, or it cannot be used."""


class Contradiction(SolveError):
    """What is known contradicts itself; `asked` says how. No mistake of the input: it is the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What is known of a run. Settings are exact; corpus and epochs keep the tolerance of their spelling.

    A corpus written out to the last unit (`100 examples`) is exact, and so are a whole number of epochs and what a run
    is to reach (epochs, tokens, samples); `3.3B words` are not, nor `40 epochs` that other numbers are checked against.

    Attributes:
        steps: Optimizer steps.
        batch: What one step draws, in samples (`256`), samples × length (`256x512`) or tokens.
        corpus: Size of the corpus, in tokens, words or samples.
        epochs: Times the corpus is drawn.
        tokens_per_word: Tokens for one word of a corpus given in words.
        devices: Data-parallel size.
        per_device: Samples per device and micro-step.
        gradient_accumulation: Micro-steps per step.
        global_batch: Samples per step.
        sequence_length: Positions per sample.
        tokens: Tokens drawn in all.
        samples: Samples drawn in all.
    """

    steps: Quantity | None = None
    batch: Quantity | None = None
    corpus: Quantity | None = None
    epochs: Quantity | None = None
    tokens_per_word: Quantity | None = None
    devices: Quantity | None = None
    per_device: Quantity | None = None
    gradient_accumulation: Quantity | None = None
    global_batch: Quantity | None = None
    sequence_length: Quantity | None = None
    tokens: Quantity | None = None
    samples: Quantity | None = None


def counts_tokens(given: Given) -> bool:
    """Whether the draws are counted in tokens (else in samples)."""
    if given.tokens is not None and given.samples is not None:
        raise SolveError(
            "both tokens and samples drawn in all are given",
            rule="the identity counts one of them",
            fixes="keeping one",
        )
    if given.corpus is not None:
        if given.corpus.unit in (Unit.TOKEN, Unit.WORD, Unit.POSITION):
            return True
        if given.corpus.unit is Unit.SAMPLE:
            return False
        asked = f"corpus {given.corpus.text!r}"
        bare = number(given.corpus.value) if given.corpus.unit else given.corpus.text
        if given.corpus.unit is Unit.DOCUMENT:
            raise SolveError(
                f"{asked} counts documents",
                rule="a step draws samples or tokens, and the lengths of the documents decide how many they are",
                fixes=("`dist-epochs tokenize`, which counts them", "tokens, words or samples"),
            )
        raise SolveError(
            f"{asked} {'has no unit' if given.corpus.unit is None else f'counts {given.corpus.unit}s'}",
            rule="a corpus is counted in tokens, words or samples",
            fixes=[f"'{bare} {unit}'" for unit in _units_of_corpus(given)],
        )
    if given.samples is not None:
        return False
    batch = given.batch
    by_length = given.sequence_length is not None or given.tokens_per_word is not None
    return (
        given.tokens is not None
        or by_length
        or (batch is not None and (batch.unit in (Unit.TOKEN, Unit.POSITION) or len(batch.factors) == 2))
    )


def _units_of_corpus(given: Given) -> tuple[str, ...]:
    """What a corpus may count beside what else is known, the likeliest first."""
    if given.tokens_per_word is not None:
        return ("words",)
    batch = given.batch
    if given.tokens is not None or (batch is not None and batch.unit in (Unit.TOKEN, Unit.POSITION)):
        return ("tokens",)
    return ("tokens", "samples")


def in_samples(given: Given) -> tuple[Given, list[str]]:
    """Bare numbers as samples, where nothing that is known counts tokens, words or positions.

    Returns:
        The same with the unit of its corpus, and a line that says what was taken for samples.

    Examples:
        >>> from dist_epochs.arithmetic.quantity import parse
        >>> made, lines = in_samples(Given(corpus=parse("2000"), batch=parse("200"), epochs=parse("1")))
        >>> str(made.corpus.unit), *lines
        ('sample', 'corpus 2000 and batch 200 have no unit: nothing here counts tokens, so samples')
    """
    corpus, batch = given.corpus, given.batch
    bare = {name: each for name, each in (("corpus", corpus), ("batch", batch)) if each is not None and not each.unit}
    says_tokens = (
        any(each is not None for each in (given.tokens, given.tokens_per_word, given.sequence_length))
        or (batch is not None and (batch.unit in (Unit.TOKEN, Unit.POSITION) or batch.is_product))
    )  # fmt: skip
    if not bare or says_tokens or given.samples is not None or (corpus is not None and corpus.unit is not None):
        return given, []
    said = " and ".join(f"{name} {each.text}" for name, each in bare.items())
    line = f"{said} {'have' if len(bare) > 1 else 'has'} no unit: nothing here counts tokens, so samples"
    return (given if corpus is None else replace(given, corpus=corpus.counted_in(Unit.SAMPLE))), [line]


def in_whole_run(amount: Quantity, name: str, *, steps: Quantity | None, epochs: Quantity | None) -> Quantity:
    """An amount of the whole run: what is written for one step or one epoch, times those.

    Args:
        amount: Steps, tokens or samples, as written.
        name: Of the amount, for messages.
        steps: Of the run, if they are known.
        epochs: Of the run, if they are known.

    Returns:
        The same amount if it is that of the whole run; else the product, whose `text` is its derivation.

    Raises:
        SolveError: If what it is to be multiplied by is not known.

    Examples:
        >>> from dist_epochs.arithmetic.quantity import parse
        >>> each = parse("500 steps per epoch", per=[Unit.EPOCH])
        >>> in_whole_run(each, "steps", steps=None, epochs=parse("3")).text
        '500 steps per epoch × 3 = 1,500 steps'
    """
    if amount.per is None:
        return amount
    times, flag = (steps, "steps") if amount.per is Unit.STEP else (epochs, "epochs")
    if times is None:
        raise SolveError(
            f"{name} {amount.text!r} is for one {amount.per}",
            rule=f"the identity counts the whole run, and --{flag}, which it would be multiplied by, is not given",
            fixes=(f"giving --{flag} too", *(["--batch for what one step draws"] * (amount.per is Unit.STEP))),
        )
    whole = amount * times.exactly().counted_in(amount.per)
    return replace(whole, text=f"{amount.text} × {times.text} = {whole.in_words}")


def meant_exactly(given: Given, unknown: str) -> dict[str, Quantity]:
    """Numbers with a tolerance that are none once it is known what is asked for.

    Epochs in a whole number (`1`, `3.0`) are passes that a run makes, and so exact. Where steps or a part of the batch
    are asked for, what the run is to reach is a setting: its epochs, tokens and samples. `~` keeps its tolerance, but
    for epochs that are to be reached.
    """
    to_reach, exact = unknown in ("steps", "batch", *PARTS), {}
    for name in ("epochs", *(DRAWN if to_reach else ())):
        amount: Quantity | None = getattr(given, name)
        if amount is None or amount.number.is_exact:
            continue
        are_passes = name == "epochs" and amount.value.denominator == 1
        if (name == "epochs" and to_reach) or ((to_reach or are_passes) and not amount.is_about):
            exact[name] = amount.exactly()
    return exact


def known_numbers(given: Given, in_tokens: bool) -> tuple[dict[str, Quantity], list[str]]:
    """Everything given, in the unit the draws are counted in, and what was taken for granted."""
    _refuse_what_would_be_ignored(given, in_tokens)
    known: dict[str, Quantity] = {}
    notes: list[str] = []
    for name in Given.__dataclass_fields__:
        quantity: Quantity | None = getattr(given, name)
        if quantity is None:
            continue
        if quantity.value <= 0:
            raise SolveError(f"{name.replace('_', ' ')} is {quantity.text}", rule="it must be above zero")
        if name in WHOLE and quantity.value.denominator != 1:
            raise SolveError(f"{name.replace('_', ' ')} is {quantity.text}", rule="it must be a whole number")
        stated = name in ("corpus", "epochs", "tokens", "samples")
        counted = name != "epochs" and quantity.high - quantity.low <= 1  # whole things, written out
        amount = quantity if stated and not counted else quantity.exactly()
        known[name] = amount if name == "batch" else _in_unit_of(name, amount)
    batch = known.pop("batch", None)
    if batch is not None:
        _place_batch(batch, known, in_tokens)
    if in_tokens and ("sequence_length" in known or (batch is not None and len(batch.factors) == 2)):
        notes.append("every position counts as a token: padding is not taken off")
    if given.tokens_per_word is not None and given.tokens_per_word.value == 1:
        notes.append("a word counts as one token, as papers do; subword tokenizers give more")
    return known, notes


def _refuse_what_would_be_ignored(given: Given, in_tokens: bool) -> None:
    corpus = given.corpus
    if given.tokens_per_word is not None and corpus is not None and corpus.unit is not Unit.WORD:
        raise SolveError(
            f"tokens per word is given and the corpus is {corpus.text!r}",
            rule="the ratio is for a corpus in words",
            fixes="leaving it out",
        )
    if (in_tokens and given.samples is not None) or (not in_tokens and given.tokens is not None):
        drawn, counted = ("samples", "tokens") if in_tokens else ("tokens", "samples")
        raise SolveError(
            f"{drawn} drawn in all are given, and the corpus counts {counted}",
            rule="they meet only through the sequence length",
            fixes=f"--{counted}",
        )
    if given.global_batch is not None and given.devices is not None:
        samples, devices = int(given.global_batch.value), int(given.devices.value)
        is_checked = given.per_device is not None and given.gradient_accumulation is not None
        if (
            given.global_batch.value.denominator == given.devices.value.denominator == 1
            and devices
            and samples % devices
            and not is_checked
        ):
            each = given.per_device
            raise cannot_be_built(samples, devices, int(each.value) if each and each.value >= 1 else None)


def _place_batch(batch: Quantity, known: dict[str, Quantity], in_tokens: bool) -> None:
    if batch.unit in (Unit.TOKEN, Unit.POSITION):
        if in_tokens:
            known["batch"] = batch.counted_in(Unit.TOKEN, per=Unit.STEP)
        elif "sequence_length" in known:
            known["batch"] = batch.counted_in(Unit.TOKEN, per=Unit.STEP) / known["sequence_length"]
        else:
            raise SolveError(
                f"the batch {batch.text!r} counts tokens and the corpus counts samples",
                fixes=("giving --sequence-length", "the batch in samples"),
            )
    elif len(batch.factors) == 2 and batch.unit is None:
        samples, length = (Quantity.exact(factor) for factor in batch.factors)
        _set(known, "global_batch", samples, batch)
        _set(known, "sequence_length", length, batch)
    elif batch.unit is Unit.SAMPLE or not in_tokens or "sequence_length" in known:
        if batch.value.denominator != 1:
            raise SolveError(f"the batch is {batch.text!r} samples", rule="it must be a whole number")
        _set(known, "global_batch", batch, batch)
    else:
        raise SolveError(
            f"a batch of {batch.text!r}: samples or tokens?",
            rule="the corpus counts tokens, so the answer differs by the sequence length",
            fixes=(f"'{batch.text} tokens'", f"'{batch.text}x512'", "giving --sequence-length"),
        )


def _set(known: dict[str, Quantity], name: str, value: Quantity, batch: Quantity) -> None:
    if name in known and known[name].value != value.value:
        label = name.replace("_", " ")
        other = number(known[name].value)
        raise Contradiction(f"batch {batch.text!r} means {label} {number(value.value)}, but {label} {other} is given")
    known[name] = _in_unit_of(name, value)


def _in_unit_of(name: str, amount: Quantity) -> Quantity:
    """A number as the identity multiplies it: a corpus is what one epoch draws."""
    unit, per = UNITS.get(name, (Unit.TOKEN if amount.unit is Unit.POSITION else amount.unit, Unit.EPOCH))
    return amount.counted_in(unit, per=per)

"""Flags as a claim: `--steps 1M --batch 256x512 --corpus '3.3B words' --epochs ~40` are the facts of a text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dist_epochs.arithmetic.duration import HOURS_IN
from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.audit.sentence.lexicon import after_number
from dist_epochs.audit.sentence.numerals import ABOUT, Numeral
from dist_epochs.audit.sentence.reading import Found, Reading
from dist_epochs.errors import InputError, Origin

__all__ = ["read_flags"]

ROLES: Mapping[str, tuple[str, str, Unit | None]] = {
    "steps": ("steps", "steps", Unit.STEP),
    "samples": ("samples", "samples", Unit.SAMPLE),
    "tokens": ("tokens", "tokens", Unit.TOKEN),
    "epochs": ("epochs", "epochs", Unit.EPOCH),
    "global_batch": ("global_batch", "samples", Unit.SAMPLE),
    "per_device": ("per_device", "samples", Unit.SAMPLE),
    "gradient_accumulation": ("gradient_accumulation", "micro-steps", None),
    "sequence_length": ("sequence_length", "tokens", None),
    "parameters": ("parameters", "parameters", None),
    "tokens_per_second": ("tokens_per_second", "tokens/s", None),
    "mfu": ("mfu", "", None),
}
"""The role of a flag, its unit, and what it must count."""

OF_A_RUN = (
    "documents",
    "model",
    "precision",
    "peak_tflops",
    "tensor_parallel",
    "pipeline_parallel",
    "context_parallel",
)
"""Flags that say something only beside a finished run."""

CORPORA = {Unit.TOKEN: "tokens", Unit.WORD: "words", Unit.SAMPLE: "samples"}


def read_flags(texts: Mapping[str, str]) -> Reading:
    """The facts that flags state.

    Args:
        texts: What was given, by the names of the flags, with underscores.

    Raises:
        InputError: If one of them is no number of its kind, with the flag.
    """
    refused = [f"--{name.replace('_', '-')}" for name in texts if name in OF_A_RUN]
    if refused:
        raise InputError(
            f"{', '.join(refused)}: a claim without a run has no use for it",
            rule="it says how a finished run counts",
            fixes=("leaving it out", "the path of a run"),
        )
    given, facts = "", []
    for name, text in texts.items():
        flag = f"--{name.replace('_', '-')}"
        given += f"{' ' if given else ''}{flag} "
        start = len(given)
        given += shlex.quote(text)
        try:
            for role, unit, quantity in _of_flag(name, text):
                is_about = re.match(r"\s*(?:~|≈|about|approx)", text) is not None
                numeral = Numeral(
                    start, start, len(given), quantity, _spelling(quantity, text), ABOUT if is_about else ""
                )
                facts.append(
                    Found(
                        role=role,
                        unit=unit,
                        numeral=numeral,
                        start=start,
                        end=len(given),
                        text=given[start:],
                        clause=0,
                        place=start,
                    )
                )
        except InputError as error:
            raise error if error.origin else error.but(origin=Origin(flag)) from None
    return Reading(given=given, facts=tuple(facts), unused=())


def _spelling(quantity: Quantity, text: str) -> str:
    if str(quantity.text) != text:
        return quantity.text
    match = re.match(r"\s*(?:~|≈|about|approximately|approx\.?)?\s*(.*?)\s*(?:[^\W\d_]{2,}.*)?$", text)
    return match[1] if match is not None and match[1] else text


def _of_flag(name: str, text: str) -> Iterator[tuple[str, str, Quantity]]:
    """Role, unit and number of what a flag states."""
    if name in ROLES:
        role, unit, counts = ROLES[name]
        yield role, unit, parse(text, unit=counts, what=name.replace("_", " "))
    elif name == "batch":
        yield from _batch(text)
    elif name == "corpus":
        quantity = parse(text, what="corpus")
        if quantity.unit not in CORPORA:
            raise InputError(
                f"corpus {text!r} does not say what it counts",
                rule="a corpus is so many tokens, words or samples",
                fixes=(f"'{text} tokens'", f"'{text} words'", f"'{text} samples'"),
            )
        yield "corpus", CORPORA[quantity.unit], quantity
    elif name == "devices":
        yield from _devices(text)
    elif name == "hours":
        match = re.fullmatch(rf"(.*?)\s*(?:({'|'.join(HOURS_IN)})s?)?", text.strip())
        assert match is not None
        yield "hours", f"{match[2] or 'hour'}s", parse(match[1], what="hours")


def _batch(text: str) -> Iterator[tuple[str, str, Quantity]]:
    quantity = parse(text, per=(Unit.STEP,), what="batch")
    if quantity.is_product and len(quantity.factors) == 2:
        for role, unit, value in zip(
            ("global_batch", "sequence_length"), ("sequences", "tokens"), quantity.factors, strict=True
        ):
            number = Quantity.exact(value)
            yield role, unit, replace(number, text=str(value))
    elif quantity.unit in (Unit.TOKEN, Unit.POSITION):
        yield "batch_tokens", "tokens", quantity
    else:
        yield "global_batch", "samples", parse(text, unit=Unit.SAMPLE, per=(Unit.STEP,), what="batch")


def _devices(text: str) -> Iterator[tuple[str, str, Quantity]]:
    match = re.match(r"\s*(\d[\d,]*[Kk]?)", text)
    if match is None:
        raise InputError(f"devices {text!r} are no number", fixes=("8xA100", "8"))
    noun = after_number().match(text, match.end())
    yield (
        "devices",
        (noun["device"] if noun is not None and noun["device"] else "GPUs"),
        replace(parse(match[1]), text=match[1]),
    )

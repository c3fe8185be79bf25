"""A recipe from flags alone, or with flags over it: each flag is one setting of the recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Place

__all__ = ["BUDGET_FLAGS", "SETTING_FLAGS", "apply_flags", "split_devices"]

BUDGET_FLAGS = ("steps", "samples", "tokens", "epochs", "hours", "flops", "money")
"""Flags that say how long the run is: one of them."""

SETTING_FLAGS: Mapping[str, Place] = {
    "global_batch": ("batch", "global_batch"),
    "per_device": ("batch", "per_device"),
    "gradient_accumulation": ("batch", "gradient_accumulation"),
    "tensor_parallel": ("batch", "tensor_parallel"),
    "pipeline_parallel": ("batch", "pipeline_parallel"),
    "context_parallel": ("batch", "context_parallel"),
    "expert_parallel": ("batch", "expert_parallel"),
    "ramp": ("batch", "ramp"),
    "last_window": ("batch", "last_window"),
    "uneven": ("batch", "uneven"),
    "replacement": ("batch", "replacement"),
    "temperature": ("corpus", "temperature"),
    "max_epochs": ("corpus", "max_epochs"),
    "model": ("model", "config"),
    "parameters": ("model", "parameters"),
    "precision": ("precision",),
    "peak_tflops": ("hardware", "peak_tflops"),
    "mfu": ("hardware", "mfu"),
    "tokens_per_second": ("hardware", "tokens_per_second"),
    "price": ("hardware", "price"),
    "zero_stage": ("hardware", "zero_stage"),
    "activation_checkpointing": ("hardware", "activation_checkpointing"),
    "restarts": ("hardware", "restarts"),
    "checkpoint_every": ("hardware", "checkpoint_every"),
    "restart_time": ("hardware", "restart_time"),
}
"""Flags that are one setting each, and its place."""

SIZES = {Unit.TOKEN: "tokens", Unit.WORD: "words", Unit.SAMPLE: "samples"}
"""The setting that a corpus of each unit is."""

_HARDWARE = re.compile(r"\s*(?P<count>.+?)\s*[x×*]\s*(?P<device>[A-Za-z].*?)\s*")
_SOURCE = re.compile(r"(?P<name>[^:]+):(?P<size>[^:]+)(:(?P<weight>[^:]+))?")


def apply_flags(document: Document, flags: Mapping[str, Any], sources: Sequence[str] = ()) -> None:
    """Write flags into a document; a document without phases gets one.

    Args:
        document: A recipe, or an empty document.
        flags: Values by name, without those that were not given.
        sources: `NAME:SIZE[:WEIGHT]` of each source of a mixture.

    Raises:
        InputError: If flags contradict each other or the recipe.
    """
    for name, place in SETTING_FLAGS.items():
        if name in flags:
            document.put(place, flags[name], Origin(_flag(name)))
    if "devices" in flags:
        _devices(document, flags["devices"])
    if "sequence_length" in flags:
        _length(document, flags["sequence_length"], "--sequence-length")
    if "batch" in flags:
        _batch(document, flags["batch"], flags)
    _corpus(document, flags, sources)
    _budget(document, {name: flags[name] for name in BUDGET_FLAGS if name in flags})


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def split_devices(text: str) -> tuple[str, str | None]:
    """How many devices, and of which kind, if it is named.

    Examples:
        >>> split_devices("8xH100"), split_devices("8")
        (('8', 'H100'), ('8', None))
    """
    if text.strip()[:1].isalpha():
        raise InputError(f"--devices {text}: how many? Write for example --devices 8x{text.strip()}")
    match = _HARDWARE.fullmatch(text)
    return (text, None) if match is None else (match["count"], match["device"])


def _devices(document: Document, text: str) -> None:
    count, kind = split_devices(text)
    document.put(("batch", "devices"), count, Origin("--devices"))
    if kind is not None:
        document.put(("hardware", "device"), kind, Origin("--devices"))


def _length(document: Document, text: str, where: str) -> None:
    phases = document.get(("phases",))
    if isinstance(phases, list) and len(phases) > 1:
        raise InputError(
            f"{where} {text}: the recipe has {len(phases)} phases with lengths of their own. Change one of them with "
            f"--set phases.0.sequence_length={text}."
        )
    _first_phase(document, where)
    document.put(("phases", 0, "sequence_length"), text, Origin(where))


def _first_phase(document: Document, where: str) -> None:
    if document.get(("phases",)) is None:
        document.put(("phases",), [{}], Origin(where))


def _batch(document: Document, text: str, flags: Mapping[str, Any]) -> None:
    """Samples × length, tokens, or samples."""
    if "global_batch" in flags:
        raise InputError(f"--batch {text} and --global-batch {flags['global_batch']} both state the batch; keep one")
    batch = parse(text, per=(Unit.STEP,), what="--batch")
    if batch.is_product and len(batch.factors) == 2:
        samples, length = batch.factors
        if "sequence_length" in flags and parse(flags["sequence_length"]).value != length:
            raise InputError(f"--batch {text} has length {length}, and --sequence-length is {flags['sequence_length']}")
        document.put(("batch", "global_batch"), str(samples), Origin("--batch"))
        _length(document, str(length), "--batch")
        return
    if batch.unit is None and not _counts_samples(flags) and "sequence_length" not in flags and _no_length(document):
        raise InputError(
            f"--batch {text}: samples or tokens? The answer differs by the sequence length. Write '{text} tokens', "
            f"'{text}x512', or add --sequence-length."
        )
    document.put(("batch", "global_batch"), text, Origin("--batch"))


def _counts_samples(flags: Mapping[str, Any]) -> bool:
    corpus = flags.get("corpus")
    size = _size(corpus) if corpus else None
    return "samples" in flags or (size is not None and size.unit is Unit.SAMPLE)


def _no_length(document: Document) -> bool:
    return document.get(("phases", 0, "sequence_length")) is None


def _size(text: str) -> Quantity | None:
    """A corpus as a size; None if it is a path."""
    try:
        return parse(text, what="--corpus")
    except InputError:
        if Path(text).exists() or "/" in text:
            return None
        raise


def _corpus(document: Document, flags: Mapping[str, Any], sources: Sequence[str]) -> None:
    """What is drawn; how it is mixed and capped stays as it was stated."""
    if sources and "corpus" in flags:
        raise InputError("--corpus and --source both state what is drawn; keep one")
    ratio = flags.get("tokens_per_word")
    if sources:
        table = dict(map(_source, sources))
        for entry in table.values():
            if ratio is not None and "words" in entry:
                entry["tokens_per_word"] = ratio
        if len(table) < len(sources):
            raise InputError("--source: two sources have the same name")
        _replace_corpus(document, {"sources": table}, "--source")
        return
    if "corpus" in flags:
        _replace_corpus(document, _stated(flags["corpus"]), "--corpus")
    if ratio is not None:
        document.put(("corpus", "tokens_per_word"), ratio, Origin("--tokens-per-word"))


def _replace_corpus(document: Document, stated: dict[str, Any], where: str) -> None:
    kept = {name: document.get(("corpus", name)) for name in ("temperature", "max_epochs")}
    document.put(
        ("corpus",), {name: value for name, value in kept.items() if value is not None} | stated, Origin(where)
    )


def _stated(text: str) -> dict[str, str]:
    size = _size(text)
    if size is None:
        return {"store": str(Path(text).resolve())}
    if size.unit in SIZES:
        return {SIZES[size.unit]: text}
    if size.unit is Unit.DOCUMENT:
        raise InputError(
            f"--corpus {text!r} counts documents, and a step draws samples or tokens: their lengths decide. Count it "
            "with `dist-epochs tokenize`, or give tokens, words or samples."
        )
    raise InputError(
        f"--corpus {text!r} has no unit: a corpus is counted in tokens, words or samples. Write for example "
        f"'{size.text} tokens'."
    )


def _source(text: str) -> tuple[str, dict[str, str]]:
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise InputError(f"--source {text!r}: write NAME:SIZE:WEIGHT, for example 'web:200B tokens:60%'")
    size = parse(match["size"], what=f"--source {match['name']}")
    if size.unit not in SIZES:
        raise InputError(
            f"--source {text!r}: {size.text} of what? A size is counted in tokens, words or samples: write for example "
            f"'{match['name']}:{size.text} tokens{':' + match['weight'] if match['weight'] else ''}'."
        )
    entry = {SIZES[size.unit]: match["size"]}
    return match["name"].strip(), entry | ({"weight": match["weight"]} if match["weight"] else {})


def _budget(document: Document, amounts: Mapping[str, Any]) -> None:
    """How long the run is: over a recipe, in place of what its one phase or its budget says."""
    if len(amounts) > 1:
        names = " and ".join(_flag(name) for name in amounts)
        raise InputError(
            f"{names} each say how long the run is; keep one. Whether they agree with each other: `dist-epochs solve`."
        )
    _first_phase(document, "flags")
    if not amounts:
        return
    ((name, value),) = amounts.items()
    found = document.get(("phases",))
    phases = [phase for phase in found if isinstance(phase, dict)] if isinstance(found, list) else []
    stated = [phase for phase in phases if set(phase) & {*BUDGET_FLAGS}]
    if stated and len(phases) > 1:
        raise InputError(
            f"{_flag(name)} {value}: the recipe's phases state amounts of their own, so there is nothing to share. "
            "Give them shares (`share: 90%`) and a budget, or change one with --set phases.0.steps=…"
        )
    for phase in stated:
        for amount in {*BUDGET_FLAGS} & set(phase):
            del phase[amount]
    document.put(("budget",), {name: value}, Origin(_flag(name)))

"""A recipe from flags alone, or with flags over it: each flag is one setting of the recipe, or a few."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse, refuse_points_in_a_count
from dist_epochs.arithmetic.text import number
from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe.batch import BatchRecipe
from dist_epochs.recipe.hardware import HardwareRecipe
from dist_epochs.recipe.phases import BudgetRecipe
from dist_epochs.settings.address import is_address
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Place

__all__ = ["BUDGET_FLAGS", "FLAG_PLACES", "apply_flags", "settings_of_flags", "split_devices"]

BUDGET_FLAGS = tuple(field.name for field in fields(BudgetRecipe))
"""Flags that say how long the run is: one of them."""

_SEVERAL: Mapping[str, Place] = {
    "batch": ("batch", "global_batch"),
    "devices": ("batch", "devices"),
    "sequence_length": ("phases", 0, "sequence_length"),
    "corpus": ("corpus",),
    "tokens_per_word": ("corpus", "tokens_per_word"),
}
"""Flags that may be several settings, and the place of the first."""

_SINGLE: Mapping[str, Place] = {
    **{field.name: ("batch", field.name) for field in fields(BatchRecipe) if field.name != "devices"},
    **{field.name: ("hardware", field.name) for field in fields(HardwareRecipe) if field.name != "device"},
    "temperature": ("corpus", "temperature"),
    "max_epochs": ("corpus", "max_epochs"),
    "model": ("model", "config"),
    "parameters": ("model", "parameters"),
    "precision": ("precision",),
}
"""Flags that are one setting each, and its place."""

FLAG_PLACES: Mapping[str, Place] = {**_SINGLE, **_SEVERAL}
"""Flags that change what is drawn or on what, and the setting that each of them is."""

SIZES = {Unit.TOKEN: "tokens", Unit.WORD: "words", Unit.SAMPLE: "samples"}
"""The setting that a corpus of each unit is."""

_HARDWARE = re.compile(r"\s*(?P<count>.+?)\s*[xX×*]\s*(?P<device>[A-Za-z].*?)\s*")
_HARDWARE_OTHERWISE = re.compile(
    r"\s*(?:(?P<count>\d+)\s+(?P<device>[A-Z]+\d[\w-]*)|(?P<first>[A-Za-z]+\d\w*?)\s*[xX×*:]\s*(?P<last>\d+))\s*"
)
"""`64 H100` and `H100x64`."""
_SOURCE = re.compile(r"(?P<name>[^:]+):(?P<size>[^:]+)(:(?P<weight>[^:]+))?")

Settings = dict[Place, tuple[Any, Origin]]
"""By place: a value, and the flag that states it. Later places may lie inside earlier ones."""


def apply_flags(document: Document, flags: Mapping[str, Any], sources: Sequence[str] = ()) -> None:
    """Write flags into a document. Arguments and errors as of `settings_of_flags`."""
    for place, (value, origin) in settings_of_flags(document, flags, sources).items():
        document.put(place, value, origin)


def settings_of_flags(document: Document, flags: Mapping[str, Any], sources: Sequence[str] = ()) -> Settings:
    """What flags change of a document; one without phases gets one.

    Args:
        document: A recipe, or an empty document.
        flags: Values by name, without those that were not given.
        sources: `NAME:SIZE[:WEIGHT]` of each source of a mixture.

    Raises:
        InputError: If flags contradict each other or the recipe.
    """
    settings: Settings = {}
    if document.get(("phases",)) is None:
        settings["phases",] = [{}], Origin("flags")
    settings |= _corpus(document, flags, sources)
    settings |= {place: (flags[name], _origin(name)) for name, place in _SINGLE.items() if name in flags}
    if "devices" in flags:
        count, kind = split_devices(flags["devices"])
        settings["batch", "devices"] = count, Origin("--devices")
        if kind is not None:
            settings["hardware", "device"] = kind, Origin("--devices")
    if "sequence_length" in flags:
        settings |= _length(document, flags["sequence_length"], Origin("--sequence-length"))
    if "batch" in flags:
        settings |= _batch(document, flags["batch"], flags)
    return settings | _budget(document, {name: flags[name] for name in BUDGET_FLAGS if name in flags})


def _origin(name: str) -> Origin:
    return Origin(f"--{name.replace('_', '-')}")


def split_devices(text: str) -> tuple[str, str | None]:
    """How many devices, and of which kind, if it is named.

    Raises:
        InputError: If only a kind is named, or the two are written in another way.

    Examples:
        >>> split_devices("8xH100"), split_devices("8")
        (('8', 'H100'), ('8', None))
    """
    if match := _HARDWARE_OTHERWISE.fullmatch(text):
        count, device = match["count"] or match["last"], match["device"] or match["first"]
        raise InputError(
            f"{text!r} is not how devices are written",
            rule="their number comes first, then x and their kind",
            fixes=f"--devices {count}x{device}",
            origin=Origin("--devices"),
        )
    if re.match(r"\s*[A-Za-z].*\d", text):
        raise InputError(
            f"{text} does not say how many", fixes=f"--devices 8x{text.strip()}", origin=Origin("--devices")
        )
    match = _HARDWARE.fullmatch(text)
    return (text, None) if match is None else (match["count"], match["device"])


def _length(document: Document, text: str, origin: Origin) -> Settings:
    phases = document.get(("phases",))
    if isinstance(phases, list) and len(phases) > 1:
        raise InputError(
            f"one sequence length, {text}, for {len(phases)} phases with lengths of their own",
            fixes=f"--set phases.0.sequence_length={text}, which changes one of them",
            origin=origin,
        )
    return {("phases", 0, "sequence_length"): (text, origin)}


def _batch(document: Document, text: str, flags: Mapping[str, Any]) -> Settings:
    """Samples × length, tokens, or samples."""
    origin, length_stated = Origin("--batch"), flags.get("sequence_length")
    if "global_batch" in flags:
        raise InputError(
            f"--batch {text} and --global-batch {flags['global_batch']} both state the batch", fixes="one of them"
        )
    batch = parse(text, per=(Unit.STEP,), what="--batch")
    refuse_points_in_a_count(text, "--batch")
    if batch.is_product and len(batch.factors) == 2:
        samples, length = batch.factors
        if length_stated is not None and parse(length_stated).value != length:
            raise InputError(f"--batch {text} has length {length}, and --sequence-length is {length_stated}")
        return {("batch", "global_batch"): (str(samples), origin)} | _length(document, str(length), origin)
    length_stated = length_stated or document.get(("phases", 0, "sequence_length"))
    if batch.unit is None and length_stated is None and not _counts_samples(flags):
        raise InputError(
            f"is a batch of {text} samples or tokens?",
            rule="the answer differs by the sequence length",
            fixes=(f"'{text} tokens'", f"'{text}x512'", "adding --sequence-length"),
            origin=origin,
        )
    return {("batch", "global_batch"): (text, origin)}


def _counts_samples(flags: Mapping[str, Any]) -> bool:
    size = _size(flags["corpus"]) if flags.get("corpus") else None
    return "samples" in flags or (size is not None and size.unit is Unit.SAMPLE)


def _size(text: str) -> Quantity | None:
    """A corpus as a size; None if it is a path."""
    try:
        return parse(text, what="--corpus")
    except InputError as error:
        if Path(text).exists() or "/" in text:
            return None
        if re.fullmatch(r".*[A-Za-z_].*\.[a-z]\w*", text):
            raise error.but(asked=f"--corpus {text!r} is neither a size nor a file that is there") from None
        raise


def _corpus(document: Document, flags: Mapping[str, Any], sources: Sequence[str]) -> Settings:
    """What is drawn; how it is mixed and capped stays as it was stated."""
    if sources and "corpus" in flags:
        raise InputError("--corpus and --source both state what is drawn", fixes="one of them")
    ratio = flags.get("tokens_per_word")
    if sources:
        table = dict(map(_source, sources))
        for entry in table.values():
            if ratio is not None and "words" in entry:
                entry["tokens_per_word"] = ratio
        if len(table) < len(sources):
            raise InputError("two sources have the same name", origin=Origin("--source"))
        return _other_corpus(document, {"sources": table}, Origin("--source"))
    settings: Settings = {}
    if "corpus" in flags:
        settings = _other_corpus(document, _stated(flags["corpus"]), Origin("--corpus"))
    if ratio is not None:
        settings["corpus", "tokens_per_word"] = ratio, Origin("--tokens-per-word")
    return settings


def _other_corpus(document: Document, stated: dict[str, Any], origin: Origin) -> Settings:
    kept = {name: document.get(("corpus", name)) for name in ("temperature", "max_epochs", "cache")}
    return {("corpus",): ({name: value for name, value in kept.items() if value is not None} | stated, origin)}


def _stated(text: str) -> dict[str, str]:
    size = _size(text)
    if size is None:
        return {"store": text if is_address(text) else str(Path(text).resolve())}
    if size.unit in SIZES:
        return {SIZES[size.unit]: text}
    if size.unit is Unit.DOCUMENT:
        raise InputError(
            f"{text!r} counts documents",
            rule="a step draws samples or tokens, and the lengths of documents decide how many they are",
            fixes=("counting it with `dist-epochs tokenize`", "tokens, words or samples"),
            origin=Origin("--corpus"),
        )
    raise InputError(
        f"{text!r} {'has no unit' if size.unit is None else f'counts {size.unit}s'}",
        rule="a corpus is counted in tokens, words or samples",
        fixes=[f"'{number(size.value) if size.unit else text} {unit}'" for unit in ("tokens", "samples")],
        origin=Origin("--corpus"),
    )


def _source(text: str) -> tuple[str, dict[str, str]]:
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise InputError(
            f"{text!r} is not of the form NAME:SIZE:WEIGHT", fixes="'web:200B tokens:60%'", origin=Origin("--source")
        )
    size = parse(match["size"], what=f"--source {match['name']}")
    if size.unit not in SIZES:
        raise InputError(
            f"{text!r} does not say what {size.text} counts",
            rule="a size is counted in tokens, words or samples",
            fixes=f"'{match['name']}:{size.text} tokens{':' + match['weight'] if match['weight'] else ''}'",
            origin=Origin("--source"),
        )
    entry = {SIZES[size.unit]: match["size"]}
    return match["name"].strip(), entry | ({"weight": match["weight"]} if match["weight"] else {})


def _budget(document: Document, amounts: Mapping[str, Any]) -> Settings:
    """How long the run is: over a recipe, in place of what its one phase or its budget says."""
    if len(amounts) > 1:
        raise InputError(
            f"{' and '.join(str(_origin(name)) for name in amounts)} each say how long the run is",
            fixes=("one of them", "`dist-epochs solve`, which says whether they agree with each other"),
        )
    if not amounts:
        return {}
    ((name, value),) = amounts.items()
    phases = document.get(("phases",)) or []
    count = len(phases) if isinstance(phases, list) else 0
    stated: list[Place] = [("phases", index, amount) for index in range(count) for amount in BUDGET_FLAGS]
    stated = [place for place in stated if document.get(place) is not None]
    if stated and count > 1:
        raise InputError(
            f"a budget of {value} {name}, where the recipe's phases state amounts of their own",
            rule="there is nothing that they could share",
            fixes=("shares (`share: 90%`) in place of the amounts", "--set phases.0.steps=… to change one of them"),
            origin=_origin(name),
        )
    return {place: (None, _origin(name)) for place in stated} | {("budget",): ({name: value}, _origin(name))}

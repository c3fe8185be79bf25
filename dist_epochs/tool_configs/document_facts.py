"""What a recipe and its flags state already, beside which other tools' files are read."""

from __future__ import annotations

from typing import Any

from dist_epochs.arithmetic.quantity import Unit, parse, parse_count, parse_length
from dist_epochs.errors import InputError
from dist_epochs.recipe.flags import BUDGET_FLAGS
from dist_epochs.settings.document import Document
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import BATCH, LaunchSettings

__all__ = ["batch_of", "given_by", "has_length", "phases_of"]


def batch_of(document: Document) -> LaunchSettings:
    """What the document states of its batch, as whole numbers.

    Raises:
        InputError: If one of them is no whole number of samples.
    """
    found: dict[str, Any] = {}
    for name in BATCH:
        value = document.get(("batch", name))
        if value is not None:
            count = parse_count(_samples(document, value), what=f"{document.where(('batch', name))}: {name}")
            found[name] = Stated(count, document.where(("batch", name)))
    return LaunchSettings(**found)


def _samples(document: Document, value: Any) -> Any:
    """A batch in tokens as samples, if the document has one length that divides it."""
    number = parse(value)
    if number.unit not in (Unit.TOKEN, Unit.POSITION):
        return value
    length = _one_length(document)
    samples = None if length is None else number.value / length
    if samples is None or samples.denominator != 1:
        raise InputError(
            f"a batch of {number.text!r} beside other tools' files",
            rule="they count samples, so it needs one sequence length that divides it",
            fixes="stating the batch in samples",
            origin=document.where(("batch", "global_batch")),
        )
    return int(samples)


def given_by(document: Document, batch: LaunchSettings) -> Given:
    """What a tool's own rules need of the document.

    Args:
        document: The recipe, flags included.
        batch: What it states of its batch, from `batch_of`.
    """
    passes = document.get(("budget", "epochs"))
    epochs = None if passes is None else Stated(parse(passes).value, document.where(("budget", "epochs")))
    length = _one_length(document)
    sources = document.get(("corpus", "sources"))
    each = {name: _size(entry) for name, entry in sources.items()} if isinstance(sources, dict) else {}
    by_source = {name: size for name, size in each.items() if size is not None}
    of_all = _size(document.get(("corpus",)))
    if each:
        of_all = sum(by_source.values()) if len(by_source) == len(each) else None
    return Given(
        batch=batch,
        samples=of_all,
        sources=by_source,
        sequence_length=length,
        epochs=epochs,
        has_length=has_length(document),
    )


def _size(corpus: Any) -> int | None:
    """The samples that a corpus, or a source of it, is stated to have."""
    stated = corpus.get("samples") if isinstance(corpus, dict) else None
    return None if stated is None else parse_count(stated, unit=Unit.SAMPLE, what="samples of the corpus")


def has_length(document: Document) -> bool:
    """Whether the document says how long the run is."""
    amounts = {*BUDGET_FLAGS, "share"}
    return document.get(("budget",)) is not None or any(amounts & set(phase) for phase in phases_of(document))


def phases_of(document: Document) -> list[dict[str, Any]]:
    """The phases that the document lists."""
    phases = document.get(("phases",))
    return [phase for phase in phases if isinstance(phase, dict)] if isinstance(phases, list) else []


def _one_length(document: Document) -> int | None:
    """The sequence length, if the document states exactly one."""
    stated = (phase.get("sequence_length") for phase in phases_of(document))
    lengths = {parse_length(length) for length in stated if length}
    return lengths.pop() if len(lengths) == 1 else None

"""What the page shows above a command's text: the answer, numbers, a sentence with its roles, passes over samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.text import number
from dist_epochs.page.passes import passes
from dist_epochs.render.keyed import at, range_of
from dist_epochs.render.plan_tiles import plan_tiles
from dist_epochs.render.verdicts import marked_pieces, said_verdict

__all__ = ["view"]


def view(words: Sequence[str], data: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of one command's object.

    Args:
        words: The command and its arguments.
        data: What it prints with `--json`.

    Returns:
        An object with some of: `answer` and its `tone`, `unknown` and `value`, `tiles` (label, number, remark),
        `sentence` (pieces of text, each with its role or null), `passes`.
    """
    match words[0]:
        case "solve":
            return _solution(data)
        case "plan" if "global_batch" in data:
            return {"tiles": [list(tile) for tile in _tiles(data)]}
        case "audit" if "verdict" in data:
            return _audit(data, words)
        case "explain" if "methods" in data:
            given = data["given"]
            return {"passes": passes(given["examples"], given["epochs"], given["batch_size"])}
    return {}


def _solution(data: Mapping[str, Any]) -> dict[str, Any]:
    unknown = data["unknown"]
    if unknown is None:
        agrees = data["agreement"] != "contradicts"
        return {"answer": "The numbers agree" if agrees else "The numbers contradict each other",
                "tone": "good" if agrees else "poor"}  # fmt: skip
    value = number(Fraction(data["exact"])) if data["exact"] else number(data["value"])
    said = unknown.replace("_", " ")
    shown = {"answer": f"{said}: {value}", "tone": "found", "unknown": unknown.replace("_", "-"), "value": value}
    if data["low"] is not None and data["high"] is not None and data["low"] < data["high"]:
        shown["remark"] = (
            f"{number(data['low'])} to {number(data['high'])}, from the digits the others were written with"
        )
    return shown


def _tiles(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for tile in plan_tiles(data):
        found = at(data, tile.key)
        text = range_of(found, tile.size) if tile.is_range else tile.form(found)
        yield tile.label, f"{text} {tile.unit}".strip(), tile.remark


def _audit(data: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    answer, tone = said_verdict(data)
    shown: dict[str, Any] = {"answer": answer, "tone": tone}
    facts = data.get("facts")
    if facts and (text := _sentence(words, facts)) is not None:
        shown["sentence"] = list(marked_pieces(text, facts))
    return shown


def _sentence(words: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> str | None:
    """The argument in which the facts were found."""
    return next((word for word in words if all(word[slice(*fact["span"])] == fact["text"] for fact in facts)), None)

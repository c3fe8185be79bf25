"""What a number counts, and the words for it."""

from __future__ import annotations

import re
from enum import StrEnum

from dist_epochs.arithmetic.spelling import QuantityError, instead, plain
from dist_epochs.errors import close_matches

__all__ = ["PER", "SPELLINGS", "Unit", "part_named", "unit_named"]


class Unit(StrEnum):
    """What a number counts; the words are defined in `docs/words.md`."""

    STEP = "step"
    EPOCH = "epoch"
    TOKEN = "token"
    WORD = "word"
    DOCUMENT = "document"
    SAMPLE = "sample"
    POSITION = "position"
    DEVICE = "device"


SPELLINGS = {
    **{unit.value: unit for unit in Unit},
    "update": Unit.STEP,
    "iteration": Unit.STEP,
    "sequence": Unit.SAMPLE,
    "row": Unit.SAMPLE,
    "example": Unit.SAMPLE,
    "image": Unit.SAMPLE,
    "frame": Unit.SAMPLE,
    "gpu": Unit.DEVICE,
    **dict.fromkeys(("步", "迭代", "스텝", "ステップ"), Unit.STEP),
    **dict.fromkeys(("轮", "輪", "에폭", "에포크", "エポック"), Unit.EPOCH),
    **dict.fromkeys(("词元", "토큰", "トークン"), Unit.TOKEN),
    **dict.fromkeys(("词", "詞", "単語", "단어"), Unit.WORD),
    **dict.fromkeys(("样本", "樣本", "샘플", "サンプル"), Unit.SAMPLE),
}
"""Singular spellings accepted on input, lower case."""

PER = {**SPELLINGS, "batch": Unit.STEP}
"""What a number may be said to be for, singular and lower case: `256 samples per batch`."""


def unit_named(word: str, spelling: str, what: str) -> Unit | None:
    """The unit that a word stands for; None for no word.

    Args:
        word: The word, in any case, singular or plural.
        spelling: The number with it, for messages.
        what: The name of the number, for messages.

    Raises:
        QuantityError: If it is not the word for a unit.
    """
    name = word.strip().lower()
    if not name:
        return None
    for candidate in (name, name.removesuffix("s")):
        if candidate in SPELLINGS:
            return SPELLINGS[candidate]
    asked = f"{what} {spelling!r}: {word.strip()!r} is not a unit"
    if _BYTES.fullmatch(word.strip()):
        raise QuantityError(
            asked,
            rule="how many tokens or words a byte makes, a tokenizer and a text decide",
            fixes=("`dist-epochs tokenize`, which counts them", "the size in tokens, words or samples"),
        )
    known = [f"{name}s" for name in SPELLINGS if name.isascii()]
    rule, fixes = instead(plain(spelling))
    if not fixes:
        near = close_matches(name, known) or close_matches(f"{name}s", known)
        number = spelling[: spelling.rindex(word.strip())].strip()
        rule, fixes = f"units are {', '.join(known)}", tuple(f"'{number} {each}'" for each in near)
    raise QuantityError(asked, rule=rule, fixes=fixes)


_BYTES = re.compile(r"(?:[kKMGTP]i?B|(?:[kmgt](?:ilo|ega|iga|era))?bytes?)(?: of [a-z ]+)?", re.IGNORECASE)


def part_named(word: str | None, spelling: str, what: str) -> Unit | None:
    """What a number is for, by the word behind `per`; as `unit_named`."""
    if word is None:
        return None
    name = word.lower()
    if name not in PER:
        known = ", ".join(name for name in PER if name.isascii())
        raise QuantityError(f"{what} {spelling!r}: a number per {word} is not read", rule=f"it may be per {known}")
    return PER[name]

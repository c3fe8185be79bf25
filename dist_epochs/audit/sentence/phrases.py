"""Phrases around a number, and what they say: per step, each epoch is, in other words, the unit it has."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find

__all__ = [
    "EPOCH_IS",
    "OF_THEM",
    "PER_BATCH_KOREAN",
    "PER_DEVICE",
    "PER_EPOCH",
    "PER_STEP",
    "TIMES",
    "Role",
    "audio_unit",
    "is_linked",
    "length_of",
    "said_of",
    "unit_of",
]


@dataclass(frozen=True, slots=True)
class Role:
    """What a number is.

    Attributes:
        name: The role; nothing for a number that is no fact.
        unit: What it counts.
        why: Of a number that is no fact: what it is.
        tail: How many characters after the noun belong to it.
        words: What is said of it beside.
        times: What its unit multiplies the number by: 10^12 for teraFLOPs.
        plus: What is added then: the hours of `9 days and 18 hours`.
    """

    name: str
    unit: str = ""
    why: str = ""
    tail: int = 0
    words: frozenset[str] = frozenset()
    times: int = 1
    plus: int = 0


PER_STEP = (
    r"^\s*(?:tokens?\s*)?(?:/|per\s+|an?\s+|every\s+|each\s+|in (?:each|"
    r"every|one) |pro\s+|par\s+|毎)(?:global |optimizer |training |gradient |"
    r"mini-?)?(?:batch|step|update|iteration|iter|it|Schritt|étape|步)(?!\w)"
)
PER_BATCH_KOREAN = r"^\s*[을를]?\s*(?:한\s*|매\s*|각\s*)?(?:배치|스텝|업데이트)\s*(?:당|마다)"
"""After `토큰`: the particle of an object, and per batch."""
PER_DEVICE = (
    r"^\s*(?:,\s*)?\(?(?:/|per[- ]|on each |on every |for each |each |"
    r"pro\s+|par\s+|on (?:a|one|every|each) )\s*(?:NVIDIA )?(?:GPU|device|"
    r"core|chip|TPU|accelerator|worker|rank|card|[AHV]\d{2,4}\w*|H\d00)(?:-\w+)?(?:\s?GPUs?|"
    r"(?![\w-]))"
)
PER_EPOCH = (
    r"^\s*(?:/|per\s+|an?\s+|each\s+|every\s+|in (?:each|every|one) |"
    r"for (?:each|every|one) |pro\s+|par\s+)(?:training |full )?(?:epoch|"
    r"pass|Epoche|époque)(?!\w)"
)
EPOCH_IS = (
    r"\b(?:an?|one|each|every|1|single)\s+(?:training |full )?(?:epoch|"
    r"pass)\s*(?:\w+ly |thus |then |therefore |here |which )*"
    r"(?:is|has|takes?|contains?|consists|amounts|equals|=|~|corresponds|"
    r"means|covers|comprises|of|lasts|being)(?!\w)[^.;\d]{0,30}$|\bper epoch,?\s*$|"
    r"\b(?:an?|one|each|every) (?:epoch|pass)\b[^;]{0,60}\b(?:has|takes?|consists of|comprises)\s*$|"
    r"(?:一个|每个?|(?<!\d)1\s*(?:个)?)\s*(?:epoch|轮|エポック|에폭)[^。；,，、\d]{0,8}$"
)


def is_linked(context: Context) -> bool:
    """Whether something ties a key to the number: `steps: 1M`, and neither `in steps 3` nor `steps, 3`."""
    if context.key is None:
        return False
    return bool(context.key["link"].strip(" \n")) or not context.key[0].strip().isascii()


def unit_of(context: Context, default: str) -> str:
    """The noun of a number as its unit, in the plural."""
    if context.noun is None or context.category not in ("sample", "batch", "frame"):
        return default
    noun = context.noun[context.category].lower()
    if context.category == "batch":
        return default
    if not noun.isascii():
        return next((english for signs, english in _SAMPLES.items() if re.search(signs, noun)), "samples")
    return noun if noun.endswith("s") else f"{noun}s"


_SAMPLES = {"实例|實例": "instances", "图|画像|이미지": "images", "序列|시퀀스|シーケンス|séquence": "sequences"}
"""What samples are, in other scripts."""


OF_THEM = r"\bof (?:which|these|those|them),?\s*(?:(?:the |about |~|another )?(?:first|last|final)?\s*)?$"
"""Before a part of what was named last: `1T tokens, of which the last 100B`."""


def said_of(context: Context) -> frozenset[str]:
    """Words that tell one number of a role from another."""
    found = set()
    around = f"{context.key[0] if context.key is not None else ''} {context.modifiers}".lower()
    if re.search(r"effective|global|total|overall|combined|全局|글로벌|グローバル|effektiv", around):
        found.add("whole")
    if find(r"^\s*,?\s*(?:in total|in all|overall|altogether|总共|insgesamt|au total)", context.tail) or find(
        r"(?:in total|in all|a total of|total of|cumulative(?:ly)?(?: of)?|overall|au total|insgesamt|总共|共|"
        r"altogether)[^.;:]{0,20}$",
        context.near,
    ):
        found.add("total")
    if find(r"^\s*(?:each|apiece)(?!\w)", context.tail) or find(r"(?:各|\beach\b)\s*$", context.near):
        found.add("each")
    if find(OF_THEM, context.near):
        found |= {"of", "phase"}
    if find(
        (
            r"(?:first|then|next|another|further|more|phase|stage|followed by|"
            r"after (?:that|which)|afterwards|subsequent|last|remaining)\b"
        ),
        context.near,
    ):
        found.add("phase")
    return frozenset(found)


def length_of(pattern: str, text: str) -> int:
    """Characters of a match, or none."""
    match = find(pattern, text)
    return match.end() if match is not None else 0


TIMES = {
    "个月": "months",
    "個月": "months",
    "小时": "hours",
    "小時": "hours",
    "时间": "hours",
    "時間": "hours",
    "시간": "hours",
    "天": "days",
    "日": "days",
    "日間": "days",
    "일": "days",
    "周": "weeks",
    "stunden": "hours",
    "tage": "days",
    "tagen": "days",
    "wochen": "weeks",
    "monate": "months",
    "monaten": "months",
    "heures": "hours",
    "heure": "hours",
    "jours": "days",
    "jour": "days",
    "semaines": "weeks",
    "mois": "months",
    "hour": "hours",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "h": "hours",
    "hrs": "hours",
    "hr": "hours",
    "stunde": "hours",
    "tag": "days",
}


def audio_unit(context: Context) -> str:
    """Hours of audio, as a unit."""
    assert context.noun is not None
    unit = context.noun["time"].lower()
    return f"{TIMES.get(unit, unit)} of audio"

"""The runs and phases of a text: which of its facts belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dist_epochs.audit.sentence.facts import is_same
from dist_epochs.audit.sentence.reading import Found

__all__ = ["SUMMED", "Run", "Totals", "split_runs"]

_MARKS: tuple[tuple[int, str], ...] = (
    (4, r"[;。；]|\.\s|\n\s*[•·*-]|\n\n"),
    (
        3,
        (
            r"(?i)\b(?:the other|any other|another|whereas|while|respectively|"
            r"followed by|second (?:phase|stage|model|run)|phase \d|stage \d)\b|"
            r"(?:^|[\s,])then\b|afterwards|다음|然后|その後"
        ),
    ),
    (2, r"(?i),\s*(?:and|but|or)\s|\s(?:and|und|et|versus|vs\.?|than)\s|[()]|\s[/|]\s|\n"),
    (1, r",\s|，|、"),
)
"""What may stand between two runs, the strongest first."""

_LIST = re.compile(r"\s*(?:,|and|or|und|et|/|、|和|と|및|와|과)(?:\s*(?:and|or))?\s*")
"""What stands between the numbers of a list."""

SUMMED = ("steps", "tokens", "samples", "epochs", "hours", "device_hours")
"""Roles of which a total is stated beside its parts."""


@dataclass(frozen=True, slots=True)
class Totals:
    """A total and its parts.

    Attributes:
        total: What is stated in all.
        parts: What is added.
    """

    total: Found
    parts: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run, or a phase of one.

    Attributes:
        facts: Its facts by role: more than one where a number is said again.
        borrowed: Roles that only another run's clause states; what rests on them accuses nobody.
        is_certain: Whether the text tells which numbers are its own.
    """

    facts: Mapping[str, tuple[Found, ...]]
    borrowed: frozenset[str] = frozenset()
    is_certain: bool = True


def split_runs(text: str, facts: Sequence[Found]) -> tuple[tuple[Run, ...], tuple[Totals, ...]]:
    """The runs of a text, and totals with their parts.

    Args:
        text: The text that was given.
        facts: Its facts, in order.
    """
    totals = tuple(_totals(facts))
    taken = {id(each.total) for each in totals}
    kept = [fact for fact in facts if id(fact) not in taken]
    groups, certain = _dealt_out(text, kept) or _groups(text, kept)
    if len(groups) < 2:
        whole = [fact for group in groups for fact in group]
        return (Run(_by_role(whole), is_certain=all(certain)),), totals
    every = [fact for group in groups for fact in group]
    found = []
    for group, sure in zip(groups, certain, strict=True):
        own = _by_role(group)
        shared = {role: said for role, said in _by_role(every).items() if role not in own and _is_one(said)}
        found.append(Run({**own, **shared}, frozenset(shared), sure))
    return tuple(found), totals


def _dealt_out(text: str, facts: Sequence[Found]) -> tuple[list[list[Found]], list[bool]] | None:
    """Runs whose numbers stand in lists, `2T and 1T tokens`: the first of each list is the first run's.

    Only `respectively` makes that certain. None where there is no such list, or not as long as there are runs.
    """
    lists = _lists(text, facts)
    if not lists:
        return None
    listed = {id(fact) for each in lists for fact in each}
    rest = [fact for fact in facts if id(fact) not in listed]
    groups, certain = _groups(text, rest)
    count = len(lists[0])
    if any(len(each) != count for each in lists) or len(groups) not in (1, count):
        groups, certain = _groups(text, facts)
        own = [not any(id(fact) in listed for fact in group) for group in groups]
        return groups, [sure and is_own for sure, is_own in zip(certain, own, strict=True)]
    if len(groups) == 1 and len(lists) == 1:
        return None
    if len(groups) == 1:
        return [[*(each[at] for each in lists), *(rest if at == 0 else ())] for at in range(count)], [False] * count
    is_said = re.search(r"(?i)\brespectively\b|\bbzw\b|\bin (?:this|that) order\b|分别|それぞれ|각각", text) is not None
    dealt = [[*group, *(each[at] for each in lists)] for at, group in enumerate(groups)]
    return dealt, [sure and is_said for sure in certain]


def _lists(text: str, facts: Sequence[Found]) -> list[list[Found]]:
    """Different numbers of one role with nothing but commas and `and` between them."""
    lists: list[list[Found]] = []
    for before, fact in pairwise(facts):
        if before.role != fact.role or is_same(before, fact) or not _LIST.fullmatch(text[before.end : fact.start]):
            continue
        if lists and lists[-1][-1] is before:
            lists[-1].append(fact)
        else:
            lists.append([before, fact])
    return lists


def _by_role(facts: Sequence[Found]) -> dict[str, tuple[Found, ...]]:
    found: dict[str, list[Found]] = {}
    for fact in facts:
        found.setdefault(fact.role, []).append(fact)
    return {role: tuple(said) for role, said in found.items()}


def _is_one(said: Sequence[Found]) -> bool:
    return all(is_same(said[0], other) for other in said)


def _groups(text: str, facts: Sequence[Found]) -> tuple[list[list[Found]], list[bool]]:
    """Facts that follow each other, split where a role comes again with another number."""
    groups: list[list[Found]] = [[]]
    certain = [True]
    distinct: dict[str, list[Found]] = {}
    for fact in facts:
        group, said = groups[-1], distinct.setdefault(fact.role, [])
        other = next((other for other in said if not is_same(other, fact)), None)
        if other is None:
            group.append(fact)
            if not any(_says_the_same(each, fact) for each in said):
                said.append(fact)
            continue
        again = next(at for at, each in enumerate(group) if each is other)
        cut, strength = _cut(text, group, again, fact)
        groups[-1], moved = group[:cut], group[cut:]
        groups.append([*moved, fact])
        distinct = _by_role_as_lists(groups[-1])
        certain[-1] = certain[-1] and strength > 0
        certain.append(strength > 1 or (strength == 1 and not moved))
    return groups, certain


def _says_the_same(one: Found, other: Found) -> bool:
    return (one.numeral.value, one.numeral.bound, one.words) == (other.numeral.value, other.numeral.bound, other.words)


def _by_role_as_lists(facts: Sequence[Found]) -> dict[str, list[Found]]:
    return {role: list(said) for role, said in _by_role(facts).items()}


def _cut(text: str, group: Sequence[Found], again: int, fact: Found) -> tuple[int, int]:
    """Where a new run begins, as the number of its first fact, and how clearly the text says so."""
    best = (0, len(group))
    following = [*group, fact]
    for at in range(again + 1, len(following)):
        between = text[following[at - 1].end : following[at].start]
        strength = next((strength for strength, pattern in _MARKS if re.search(pattern, between)), 0)
        if following[at].clause != following[at - 1].clause:
            strength = 4
        if strength and strength >= best[0]:
            best = (strength, at)
    return best[1], best[0]


def _totals(facts: Sequence[Found]) -> Iterator[Totals]:
    """Numbers that are said to be totals, or are the sum of the others of their role."""
    for role in SUMMED:
        same = [fact for fact in facts if fact.role == role and fact.numeral.upper is None]
        distinct: list[Found] = []
        for fact in same:
            if not any(is_same(fact, other) for other in distinct):
                distinct.append(fact)
        if len(distinct) < 3:
            each = [fact for fact in distinct if "each" in fact.words]
            if len(distinct) == 2 and len(each) == 1:
                whole = next(fact for fact in distinct if fact is not each[0])
                count = round(whole.numeral.value / each[0].numeral.value)
                if 2 <= count <= 12 and role != "epochs" and is_sum(whole, [each[0]] * count):
                    yield Totals(whole, tuple(each * count))
            continue
        said = [fact for fact in distinct if "total" in fact.words]
        for whole in said or (distinct[0], distinct[-1]):
            parts = [fact for fact in distinct if fact is not whole]
            if is_sum(whole, parts) or (len(said) == 1 and _are_phases(parts)):
                yield Totals(whole, tuple(parts))
                break


def is_sum(whole: Found, parts: Sequence[Found]) -> bool:
    """Whether a number is the sum of others, as exactly as it is printed."""
    total = sum((part.numeral.value for part in parts), Fraction(0))
    half = whole.numeral.quantity.half or Fraction(0)
    return abs(total - whole.numeral.value) <= half


def _are_phases(parts: Sequence[Found]) -> bool:
    return (
        all("phase" in part.words or at == 0 for at, part in enumerate(parts))
        and len({part.clause for part in parts}) == 1
    )

"""Products in a text, `a * b (* c) = d`: one object, whose parts give each other their roles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find
from dist_epochs.audit.sentence.phrases import Role

__all__ = ["product_roles"]

_TIMES = re.compile(
    r"[^×*=\d.;:\n]{0,40}?\s*(?:[×*·]|(?<![A-Za-z])[xX](?![A-Za-z])|\btimes\b|\bmal\b|\bfois\b)\s*\(?\s*"
)
_EQUALS = re.compile(r"[^×*=\d.;:\n]{0,40}?\s*(?:=|~=?|equals|ergibt|soit|为)\s*(?:about |~)?\s*")
_PICTURE = (
    r"(?i)resolution|pixel|\bpx\b|image size|\bcrops?\b|patch|kernel|"
    r"\bgrid\b|render|generat|upsampl|resiz|\bimages? (?:of|at)\b"
)

_STEPS_OF = re.compile(r"(?i)\s*(?:[a-z]+ ){0,2}(?:steps|updates|iterations) of (?:about |~)?\s*")
"""What stands between a number of steps and the batch that each of them draws: `1M steps of 256x512`."""

_BATCH = r"batch|tokens|バッチ|批次|배치"
_OF_BATCH = r"^[^,.;(]{0,20}(?:tokens|バッチ|批次|배치|(?<!with )(?<!a )batch(?:es)?\b(?! size))"
"""After a product that is a batch; `256x256 with batch size 2048` is a size of pictures."""
_COMPUTE = r"FLO|\b6 ?N ?D\b|comput|\bC ?="
"""In a sentence that spells out FLOPs as 6 × parameters × tokens."""
NOT_DRAWN = {"epochs", "devices", "nodes", "devices_per_node", "hours", "parameters"}
"""Roles that say nothing of what is drawn, samples or tokens."""

SHORTEST = 64
"""Tokens of a length that stands in a product without a noun."""

PRODUCTS = {
    frozenset({"per_device", "devices", "gradient_accumulation"}): "global_batch",
    frozenset({"per_device", "devices"}): "global_batch",
    frozenset({"per_device", "gradient_accumulation"}): "global_batch",
    frozenset({"global_batch", "sequence_length"}): "batch_tokens",
    frozenset({"steps", "global_batch"}): "samples",
    frozenset({"steps", "batch_tokens"}): "tokens",
    frozenset({"steps", "global_batch", "sequence_length"}): "tokens",
    frozenset({"samples", "sequence_length"}): "tokens",
    frozenset({"epochs", "steps_per_epoch"}): "steps",
    frozenset({"devices", "hours"}): "device_hours",
    frozenset({"nodes", "devices_per_node"}): "devices",
}
"""What the parts of a product give."""

UNITS = {
    "global_batch": "samples", "sequence_length": "tokens", "batch_tokens": "tokens", "samples": "samples",
    "tokens": "tokens", "steps": "steps", "per_device": "samples", "devices": "GPUs", "device_hours": "hours",
    "gradient_accumulation": "micro-steps", "epochs": "epochs", "steps_per_epoch": "steps", "hours": "hours",
    "nodes": "nodes", "devices_per_node": "GPUs", "flops": "FLOPs",
}  # fmt: skip


def product_roles(text: str, contexts: Sequence[Context], roles: Sequence[Role | None]) -> list[Role | None]:
    """Roles with those that products give: to bare factors, and to a bare result."""
    made = list(roles)
    for factors, result in _products(text, contexts):
        _read_product(text, contexts, made, factors, result)
    return made


def _products(text: str, contexts: Sequence[Context]) -> Iterator[tuple[list[int], int | None]]:
    """The numbers of each product, and of its result."""
    at = 0
    while at < len(contexts):
        factors = [at]
        while factors[-1] + 1 < len(contexts) and _joined(text, contexts, factors[-1], _TIMES):
            factors.append(factors[-1] + 1)
        if len(factors) > 1:
            last = factors[-1]
            result = last + 1 if last + 1 < len(contexts) and _joined(text, contexts, last, _EQUALS) else None
            yield factors, result
            at = last
        at += 1


def _joined(text: str, contexts: Sequence[Context], at: int, sign: re.Pattern[str]) -> bool:
    here, there = contexts[at].numeral, contexts[at + 1].numeral
    return contexts[at].clause == contexts[at + 1].clause and sign.fullmatch(text[here.end : there.first]) is not None


def _read_product(
    text: str, contexts: Sequence[Context], roles: list[Role | None], factors: list[int], result: int | None
) -> None:
    known = {at: role.name for at in factors if (role := roles[at]) is not None and role.name}
    bare = [at for at in factors if roles[at] is None or (contexts[at].is_name and contexts[at].noun is None)]
    first = contexts[factors[0]]
    stated = {
        contexts[at].numeral.value: role.name
        for at, role in enumerate(roles)
        if role is not None and role.name and at not in factors
    }
    if len(factors) > 2 and len(bare) == len(factors) - 1 and known == {factors[0]: "global_batch"}:
        for at in factors:  # a batch of 32 × 8 × 2 × 4: the word before it is that of the whole
            roles[at] = Role("", why="a factor of a batch, of which it is not said what it counts")
        _name_result(roles, result, "global_batch")
        return
    is_batch = find(_BATCH, first.near) is not None or find(_OF_BATCH, contexts[factors[-1]].after) is not None
    if len(factors) == 3 and contexts[factors[0]].numeral.value == 6 and find(_COMPUTE, contexts[factors[0]].sentence):
        for at, name in zip(factors, ("", "parameters", "tokens"), strict=True):
            if name and (contexts[at].noun is None or roles[at] is None):
                roles[at] = Role(name, name)
        _name_result(roles, result, "flops")
        return
    if len(bare) == len(factors):
        names = [stated.get(contexts[at].numeral.value, "") for at in factors]
        if all(names) and len(set(names)) == len(names):
            for at in factors:
                roles[at] = Role("", why="a factor that is stated already")
            _name_result(roles, result, PRODUCTS.get(frozenset(names)))
            return
        if find(_PICTURE, f"{first.near} {contexts[factors[-1]].after[:30]}") or not (
            is_batch or _after_batch(roles, factors) or _of_steps(text, contexts, roles, factors)
        ):
            for at in factors:
                roles[at] = Role("", why="a size of pictures, or another product")
            return
        if len(factors) == 2:
            _name_pair(contexts, roles, factors)
            _name_result(roles, result, "batch_tokens")
        return
    for at in factors:
        role = roles[at]
        if (
            role is not None
            and role.name == "tokens"
            and set(known.values()) & {"global_batch", "samples", "corpus", "per_device"}
        ):
            roles[at] = Role("sequence_length", "tokens")
        elif (
            role is not None and role.name in ("samples", "corpus") and len(factors) > 1 and "tokens" in known.values()
        ):
            roles[at] = Role("global_batch", role.unit)
        elif at in bare and len(bare) == 1:
            name = _missing(set(known.values()), stated.get(contexts[at].numeral.value)) or ""
            is_global = "global_batch" in stated.values() and find(r"\bbatch\b[^.;]{0,20}$", first.before) is not None
            if not name and set(known.values()) == {"devices"} and is_global:  # a batch of 512: 64 GPUs × 8
                name = "per_device"
            roles[at] = Role(name, UNITS[name]) if name else roles[at]
    is_pair = len(factors) == 2 and len(bare) == 1 and set(known.values()) == {"global_batch"}
    if is_pair and roles[bare[0]] is None and contexts[bare[0]].numeral.value >= SHORTEST:  # batch 1024 x 2048
        roles[bare[0]] = Role("sequence_length", "tokens")
    if sorted(known.values()) == ["epochs", "steps"] and result is not None:  # 200 epochs × 391 steps = 78,200 steps
        of_epoch = next(at for at, name in known.items() if name == "steps")
        roles[of_epoch] = Role("steps_per_epoch", "steps")
    names = [role.name for at in factors if (role := roles[at]) is not None]
    _name_result(roles, result, PRODUCTS.get(frozenset(names)))


def _after_batch(roles: Sequence[Role | None], factors: list[int]) -> bool:
    """Whether the number before a product is a batch, which it spells out: `2 million tokens (2048 * 1024)`."""
    before = roles[factors[0] - 1] if factors[0] else None
    return before is not None and before.name in ("batch_tokens", "global_batch")


def _of_steps(text: str, contexts: Sequence[Context], roles: Sequence[Role | None], factors: list[int]) -> bool:
    """Whether two numbers are what each step draws.

    A square is rather the size of pictures, and so is any pair where samples are counted elsewhere.
    """
    if len(factors) != 2 or not factors[0]:
        return False
    before, *both = (factors[0] - 1, *factors)
    steps, one, other = (contexts[at].numeral for at in (before, *both))
    of_steps = (role := roles[before]) is not None and role.name == "steps"
    if not of_steps or one.value == other.value or not _STEPS_OF.fullmatch(text[steps.end : one.start]):
        return False
    return all(
        contexts[at].numeral.value in (one.value, other.value)
        if role.name == "sequence_length"
        else role.name in NOT_DRAWN or role.unit in ("tokens", "words")
        for at, role in enumerate(roles)
        if role is not None and role.name and at not in (before, *both)
    )


def _name_pair(contexts: Sequence[Context], roles: list[Role | None], factors: list[int]) -> None:
    """Two bare factors of a batch are samples and their length; the length is what is stated as such, or the larger."""
    values = [contexts[at].numeral.value for at in factors]
    lengths = {
        contexts[at].numeral.value
        for at, role in enumerate(roles)
        if role is not None and role.name == "sequence_length"
    }
    batches = {
        contexts[at].numeral.value for at, role in enumerate(roles) if role is not None and role.name == "global_batch"
    }
    one_is_length = (values[0] in lengths or values[1] in batches) or (
        values[1] not in lengths and values[0] not in batches and values[0] > values[1]
    )
    length, batch = factors if one_is_length else factors[::-1]
    roles[length] = Role("sequence_length", "tokens")
    roles[batch] = Role("global_batch", "sequences")


def _missing(known: set[str], stated: str | None) -> str | None:
    """What the one bare factor of a product is, of those that fit."""
    fitting = [parts - known for parts in PRODUCTS if known < parts and len(parts - known) == 1]
    names = [next(iter(parts)) for parts in fitting]
    if stated in names:
        return stated
    return names[0] if len(set(names)) == 1 else None


def _name_result(roles: list[Role | None], result: int | None, name: str | None) -> None:
    if result is None or name is None:
        return
    role = roles[result]
    if role is None or not role.name:
        roles[result] = Role(name, UNITS[name])
    elif name == {"samples": "global_batch", "corpus": "global_batch", "tokens": "batch_tokens"}.get(role.name):
        roles[result] = replace(role, name=name)

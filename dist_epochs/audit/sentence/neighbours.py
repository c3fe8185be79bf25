"""The role of a number by the numbers beside it: the same one again, another of its kind, a part or a total."""

from __future__ import annotations

import re
from dataclasses import replace

from dist_epochs.arithmetic.spelling import scale_of
from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find
from dist_epochs.audit.sentence.phrases import OF_THEM, Role
from dist_epochs.audit.sentence.run_roles import SCHEDULE
from dist_epochs.audit.sentence.runs import SUMMED

__all__ = ["roles_by_neighbours"]

_SAME = re.compile(
    r"\s*,?\s*(?:\(?\s*(?:=|~=?|i\.e\.,?|or|that is,?|also|即|つまり|d\.h\.|soit|équivalent à)\s*)+\s*$|\s*\(\s*$"
)
_ALSO = re.compile(r"\s*(?:,|and|or|und|et|,\s*and|/|、|和|と|및|then|bzw\.|respectively)\s*$")
_ENDS = re.compile(r"\s*(?:$|[,.;:)\n]|(?:and|or|respectively|for|in|on|und|et)\b)")
_TO = re.compile(r"(?i)\b(?:batch(?:es)?|doubl\w+|tripl\w+|quadrupl\w+|halv\w+)\b[^.;]{0,60}\bto\s*$")
_GROWS_TO = r"\bbatch(?:[- ]?size)?\b[^.;]{0,30}\b(?:increas|gr[eo]w|ramp|rais|warm|scal)\w*\s+(?:up\s+)?to\s*$"
_OF_ELSE = re.compile(r"(?i)GPU|TPU|device|learning|\brate\b|length|context|\bsteps?\b|model")


def roles_by_neighbours(text: str, all_contexts: list[Context], roles: list[Role | None]) -> list[Role | None]:
    """The roles, with those that numbers have from the ones beside them.

    Args:
        text: The text.
        all_contexts: Its numbers.
        roles: The roles that they have by their own words; None where these tell none.
    """
    made = list(roles)
    for at in range(len(made) - 1, -1, -1):
        if made[at] is None:
            made[at] = _same_as_next(text, all_contexts, made, at)
    for at, context in enumerate(all_contexts):
        if made[at] is None:
            made[at] = (
                _as_before(text, all_contexts, made, at)
                or _part_of_before(all_contexts, made, at)
                or _grown_batch(context, made[:at])
                or _batch_in_brackets(all_contexts, made, at)
            )
        else:
            made[at] = _batch_of_other_model(all_contexts, made, at)
    return made


def _same_as_next(text: str, all_contexts: list[Context], roles: list[Role | None], at: int) -> Role | None:
    """A number that is said again: `299,892,736,000 ~= 300B tokens`; or one of several: `256 and 512 steps`."""
    if at + 1 >= len(roles):
        return None
    following = roles[at + 1]
    if following is None or not following.name or all_contexts[at].numeral.is_percent:
        return None
    here, there = all_contexts[at].numeral, all_contexts[at + 1].numeral
    between = text[here.end : there.first]
    ratio = float(here.value / there.value) if there.value else 0.0
    if _SAME.fullmatch(between) and 0.9 < ratio < 1.1:
        return replace(following, tail=0)
    is_bare = not re.search(r"[=:]\s*$", all_contexts[at].near) and here.value.denominator == 1
    if between.strip() == "," and _scale(all_contexts[at]) != _scale(all_contexts[at + 1]):
        return None  # 8M, 62.5k steps
    if _ALSO.fullmatch(between) and all_contexts[at + 1].key is None and 1 / 1000 < ratio < 1000 and is_bare:
        return replace(following, tail=0)
    return None


def _as_before(text: str, all_contexts: list[Context], roles: list[Role | None], at: int) -> Role | None:
    """A number after another of its kind: `each 2000`, `batch sizes of 256 and 512`, `100K steps, then 50K`."""
    if at == 0:
        return None
    before, here, there = roles[at - 1], all_contexts[at], all_contexts[at - 1]
    if before is None or not before.name or here.clause != there.clause or here.numeral.is_percent:
        return None
    between = text[there.numeral.end : here.numeral.start]
    if find(r"(?:各|\beach(?: of)?|\bje|\bchacun\w*)\s*$", between) and _scale(here) == _scale(there):
        return replace(before, tail=0, unit=f"{before.unit} each", words=before.words | {"each"})
    is_bare = _ENDS.match(here.after) is not None
    if _ALSO.fullmatch(between) and there.key is not None and _scale(here) == _scale(there) and is_bare:
        return replace(before, tail=0)
    if there.noun is not None:
        between = between[there.noun.end() + before.tail :]
    if _SAME.fullmatch(between) and there.numeral.value and 0.9 < float(here.numeral.value / there.numeral.value) < 1.1:
        return replace(before, tail=0)
    return None


def _batch_of_other_model(all_contexts: list[Context], roles: list[Role | None], at: int) -> Role | None:
    """Tokens of another model's batch: `batch size 2M tokens for 7B and 13B, 1M tokens for 34B`."""
    role = roles[at]
    if role is None or role.name != "tokens" or find(_OF_MODEL, all_contexts[at].tail) is None:
        return role
    for before in range(at - 1, -1, -1):
        other = roles[before]
        if other is not None and other.name:
            is_batch = other.name == "batch_tokens" and find(_OF_MODEL, all_contexts[before].tail) is not None
            is_near = all_contexts[before].clause == all_contexts[at].clause
            return replace(role, name="batch_tokens", words=other.words) if is_batch and is_near else role
    return role


def _part_of_before(all_contexts: list[Context], roles: list[Role | None], at: int) -> Role | None:
    """A bare number that is a part of one before: `1T tokens, of which 100B`, `900B in the first phase`, or a total."""
    context = all_contexts[at]
    if context.is_name or context.key is not None or context.noun is not None or context.numeral.is_percent:
        return None
    is_of, is_phase, is_total = (
        find(pattern, said) is not None
        for pattern, said in ((OF_THEM, context.near), (_IN_PHASE, context.after), (_IN_ALL, context.after))
    )
    is_total = is_total and context.near.strip() == "("
    if not (is_of or is_phase or is_total or find(_OF_MODEL, context.after)):
        return None
    if find(SCHEDULE, context.after[:24]):
        return Role("", why="of a schedule")
    for before in range(at - 1, -1, -1):
        role = roles[before]
        if all_contexts[before].clause != context.clause:
            return None
        if role is not None and role.name in SUMMED:
            words = frozenset({"total"} if is_total else {"of", "phase"} if is_of or is_phase else {"of"})
            ratio = float(context.numeral.value / all_contexts[before].numeral.value)
            return replace(role, tail=0, words=words) if 1 / 1000 < ratio < 1000 else None
    return None


_IN_PHASE = (
    r"^\s*(?:in|for|during|of) (?:the |its |a )?(?:(?:first|second|third|last|final|main|other|initial)\s+)?"
    r"(?:\w+[- ]){0,2}(?:phase|stage)(?!\w)"
)
_IN_ALL = r"^\s*(?:in total|in all|overall|total|altogether)\s*\)"
_OF_MODEL = r"^\s+for (?:the )?(?:[A-Z][\w.-]* )?(?:\d[\d.]*[BM](?![\w])|\w+ model\b)"


def _scale(context: Context) -> int:
    letters = re.search(r"[^\d.,\s]+$", context.numeral.spelling)
    return scale_of(letters[0]) if letters is not None else 1


def _grown_batch(context: Context, before: list[Role | None]) -> Role | None:
    """A batch that grows to a bare number counts what it counted before: `the batch doubles, to 16M`."""
    if not _TO.search(context.near) or _OF_ELSE.search(context.near) or context.numeral.is_percent:
        return None
    batches = [role for role in before if role is not None and role.name in ("batch_tokens", "global_batch")]
    if not batches:
        is_first = find(_GROWS_TO, context.near) is not None and context.noun is None
        return Role("global_batch", "samples", words=frozenset({"grown", "bare"})) if is_first else None
    tokens = [role for role in batches if role.name == "batch_tokens"]
    return replace((tokens or batches)[0], tail=0, words=frozenset({"grown", "bare"}))


def _batch_in_brackets(all_contexts: list[Context], roles: list[Role | None], at: int) -> Role | None:
    """A total in brackets behind the last part of a batch: `16 per GPU on 512 GPUs (8192 in total)`."""
    context = all_contexts[at]
    if not at or not find(r"^\s*(?:in total|in all|overall|total)\s*\)", context.after):
        return None
    if not re.fullmatch(r"\s*\(\s*", context.near) or context.clause != all_contexts[at - 1].clause:
        return None
    said = [role.name for role, other in zip(roles[:at], all_contexts, strict=False)
            if role is not None and other.clause == context.clause]  # fmt: skip
    last = roles[at - 1]
    if last is None or not last.name:
        return None
    if last.name in ("per_device", "devices", "gradient_accumulation") and "per_device" in said:
        return Role("global_batch", "samples", words=frozenset({"whole"}))
    if last.name == "sequence_length" and "global_batch" in said and "batch_tokens" not in said:
        return Role("batch_tokens", "tokens", words=frozenset({"whole"}))
    return None

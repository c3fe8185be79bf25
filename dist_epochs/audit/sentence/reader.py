"""A text to its facts: numbers first, each with its key or noun, then products, restatements and tables."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.spelling import scale_of
from dist_epochs.audit.sentence.context import Context, Places, contexts
from dist_epochs.audit.sentence.joined import Joined, join
from dist_epochs.audit.sentence.lexicon import find, is_about_training, is_noun
from dist_epochs.audit.sentence.lines import unwrapped
from dist_epochs.audit.sentence.numerals import Numeral, numerals
from dist_epochs.audit.sentence.phrases import OF_THEM, Role
from dist_epochs.audit.sentence.products import product_roles
from dist_epochs.audit.sentence.reading import Found, Reading, Unused
from dist_epochs.audit.sentence.roles import role_of
from dist_epochs.audit.sentence.run_roles import SCHEDULE
from dist_epochs.audit.sentence.runs import SUMMED
from dist_epochs.audit.sentence.tables import table_roles
from dist_epochs.errors import InputError

__all__ = ["LONGEST", "read_text"]

LONGEST = 200_000
"""Characters of a text: a long paper. A book is no sentence."""

_SAME = re.compile(
    r"\s*,?\s*(?:\(?\s*(?:=|~=?|i\.e\.,?|or|that is,?|also|即|つまり|d\.h\.|soit|équivalent à)\s*)+\s*$|\s*\(\s*$"
)
_ALSO = re.compile(r"\s*(?:,|and|or|und|et|,\s*and|/|、|和|と|및|then|bzw\.|respectively)\s*$")
_ENDS = re.compile(r"\s*(?:$|[,.;:)\n]|(?:and|or|respectively|for|in|on|und|et)\b)")
_TO = re.compile(r"(?i)\b(?:batch(?:es)?|doubl\w+|tripl\w+|quadrupl\w+|halv\w+)\b[^.;]{0,60}\bto\s*$")
_GROWS_TO = r"\bbatch(?:[- ]?size)?\b[^.;]{0,30}\b(?:increas|gr[eo]w|ramp|rais|warm|scal)\w*\s+(?:up\s+)?to\s*$"
_OF_ELSE = re.compile(r"(?i)GPU|TPU|device|learning|\brate\b|length|context|\bsteps?\b|model")


def read_text(given: str) -> Reading:
    """The facts of a text, and its other numbers.

    Raises:
        InputError: If it is empty, or longer than a text of a budget is.
    """
    if not given.strip():
        raise InputError(
            "the text is empty", rule="an audit needs the sentences that state a budget", fixes="pasting them"
        )
    if len(given) > LONGEST:
        raise InputError(
            f"the text has {len(given):,} characters",
            rule=f"at most {LONGEST:,} are read",
            fixes="the paragraph that states the budget",
        )
    joined = join(given)
    joined = replace(joined, text=unwrapped(joined.text))
    text = joined.text
    places = Places.of(text)
    found = [numeral for numeral in numerals(text, is_noun) if numeral.start >= 0]
    all_contexts = contexts(text, _without_overlaps(found), places)
    if not is_about_training(text):
        others = tuple(_unused(joined, context, "no training is described") for context in all_contexts)
        return Reading(given=given, facts=(), unused=others)
    roles = _roles(text, all_contexts)
    facts: list[Found] = []
    unused: list[Unused] = []
    used = 0
    for context, role in zip(all_contexts, roles, strict=True):
        if role is not None and role.name:
            facts.append(_found(joined, context, role))
            used = _span(context, role, context.numeral.start, context.numeral.end)[1]
        elif context.numeral.end > used:  # else it is in the name of a device
            unused.append(_unused(joined, context, role.why if role is not None else "nothing says what it counts"))
    # both factors of a product without spaces are it: `512x768`
    return Reading(given=given, facts=tuple(facts), unused=tuple(dict.fromkeys(unused)))


def _without_overlaps(found: list[Numeral]) -> list[Numeral]:
    kept: list[Numeral] = []
    for numeral in found:
        if not kept or numeral.first >= kept[-1].end:
            kept.append(numeral)
    return kept


def _roles(text: str, all_contexts: list[Context]) -> list[Role | None]:
    """The role of every number."""
    in_table = table_roles(text, all_contexts)
    roles: list[Role | None] = []
    used = 0
    for at, context in enumerate(all_contexts):
        if context.near:
            context = all_contexts[at] = context.since(used - context.numeral.start + len(context.near))
        if at in in_table:
            roles.append(in_table[at])
        elif context.numeral.first < used:  # 18 in `9 days 18 hours`, 40 in `8 A100 40G GPUs`
            roles.append(None)
        elif context.is_name:
            roles.append(Role("", why="part of a name, a date or a reference"))
        else:
            roles.append(role_of(context))
        role = roles[-1]
        if role is not None and not context.is_name and (context.noun is not None or role.tail):
            used = context.numeral.end + (context.noun.end() if context.noun is not None else 0) + role.tail
    roles = product_roles(text, all_contexts, roles)
    for at in range(len(roles) - 1, -1, -1):
        if roles[at] is None:
            roles[at] = _same_as_next(text, all_contexts, roles, at)
    for at, context in enumerate(all_contexts):
        if roles[at] is None:
            roles[at] = (
                _as_before(text, all_contexts, roles, at)
                or _part_of_before(all_contexts, roles, at)
                or _grown_batch(context, roles[:at])
            )
            roles[at] = roles[at] or _batch_in_brackets(all_contexts, roles, at)
        else:
            roles[at] = _batch_of_other_model(all_contexts, roles, at)
    roles = _of_data(text, all_contexts, roles)
    return _with_units(_of_parts(text, all_contexts, _in_rounds(all_contexts, roles)))


def _of_data(text: str, all_contexts: list[Context], roles: list[Role | None]) -> list[Role | None]:
    """What is drawn of the data: `300B of the 627B tokens`."""
    made = list(roles)
    for at in range(len(roles) - 1):
        here, there, (drawn, data) = all_contexts[at], all_contexts[at + 1], roles[at : at + 2]
        start = here.numeral.end + (here.noun.end() if here.noun is not None else 0)
        is_of = find(r"^\s*(?:out )?of (?:the |our |all |a total of )*$", text[start : there.numeral.start]) is not None
        is_less = here.numeral.value < there.numeral.value and not here.numeral.is_percent and not here.is_name
        if not is_of or not is_less or data is None or data.name not in _DRAWN_OF:
            continue
        if drawn is None or drawn.name in _DRAWN_OF:
            name = "tokens" if data.unit == "tokens" else "samples"
            made[at : at + 2] = [Role(name, data.unit), replace(data, name="corpus")]
    return made


_DRAWN_OF = ("tokens", "samples", "corpus")


def _of_parts(text: str, all_contexts: list[Context], roles: list[Role | None]) -> list[Role | None]:
    """A batch beside the effective one is that of a device; an accumulation that something is divided by, the batch."""
    names = {role.name for role in roles if role is not None}
    batches = [at for at, role in enumerate(roles) if role is not None and role.name == "global_batch"]
    whole = [at for at in batches if "whole" in roles[at].words]  # type: ignore[union-attr]
    values = {all_contexts[at].numeral.value for at in whole}
    if len(values) == 1 and names & {"gradient_accumulation", "devices"} and "per_device" not in names:
        parts = [at for at in batches if at not in whole and all_contexts[at].numeral.value not in values]
        if len(parts) == 1 and all_contexts[parts[0]].numeral.value < min(values):
            role = roles[parts[0]]
            assert role is not None
            roles = [*roles[: parts[0]], replace(role, name="per_device"), *roles[parts[0] + 1 :]]
    ranks = [
        at for at, role in enumerate(roles) if role is not None and role.name == "devices" and role.unit == "ranks"
    ]
    if ranks and len([role for role in roles if role is not None and role.name == "devices"]) > len(ranks):
        roles = [
            replace(role, name="data_parallel") if role is not None and at in ranks else role
            for at, role in enumerate(roles)
        ]
    drawn = [at for at, role in enumerate(roles) if role is not None and role.name == "tokens"]
    parts = [at for at in drawn if find(r"\b(?:on|over|auf|sur)\s*$", all_contexts[at].near)]
    if "epochs" in names and "corpus" not in names and len(drawn) == 2 and len(parts) == 1:
        role = roles[parts[0]]
        assert role is not None
        if "total" not in role.words:  # 1.5B tokens, 3 epochs, 4.5B tokens in all
            roles = [*roles[: parts[0]], replace(role, name="corpus"), *roles[parts[0] + 1 :]]
    unsure = [
        at for at, role in enumerate(roles) if role is not None and role.name == "samples" and "either" in role.words
    ]
    if "epochs" in names and "corpus" not in names and len(unsure) == 1:  # epochs are over something
        role = roles[unsure[0]]
        assert role is not None
        roles = [*roles[: unsure[0]], replace(role, name="corpus"), *roles[unsure[0] + 1 :]]
    is_divided = find(r"\bquotient\b|\bdivid|÷", text) is not None
    if is_divided and not names & {"global_batch", "per_device", "batch_tokens"}:
        roles = [
            replace(role, name="global_batch", unit="samples")
            if role and role.name == "gradient_accumulation"
            else role
            for role in roles
        ]
    return roles


def _with_units(roles: list[Role | None]) -> list[Role | None]:
    """Batches that say nothing of what they count: the one kind of sample that the text names."""
    kinds = {
        role.unit if role.unit.endswith("pairs") else role.unit.split()[0]
        for role in roles
        if role is not None and role.name in _OF_SAMPLES and role.unit and "audio" not in role.unit
    } - {
        "samples",
        "tokens",
        "words",
        "",
    }
    if len(kinds) != 1:
        return roles
    kind = kinds.pop()
    return [
        replace(role, unit=kind) if role is not None and role.name in _BATCHES and role.unit == "samples" else role
        for role in roles
    ]


_BATCHES = ("global_batch", "per_device")
_OF_SAMPLES = ("corpus", "samples", "samples_or_steps")


def _same_as_next(text: str, all_contexts: list[Context], roles: list[Role | None], at: int) -> Role | None:
    """A number that is said again: `299,892,736,000 ~= 300B tokens`; or one of several: `256 and 512 steps`."""
    if at + 1 >= len(roles):
        return None
    following = roles[at + 1]
    if following is None or not following.name or all_contexts[at].is_name or all_contexts[at].numeral.is_percent:
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


def _in_rounds(all_contexts: list[Context], roles: list[Role | None]) -> list[Role | None]:
    """Steps of each round of an outer loop, where rounds are called iterations."""
    each = r"\b(?:every|each|per) (?:outer )?(?:iteration|round|cycle|generation)\b"
    rounds = {context.clause for context in all_contexts if find(rf"{each}.*\bsteps\b", context.sentence)}
    if not rounds:
        return roles
    changed = []
    for context, role in zip(all_contexts, roles, strict=True):
        if role is not None and role.name == "steps":
            noun = context.noun["step"] if context.category == "step" and context.noun is not None else ""
            if noun.startswith(("iteration", "round")):
                role = Role("outer_iterations", "iterations")
            elif context.clause in rounds and find(each, context.before):
                role = replace(role, name="steps_per_iteration")
        changed.append(role)
    return changed


def _found(joined: Joined, context: Context, role: Role) -> Found:
    start, end = _span(context, role, context.numeral.start, context.numeral.end)
    end -= len(joined.text[start:end]) - len(joined.text[start:end].rstrip())
    given = joined.place(start, end)
    return Found(
        role=role.name, unit=role.unit, numeral=_times(context.numeral, role), start=given[0], end=given[1],
        text=joined.given[slice(*given)], clause=context.clause, place=context.numeral.first, words=role.words,
    )  # fmt: skip


def _times(numeral: Numeral, role: Role) -> Numeral:
    """The number with the prefix of its unit: `42 zettaFLOPs` are 4.2e22, and `9 days 18 hours` are 234 hours."""
    if role.times == 1:
        return numeral
    times, quantity = Interval.exact(role.times), numeral.quantity
    value = role.times * quantity.value + role.plus
    half = None if quantity.half is None else role.times * quantity.half
    scaled = replace(quantity, number=quantity.number * times, factors=(value,), half=half)
    if role.plus:
        half = Fraction(1, 2)
        scaled = replace(scaled, number=Interval(value, value - half, value + half), half=half)
        return replace(numeral, quantity=scaled, upper=None, spelling=f"{value}")
    upper = numeral.upper and replace(numeral.upper, number=numeral.upper.number * times)
    return replace(numeral, quantity=scaled, upper=upper, spelling=f"{numeral.spelling} {role.unit}")


def _span(context: Context, role: Role | None, start: int, end: int) -> tuple[int, int]:
    """From the key, or the number with the words for its tolerance, to the end of the noun."""
    belongs = not context.noun or context.key_name in ("batch", "per_device", "length", "accumulation")
    if context.key is not None and role is not None and context.key_name not in ("other", "epoch") and belongs:
        start = context.numeral.start - (len(context.near) - context.key.start())
    if context.noun is not None and role is not None:
        end += context.noun.end()
    if role is not None:
        end += role.tail
    return start, end


def _unused(joined: Joined, context: Context, why: str) -> Unused:
    start, end = context.numeral.first, context.numeral.end
    text = joined.text
    while (
        start > 0
        and not context.numeral.is_word
        and re.match(r"[\w/.-]", text[start - 1])
        and text[start - 1].isascii()
    ):
        start -= 1
    while end < len(text) and re.match(r"[A-Za-z0-9]", text[end]):
        end += 1
    if context.noun is not None:
        end = max(end, context.numeral.end + context.noun.end())
    given = joined.place(start, end)
    return Unused(text=joined.given[slice(*given)], start=given[0], end=given[1], why=why)

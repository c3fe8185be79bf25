"""A text to its facts: numbers first, each with its key or noun, then products, restatements and tables."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.sentence.context import Context, Places, contexts
from dist_epochs.audit.sentence.joined import Joined, join
from dist_epochs.audit.sentence.lexicon import find, is_about_training, is_noun
from dist_epochs.audit.sentence.lines import unwrapped
from dist_epochs.audit.sentence.neighbours import roles_by_neighbours
from dist_epochs.audit.sentence.numerals import Numeral, numerals
from dist_epochs.audit.sentence.phrases import Role
from dist_epochs.audit.sentence.products import product_roles
from dist_epochs.audit.sentence.reading import Found, Reading, Unused
from dist_epochs.audit.sentence.roles import role_of
from dist_epochs.audit.sentence.tables import table_roles
from dist_epochs.errors import InputError

__all__ = ["LONGEST", "read_text"]

LONGEST = 200_000
"""Characters of a text: a long paper. A book is no sentence."""


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
            roles.append(Role("", why="part of the number before it"))
        elif context.is_name:
            roles.append(Role("", why="part of a name, a date or a reference"))
        else:
            roles.append(role_of(context))
        role = roles[-1]
        if role is not None and not context.is_name and (context.noun is not None or role.tail):
            used = context.numeral.end + (context.noun.end() if context.noun is not None else 0) + role.tail
    roles = product_roles(text, all_contexts, roles)
    roles = roles_by_neighbours(text, all_contexts, roles)
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

"""The claim of a text, put together run by run: facts by name, and a check for what is stated to follow from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.audit.expression import Expression
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.sentence.draft import GROWN, WHOLE_TEXT, Draft, DraftCheck
from dist_epochs.audit.sentence.facts import as_fact, as_stated, is_bound, is_same
from dist_epochs.audit.sentence.growth import Growth, growths
from dist_epochs.audit.sentence.meanings import other_meanings
from dist_epochs.audit.sentence.phases import of_all_phases, phase_formulas
from dist_epochs.audit.sentence.reading import Found, Reading
from dist_epochs.audit.sentence.relations import NAMES, RELATIONS, TITLES, Relation, relation_of
from dist_epochs.audit.sentence.runs import Run, Totals, split_runs
from dist_epochs.names import in_words

__all__ = ["make_draft"]

_ROLE = re.compile(r"[a-z_]{3,}")
MOST_APART = 700
"""Characters between facts that may accuse each other."""
MOST_PAUSES = Fraction(3, 2)
"""How many times longer than its rate says a run may take with pauses."""
MOST_INFORMING = 4
"""Runs of which it is told what follows, where nothing is stated that does."""
RECOMPUTING = Fraction(4, 3)
"""FLOPs with recomputation over those without: 8 and 6 a parameter and token."""
FLOPS_RANGE = (Fraction(9, 10), Fraction(2))
"""Attention and recomputation cost up to so many times 6 FLOPs a parameter and token; the text does not say what."""


@dataclass(slots=True)
class _Builder:
    """Puts a draft together, run by run."""

    facts: dict[str, Fact] = field(default_factory=dict)
    roles: dict[str, tuple[str, int]] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    checks: list[DraftCheck] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    text: tuple[Found, ...] = ()


def make_draft(reading: Reading) -> Draft:
    """The numbers of a text as facts, and what is stated to follow from them as checks."""
    runs, totals = split_runs(reading.given, reading.facts)
    built = _Builder(text=reading.facts)
    whole = of_all_phases(runs)
    for at, run in enumerate(runs):
        _add_run(built, run, at, f"_run_{at + 1}" if len(runs) > 1 else "", whole)
    for role in whole:
        _add_whole(built, role, runs)
    for at, total in enumerate(totals):
        _add_total(built, total, at)
    for at, growth in enumerate(growths(reading)):
        _add_growth(built, growth, at)
    stated = [check for check in built.checks if check.stated is not None]
    return Draft(
        built.facts, built.roles, built.found, tuple(stated or built.checks), tuple(dict.fromkeys(built.dropped)), runs
    )


def _add_run(built: _Builder, run: Run, at: int, suffix: str, whole: frozenset[str]) -> None:
    names = {}
    inputs: dict[str, Found] = {}
    for role, said in run.facts.items():
        usable = [found for found in said if not is_bound(found) and not found.words & {"grown"}]
        if role == "hours" or usable:
            inputs[role] = min(usable or said, key=_tolerance)
    corpus = _counted(run.facts["corpus"][0]) if "corpus" in run.facts else ""
    if corpus == "other":
        inputs.pop("corpus", None)
    for role, found in inputs.items():
        names[role] = f"{NAMES.get(role, role)}{suffix}"
        built.facts[names[role]] = as_fact(found)
        built.roles[names[role]] = (role, at)
        built.found[names[role]] = found
    _add_same(built, run, at, suffix, inputs, names)
    formulas = _with_batch(inputs)
    stated = set(run.facts)
    about = {role for role, said in run.facts.items() if all(found.numeral.bound for found in said)}
    for identity in dict.fromkeys(relation.identity for relation in RELATIONS):
        known = relation_of(identity, stated, {*inputs, *formulas}, about, corpus)
        if known:
            is_own = known[0].result not in whole
            _add_stated(built, run, at, suffix, known[0], formulas, names, corpus, is_own)
    _add_meanings(built, run, at, suffix, formulas, names)
    if at < MOST_INFORMING:
        _add_informing(built, run, at, suffix, formulas, names, corpus)


def _add_meanings(
    built: _Builder, run: Run, at: int, suffix: str, formulas: Mapping[str, str], names: Mapping[str, str]
) -> None:
    """What a run may mean beside, where nothing else that is stated follows, and it agrees."""
    if any(check.run == at and check.stated is not None for check in built.checks):
        return
    for meaning in other_meanings(run, names, formulas):
        check = DraftCheck(
            name=_free_name(built, _title(meaning.relation.result, suffix)),
            formula=_formula(meaning.relation, formulas, meaning.names),
            stated=as_stated(meaning.stated),
            run=at,
            result=meaning.relation.result,
            brings=meaning.brings,
        )
        if check.agreement(built.facts) is not Agreement.CONTRADICTS:
            built.checks.append(check)


def _tolerance(found: Found) -> Fraction:
    half = found.numeral.quantity.half or Fraction(0)
    return half + (found.numeral.value if found.numeral.bound else 0)


def _counted(found: Found) -> str:
    """What a corpus counts: tokens, words, samples; `other` for hours and bytes."""
    if found.unit in ("tokens", "words"):
        return found.unit
    return "other" if "audio" in found.unit or found.unit in ("bytes", "") else "samples"


def _with_batch(inputs: Mapping[str, Found]) -> dict[str, str]:
    """A batch that is stated by its parts alone, as formulas have it."""
    found = {}
    if "devices" not in inputs and {"nodes", "devices_per_node"} <= inputs.keys():
        found["devices"] = "(nodes * devices_per_node)"
    if "global_batch" not in inputs and "per_device" in inputs and "devices" in {*inputs, *found}:
        devices = found.get("devices", "devices")
        found["global_batch"] = " * ".join(
            ["(per_device", devices, *(["gradient_accumulation"] if "gradient_accumulation" in inputs else [])]
        )
        found["global_batch"] += ")"
    return found


def _formula(relation: Relation, formulas: Mapping[str, str], names: Mapping[str, str]) -> Expression:
    text = _ROLE.sub(lambda match: formulas.get(match[0], match[0]), relation.formula)
    return parse_expression(_ROLE.sub(lambda match: names.get(match[0], match[0]), text))


def _title(result: str, suffix: str) -> str:
    return in_words(TITLES.get(result, result) + suffix)


def _add_stated(
    built: _Builder, run: Run, at: int, suffix: str, relation: Relation, formulas: Mapping[str, str],
    names: Mapping[str, str], corpus: str, is_own: bool,
) -> None:  # fmt: skip
    """A check for each number that is stated for a result, unless it accuses on numbers that may be another's."""
    formula = _formula(relation, formulas, names)
    free = relation.without or ("gradient_accumulation" if _lacks_accumulation(relation, formulas, run) else "")
    used = relation.needs | {relation.result}
    is_certain = (
        run.is_certain
        and is_own
        and _are_near([found for role in used for found in run.facts.get(role, ())])
        and not (relation.identity == "batch" and "model_parallel" in run.facts)
        and not used & run.borrowed
        and not any("either" in found.words for role in used for found in run.facts.get(role, ()))
        and not any("of" in found.words for role in relation.needs for found in run.facts.get(role, ()))
    )
    in_tokens = relation.result == "tokens" and relation.without == "sequence_length"
    batch = next((run.facts[role][0] for role in ("global_batch", "per_device") if role in run.facts), None)
    if in_tokens and (batch is None or batch.unit != "samples"):
        return  # it says what it counts
    clauses = {found.clause for role in relation.needs - run.borrowed for found in run.facts.get(role, ())}
    for found in _distinct(run.facts[relation.result]):
        if found.words & {"phase"} and relation.result == "tokens" and "of" not in found.words:
            continue  # a point of the schedule
        if found.words & {"grown"}:
            continue  # a batch of a part of the steps
        name = _free_name(built, _title(relation.result, suffix))
        check = DraftCheck(
            name=name,
            formula=formula,
            stated=as_stated(found),
            run=at,
            result=relation.result,
            words=corpus == "words" and "corpus" in relation.needs,
            free="" if in_tokens else free,
            brings=f"the batch of {batch.numeral.spelling} counts tokens" if in_tokens and batch is not None else "",
        )
        outcome = check.agreement(built.facts)
        if outcome is Agreement.CONTRADICTS and "of" in found.words:  # the other numbers may be those of the whole
            wholes = (other for other in built.text if other.role == found.role and "of" not in other.words)
            of_whole = (replace(check, stated=as_stated(other)) for other in wholes)
            agreeing = (whole for whole in of_whole if whole.agreement(built.facts) is not Agreement.CONTRADICTS)
            check = next(agreeing, check)
            outcome = check.agreement(built.facts)
        is_sure = is_certain and not in_tokens and (not suffix or found.clause in clauses)
        if outcome is Agreement.CONTRADICTS and (not is_sure or _is_beyond(relation, check, built.facts)):
            if not used & run.borrowed and not in_tokens:
                built.dropped.append(_not_compared(check, relation, is_sure))
            continue
        if outcome is Agreement.CONTRADICTS and _has_pauses(relation, check, built.facts):
            built.dropped.append(f"{name}: {_other_time(relation)}")
            continue
        if outcome is Agreement.CONTRADICTS and relation.identity != "batch" and free:
            built.dropped.append(f"{name}: the text does not say whether gradients are accumulated")
            continue
        built.checks.append(check)


def _are_near(facts: Sequence[Found]) -> bool:
    """Whether facts stand within a paragraph or two: further apart they may be those of other experiments."""
    return not facts or max(found.end for found in facts) - min(found.start for found in facts) <= MOST_APART


def _lacks_accumulation(relation: Relation, formulas: Mapping[str, str], run: Run) -> bool:
    return "global_batch" in relation.needs and "global_batch" in formulas and "gradient_accumulation" not in run.facts


def _is_beyond(relation: Relation, check: DraftCheck, facts: Mapping[str, Fact]) -> bool:
    """Whether FLOPs are off by what attention and recomputation may cost, which the text does not tell."""
    if relation.identity != "flops":
        return False
    ratio = 1 / check.ratio(facts) if check.ratio(facts) else Fraction(0)
    return FLOPS_RANGE[0] <= ratio <= FLOPS_RANGE[1] and abs(ratio - RECOMPUTING) > Fraction(1, 50)


def _has_pauses(relation: Relation, check: DraftCheck, facts: Mapping[str, Fact]) -> bool:
    """Whether a run took longer than its rate says, as with pauses and restarts.

    With 6 FLOPs a parameter and token it may be less than they say, too: those of embeddings are not computed.
    """
    if relation.identity not in ("rate", "pace", "speed", "work"):
        return False
    ratio = check.ratio(facts)
    longer = ratio if relation.result in ("tokens", "flops") else 1 / ratio if ratio else Fraction(0)
    if relation.identity == "work":
        return FLOPS_RANGE[0] <= longer <= MOST_PAUSES and abs(longer - RECOMPUTING) > Fraction(1, 50)
    return 1 < longer <= MOST_PAUSES


def _other_time(relation: Relation) -> str:
    if relation.identity == "work":
        return "6 FLOPs a parameter and token do not give it; attention, recomputation and pauses are not stated"
    return "it took longer than the rate says, as with pauses, which are not stated"


def _not_compared(check: DraftCheck, relation: Relation, is_certain: bool) -> str:
    if is_certain:
        return (
            f"{check.name}: 6 a parameter and token do not give them; attention and recomputation, which "
            f"cost more, are not stated"
        )
    return f"{check.name}: the text does not tell which of its numbers belong together"


def _distinct(said: Sequence[Found]) -> Iterator[Found]:
    """Numbers that are said twice, once."""
    yield from {(found.numeral.value, found.numeral.bound): found for found in reversed(said)}.values()


def _free_name(built: _Builder, name: str) -> str:
    taken = {check.name for check in built.checks}
    return next(each for each in (name, *(f"{name}, again {at}" for at in range(2, 99))) if each not in taken)


def _add_same(
    built: _Builder, run: Run, at: int, suffix: str, inputs: Mapping[str, Found], names: Mapping[str, str]
) -> None:
    """A number that is said twice, in full and rounded: whether it rounds so."""
    for role, said in run.facts.items():
        for other in _distinct(said):
            used = inputs.get(role)
            if (
                used is None
                or other is used
                or other.numeral.value == used.numeral.value
                or not is_same(used, other)
                or role == "hours"
            ):
                continue
            name = _free_name(built, f"{_title(role, suffix)}, rounded")
            built.checks.append(DraftCheck(name, parse_expression(names[role]), as_stated(other), at, role))


def _add_informing(
    built: _Builder, run: Run, at: int, suffix: str, formulas: Mapping[str, str], names: Mapping[str, str], corpus: str
) -> None:
    """What follows where nothing is stated that does: the first of each result."""
    own = {role for role in names if role not in run.borrowed}
    if any(check.stated is not None and check.run == at for check in built.checks):
        return
    results: set[str] = set()
    for relation in RELATIONS:
        if relation.result in run.facts or relation.result in results or relation.only_about or relation.without:
            continue
        fits = not relation.corpus or corpus == relation.corpus
        if (
            relation.needs <= {*own, *formulas}
            and fits
            and relation.result not in ("flops", "devices")
            and ("global_batch" in own or "global_batch" not in relation.needs or formulas)
        ):
            built.checks.append(
                DraftCheck(
                    _free_name(built, _title(relation.result, suffix)),
                    _formula(relation, formulas, names),
                    None,
                    at,
                    relation.result,
                )
            )
            results.add(relation.result)


def _add_whole(built: _Builder, role: str, runs: Sequence[Run]) -> None:
    """A total that is stated once against what all phases give, or else what its own phase gives.

    It accuses only where it is called a total, and is that of neither.
    """
    names = {its: name for name, its in built.roles.items()}
    formulas = phase_formulas(role, runs, names)
    if formulas is None:
        return
    at = next(at for at, run in enumerate(runs) if role in run.facts and role not in run.borrowed)
    for found in _distinct(runs[at].facts[role]):
        words = any(_counted(run.facts["corpus"][0]) == "words" for run in runs if "corpus" in run.facts)
        check = DraftCheck(
            _free_name(built, f"{_title(role, '')} of all phases"),
            parse_expression(" + ".join(formulas)),
            as_stated(found),
            WHOLE_TEXT,
            role,
            words and role == "epochs",
        )
        alone = [other for other in built.checks if other.result == role and other.stated is not None]
        if any(other.agreement(built.facts) is not Agreement.CONTRADICTS for other in alone):
            return
        is_wrong = check.agreement(built.facts) is Agreement.CONTRADICTS
        name, formula = _free_name(built, _title(role, f"_run_{at + 1}")), parse_expression(formulas[at])
        its_own = replace(check, name=name, formula=formula, run=at)
        is_beside = any(found.clause == steps.clause for steps in runs[at].facts.get("steps", ()))
        if is_wrong and is_beside and not alone and its_own.agreement(built.facts) is not Agreement.CONTRADICTS:
            built.checks.append(its_own)
            continue
        if is_wrong and (alone or "total" not in found.words or not all(run.is_certain for run in runs)):
            continue
        built.checks[:] = [other for other in built.checks if is_wrong or other not in alone]
        built.dropped[:] = [said for said in built.dropped if not said.startswith(_title(role, ""))]
        built.checks.append(check)


def _add_growth(built: _Builder, growth: Growth, at: int) -> None:
    """A batch against the one that it was multiplied from."""
    again = f"_{at + 1}" if at else ""
    names = {"first": f"tokens_per_batch_before{again}", "length": f"length_after{again}"}
    for name, found in ((names["first"], growth.first), (names["length"], growth.length)):
        if found is not None:
            built.facts[name], built.found[name], built.roles[name] = as_fact(found), found, (GROWN, -1 - at)
    formula = f"{growth.times.numerator} * {names['first']}"
    if growth.times.denominator > 1:
        formula += f" / {growth.times.denominator}"
    if growth.length is not None:
        formula += f" / {names['length']}"
    title = _free_name(built, f"batch after {'growing' if growth.times > 1 else 'shrinking'}")
    built.checks.append(DraftCheck(title, parse_expression(formula), as_stated(growth.later), WHOLE_TEXT, GROWN))


def _add_total(built: _Builder, totals: Totals, at: int) -> None:
    """A total against the sum of its parts."""
    names = []
    is_each = len({id(part) for part in totals.parts}) < len(totals.parts)
    for number_of, part in enumerate(dict.fromkeys(totals.parts)):
        name = f"{NAMES.get(part.role, part.role)}_part_{number_of + 1}{f'_of_total_{at + 1}' if at else ''}"
        built.facts[name] = as_fact(part)
        built.found[name] = part
        built.roles[name] = (f"{part.role} part", -1 - at)
        names.append(name)
    formula = f"{len(totals.parts)} * {names[0]}" if is_each else " + ".join(names)
    title = _free_name(built, f"{_title(totals.total.role, '')} in all")
    built.checks.append(DraftCheck(title, parse_expression(formula), as_stated(totals.total), -1, totals.total.role))

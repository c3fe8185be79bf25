"""The same run with one setting changed: at the same steps, and at the same amount of data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe.flags import BUDGET_FLAGS, FLAG_PLACES, apply_flags
from dist_epochs.settings.document import Document
from dist_epochs.settings.fields import Place

__all__ = ["Sweep", "SweptPlan", "parse_sweep", "sweep"]

Planner = Callable[[Document], Plan]


@dataclass(frozen=True, slots=True)
class SweptPlan:
    """The plan with one value, or why there is none."""

    value: str
    plan: Plan | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """A setting, and the plans with each of its values.

    Attributes:
        setting: Its dotted name.
        unit: What the second series keeps: tokens, or samples where they have no length.
        fixed_steps: Plans that all take the steps of the base plan.
        fixed_data: Plans that all draw what the base plan draws.
    """

    setting: str
    unit: Literal["tokens", "samples"]
    fixed_steps: tuple[SweptPlan, ...]
    fixed_data: tuple[SweptPlan, ...]


def parse_sweep(text: str) -> tuple[str, tuple[str, ...]]:
    """`KEY=V1,V2,…` as the setting's name and its values.

    Raises:
        InputError: If it is not of this form.

    Examples:
        >>> parse_sweep("devices=1,2,4")
        ('devices', ('1', '2', '4'))
    """
    name, equals, rest = text.partition("=")
    values = tuple(value.strip() for value in rest.split(",") if value.strip())
    if not equals or not name.strip() or not values:
        raise InputError(
            f"{text!r} is not of the form KEY=V1,V2,…", fixes="--sweep devices=1,2,4,8", origin=Origin("--sweep")
        )
    return name.strip(), values


def sweep(document: Document, text: str, planner: Planner) -> Sweep:
    """Plan a document with each value of a setting.

    The two series keep the steps of the recipe as it stands, and what it draws; of the first value that can
    be planned, where the recipe does not state the setting.

    Args:
        document: The recipe.
        text: `KEY=V1,V2,…`; the key is a flag's name, or dotted as in a recipe.
        planner: Plans a document.

    Raises:
        InputError: If there is no plan to compare with, the setting is the run's length, or it belongs to one of
            several phases.
    """
    name, values = parse_sweep(text)
    _refuse_what_is_kept(document, name)
    base = _base(document, name, values, planner)
    unit: Literal["tokens", "samples"] = "tokens" if base.positions is not None else "samples"
    steps = [_kept(base, index, "steps") for index in range(len(base.recipe.phases))]
    data = [_kept(base, index, unit) for index in range(len(base.recipe.phases))]
    return Sweep(
        setting=name,
        unit=unit,
        fixed_steps=tuple(_swept(document, name, value, "steps", steps, planner) for value in values),
        fixed_data=tuple(_swept(document, name, value, unit, data, planner) for value in values),
    )


def _base(document: Document, name: str, values: Sequence[str], planner: Planner) -> Plan:
    """The plan that both series keep something of: the recipe's, or that of the first value that can be planned."""
    if document.get(FLAG_PLACES.get(_flag(name), _place(name))) is not None:
        return planner(document)
    errors = []
    for value in values:
        try:
            return planner(_changed(document, name, value))
        except InputError as error:
            errors.append(error)
    raise errors[0]


def _flag(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")


def _place(name: str) -> Place:
    """The place of a dotted setting."""
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))


def _refuse_what_is_kept(document: Document, name: str) -> None:
    origin = Origin(f"--sweep {name}")
    if _flag(name) in BUDGET_FLAGS:
        raise InputError(
            f"{name} cannot be swept",
            rule="steps and data are what a sweep keeps",
            fixes="another setting, such as devices",
            origin=origin,
        )
    phases = document.get(("phases",))
    if _flag(name) == "sequence_length" and isinstance(phases, list) and len(phases) > 1:
        raise InputError(
            f"the recipe has {len(phases)} phases with lengths of their own",
            rule="there is no one length to change",
            fixes="--sweep phases.0.sequence_length=…, which changes one of them",
            origin=origin,
        )
    if document.get(("hardware", "tokens_per_second")) is not None:
        raise InputError(
            "a sweep changes the speed, and tokens_per_second was measured for one setting",
            fixes=("leaving it out", "mfu instead"),
            origin=origin,
        )


def _kept(base: Plan, index: int, unit: str) -> int:
    """What one phase of the recipe takes in the base plan."""
    if base.loop is not None:
        found = {"steps": base.steps, "samples": base.samples, "tokens": base.positions}[unit]
        assert found is not None
        return found
    names = {"steps": "steps", "samples": "samples", "tokens": "positions"}
    mine = (phase for phase, stretch in zip(base.phases, base.stretches, strict=True) if stretch == index)
    return sum(getattr(phase, names[unit]) for phase in mine)


def _changed(document: Document, name: str, value: str) -> Document:
    """The document with one value: of a flag, or of a dotted setting."""
    changed = document.copy()
    if _flag(name) in FLAG_PLACES:
        apply_flags(changed, {_flag(name): value})
    else:
        changed.put(_place(name), value, Origin(f"--sweep {value}"))
    return changed


def _swept(document: Document, name: str, value: str, unit: str, amounts: Sequence[int], planner: Planner) -> SweptPlan:
    try:
        changed = _changed(document, name, value)
    except InputError as error:
        return SweptPlan(value, None, str(error))
    changed.put(("budget",), None, Origin("--sweep"))
    for index, amount in enumerate(amounts):
        phase = changed.get(("phases", index))
        for stated in {*BUDGET_FLAGS, "share"} & set(phase):
            del phase[stated]
        changed.put(("phases", index, unit), amount, Origin("--sweep"))
    try:
        return SweptPlan(value, planner(changed))
    except InputError as error:
        return SweptPlan(value, None, str(error))

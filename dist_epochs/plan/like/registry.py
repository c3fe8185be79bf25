"""The frameworks, and what each makes of a plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dist_epochs.errors import InputError
from dist_epochs.pages import rule_name
from dist_epochs.plan.keys import nearest
from dist_epochs.plan.like.accelerate import ACCELERATE, ACCELERATE_STREAMING
from dist_epochs.plan.like.causes.effects import by_effect
from dist_epochs.plan.like.distributed_sampler import DISTRIBUTED_SAMPLER
from dist_epochs.plan.like.framework import Framework, Version
from dist_epochs.plan.like.keras import KERAS
from dist_epochs.plan.like.lightning import LIGHTNING
from dist_epochs.plan.like.megatron import GPT_NEOX, MEGATRON
from dist_epochs.plan.like.run import Cause, Run
from dist_epochs.plan.like.setting import Setting, setting_of
from dist_epochs.plan.like.tensorflow1 import TENSORFLOW1
from dist_epochs.plan.like.transformers import TRANSFORMERS, TRANSFORMERS_STREAMING
from dist_epochs.plan.plan import Plan

__all__ = ["ALL", "FRAMEWORKS", "Chosen", "Likeness", "find", "likenesses"]

ALL = "all"

FRAMEWORKS: tuple[Framework, ...] = (
    ACCELERATE,
    ACCELERATE_STREAMING,
    TRANSFORMERS,
    TRANSFORMERS_STREAMING,
    LIGHTNING,
    DISTRIBUTED_SAMPLER,
    KERAS,
    TENSORFLOW1,
    MEGATRON,
    GPT_NEOX,
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One version of one framework.

    Attributes:
        framework: The framework.
        version: Its version, as far as it decides.
        asked: The version that was asked for; empty where none was.
    """

    framework: Framework
    version: Version
    asked: str = ""

    @property
    def title(self) -> str:
        """How it is asked for."""
        return self.framework.titles[self.framework.versions.index(self.version)]

    @property
    def basis(self) -> str:
        """What the knowledge rests on, and whether another release was asked for."""
        taken_as = self.version.taken_as(self.asked)
        return f"{self.version.basis}; {taken_as}" if taken_as else self.version.basis


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """What a framework makes of a plan.

    Attributes:
        chosen: The framework.
        run: The run; None where it cannot run the plan.
        causes: Why its numbers part from the true ones, the largest effect first where that can be told.
        refusal: Why it cannot run it.
    """

    chosen: Chosen
    run: Run | None = None
    causes: tuple[Cause, ...] = ()
    refusal: str | None = None


def find(name: str) -> Chosen:
    """A framework by NAME or NAME==VERSION.

    Raises:
        InputError: If it is not known, with what is.

    Examples:
        >>> find("hf==4.48.3").title
        'transformers==4.48'
    """
    asked, _, version = name.strip().lower().partition("==")
    wanted, version = asked.strip().replace("_", "-"), version.strip().removeprefix("v")
    framework = next((each for each in FRAMEWORKS if wanted in (each.name, *each.aliases)), None)
    if framework is None:
        names = [spelling for each in FRAMEWORKS for spelling in (each.name, *each.aliases)]
        close = nearest(wanted, names).partition(";")[2] if wanted else ""
        known = ", ".join(title for each in FRAMEWORKS for title in each.titles)
        hint = f" Did you mean{close.removeprefix(' did you mean')}" if close.startswith(" did you mean") else ""
        raise InputError(
            f"--like {name}: no framework of that name is known here, so what it reports cannot be said.{hint} "
            f"Known: {known}, or {ALL}."
        )
    if not version:
        return Chosen(framework, framework.versions[-1])
    found = next((each for each in framework.versions if each.matches(version)), None)
    if found is None:
        raise InputError(_unknown_version(name, framework))
    return Chosen(framework, found, version)


def _unknown_version(name: str, framework: Framework) -> str:
    if not framework.versions[-1].name:
        return f"--like {name}: {framework.name} is known without versions. Write --like {framework.name}."
    bases = "; ".join(f"{framework.name}=={version.name} ({version.basis})" for version in framework.versions)
    return (
        f"--like {name}: how that version counts is not known, and versions differ, so nothing is guessed. Take the "
        f"one that you run, or whose loop is the same: {bases}."
    )


def likenesses(plan: Plan, names: Sequence[str], assumed: Collection[str] = ()) -> list[Likeness]:
    """What each of some frameworks makes of a plan.

    Args:
        plan: The plan.
        names: NAME or NAME==VERSION of each; `all` stands for every one. One that cannot run the plan says why, in its
            place.
        assumed: Of `uneven` and `last_window`, what the plan assumes and nobody has said.

    Raises:
        InputError: If a framework is not known, or the plan says too little for any.
    """
    chosen = [find(name) for name in names if name.strip().lower() != ALL]
    said = setting_of(plan)
    setting = replace(
        said,
        uneven=None if "uneven" in assumed else said.uneven,
        last_window=None if "last_window" in assumed else said.last_window,
    )
    if len(chosen) < len(names):
        chosen = [Chosen(framework, version) for framework in FRAMEWORKS for version in framework.versions]
    return [_like(each, setting) for each in chosen]


def _like(chosen: Chosen, setting: Setting) -> Likeness:
    try:
        chosen.version.check(setting, chosen.title)
        run = chosen.version.run(setting)
    except InputError as error:
        return Likeness(chosen=chosen, refusal=str(error))
    said = {rule: message for rule in chosen.version.causes if (message := rule(run))}
    causes = tuple(Cause(rule_name(rule), said[rule]) for rule in by_effect(tuple(said), run))
    return Likeness(chosen=chosen, run=run, causes=causes)

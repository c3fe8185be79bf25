"""The frameworks that are known, by name and version."""

from __future__ import annotations

from dataclasses import dataclass

from dist_epochs.errors import InputError, nearest
from dist_epochs.frameworks.accelerate import ACCELERATE, ACCELERATE_STREAMING
from dist_epochs.frameworks.distributed_sampler import DISTRIBUTED_SAMPLER
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.keras import KERAS
from dist_epochs.frameworks.lightning import LIGHTNING
from dist_epochs.frameworks.megatron import GPT_NEOX, MEGATRON
from dist_epochs.frameworks.tensorflow1 import TENSORFLOW1
from dist_epochs.frameworks.transformers import TRANSFORMERS, TRANSFORMERS_STREAMING

__all__ = ["ALL", "FRAMEWORKS", "Chosen", "find"]

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

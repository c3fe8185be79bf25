"""The frameworks that are known, by name and version."""

from __future__ import annotations

from dataclasses import dataclass

from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.frameworks.accelerate import ACCELERATE, ACCELERATE_STREAMING
from dist_epochs.frameworks.distributed_sampler import DISTRIBUTED_SAMPLER
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.keras import KERAS
from dist_epochs.frameworks.lightning import LIGHTNING
from dist_epochs.frameworks.megatron import GPT_NEOX, MEGATRON
from dist_epochs.frameworks.tensorflow1 import TENSORFLOW1
from dist_epochs.frameworks.transformers import TRANSFORMERS, TRANSFORMERS_STREAMING

__all__ = ["ALL", "FRAMEWORKS", "FrameworkVersion", "find"]

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
class FrameworkVersion:
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


def find(name: str) -> FrameworkVersion:
    """A framework by NAME or NAME==VERSION.

    Raises:
        InputError: If it is not known, with what is.

    Examples:
        >>> find("hf==4.48.3").title
        'transformers==4.48'
    """
    origin = Origin(f"--like {name}")
    asked, _, version = name.strip().lower().partition("==")
    wanted, version = asked.strip().replace("_", "-"), version.strip().removeprefix("v")
    framework = next((each for each in FRAMEWORKS if wanted in (each.name, *each.aliases)), None)
    if framework is None:
        names = [spelling for each in FRAMEWORKS for spelling in (each.name, *each.aliases)]
        known = ", ".join(title for each in FRAMEWORKS for title in each.titles)
        raise InputError(
            "no framework of that name is known here, so what it reports cannot be said",
            fixes=(*close_matches(wanted, names), f"one of {known}, or {ALL}"),
            origin=origin,
        )
    if not version:
        return FrameworkVersion(framework, framework.versions[-1])
    found = next((each for each in framework.versions if each.matches(version)), None)
    if found is None:
        raise _unknown_version(framework, origin)
    return FrameworkVersion(framework, found, version)


def _unknown_version(framework: Framework, origin: Origin) -> InputError:
    if not framework.versions[-1].name:
        return InputError(
            f"{framework.name} is known without versions", fixes=f"--like {framework.name}", origin=origin
        )
    return InputError(
        "how that version counts is not known, and versions differ, so nothing is guessed",
        rule="take the one that you run, or whose loop is the same",
        fixes=(f"{framework.name}=={version.name} ({version.basis})" for version in framework.versions),
        origin=origin,
    )

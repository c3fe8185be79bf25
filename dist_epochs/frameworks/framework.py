"""A framework as `--like` knows it: its names, its versions, and how each is known to count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dist_epochs.arithmetic.loader import LastWindow, Uneven
from dist_epochs.errors import InputError
from dist_epochs.frameworks.run import Rule, Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["Framework", "Version"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """How one version counts.

    Attributes:
        name: Its number, as far as it decides: `4.44` stands for 4.44.2 too. Empty where there is one behaviour.
        basis: How that is known: measured, documented, or from its source.
        measured: Number of the release that was measured, without its patch; empty where none was run.
        run: What it does with a setting; it raises `InputError` for one that it cannot run.
        causes: Why its numbers may differ from the true ones, the most important first.
        unevens: Values of `--uneven` that it can have, its default first.
        last_windows: Values of `--last-window` that it can have, its default first.
    """

    name: str = ""
    basis: str
    measured: str = ""
    run: Callable[[Setting], Run]
    causes: tuple[Rule, ...]
    unevens: tuple[Uneven, ...] = ()
    last_windows: tuple[LastWindow, ...] = ()

    def matches(self, asked: str) -> bool:
        """Whether an asked version is this one.

        Examples:
            >>> from dist_epochs.frameworks.registry import find
            >>> find("transformers==5.23").version.name
            '5'
        """
        return bool(self.name) and (asked == self.name or asked.startswith(f"{self.name}."))

    def taken_as(self, asked: str) -> str:
        """A note, where another release than the measured one is asked for; else empty.

        Examples:
            >>> from dist_epochs.frameworks.registry import find
            >>> find("transformers==5").version.taken_as("5.99")
            '5.99 is taken as 5.23, which was measured'
        """
        is_measured = f"{asked}.".startswith(f"{self.measured}.") or f"{self.measured}.".startswith(f"{asked}.")
        if is_measured or not (asked and self.measured):
            return ""
        return f"{asked} is taken as {self.measured}, which was measured"

    def check(self, setting: Setting, title: str) -> None:
        """Refuse a value of `--uneven` or `--last-window` that this version cannot have.

        Raises:
            InputError: With what it does instead.
        """
        for flag, stated, known in (
            ("--uneven", setting.uneven, self.unevens),
            ("--last-window", setting.last_window, self.last_windows),
        ):
            if stated is None or stated in known:
                continue
            own = f"it can {' or '.join(known)}" if known else "its passes have no such end"
            raise InputError(
                f"{flag} {stated} like {title}",
                rule=own,
                consequence="what it reports would belong to another loop",
                fixes=(f"leaving {flag} out", "planning without --like"),
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Framework:
    """A framework and the versions whose counting is known, oldest first.

    Attributes:
        name: Its name.
        aliases: Other spellings of it.
        versions: Those that are known; the last one is used where none is named.
    """

    name: str
    aliases: tuple[str, ...] = ()
    versions: tuple[Version, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """How each version is asked for: by the name alone where there is one."""
        if len(self.versions) == 1:
            return (self.name,)
        return tuple(f"{self.name}=={version.name}" for version in self.versions)

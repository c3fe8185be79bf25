"""The sizes and switches of a transformers configuration, with the defaults of its family filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.recipe.model_families import FAMILIES, ModelFamily

__all__ = ["EXACT", "PLAIN", "Settings"]

EXACT = "`--exact`, which builds the model with transformers (without weights) and counts it"
"""What to offer where there is no closed form."""

PLAIN: Mapping[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "pruned_heads": (None, {}),
    "sliding_window": (None,),
}
"""Settings that make another model of the family, and the values that do not."""

LAYERS = ("num_hidden_layers", "n_layer")
MOST_LAYERS = 100_000
"""Each one is looked at."""
LARGEST_SIZE = 10**9
"""Of a layer, a vocabulary or a sequence."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration with the defaults filled in, and where it comes from.

    Attributes:
        family: What is known of the family.
        values: By the family's own names.
        where: For messages.
    """

    family: ModelFamily
    values: Mapping[str, Any]
    where: str

    @classmethod
    def read(cls, config: Mapping[str, Any], model_type: str, where: str) -> Settings:
        """Fill in what a configuration leaves out.

        Raises:
            InputError: If a key looks misspelled, is given twice under two names, or makes a model that
                the family's closed form does not describe.
        """
        family = FAMILIES[model_type]
        defaults, aliases = family.defaults, family.aliases
        stated: dict[str, Any] = {}
        for key, value in config.items():
            name = aliases.get(key, key)
            if name in stated and stated[name] != value:
                raise InputError(
                    f"{name} is {config[name]!r} and {key} is {config[key]!r}, which are two names of one setting",
                    fixes="one of them",
                    origin=Origin(where),
                )
            stated[name] = value
        _check_spelling(stated, defaults, model_type, where)
        settings = cls(family, {**defaults, **stated}, where)
        for key, plain in PLAIN.items():
            if key in defaults and settings.values[key] not in plain:
                raise settings.refusal(f"{key} is {settings.values[key]!r}, a model that no closed form here describes")
        return settings

    def refusal(self, problem: str) -> InputError:
        """The error for a model that can only be counted as built."""
        return InputError(problem, fixes=EXACT, origin=Origin(self.where))

    def size(self, key: str, least: int = 1) -> int:
        """A whole number.

        Raises:
            InputError: If it is none, or below `least`.
        """
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(
                f"{key} must be a whole number of at least {least}, not {value!r}", origin=Origin(self.where)
            )
        most = MOST_LAYERS if key in LAYERS else LARGEST_SIZE
        if value > most:
            raise InputError(
                f"{key} is beyond any model", rule=f"it may be at most {most:,}", origin=Origin(self.where)
            )
        return value

    def flag(self, key: str) -> bool:
        """A switch.

        Raises:
            InputError: If it is neither true nor false.
        """
        value = self.values[key]
        if not isinstance(value, bool):
            raise InputError(f"{key} must be true or false, not {value!r}", origin=Origin(self.where))
        return value

    def divide(self, key: str, by: str) -> int:
        """The quotient of two sizes.

        Raises:
            InputError: If there is a rest.
        """
        whole, parts = self.size(key), self.size(by)
        if whole % parts:
            below = whole // parts * parts
            raise InputError(
                f"{key} {whole} is not a multiple of {by} {parts}, and no such model can be built",
                fixes=(f"{key} {size}" for size in (below, below + parts) if size),
                origin=Origin(self.where),
            )
        return whole // parts


def _check_spelling(stated: Mapping[str, Any], defaults: Mapping[str, Any], model_type: str, where: str) -> None:
    """Keys that change no size are many and welcome; one that nearly names a size that is not given is an error."""
    missing = defaults.keys() - stated.keys()
    for key in stated.keys() - defaults.keys():
        if close := close_matches(str(key), missing, likeness=0.85):
            raise InputError(
                f"{model_type} has no setting '{key}'",
                consequence="It would change nothing",
                fixes=f"'{close[0]}'",
                origin=Origin(where),
            )

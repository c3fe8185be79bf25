"""The sizes and switches of a transformers configuration, with the defaults of its family filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dist_epochs.errors import InputError, Origin, close_matches

__all__ = ["DEFAULTS", "EXACT", "Settings"]

EXACT = "`--exact`, which builds the model with transformers (without weights) and counts it"
"""What to offer where there is no closed form."""

_BERT: Mapping[str, Any] = {
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
    "tie_word_embeddings": True, "is_decoder": False, "add_cross_attention": False,
    "position_embedding_type": "absolute", "pruned_heads": None,
}  # fmt: skip

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "bert": _BERT,
    "roberta": {**_BERT, "vocab_size": 50265, "pad_token_id": 1},
    "modernbert": {
        "vocab_size": 50368, "hidden_size": 768, "num_hidden_layers": 22, "num_attention_heads": 12,
        "intermediate_size": 1152, "norm_bias": False, "attention_bias": False, "mlp_bias": False,
        "decoder_bias": True, "classifier_bias": False, "tie_word_embeddings": True, "layer_types": None,
        "global_attn_every_n_layers": 3, "local_attention": 128, "sliding_window": None,
    },
    "gpt2": {
        "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
        "tie_word_embeddings": True, "add_cross_attention": False, "pruned_heads": None,
    },
    "llama": {
        "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 11008, "num_key_value_heads": None, "head_dim": None, "attention_bias": False,
        "mlp_bias": False, "tie_word_embeddings": False, "sliding_window": None,
    },
}  # fmt: skip
"""Settings that a closed form reads, and what transformers 5 takes where they are absent."""

ALIASES: Mapping[str, Mapping[str, str]] = {
    "gpt2": {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
}
"""Second names that transformers takes for a setting."""

PLAIN: Mapping[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "pruned_heads": (None, {}),
    "sliding_window": (None,),
}
"""Settings that make another model of the family, and the values that do not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration with the defaults filled in, and where it comes from.

    Attributes:
        values: By the family's own names.
        where: For messages.
    """

    values: Mapping[str, Any]
    where: str

    @classmethod
    def read(cls, config: Mapping[str, Any], model_type: str, where: str) -> Settings:
        """Fill in what a configuration leaves out.

        Raises:
            InputError: If a key looks misspelled, is given twice under two names, or makes a model that
                the family's closed form does not describe.
        """
        defaults, aliases = DEFAULTS[model_type], ALIASES.get(model_type, {})
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
        settings = cls({**defaults, **stated}, where)
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

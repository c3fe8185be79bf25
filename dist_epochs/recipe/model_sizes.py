"""Published model sizes by name, as transformers configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dist_epochs.errors import InputError, close_matches
from dist_epochs.names import find_name, folded

__all__ = ["SIZES", "named_config"]


def _sizes(model_type: str, layers: int, hidden: int, heads: int, inner: int, **more: int) -> Mapping[str, Any]:
    return {
        "model_type": model_type,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        **more,
    }


def _gpt2(layers: int, hidden: int, heads: int) -> Mapping[str, Any]:
    return {"model_type": "gpt2", "n_layer": layers, "n_embd": hidden, "n_head": heads}


_ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1}
_LLAMA2 = {"num_key_value_heads": 8, "max_position_embeddings": 4096}
_LLAMA3 = {"num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192}

SIZES: Mapping[str, Mapping[str, Any]] = {
    # Devlin et al., arXiv:1810.04805, section 3; 30,522 pieces as in google-bert/bert-*-uncased
    "bert-base": {"model_type": "bert"},
    "bert-large": _sizes("bert", 24, 1024, 16, 4096),
    # Liu et al., arXiv:1907.11692, table 9; FacebookAI/roberta-*: 512 positions and 2 reserved
    "roberta-base": {"model_type": "roberta", **_ROBERTA},
    "roberta-large": _sizes("roberta", 24, 1024, 16, 4096, **_ROBERTA),
    # Warner et al., arXiv:2412.13663, table 4; answerdotai/ModernBERT-*
    "modernbert-base": {"model_type": "modernbert"},
    "modernbert-large": _sizes("modernbert", 28, 1024, 16, 2624),
    # Radford et al. 2019, table 2; heads as in openai-community/gpt2*
    "gpt2": {"model_type": "gpt2"},
    "gpt2-small": {"model_type": "gpt2"},
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    # Touvron et al., arXiv:2302.13971, table 2; MLP widths: two thirds of 4 × hidden, up to a multiple of 256
    "llama-7b": {"model_type": "llama"},
    "llama-13b": _sizes("llama", 40, 5120, 40, 13824),
    "llama-33b": _sizes("llama", 60, 6656, 52, 17920),
    "llama-65b": _sizes("llama", 80, 8192, 64, 22016),
    # Touvron et al., arXiv:2307.09288, table 1; meta-llama/Llama-2-70b-hf
    "llama2-70b": _sizes("llama", 80, 8192, 64, 28672, **_LLAMA2),
    # Llama Team, arXiv:2407.21783, table 3; 128,256 ids and positions as in meta-llama/Meta-Llama-3-*
    "llama3-8b": _sizes("llama", 32, 4096, 32, 14336, **_LLAMA3),
    "llama3-70b": _sizes("llama", 80, 8192, 64, 28672, **_LLAMA3),
    "llama3-405b": _sizes("llama", 126, 16384, 128, 53248, **{**_LLAMA3, "max_position_embeddings": 131072}),
}
"""Settings that differ from the defaults of the family; those that change no size are left out."""


def named_config(name: str) -> Mapping[str, Any]:
    """The configuration of a published size.

    Raises:
        InputError: If the name is not in `SIZES`, with the nearest that are.

    Examples:
        >>> named_config("GPT2-medium")["n_embd"]
        1024
    """
    known = find_name(name, SIZES)
    if known is None:
        close = close_matches(folded(name), SIZES, most=3, likeness=0.5)
        raise InputError(
            f"model {name!r} is not a size known by name, so it has no parameters to count",
            fixes=(*(close or [f"one of {', '.join(SIZES)}"]), "the path of a config.json"),
        )
    return SIZES[known]

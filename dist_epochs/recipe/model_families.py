"""What is known of each family of models, by transformers' `model_type`: every fact once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CLOSED_FORM", "FAMILIES", "KeptTensors", "ModelFamily"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTensors:
    """What transformers' modules keep for the backward pass beyond the textbook, measured (see `activation_bytes`).

    Attributes:
        attention: Tensors as wide as the queries.
        mlp: Tensors as wide as the MLP.
        casts: Copies of the norms' outputs that autocast makes, one for each projection that takes one.
        norm: fp32 tensors that a norm keeps: its input, and an RMSNorm in Python its quotient too.
        dropout: Dropout masks, one byte a number.
    """

    attention: int
    mlp: int
    casts: int
    norm: int
    dropout: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFamily:
    """A family of models.

    Attributes:
        objective: What it is pretrained for.
        defaults: Settings that its closed form reads, and what transformers 5 takes where they are absent; empty
            without a closed form.
        aliases: Second names that transformers takes for a setting.
        kept: What its layers keep for the backward pass; None without a closed form.
        has_windows: Whether its closed form takes sliding windows off.
    """

    objective: Literal["masked", "causal"]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    kept: KeptTensors | None = None
    has_windows: bool = False


_BERT: Mapping[str, Any] = {
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
    "tie_word_embeddings": True, "is_decoder": False, "add_cross_attention": False,
    "position_embedding_type": "absolute", "pruned_heads": None,
}  # fmt: skip
_BERT_KEPT = KeptTensors(attention=4, mlp=2, casts=4, norm=1, dropout=2)

_MASKED, _CAUSAL = ModelFamily(objective="masked"), ModelFamily(objective="causal")

FAMILIES: Mapping[str, ModelFamily] = {
    "bert": ModelFamily(objective="masked", defaults=_BERT, kept=_BERT_KEPT),
    "roberta": ModelFamily(
        objective="masked", defaults={**_BERT, "vocab_size": 50265, "pad_token_id": 1}, kept=_BERT_KEPT
    ),
    "modernbert": ModelFamily(
        objective="masked",
        defaults={
            "vocab_size": 50368, "hidden_size": 768, "num_hidden_layers": 22, "num_attention_heads": 12,
            "intermediate_size": 1152, "norm_bias": False, "attention_bias": False, "mlp_bias": False,
            "decoder_bias": True, "classifier_bias": False, "tie_word_embeddings": True, "layer_types": None,
            "global_attn_every_n_layers": 3, "local_attention": 128, "sliding_window": None,
        },
        kept=KeptTensors(attention=6, mlp=4, casts=2, norm=1, dropout=0),  # queries and keys unrotated and rotated
        has_windows=True,
    ),
    "gpt2": ModelFamily(
        objective="causal",
        defaults={
            "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
            "tie_word_embeddings": True, "add_cross_attention": False, "pruned_heads": None,
        },
        aliases={
            "hidden_size": "n_embd",
            "max_position_embeddings": "n_positions",
            "num_attention_heads": "n_head",
            "num_hidden_layers": "n_layer",
        },
        kept=KeptTensors(attention=4, mlp=5, casts=2, norm=1, dropout=2),  # its GELU is written out in Python
    ),
    "llama": ModelFamily(
        objective="causal",
        defaults={
            "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
            "intermediate_size": 11008, "num_key_value_heads": None, "head_dim": None, "attention_bias": False,
            "mlp_bias": False, "tie_word_embeddings": False, "sliding_window": None,
        },
        kept=KeptTensors(attention=4, mlp=4, casts=5, norm=2, dropout=0),
    ),
    "mistral": _CAUSAL,
    "mixtral": _CAUSAL,
    "qwen2": _CAUSAL,
    "qwen3": _CAUSAL,
    "gpt_neox": _CAUSAL,
    "opt": _CAUSAL,
    "distilbert": _MASKED,
    "electra": _MASKED,
    "xlm-roberta": _MASKED,
}  # fmt: skip
"""The families, those with a closed form first."""

CLOSED_FORM = tuple(name for name, family in FAMILIES.items() if family.defaults)
"""Families whose parameters, FLOPs and memory have a closed form."""

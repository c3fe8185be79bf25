"""Parameters and modules of five model families, by closed form from a transformers configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.plan.cost.architecture import Architecture, Module
from dist_epochs.plan.cost.settings import EXACT, Settings
from dist_epochs.recipe.model_families import CLOSED_FORM

__all__ = ["read_architecture"]


def read_architecture(config: Mapping[str, Any], *, where: str) -> Architecture:
    """The architecture that a transformers configuration describes.

    Args:
        config: The content of a `config.json`. Absent keys take transformers' defaults for its
            `model_type`; keys that change no size are not looked at.
        where: Where it comes from, for messages.

    Raises:
        InputError: If the family is not known here, a value is no size, sizes do not fit each other, a
            key looks misspelled, or a setting changes the model in a way that the closed form lacks.

    Examples:
        >>> bert = read_architecture({"model_type": "bert"}, where="bert-base")
        >>> bert.parameters, bert.flops_per_token(128)
        (109514298, 667948032)
    """
    model_type = config.get("model_type")
    if model_type is None:
        raise InputError(
            "model_type is missing",
            rule="sizes mean nothing without it",
            fixes=(f"one of {', '.join(CLOSED_FORM)}", EXACT),
            origin=Origin(where),
        )
    if model_type not in CLOSED_FORM:
        raise InputError(
            f"model_type {model_type!r} has no closed form here",
            rule=f"{', '.join(CLOSED_FORM)} have one",
            fixes=(*close_matches(str(model_type), CLOSED_FORM), EXACT),
            origin=Origin(where),
        )
    return _READERS[model_type](Settings.read(config, model_type, where))


def _bert(settings: Settings, *, skips_padding_id: bool = False) -> Architecture:
    """BERT (Devlin et al., arXiv:1810.04805) with its masked-LM head: a dense layer, a norm, and the logits."""
    settings.divide("hidden_size", "num_attention_heads")
    hidden, inner = settings.size("hidden_size"), settings.size("intermediate_size")
    layers, vocabulary = settings.size("num_hidden_layers"), settings.size("vocab_size")
    positions, tied = settings.size("max_position_embeddings"), settings.flag("tie_word_embeddings")
    reserved = settings.size("pad_token_id", least=0) + 1 if skips_padding_id else 0
    if positions <= reserved:
        raise InputError(
            f"max_position_embeddings {positions} leaves no position",
            rule=f"RoBERTa's first is number pad_token_id + 1 = {reserved}",
            fixes=f"the longest sample + {reserved}",
            origin=Origin(settings.where),
        )
    tables = (vocabulary + positions + settings.size("type_vocab_size")) * hidden
    layer = 4 * hidden**2 + 2 * hidden * inner
    vectors = layers * (9 * hidden + inner) + 2 * hidden + 3 * hidden + vocabulary
    untied = 0 if tied else (hidden + 1) * vocabulary  # transformers' head has a bias beside its layer's, tied with it
    head = "lm_head" if skips_padding_id else "cls.predictions.transform"
    return Architecture(
        family=settings.family,
        layers=layers,
        hidden_size=hidden,
        attention_size=hidden,
        key_value_size=hidden,
        intermediate_size=inner,
        gated=False,
        vocabulary_size=vocabulary,
        parameters=tables + layers * layer + hidden**2 + vectors + untied,
        matmul_parameters=layers * layer + hidden**2 + vocabulary * hidden,
        modules=(
            *(Module(f"attention.self.{name}", hidden, hidden) for name in ("query", "key", "value")),
            Module("attention.output.dense", hidden, hidden),
            Module("intermediate.dense", hidden, inner),
            Module("output.dense", inner, hidden),
            Module(f"{head}.dense", hidden, hidden, "linear"),
            Module(f"{head.removesuffix('.transform')}.decoder", hidden, vocabulary, "head"),
            Module("embeddings.word_embeddings", vocabulary, hidden, "table"),
            Module("embeddings.position_embeddings", positions, hidden, "table"),
            Module("embeddings.token_type_embeddings", settings.size("type_vocab_size"), hidden, "table"),
        ),
        layer_parameters=(layer + 9 * hidden + inner,) * layers,
        embedding_parameters=tables + 2 * hidden,
        has_tied_head=tied,
        longest=positions - reserved,
    )


def _roberta(settings: Settings) -> Architecture:
    """RoBERTa (Liu et al., arXiv:1907.11692): BERT, whose positions count from the padding id + 1."""
    return _bert(settings, skips_padding_id=True)


def _modernbert(settings: Settings) -> Architecture:
    """ModernBERT (Warner et al., arXiv:2412.13663): rotary, gated, windows in most layers, no first norm."""
    head_size = settings.divide("hidden_size", "num_attention_heads")
    _check_rotary(settings, head_size, "hidden_size ÷ num_attention_heads")
    hidden, inner = settings.size("hidden_size"), settings.size("intermediate_size")
    layers, vocabulary = settings.size("num_hidden_layers"), settings.size("vocab_size")
    layer = 4 * hidden**2 + 3 * hidden * inner
    norm = hidden * (2 if settings.flag("norm_bias") else 1)
    layer_biases = 4 * hidden * settings.flag("attention_bias") + (2 * inner + hidden) * settings.flag("mlp_bias")
    head_biases = hidden * settings.flag("classifier_bias") + vocabulary * settings.flag("decoder_bias")
    norms, biases = (2 * layers + 2) * norm, layers * layer_biases + head_biases
    matmul, tied = layers * layer + hidden**2 + vocabulary * hidden, settings.flag("tie_word_embeddings")
    whole_layer = layer + layer_biases + 2 * norm
    return Architecture(
        family=settings.family,
        layers=layers,
        hidden_size=hidden,
        attention_size=hidden,
        key_value_size=hidden,
        intermediate_size=inner,
        gated=True,
        vocabulary_size=vocabulary,
        parameters=matmul + norms + biases + (0 if tied else vocabulary * hidden),
        matmul_parameters=matmul,
        modules=(
            Module("attn.Wqkv", hidden, 3 * hidden),
            Module("attn.Wo", hidden, hidden),
            Module("mlp.Wi", hidden, 2 * inner),
            Module("mlp.Wo", inner, hidden),
            Module("head.dense", hidden, hidden, "linear"),
            Module("decoder", hidden, vocabulary, "head"),
            Module("embeddings.tok_embeddings", vocabulary, hidden, "table"),
        ),
        layer_parameters=(whole_layer - norm, *(whole_layer,) * (layers - 1)),
        embedding_parameters=vocabulary * hidden + norm,
        has_tied_head=tied,
        sliding=_sliding_layers(settings, layers),
        window=settings.size("local_attention") // 2,
    )


def _sliding_layers(settings: Settings, layers: int) -> tuple[bool, ...]:
    """Whether each layer has a window: those listed, or all but every n-th, starting with the first."""
    kinds = settings.values["layer_types"]
    if kinds is None:
        every = settings.size("global_attn_every_n_layers")
        return tuple(layer % every > 0 for layer in range(layers))
    if not isinstance(kinds, list | tuple) or any(
        kind not in ("full_attention", "sliding_attention") for kind in kinds
    ):
        raise settings.refusal(f"layer_types must list full_attention and sliding_attention, not {kinds!r}")
    if len(kinds) != layers:
        raise InputError(
            f"layer_types lists {len(kinds)} layers, and num_hidden_layers is {layers}", origin=Origin(settings.where)
        )
    return tuple(kind == "sliding_attention" for kind in kinds)


def _gpt2(settings: Settings) -> Architecture:
    """GPT-2 (Radford et al., 2019)."""
    settings.divide("n_embd", "n_head")
    hidden, layers = settings.size("n_embd"), settings.size("n_layer")
    inner = 4 * hidden if settings.values["n_inner"] is None else settings.size("n_inner")
    vocabulary, positions = settings.size("vocab_size"), settings.size("n_positions")
    layer = 4 * hidden**2 + 2 * hidden * inner
    vectors = layers * (9 * hidden + inner) + 2 * hidden
    tied = settings.flag("tie_word_embeddings")
    untied = 0 if tied else vocabulary * hidden
    return Architecture(
        family=settings.family,
        layers=layers,
        hidden_size=hidden,
        attention_size=hidden,
        key_value_size=hidden,
        intermediate_size=inner,
        gated=False,
        vocabulary_size=vocabulary,
        parameters=(vocabulary + positions) * hidden + layers * layer + vectors + untied,
        matmul_parameters=layers * layer + vocabulary * hidden,
        modules=(
            Module("attn.c_attn", hidden, 3 * hidden),
            Module("attn.c_proj", hidden, hidden),
            Module("mlp.c_fc", hidden, inner),
            Module("mlp.c_proj", inner, hidden),
            Module("lm_head", hidden, vocabulary, "head"),
            Module("wte", vocabulary, hidden, "table"),
            Module("wpe", positions, hidden, "table"),
        ),
        layer_parameters=(layer + 9 * hidden + inner,) * layers,
        embedding_parameters=(vocabulary + positions) * hidden,
        has_tied_head=tied,
        longest=positions,
    )


def _llama(settings: Settings) -> Architecture:
    """Llama 1 to 3 (Touvron et al., arXiv:2302.13971 and 2307.09288; arXiv:2407.21783), grouped queries included."""
    head_size = settings.divide("hidden_size", "num_attention_heads")
    if settings.values["head_dim"] is not None:
        head_size = settings.size("head_dim")
    _check_rotary(settings, head_size, "head_dim")
    hidden, inner = settings.size("hidden_size"), settings.size("intermediate_size")
    layers, vocabulary = settings.size("num_hidden_layers"), settings.size("vocab_size")
    queries = keys = settings.size("num_attention_heads") * head_size
    if settings.values["num_key_value_heads"] is not None:
        settings.divide("num_attention_heads", "num_key_value_heads")
        keys = settings.size("num_key_value_heads") * head_size
    layer = 2 * hidden * (queries + keys) + 3 * hidden * inner
    biases = (queries + 2 * keys + hidden) * settings.flag("attention_bias")
    biases += (2 * inner + hidden) * settings.flag("mlp_bias")
    tied = settings.flag("tie_word_embeddings")
    untied = 0 if tied else vocabulary * hidden
    return Architecture(
        family=settings.family,
        layers=layers,
        hidden_size=hidden,
        attention_size=queries,
        key_value_size=keys,
        intermediate_size=inner,
        gated=True,
        vocabulary_size=vocabulary,
        parameters=vocabulary * hidden + layers * (layer + 2 * hidden + biases) + hidden + untied,
        matmul_parameters=layers * layer + vocabulary * hidden,
        modules=(
            Module("self_attn.q_proj", hidden, queries),
            *(Module(f"self_attn.{name}_proj", hidden, keys) for name in "kv"),
            Module("self_attn.o_proj", queries, hidden),
            *(Module(f"mlp.{name}_proj", hidden, inner) for name in ("gate", "up")),
            Module("mlp.down_proj", inner, hidden),
            Module("lm_head", hidden, vocabulary, "head"),
            Module("embed_tokens", vocabulary, hidden, "table"),
        ),
        layer_parameters=(layer + 2 * hidden + biases,) * layers,
        embedding_parameters=vocabulary * hidden,
        has_tied_head=tied,
    )


def _check_rotary(settings: Settings, head_size: int, key: str) -> None:
    if head_size % 2:
        raise InputError(
            f"{key} is {head_size}",
            rule="rotary positions turn pairs, so it must be even",
            fixes=str(head_size + 1),
            origin=Origin(settings.where),
        )


_READERS: Mapping[str, Callable[[Settings], Architecture]] = {
    "bert": _bert,
    "roberta": _roberta,
    "modernbert": _modernbert,
    "gpt2": _gpt2,
    "llama": _llama,
}

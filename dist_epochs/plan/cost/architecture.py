"""Parameters and training FLOPs of five model families, by closed form from a transformers configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.plan.cost.settings import EXACT, Settings
from dist_epochs.recipe.model_families import CLOSED_FORM, ModelFamily

__all__ = ["Architecture", "mean_keys", "read_architecture", "whole"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """The sizes of a model as it is trained: with its output head, every position predicted.

    Attributes:
        family: Its family. A masked one has the masked-LM head (no pooler, no next-sentence head).
        layers: Transformer blocks.
        hidden_size: Width of the residual stream.
        attention_size: Width of the queries over all heads: heads × head size.
        key_value_size: Width of the keys over all heads, and of the values; smaller with grouped queries.
        intermediate_size: Width of the MLP's hidden layer.
        gated: Whether the MLP multiplies two projections (SwiGLU, GeGLU).
        vocabulary_size: Width of the logits.
        parameters: All weights, tied ones once.
        matmul_parameters: Weights that enter a matrix product: all matrices, less the tables that are
            only looked up, with the output head (counted though it shares its weight with a table).
        head_parameters: Those of them that are in the output head.
        longest: The most positions of a sample, where the model has a learned table of them; None for
            rotary models, which take any length.
        sliding_layers: How many of the layers look through a sliding window.
        window: Keys that these layers see on each side of a query, beside its own.
    """

    family: ModelFamily
    layers: int
    hidden_size: int
    attention_size: int
    key_value_size: int
    intermediate_size: int
    gated: bool
    vocabulary_size: int
    parameters: int
    matmul_parameters: int
    head_parameters: int
    longest: int | None = None
    sliding_layers: int = 0
    window: int = 0

    def flops_per_token(self, sequence_length: int) -> int | Fraction:
        """Training FLOPs per position: three times the forward pass, sliding windows honoured.

        The forward pass is 2 per weight in a matrix product, and 4 × heads × head size × keys in every
        layer for scores and weighted values; the backward pass is twice that (Kaplan et al.,
        arXiv:2001.08361, section 2.1; Chowdhery et al., PaLM, arXiv:2204.02311, appendix B). Norms,
        activations and softmax are not counted. A layer with full attention has as many keys as the
        sequence has positions, for causal models too: PaLM, nanoGPT, torchtitan and llm-foundry count
        so. Model FLOPs utilization with these FLOPs over a device's dense peak is the convention "full
        attention, dense peak"; Megatron counts half the keys of causal models, so its MFU is another
        number. A layer with a window has `mean_keys`. Recomputed activations are no model FLOPs.

        ModernBERT-base at 8192 makes 1,517,975,568: windows of 64 keys on each side and the query's own
        (129 inside the sequence), cut at its two ends, as transformers' mask does.

        Args:
            sequence_length: Positions of a sample.

        Raises:
            InputError: If the length is below 1.
        """
        sliding = self.sliding_layers * mean_keys(sequence_length, self.window)
        return self._training_flops((self.layers - self.sliding_layers) * sequence_length + sliding)

    def executed_flops_per_token(self, sequence_length: int, counted: Fraction) -> int | Fraction:
        """The same where only the positions that the loss counts pass through the output head.

        This is what a trainer must execute (but for attention between documents, which it may leave out), and less
        than model FLOPs by their convention: utilization with these FLOPs is lower at the same speed.

        Args:
            sequence_length: Positions of a sample.
            counted: Tokens that the loss counts ÷ positions.

        Raises:
            InputError: If the length is below 1, or the share is not between 0 and 1.

        Examples:
            >>> bert = read_architecture({"model_type": "bert"}, where="bert-base")
            >>> bert.executed_flops_per_token(128, Fraction(20, 128))
            546292512
        """
        if not 0 <= counted <= 1:
            raise InputError(f"counted tokens ÷ positions must be between 0 and 1, not {float(counted):g}")
        return whole(Fraction(self.flops_per_token(sequence_length)) - 6 * self.head_parameters * (1 - counted))

    def full_attention_flops_per_token(self, sequence_length: int) -> int | Fraction:
        """The same with full attention in every layer, which is what torch's `FlopCounterMode` sees.

        Raises:
            InputError: If the length is below 1.
        """
        return self._training_flops(self.layers * mean_keys(sequence_length, sequence_length))

    def _training_flops(self, keys: Fraction) -> int | Fraction:
        """FLOPs per position, where a query has `keys` keys, added over the layers."""
        return whole(3 * (2 * self.matmul_parameters + 4 * self.attention_size * keys))


def mean_keys(sequence_length: int, window: int) -> Fraction:
    """Keys a query sees on average, if it sees `window` of them on each side, its own, and none past the ends.

    Raises:
        InputError: If the length is below 1.

    Examples:
        >>> mean_keys(4, 1)
        Fraction(5, 2)
        >>> mean_keys(4, 9)
        Fraction(4, 1)
    """
    if sequence_length < 1:
        raise InputError(f"sequence length must be at least 1, not {sequence_length}")
    side = min(window, sequence_length - 1)
    return 2 * side + 1 - Fraction(side * (side + 1), sequence_length)


def whole(number: Fraction) -> int | Fraction:
    """An int where nothing is lost."""
    return int(number) if number.denominator == 1 else number


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
        head_parameters=hidden**2 + vocabulary * hidden,
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
    norms = (2 * layers + 2) * hidden * (2 if settings.flag("norm_bias") else 1)
    biases = (
        layers * 4 * hidden * settings.flag("attention_bias")
        + layers * (2 * inner + hidden) * settings.flag("mlp_bias")
        + hidden * settings.flag("classifier_bias")
        + vocabulary * settings.flag("decoder_bias")
    )
    matmul = layers * layer + hidden**2 + vocabulary * hidden
    return Architecture(
        family=settings.family,
        layers=layers,
        hidden_size=hidden,
        attention_size=hidden,
        key_value_size=hidden,
        intermediate_size=inner,
        gated=True,
        vocabulary_size=vocabulary,
        parameters=matmul + norms + biases + (0 if settings.flag("tie_word_embeddings") else vocabulary * hidden),
        matmul_parameters=matmul,
        head_parameters=hidden**2 + vocabulary * hidden,
        sliding_layers=_sliding_layers(settings, layers),
        window=settings.size("local_attention") // 2,
    )


def _sliding_layers(settings: Settings, layers: int) -> int:
    """How many layers have a window: those listed, or all but every n-th, starting with the first."""
    kinds = settings.values["layer_types"]
    if kinds is None:
        return layers - len(range(0, layers, settings.size("global_attn_every_n_layers")))
    if not isinstance(kinds, list | tuple) or any(
        kind not in ("full_attention", "sliding_attention") for kind in kinds
    ):
        raise settings.refusal(f"layer_types must list full_attention and sliding_attention, not {kinds!r}")
    if len(kinds) != layers:
        raise InputError(
            f"layer_types lists {len(kinds)} layers, and num_hidden_layers is {layers}", origin=Origin(settings.where)
        )
    return list(kinds).count("sliding_attention")


def _gpt2(settings: Settings) -> Architecture:
    """GPT-2 (Radford et al., 2019)."""
    settings.divide("n_embd", "n_head")
    hidden, layers = settings.size("n_embd"), settings.size("n_layer")
    inner = 4 * hidden if settings.values["n_inner"] is None else settings.size("n_inner")
    vocabulary, positions = settings.size("vocab_size"), settings.size("n_positions")
    layer = 4 * hidden**2 + 2 * hidden * inner
    vectors = layers * (9 * hidden + inner) + 2 * hidden
    untied = 0 if settings.flag("tie_word_embeddings") else vocabulary * hidden
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
        head_parameters=vocabulary * hidden,
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
    untied = 0 if settings.flag("tie_word_embeddings") else vocabulary * hidden
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
        head_parameters=vocabulary * hidden,
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

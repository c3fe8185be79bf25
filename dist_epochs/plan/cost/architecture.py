"""The sizes of a model, and the FLOPs that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dist_epochs.errors import InputError
from dist_epochs.recipe.model_families import ModelFamily

__all__ = ["Architecture", "Module", "mean_keys", "whole"]


@dataclass(frozen=True, slots=True)
class Module:
    """Weights that an adapter may stand beside, by the name that transformers gives their module.

    Attributes:
        name: The end of its dotted name, without the number of the layer.
        inputs: Width of what goes in; of a table its entries.
        outputs: Width of what comes out.
        role: `layer` for a product that every layer has, `linear` for another, `head` for the output head, or `table`
            for one that is only looked up.
    """

    name: str
    inputs: int
    outputs: int
    role: Literal["layer", "linear", "head", "table"] = "layer"

    @property
    def weights(self) -> int:
        """Weights of one of them, without biases."""
        return self.inputs * self.outputs


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
        modules: Its matrices.
        layer_parameters: All weights of each layer, the lowest first.
        embedding_parameters: All weights below the layers.
        has_tied_head: Whether the output head shares the weights of the embeddings.
        longest: The most positions of a sample, where the model has a learned table of them; None for
            rotary models, which take any length.
        sliding: Whether each layer looks through a sliding window; empty where none does.
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
    modules: tuple[Module, ...]
    layer_parameters: tuple[int, ...]
    embedding_parameters: int
    has_tied_head: bool
    longest: int | None = None
    sliding: tuple[bool, ...] = ()
    window: int = 0

    @property
    def product_flops(self) -> int:
        """Training FLOPs per position of products with weights: all but attention's."""
        return 6 * self.matmul_parameters

    @property
    def head_parameters(self) -> int:
        """Weights of the products above the layers, which a position needs only where it is predicted."""
        return self.weights_in("linear", "head")

    def weights_in(self, *roles: str) -> int:
        """Weights of all modules in some roles, without biases."""
        return sum(module.weights * self.count_of(module) for module in self.modules if module.role in roles)

    def count_of(self, module: Module) -> int:
        """How many of a module the model has."""
        return self.layers if module.role == "layer" else 1

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
        return self._training_flops(self._keys(sequence_length, self.layers))

    def executed_flops_per_token(self, sequence_length: int, counted: Fraction) -> int | Fraction:
        """The same where only the positions that the loss counts pass through the output head.

        This is what a trainer must execute (but for attention between documents, which it may leave out), and less
        than model FLOPs by their convention: utilization with these FLOPs is lower at the same speed.

        Args:
            sequence_length: Positions of a sample.
            counted: Tokens that the loss counts ÷ positions.

        Raises:
            InputError: If the length is below 1, or the share is not between 0 and 1.
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

    def attention_flops_not_reached(self, layers: int, sequence_length: int) -> int | Fraction:
        """FLOPs per position that attention's gradients take in the lowest layers, where none are needed.

        Args:
            layers: How many of the lowest layers.
            sequence_length: Positions of a sample.
        """
        return whole(2 * 4 * self.attention_size * self._keys(sequence_length, layers))

    def _keys(self, sequence_length: int, layers: int) -> Fraction:
        """Keys that a query has in the lowest layers, added over them."""
        full, window = (mean_keys(sequence_length, width) for width in (sequence_length, self.window))
        sliding = sum(self.sliding[:layers])
        return (layers - sliding) * full + sliding * window

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

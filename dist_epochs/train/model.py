"""The model and its tokenizer, from a transformers configuration and the store's tokenizer file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.recipe import ModelRecipe

__all__ = ["build_model", "check_fit", "model_config", "settle_buckets", "transformers_tokenizer"]

CONFIG = Origin("model.config")

PADDED_POSITIONS = ("roberta", "camembert", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "data2vec-text")
"""Models whose first position is the padding id + 1, so that many positions are never used."""


def model_config(recipe: ModelRecipe, tokenizer: TextTokenizer) -> PretrainedConfig:
    """The transformers configuration of a recipe.

    An inline one takes the ids of its special tokens from the tokenizer, where it does not state them.

    Raises:
        InputError: If it names no known model, or a key that this model does not have.
    """
    try:
        if isinstance(recipe.config, str):
            return AutoConfig.from_pretrained(recipe.config, trust_remote_code=False)
        settings = dict(recipe.config or {})
        special = {f"{role}_id": tokenizer.role_id(role) for role in ("bos_token", "eos_token")}
        if (pad := tokenizer.role_id("pad_token")) is not None:
            special["pad_token_id"] = pad
        config = AutoConfig.for_model(settings.pop("model_type", ""), **(special | settings))
    except Exception as error:  # every kind of configuration raises its own
        raise InputError(f"not a configuration transformers can use: {error}", origin=CONFIG) from None
    plain = type(config)()
    for name in settings:
        if not hasattr(plain, name):
            fixes = close_matches(name, plain.to_dict())
            raise InputError(f"{config.model_type} has no setting '{name}'", fixes=fixes, origin=CONFIG)
    return config


def check_fit(config: PretrainedConfig, tokenizer: TextTokenizer, longest: int) -> None:
    """Does the model take these ids, these lengths and a mask of ours?

    Raises:
        InputError: If the vocabulary or the number of positions is too small, or the model looks
            through sliding windows, which a mask from outside would switch off.
    """
    windows = [kind for kind in getattr(config, "layer_types", None) or () if kind != "full_attention"]
    if windows or (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)):
        raise InputError(
            f"{config.model_type} has layers of {windows[0] if windows else 'sliding_attention'}",
            consequence="the mask that keeps packed documents apart would turn them into full attention",
            fixes="a model with full attention in every layer",
            origin=CONFIG,
        )
    vocabulary = config.get_text_config().vocab_size
    if tokenizer.vocabulary_size > vocabulary:
        raise InputError(
            f"the tokenizer has {tokenizer.vocabulary_size:,} ids and model.config.vocab_size is {vocabulary:,}",
            consequence=f"ids from {vocabulary:,} on have no embedding",
            fixes=f"a vocab_size of at least {tokenizer.vocabulary_size:,}",
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return
    reserved = (config.pad_token_id or 0) + 1 if config.model_type in PADDED_POSITIONS else 0
    if longest > positions - reserved:
        kept = f" ({reserved} of {positions} are reserved)" if reserved else ""
        raise InputError(
            f"sequence length {longest} is beyond the model's {positions - reserved} positions{kept}",
            fixes=(
                "a shorter phases.sequence_length",
                f"a model.config.max_position_embeddings of at least {longest + reserved}",
            ),
        )


def build_model(recipe: ModelRecipe, config: PretrainedConfig, seed: int) -> PreTrainedModel:
    """A model with random weights in float32, the same on every rank.

    Attention runs through PyTorch's `scaled_dot_product_attention`, which takes the mask that keeps
    packed documents apart; other implementations let them see each other.

    Raises:
        InputError: If this kind of model has no such objective or no such attention.
    """
    family = AutoModelForMaskedLM if recipe.objective == "masked" else AutoModelForCausalLM
    torch.manual_seed(seed)
    try:
        model = family.from_config(config, attn_implementation="sdpa", dtype=torch.float32, trust_remote_code=False)
        _try_out(model)
    except Exception as error:  # every kind of model raises its own
        raise InputError(
            f"{config.model_type} cannot be trained with a {recipe.objective} objective here: {error}",
            origin=Origin("model"),
        ) from None
    return model


def _try_out(model: PreTrainedModel) -> None:
    """Two tokens with a mask of our shape: a model that cannot take it says so now."""
    with torch.no_grad():
        model(
            input_ids=torch.zeros(1, 2, dtype=torch.int64),
            attention_mask=torch.ones(1, 1, 2, 2, dtype=torch.bool),
            use_cache=False,
        )


def settle_buckets(model: nn.Module) -> None:
    """One pass of two tokens, whose gradients are thrown away, so that DDP has its buckets before the first step.

    DDP regroups gradients after its first backward pass, and the order in which three or more ranks add
    them changes with the groups. Without this, the first step after a resume would differ in the last
    bit from the same step of a run that was never interrupted.
    """
    if not isinstance(model, DistributedDataParallel):
        return
    device = next(model.parameters()).device
    ids = torch.zeros(1, 2, dtype=torch.int64, device=device)
    mask = torch.ones(1, 1, 2, 2, dtype=torch.bool, device=device)
    (model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().sum() * 0).backward()
    model.zero_grad()


def transformers_tokenizer(tokenizer: TextTokenizer, longest: int) -> Any:
    """The store's tokenizer as a transformers one, to save beside the model.

    Args:
        tokenizer: The store's.
        longest: Tokens of the longest input the model was trained on; a tokenizer folder's own setting wins.
    """
    folder = Path(tokenizer.path).parent
    if (folder / "tokenizer_config.json").is_file():
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    return PreTrainedTokenizerFast(tokenizer_file=str(tokenizer.path), model_max_length=longest, **tokenizer.roles)

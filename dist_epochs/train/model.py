"""The model and its tokenizer, from a transformers configuration and the store's tokenizer file."""

from __future__ import annotations

from collections.abc import Mapping
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

from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin, close_matches
from dist_epochs.recipe import ModelRecipe

__all__ = [
    "CONFIG",
    "build_model",
    "check_fit",
    "known_config",
    "model_config",
    "run_on_zeros",
    "settle_buckets",
    "transformers_tokenizer",
    "untrained",
]

CONFIG = Origin("model.config")

PADDED_POSITIONS = ("roberta", "camembert", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "data2vec-text")
"""Models whose first position is the padding id + 1, so that as many positions are never used."""


def model_config(recipe: ModelRecipe, tokenizer: TextTokenizer) -> PretrainedConfig:
    """The transformers configuration of a recipe.

    An inline one takes the ids of its special tokens from the tokenizer, where it does not state them.

    Raises:
        InputError: If it names no known model, or a key that this model does not have.
    """
    if isinstance(recipe.config, str):
        try:
            return AutoConfig.from_pretrained(recipe.config, trust_remote_code=False)
        except Exception as error:  # every kind of configuration raises its own
            raise _not_a_config(error) from None
    settings = dict(recipe.config or {})
    special = {f"{role}_id": tokenizer.role_id(role) for role in ("bos_token", "eos_token")}
    if (pad := tokenizer.role_id("pad_token")) is not None:
        special["pad_token_id"] = pad
    return known_config(settings.pop("model_type", ""), settings, defaults=special)


def known_config(
    model_type: str,
    settings: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] | None = None,
    lenient: bool = False,
) -> PretrainedConfig:
    """A transformers configuration whose settings are all known.

    Args:
        model_type: The kind of model.
        settings: Its settings.
        defaults: Settings that count where `settings` has no other value.
        lenient: Whether to refuse only an unknown setting that looks like a mistyped one: a `config.json` may hold
            settings of other libraries.

    Raises:
        InputError: If it is no known model, a value is wrong, or a setting is unknown.
    """
    try:
        config = AutoConfig.for_model(model_type, **(dict(defaults or {}) | dict(settings)))
        plain = AutoConfig.for_model(model_type)
    except Exception as error:  # every kind of configuration raises its own
        raise _not_a_config(error) from None
    candidates = plain.to_dict().keys() - (settings.keys() if lenient else set())
    for name in settings:
        close = close_matches(str(name), candidates, likeness=0.85 if lenient else 0.6)
        if not hasattr(plain, name) and (close or not lenient):
            raise InputError(f"{config.model_type} has no setting '{name}'", fixes=close, origin=CONFIG)
    return config


def _not_a_config(error: Exception) -> InputError:
    return InputError(f"not a configuration transformers can use: {error}", origin=CONFIG)


def check_fit(config: PretrainedConfig, tokenizer: TextTokenizer, longest: int) -> None:
    """Can the model take the ids of this tokenizer, samples of this length, and the mask of packed documents?

    Raises:
        InputError: If the vocabulary or the number of positions is too small, or the model has sliding
            windows, which the mask of packed documents would switch off.
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
    packed documents apart; other implementations let them attend to each other.

    Raises:
        InputError: If this kind of model has no such objective or no such attention.
    """
    torch.manual_seed(seed)
    try:
        model = untrained(config, recipe.objective)
        with torch.no_grad():
            run_on_zeros(model, 2)  # a model that cannot take such a mask fails here
    except Exception as error:  # every kind of model raises its own
        raise InputError(
            f"{config.model_type} cannot be trained with a {recipe.objective} objective here: {error}",
            origin=Origin("model"),
        ) from None
    return model


def untrained(config: PretrainedConfig, objective: str | None) -> PreTrainedModel:
    """A model with the head of its objective and random weights, on torch's default device."""
    family = AutoModelForMaskedLM if objective == "masked" else AutoModelForCausalLM
    return family.from_config(config, attn_implementation="sdpa", dtype=torch.float32, trust_remote_code=False)


def run_on_zeros(model: nn.Module, length: int) -> Any:
    """The output for one sample of so many zeros, with a mask of the shape that training uses."""
    device = next(model.parameters()).device
    ids = torch.zeros(1, length, dtype=torch.int64, device=device)
    mask = torch.ones(1, 1, length, length, dtype=torch.bool, device=device)
    return model(input_ids=ids, attention_mask=mask, use_cache=False)


def settle_buckets(model: nn.Module) -> None:
    """Run two tokens forward and backward, without an update, so that DDP has its buckets before the first step.

    DDP regroups gradients after its first backward pass, and the order in which three or more ranks add
    them changes with the groups. Without this, the first step after a resume would differ in the last
    bit from the same step of a run that was never interrupted.
    """
    if not isinstance(model, DistributedDataParallel):
        return
    device = next(model.parameters()).device
    ids, mask = torch.zeros(1, 2, dtype=torch.int64, device=device), torch.ones(1, 1, 2, 2, device=device).bool()
    (model(ids, mask, ids[0], ids[0]) * 0).backward()
    model.zero_grad()


def transformers_tokenizer(tokenizer: TextTokenizer, longest: int) -> Any:
    """The store's tokenizer as one of transformers, to be saved with the model.

    Args:
        tokenizer: The tokenizer of the store.
        longest: Tokens of the longest input the model was trained on; a tokenizer folder's own setting wins.
    """
    folder = Path(tokenizer.path).parent
    if (folder / "tokenizer_config.json").is_file():
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    return PreTrainedTokenizerFast(tokenizer_file=str(tokenizer.path), model_max_length=longest, **tokenizer.roles)

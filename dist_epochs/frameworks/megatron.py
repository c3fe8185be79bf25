"""Megatron-LM and GPT-NeoX: iterations of the whole global batch over an index of samples of a token stream."""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.frameworks.causes import index_epochs, rounded_down, steps_by_hand
from dist_epochs.frameworks.framework import Framework, Version
from dist_epochs.frameworks.loaders import endless
from dist_epochs.frameworks.run import Reported, Run
from dist_epochs.frameworks.setting import Setting

__all__ = ["GPT_NEOX", "MEGATRON"]


def _iterations(setting: Setting, steps: int, framework: str) -> Run:
    """`--train-iters`; its number of epochs is that of the index, whose last one may hardly be used."""
    counts = endless(setting, steps, framework)
    reported = Reported(
        steps=steps, epoch=Fraction(_epochs_of_index(setting, counts.drawn)), samples=Fraction(counts.drawn)
    )
    return Run(setting=setting, counts=counts, reported=reported)


def _epochs_of_index(setting: Setting, samples: int) -> int:
    """Rounds in the index: the fewest e with ⌊(e × tokens − 1) ÷ length⌋ ≥ samples (`_num_epochs`, gpt_dataset.py)."""
    if setting.tokens is None or setting.sequence_length is None:
        return -(-samples // setting.samples)
    return -(-(samples * setting.sequence_length + 1) // setting.tokens)


def _megatron(setting: Setting) -> Run:
    return _iterations(setting, setting.steps_by_hand, "megatron")


def _gpt_neox(setting: Setting) -> Run:
    """`train_epochs` are turned into ⌊micro-batches a pass × epochs ÷ accumulation⌋ iterations."""
    if setting.steps is not None:
        return _iterations(setting, setting.steps, "gpt-neox")
    epochs = setting.whole_epochs("gpt-neox")
    samples = setting.samples
    if setting.tokens is not None and setting.sequence_length is not None:
        samples = (setting.tokens - 1) // setting.sequence_length
    micro_batches = samples // (setting.per_device * setting.data_parallel_size)
    steps = micro_batches * epochs // setting.gradient_accumulation
    counts = endless(setting, steps, "gpt-neox")
    return Run(
        setting=setting,
        counts=counts,
        reported=Reported(steps=steps, epoch=Fraction(epochs), samples=Fraction(counts.drawn)),
    )


MEGATRON = Framework(
    name="megatron",
    aliases=("megatron-lm", "megatron-core"),
    versions=(Version(basis="from its source; not run here", run=_megatron, causes=(index_epochs, steps_by_hand)),),
)

GPT_NEOX = Framework(
    name="gpt-neox",
    aliases=("neox", "gptneox"),
    versions=(Version(basis="from its source; not run here", run=_gpt_neox, causes=(rounded_down, index_epochs)),),
)

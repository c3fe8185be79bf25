"""What a text would have to state to be checkable."""

from __future__ import annotations

from collections.abc import Mapping

from dist_epochs.audit.sentence.draft import Draft
from dist_epochs.audit.sentence.reading import Reading
from dist_epochs.audit.sentence.relations import RELATIONS

__all__ = ["what_is_missing"]

WORDS: Mapping[str, str] = {
    "steps": "the number of steps",
    "global_batch": "the global batch",
    "sequence_length": "the sequence length",
    "batch_tokens": "the tokens of a batch",
    "tokens": "the tokens in all",
    "samples": "the samples in all",
    "epochs": "the epochs",
    "corpus": "the size of the corpus",
    "per_device": "the batch per device",
    "devices": "the number of devices",
    "gradient_accumulation": "the accumulation",
    "steps_per_epoch": "the steps of an epoch",
    "hours": "the hours",
    "device_hours": "the device hours",
    "tokens_per_second_per_device": "the tokens a second and device",
    "tokens_per_second": "the tokens a second",
    "parameters": "the parameters",
    "flops": "the FLOPs",
    "peak_flops_per_second": "the peak FLOP/s of a device",
    "achieved_flops_per_second": "the FLOP/s that a device reaches",
    "mfu": "the utilization",
}
MOST = 3
"""Additions that are named."""


def what_is_missing(reading: Reading, draft: Draft) -> str:
    """Why a text cannot be checked, and what would make it checkable."""
    if not reading.facts:
        return "the text states no checkable claim: none of its numbers says something of a training run"
    lacking = _lacking({fact.role for fact in reading.facts})
    if draft.dropped and not lacking:
        return "the text does not tell which of its numbers belong together"
    said = "nothing that follows from its numbers is stated"
    return f"{said}; {' or '.join(lacking[:MOST])} would make it checkable" if lacking else said


def _lacking(stated: set[str]) -> list[str]:
    """What is missing where all but one number of a relation are stated, what would be checked most directly first."""
    found: dict[str, int] = {}
    for relation in RELATIONS:
        roles = relation.needs | {relation.result}
        without = roles - stated
        if len(without) == 1 and not relation.only_about and not relation.without:
            name = WORDS.get(next(iter(without)))
            if name is not None:
                found.setdefault(name, len(roles))
    return list(found)

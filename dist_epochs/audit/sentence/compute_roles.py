"""The roles of compute: FLOPs in all, FLOP/s at the peak of a device, and those that it reaches."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find
from dist_epochs.audit.sentence.phrases import PER_DEVICE, Role, length_of

__all__ = ["flop_days_role", "flop_rate_role", "flops_role"]

PREFIXES: Mapping[str, int] = {
    "k": 3, "kilo": 3, "m": 6, "mega": 6, "g": 9, "giga": 9, "t": 12, "tera": 12, "p": 15, "peta": 15,
    "e": 18, "exa": 18, "z": 21, "zetta": 21, "y": 24, "yotta": 24,
}  # fmt: skip
"""Powers of ten of the prefixes of FLOPs."""

LEAST_OF_A_RUN = 10**17
"""FLOPs with a prefix, of a run: fewer are those of a second, or of a forward pass."""
RATES_OF_DEVICES = (10**12, 10**17)
"""FLOP/s of a device: more are those of a cluster."""

_OF_A_PART = r"^\s*(?:/|per |for (?:a|each|one) )\s*(?:forward|image|inference|sample|sequence|step|input)"
_PER_TOKEN = r"^\s*(?:/|per |for (?:a|each|one) |a )\s*(?:token|parameter)"
_PER_SECOND = r"^\s*(?:/|per )\s*(?:s|sec|second)(?!\w)"
_EACH = r"^\s*(?:each|apiece|per[- ](?:GPU|TPU|device|chip|accelerator|core))(?!\w)"
_PEAK = r"\b(?:peaks?|theoretical|max(?:imum)?|nominal|dense)\b"
_REACHED = (
    r"\b(?:achiev\w*|sustain\w*|reach\w*|utili[sz]\w*|attain\w*|averag\w*|effective|actual|realistic|obtain\w*|"
    r"delivers?)"
)
_OF_ALL = r"\b(?:aggregate\w*|combined|cluster|overall|in total|in all|total|supercomputer|pod)\b"


def flops_role(context: Context) -> Role:
    """FLOPs of a run; with a prefix and too few for one, FLOP/s."""
    assert context.noun is not None
    noun = context.noun["flop"]
    times = _times(noun)
    if find(_PER_TOKEN, context.tail):
        return Role("", why="FLOPs of a part")
    per_second = find(_PER_SECOND, context.tail) is not None
    is_small = times > 1 and context.numeral.value * times < LEAST_OF_A_RUN
    is_peak = times > 1 and find(_PEAK, f"{context.near} {context.tail[:20]}") is not None
    if per_second or is_peak or (is_small and times >= 10**12):
        return _rate(context, noun, times)
    if is_small or find(_OF_A_PART, context.tail):
        return Role("", why="FLOPs of a part")
    return Role("flops", noun, times=times)


def flop_days_role(context: Context) -> Role:
    """Petaflop/s-days of a run."""
    assert context.noun is not None
    return Role("flops", context.noun["flop_days"], times=10**15 * 86400)


def flop_rate_role(context: Context) -> Role:
    """FLOP/s of a device: its peak, or what it reaches."""
    assert context.noun is not None
    noun = context.noun["flop_rate"]
    return _rate(context, noun, _times(noun))


def _rate(context: Context, noun: str, times: int) -> Role:
    value = context.numeral.value * times
    around = f"{context.near[-60:]} {context.modifiers} {re.split(r'[,.;(]', context.tail)[0][:40]}"
    on_device = find(r"/\s?(?:GPU|TPU|chip|device)", noun) is not None
    tail = length_of(PER_DEVICE, context.tail) or length_of(_EACH, context.tail)
    if find(_OF_ALL, around) or not RATES_OF_DEVICES[0] <= value < RATES_OF_DEVICES[1]:
        return Role("", why="FLOP/s of all devices, or of something else")
    if find(r"\bsparse|\bsparsity", around):
        return Role("", why="FLOP/s with sparsity, which training does not reach")
    if find(_PEAK, around):
        return Role("peak_flops_per_second", noun, tail=tail, times=times)
    if on_device or tail or find(_REACHED, around):
        return Role("achieved_flops_per_second", noun, tail=tail, times=times)
    return Role("", why="FLOP/s, of which it is not said whether they are reached")


def _times(noun: str) -> int:
    """What a prefix multiplies: 10¹² for `TFLOP/s`."""
    prefix = re.match(r"([A-Za-z]*?)[- ]?FLO", noun, re.IGNORECASE)
    return 10 ** PREFIXES.get(prefix[1].lower(), 0) if prefix is not None else 1

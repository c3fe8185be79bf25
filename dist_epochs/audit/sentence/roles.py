"""The role of one number, from the key before it, the noun after it, and the words around both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from dist_epochs.audit.sentence.compute_roles import flop_days_role, flop_rate_role, flops_role
from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.data_roles import (
    corpus_key_role,
    examples_role,
    frames_role,
    percent_role,
    samples_role,
    tokens_role,
    words_role,
)
from dist_epochs.audit.sentence.lexicon import NODES_OF, find
from dist_epochs.audit.sentence.machine_roles import (
    device_time_role,
    devices_role,
    model_role,
    nodes_role,
    parameters_role,
    time_role,
    utilization_role,
)
from dist_epochs.audit.sentence.phrases import PER_BATCH_KOREAN, PER_DEVICE, Role, is_linked, length_of, said_of
from dist_epochs.audit.sentence.run_roles import (
    accumulation_role,
    ambiguous_role,
    batch_per_device_role,
    batch_role,
    batches_role,
    epochs_role,
    micro_role,
    other_role,
    outer_role,
    sequence_length_role,
    steps_role,
    times_role,
)

__all__ = ["role_of"]


_COMPATIBLE: Mapping[str, tuple[str, ...]] = {
    "other": ("", "step", "epoch", "sample", "token", "byte", "frame", "batch", "model"),
    "accumulation": ("", "step", "batch", "micro", "sample"),
    "per_device": ("", "sample", "token", "batch"),
    "batch": ("", "sample", "token", "word", "batch", "frame", "time"),
    "length": ("", "token", "word", "sample", "length"),
    "steps": ("", "step"),
    "epochs": ("", "epoch"),
    "epoch": (),
    "tokens": ("", "token"),
    "samples": ("", "sample"),
    "examples": ("", "sample"),
    "parallel": ("",),
    "devices": ("", "device"),
    "nodes": ("", "node"),
    "active": ("", "parameter"),
    "parameters": ("", "parameter"),
    "corpus": ("", "token", "word", "sample"),
    "utilization": ("",),
    "hours": ("time",),
}
"""Which nouns a number may have after a key: `batch size: 40 epochs` are epochs."""
_LINKED = ("steps", "epochs", "tokens", "examples")
"""Keys that are nouns as well: without a link they say nothing of a number after them."""
_SEQUENCES_OF = r"\d\S*\s+(?:sequences|samples|examples|chunks|windows)\s+(?:each )?of\s+$"
"""Before a length without a noun: `1024 sequences of 2048`."""
_GROWS_FROM = r"\bbatch(?:[- ]?size)?\b[^.;]{0,40}\b(?:increas|gr[eo]w|ramp|rais|warm|scal)\w*[^.;]{0,20}\bfrom\s*$"
"""Before the two ends of a batch that grows."""
_PARTS_NEAR = r"batch|accumulat|\bbs\b|samples|sequences|images"
_COMPARED = (
    r"\b(?:than|unlike|compared (?:to|with)|in contrast (?:to|with)|as opposed to|versus|instead of|rather than)\s+"
)
_OF_ANOTHER = (
    rf"{_COMPARED}(?:[^,.;()]|[.,]\d)*,?\s*(?:which|that|whose|where)\b(?:[^,.;]|[.,]\d)*$",
    rf"{_COMPARED}(?:the )?[A-Z][\w.-]*(?:\s[\w.-]+){{0,3}}\s*\([^()]*$",
    rf"{_COMPARED}(?:the )?(?:[A-Z][\w.-]*'s?\s+)?$",
)
"""Before numbers of what a run is compared with."""
_NAMED = re.compile(r"(?:^|[\s(])[A-Z][\w.-]*(?:\s\d(?:\.\d)?)?\s$")
"""A name, perhaps with a version, before the size of a model."""


def role_of(context: Context) -> Role | None:
    """The role of a number; None where neither a key nor a noun says what it is."""
    key, category = context.key_name, context.category
    if key == "epoch" or (key and category not in _COMPATIBLE[key]):
        key = ""
    if key in _LINKED and category == "" and not is_linked(context) and "_" not in (context.key or [""])[0]:
        key = ""
    if find(r"^\W*(?:evaluation|inference|decoding|generation|at test time|validation)\b", context.sentence):
        return Role("", why="of an evaluation")
    if any(find(pattern, context.before) for pattern in _OF_ANOTHER):
        return Role("", why="of another model or run")
    if context.numeral.is_percent:
        return utilization_role(context) if key == "utilization" else percent_role(context)
    if not key and not category and find(r"^\s*\(\s*(?:gradient[- ])?accum", context.after):
        return Role("gradient_accumulation", "micro-steps")
    if not key and not category and find(r"(?:micro|local)[- ]?batch(?:es)? (?:size )?of\s*$", context.before):
        return Role("per_device", "samples")
    if not key and not category and length_of(PER_DEVICE, context.after) and find(_PARTS_NEAR, context.sentence):
        return Role("per_device", "samples", tail=length_of(PER_DEVICE, context.after))
    if not key and not category and find(r"토큰을?\s*$", context.near):  # 토큰을 50만 개씩 배치당
        each = length_of(r"^\s*개?씩?", context.after)
        if per_batch := length_of(PER_BATCH_KOREAN, context.after[each:]):
            return Role("batch_tokens", "tokens", tail=each + per_batch)
    if not key and not category and re.search(r"\d[BM]$", context.numeral.spelling) and _NAMED.search(context.before):
        return Role("parameters", "parameters", words=frozenset({"either"}))  # Qwen3 8B
    if not key and not category and (bare := _bare_role(context)) is not None:
        return bare
    decide = _BY_KEY.get(key) if key else _BY_NOUN.get(category)
    if decide is None:
        return None
    return decide(context)


def _bare_role(context: Context) -> Role | None:
    """The role of a number without key and noun, from the words around it."""
    if find(rf"^\s+{NODES_OF}", context.after):
        return Role("nodes", "nodes")
    is_size = re.search(r"\d\s?(?:[BM]|[mb]illion)$", context.numeral.spelling) is not None
    if is_size and (active := length_of(r"^\s*(?:are |is |being |of them )?(?:active|activated)(?!\w)", context.after)):
        return Role("active_parameters", "parameters", tail=active)
    of_run = r"^\s+(?:run|variant|version|checkpoint|baseline|(?:pre-?)?training)(?!\w)"
    if is_size and find(r"\bthe\s*$", context.near) and find(of_run, context.after):  # the 13B run
        return Role("parameters", "parameters")
    if find(_SEQUENCES_OF, context.before) and find(r"^\s*(?:$|[,.;:)])", context.after):
        return Role("sequence_length", "tokens")
    if context.numeral.upper is not None and find(_GROWS_FROM, context.before):
        return Role("global_batch", "samples")
    return None


def _role(name: str, unit: str) -> Callable[[Context], Role]:
    return lambda context: Role(name, unit, words=said_of(context))


_BY_KEY: Mapping[str, Callable[[Context], Role | None]] = {
    "other": other_role,
    "accumulation": accumulation_role,
    "per_device": batch_per_device_role,
    "batch": batch_role,
    "length": sequence_length_role,
    "steps": steps_role,
    "epochs": epochs_role,
    "tokens": _role("tokens", "tokens"),
    "samples": _role("samples", "samples"),
    "examples": examples_role,
    "parallel": _role("model_parallel", "devices"),
    "devices": _role("devices", "ranks"),
    "nodes": _role("nodes", "nodes"),
    "active": _role("active_parameters", "parameters"),
    "parameters": _role("parameters", "parameters"),
    "corpus": corpus_key_role,
    "utilization": utilization_role,
    "hours": time_role,
}
_BY_NOUN: Mapping[str, Callable[[Context], Role | None]] = {
    "device_time": device_time_role,
    "device": devices_role,
    "node": nodes_role,
    "flop_days": flop_days_role,
    "flop_rate": flop_rate_role,
    "flop": flops_role,
    "parameter": parameters_role,
    "outer": outer_role,
    "micro": micro_role,
    "ambiguous": ambiguous_role,
    "step": steps_role,
    "epoch": epochs_role,
    "token": tokens_role,
    "word": words_role,
    "frame": frames_role,
    "sample": samples_role,
    "batch": batches_role,
    "byte": lambda _: Role("", why="bytes"),
    "length": sequence_length_role,
    "time": time_role,
    "times": times_role,
    "model": model_role,
}

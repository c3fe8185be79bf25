"""The roles of what a run takes: devices, time, FLOPs, and of the size of its model."""

from __future__ import annotations

import re

from dist_epochs.arithmetic.duration import HOURS_IN
from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find
from dist_epochs.audit.sentence.phrases import PER_STEP, TIMES, Role, audio_unit, length_of

__all__ = [
    "device_time_role",
    "devices_role",
    "model_role",
    "nodes_role",
    "parameters_role",
    "time_role",
    "utilization_role",
]


_PER_TOKENS = (
    r"^\s*(?:/|per |for (?:each|every) |on (?:each|every) )\s*(trillion|billion|million|[TBM](?!\w))\s*"
    r"(?:training )?tokens?(?!\w)"
)
"""After the device hours that so many tokens cost."""
_PER_NODE = r"^\s*(?:/|per |each|on each |in each )\s*(?:node|machine|host|server)?(?!\w)"
_STEP_TAKES = (
    r"\b(?:each|every|one|a|per)\s+(?:training |optimizer )?(?:step|update|iteration)\b(?:[^.;]|\.\d){0,40}"
    r"\b(?:takes|took)\s+(?:about |~)?$"
    r"|\b(?:step|iteration) times?\s+(?:of|is|was|=|:)?\s*(?:about |~)?$"
)
_HOURS_OF_DATA = (
    r"^-?\s*(?:\w+\s+)?(?:(?:audio|speech|video|training)\s+)?"
    r"(?:corpus|corpora|data ?sets?|data|collection|subset|split)(?!\w)"
)
"""After `26,000-hour`: hours that the data has, and nobody trained."""
_RUNS = (
    r"(?i)train|\btook\b|\btakes?\b|\btaken\b|\brun\b|\brunning\b|\bruns\b|"
    r"\bran\b|GPU|TPU|[AHV]\d00|历时|耗时|用时|学習|학습|demande|dur[ée]|dauer|"
    r"benötigt|lasted|lasts|finish|complet|wall|needs?|requires?|\btime\s*[:=]|\bdone in\b"
)


def devices_role(context: Context) -> Role:
    """Devices, those of a node, or spare ones."""
    assert context.noun is not None
    if find(r"spare|standby|backup|idle|reserve|备用|予備|예비", context.modifiers + context.noun[0]) or find(
        r"备用|予備", context.near
    ):
        return Role("", why="spare devices")
    if of_node := length_of(r"^[- ](?:nodes?|machines?|hosts?|servers?)(?!\w)", context.tail):  # two 8-GPU servers
        return Role("devices_per_node", "GPUs", tail=of_node)
    per_node = find(_PER_NODE, context.tail)
    after_nodes = find(r"(?:nodes?|machines?|hosts?|servers?)\W+\w*\W*$", context.before) is not None
    if per_node is not None and (per_node[0].strip() != "each" or after_nodes):
        return Role("devices_per_node", "GPUs", tail=per_node.end())
    if find(
        (
            r"(?:nodes?|machines?|hosts?|servers?|pods?|Knoten|nœuds)\s*(?:,\s*)?(?:each )?(?:with|"
            r"of|having|x|×|\*|mit|avec|de)\s*(?:each )?$"
        ),
        context.before,
    ):
        return Role("devices_per_node", "GPUs")
    unit = re.sub(r"^\W*(?:[x×*]\s*)?", "", context.noun[0]).strip().replace("\n", " ")
    unit = re.sub(r"^(?:张|張|枚の?|台の?|个|個|块|장의?|대의?|개의?)\s*", "", unit)
    unit = re.sub(r"[-\s]?\b\d+\s?GB", "", unit).strip()
    if re.search(r"\d\w?s$", unit):
        unit = unit[:-1]  # 64 A100s
    elif not re.search(r"\d", unit.split()[-1]) and unit.isascii() and context.numeral.value != 1:
        unit = f"{unit.removesuffix('s')}s"
    return Role("devices", unit)


def nodes_role(context: Context) -> Role:
    """Machines."""
    return Role("nodes", "nodes")


def parameters_role(context: Context) -> Role:
    """Parameters, or the active ones."""
    if find(r"\bactive|activated|激活", context.modifiers) or find(
        r"^\s*(?:are |is |being )?(?:active|activated)", context.tail
    ):
        return Role("active_parameters", "parameters")
    return Role("parameters", "parameters")


def model_role(context: Context) -> Role | None:
    """Parameters, where a model is called by its size."""
    if context.numeral.value < 10**6 or context.modifiers.count(" ") > 2:
        return None
    return Role("parameters", "parameters")


def time_role(context: Context) -> Role | None:
    """Hours of the run, of audio or of a game, or the seconds that a step takes."""
    assert context.noun is not None
    of_what = find(r"^\s*of (?:\w+ )?(?:audio|speech|video|recordings?|music|footage)", context.tail)
    if of_what is not None:
        if find(r"^[-\s]*(?:s|min)", context.noun[0]):
            return Role("", why="a length of audio")
        per_step = length_of(PER_STEP, context.tail[of_what.end() :])
        is_batch = per_step or find(r"\bbatch\b[^.;]{0,40}$", context.near)
        return Role("batch_audio" if is_batch else "corpus", audio_unit(context), tail=of_what.end() + per_step)
    if of_data := length_of(_HOURS_OF_DATA, context.tail if context.noun["hyphen"] else ""):
        return Role("corpus", audio_unit(context), tail=of_data)
    of_game = find(r"^\s*of (?:game|gameplay|experience|play|in-game)\w*(?: \w+)?", context.tail)
    if of_game is not None:
        return Role("game_days", f"{context.noun['time'].lower()} of game experience", tail=of_game.end())
    unit = context.noun["time"].lower()
    if is_pace := re.match(r"s(?:ec\w*)?$", unit):
        per_step = length_of(PER_STEP, context.tail)
        if per_step or find(_STEP_TAKES, context.before):
            return Role("seconds_per_step", "seconds a step", tail=per_step)
    if is_pace or re.match(r"sec|min", unit) or not find(_RUNS, f"{context.before} {context.after}"):
        return Role("", why="a time")
    with_hours = find(r"^\s*(?:,|and)?\s*(\d{1,2})\s?(?:h|hrs?|hours?)(?!\w)", context.tail)
    if re.match(r"d(?:ays?)?$", unit) and with_hours is not None:
        return Role("hours", "hours", tail=with_hours.end(), times=24, plus=int(with_hours[1]))
    if find(r"^\s*(?:ago|later|old|per|/|long|each)(?!\w)", context.tail) or find(
        r"(?:every|within|past|last|after)\s*$", context.near
    ):
        return Role("", why="a time")
    return Role("hours", TIMES.get(unit, unit))


def device_time_role(context: Context) -> Role:
    """Hours × devices."""
    assert context.noun is not None
    unit = re.sub(r"^[\W_]+", "", context.noun[0]).strip()
    unit = "compute hours" if "计算时" in unit else re.sub(r"[\s-]+", " ", unit)
    if per_tokens := find(_PER_TOKENS, context.tail):
        times = {"t": 1, "b": 1000, "m": 10**6}[per_tokens[1][0].lower()]
        return Role("device_hours_per_trillion", f"{unit} a trillion tokens", tail=per_tokens.end(), times=times)
    if find(r"^\s*(?:/|per |for each |each(?!\w))", context.tail):
        return Role("", why="device hours for each of something")
    hours_in = re.search(r"(day|year)s?$", unit)
    times = int(HOURS_IN[hours_in[1]]) if hours_in is not None else 1
    if re.search(r"\bnode ", unit):
        return Role("node_hours", unit, times=times)
    of_more = (
        r"\b(?:each|per) (?:run|seed|experiment|model|trial)\b|\b\w+ (?:seeds|trials)\b|includ|ablation|"
        r"all (?:of )?(?:our |the )?(?:experiments|runs|models|training)|project|development"
    )
    words = frozenset({"either"}) if find(of_more, context.sentence) else frozenset()
    unit = unit if not unit.isascii() or unit.endswith(("s", "h")) else f"{unit}s"
    return Role("device_hours", unit, words=words, times=times)


def utilization_role(context: Context) -> Role | None:
    """Utilization, where it is a share."""
    return Role("mfu", "") if context.numeral.is_percent or context.numeral.value < 1 else None

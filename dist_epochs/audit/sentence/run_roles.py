"""The roles of what a run is told: batch, accumulation, length, steps and epochs."""

from __future__ import annotations

from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find
from dist_epochs.audit.sentence.numerals import LESS
from dist_epochs.audit.sentence.phrases import (
    EPOCH_IS,
    PER_DEVICE,
    PER_EPOCH,
    PER_STEP,
    Role,
    audio_unit,
    length_of,
    said_of,
    unit_of,
)

__all__ = [
    "SCHEDULE",
    "accumulation_role",
    "ambiguous_role",
    "batch_per_device_role",
    "batch_role",
    "batches_role",
    "epochs_role",
    "micro_role",
    "other_role",
    "outer_role",
    "sequence_length_role",
    "steps_role",
    "times_role",
]


SCHEDULE = r"warm|decay|anneal|cool-?down|ramp|aufwärm|échauff|预热|ウォームアップ|웜업"
_CHANGED_AT = (
    r"\b(?:decay|decreas|drop|divid|reduc|lower|multipl|peak)\w*\b(?:[^.;]|\.\d){0,60}\b(?:at|after)(?: the)?\s*"
    r"(?:(?:epochs?|steps?|iterations?)\s*)?(?:\d[\d.,]*\s?[kKM]?(?:th)?\s*(?:,|and|or)+\s*)*(?:the\s*)?$"
)
"""Before steps or epochs at which a learning rate changes, one or a list of them."""
_OF_UPDATE = r"^\s*(?:/|per |for each |in each )\s*(?:policy )?(?:update|rollout|iteration|step|round)(?!\w)"
_EACH_WITH = (
    r"\b(?:GPUs|TPUs|devices|workers|ranks|chips|accelerators),?\s+each (?:with|using|having|processing|has)\s+"
    r"(?:an? )?(?:mini-?|local )?batch(?:[- ]size)?(?: of)?\s*$"
)
_EPOCHS_OF = r"\b(?:epochs|Epochen|époques)\s+(?:of|de|à)\s*(?:about |~)?$"
"""Before the steps of each epoch: `600 epochs of 500 steps`."""
_EVERY = r"(?:\bevery|\beach|\balle|\bjede|\btoutes les|\btous les|\bper|每|毎)(?:\s+(?:~|about)?)?\s*$"
_EVERY_AFTER = r"^\s*(?:마다|ごと|毎に)"
_SAMPLER = (
    r"PLMS|DDI[MP]|DDPM|sampl(?:ing|er)|denois|inference|diffusion|Euler|"
    r"solver|DPM|warm|decay|anneal|eval|decod|MCMC|Langevin|rollout|logging|"
    r"environment|\benv\b|validation|reverse|spare|refinement|editing"
)


def other_role(context: Context) -> Role:
    """A setting that is no part of a budget."""
    return Role("", why=context.key["other"].lower() if context.key is not None else "another setting")


def accumulation_role(context: Context) -> Role:
    """Micro-steps per step."""
    return Role("gradient_accumulation", "micro-steps")


def batch_per_device_role(context: Context) -> Role:
    """A batch of one device."""
    if context.category == "token":
        return Role("tokens_per_device", "tokens")
    if (
        find(r"per (?:update|optimizer step)|一次迭代|每次(?:迭代|更新)|更新ごと", context.near)
        and context.key is not None
    ):
        return Role("batch_per_rank", unit_of(context, "samples"))
    return Role("per_device", unit_of(context, "samples"))


def batch_role(context: Context) -> Role:
    """A batch: of all devices unless it says otherwise, in samples, tokens, words or hours of audio."""
    if context.category == "token":
        return Role("batch_tokens", "tokens", tail=length_of(PER_STEP, context.tail), words=said_of(context))
    if context.category == "word":
        return Role("batch_words", "words")
    if context.category == "time":
        return Role("batch_audio", audio_unit(context), tail=length_of(r"^\s*of \w+", context.tail))
    if find(r"GPU 上|单卡|单张|每卡|每张", context.near):
        return Role(
            "batch_per_rank" if find(r"一次迭代|每次", context.near) else "per_device", unit_of(context, "samples")
        )
    per_device = length_of(rf"{PER_DEVICE}|^\s*on each of (?=(?:the |our )?\w+ )", context.tail)
    each = length_of(r"^\s*(?:each|apiece)(?!\w)", context.tail)
    if each and find(r"\b(?:GPUs|TPUs|devices|workers|ranks|chips|accelerators)\b[^.;]{0,40}$", context.before):
        return Role("per_device", unit_of(context, "samples"), tail=each)
    if find(_EACH_WITH, context.before):
        return Role("per_device", unit_of(context, "samples"))
    if per_device or find(r"(?:per|each)[- ](?:device|GPU|gpu|core|chip|TPU|worker)[^.;]{0,12}$", context.near):
        return Role("per_device", unit_of(context, "samples"), tail=per_device)
    if context.category == "" and context.key is not None and find(r"tokens?\)", context.key[0]):
        return Role("batch_tokens", "tokens", words=said_of(context))
    return Role("global_batch", unit_of(context, "samples"), words=said_of(context))


def sequence_length_role(context: Context) -> Role:
    """Positions of a sample."""
    key = context.key[0] if context.key is not None else ""
    is_most = find(r"max", key) is not None or context.numeral.bound == LESS
    words = frozenset({"most"}) if is_most else frozenset()
    return Role("sequence_length", "words" if context.category == "word" else "tokens", words=words)


def steps_role(context: Context) -> Role:
    """Steps of the run, of an epoch, or of something that is no run."""
    words = said_of(context)
    if per_second := length_of(r"^\s*(?:/|per |a )\s*(?:s|sec|second)(?!\w)", context.tail):
        return Role("steps_per_second", "steps a second", tail=per_second)
    if find(r"^\s*(?:/|per |an? )\s*(?:(?:GPU|TPU|device)[- ])?(?:min|minute|hour|h|day)(?!\w)", context.tail):
        return Role("", why="a rate")
    if per_epoch := length_of(PER_EPOCH, context.tail):
        return Role("steps_per_epoch", "steps", tail=per_epoch)
    if find(EPOCH_IS, context.near) or find(EPOCH_IS, context.before) or find(_EPOCHS_OF, context.before):
        return Role("steps_per_epoch", "steps")
    if find(_EVERY, context.near) or find(_EVERY_AFTER, context.tail):
        updates = (
            r"accumulat|updat(?:e[sd]?|ing) (?:the )?(?:param|weight|model|once|"
            r"every)|梯度|更新|step(?:s|ped)? the optimizer|勾配|누적"
        )
        if find(updates, context.sentence):
            return Role("gradient_accumulation", "micro-steps")
        return Role("", why="an interval")
    noun = context.noun["step"].lower() if context.category == "step" and context.noun is not None else ""
    is_point = noun in ("step", "iteration", "update") and context.numeral.value > 1 and context.noun["hyphen"] is None  # type: ignore[index]
    if (is_point and find(r"\bthe\s*$", context.near)) or find(_CHANGED_AT, context.before):
        return Role("", why="a point of the schedule")
    if find(r"accumulat|累积|累計", context.near) and not find(r"[,;]", context.near):
        return Role("gradient_accumulation", "micro-steps")
    if find(_OF_UPDATE, context.tail):
        return Role("", why="steps of something else")
    schedule = rf"(?:{SCHEDULE})[^,.;]{{0,40}}$"
    if find(SCHEDULE, context.modifiers) or find(schedule, context.near):
        return Role("", why="steps of a schedule")
    if find(rf"^\s*(?:of|for)?\s*(?:linear |cosine |the |learning[- ]rate |lr )*(?:{SCHEDULE})", context.tail):
        return Role("", why="steps of a schedule")
    if find(r"\bfirst\b", context.near) and find(rf"{SCHEDULE}|learning rate|\blr\b|linear", context.sentence):
        return Role("", why="steps of a schedule")
    if find(rf"^\s*(?:of|with|using|by)?\s*(?:the )?(?:{_SAMPLER})", context.tail):
        return Role("", why="steps of something else")
    if find(_SAMPLER, context.modifiers) or find(r"(?:save|log|evaluat|checkpoint)\w* (?:at )?every", context.near):
        return Role("", why="steps of something else")
    return Role("steps", "steps", tail=length_of(r"^\s*in (?:total|all)\b", context.tail), words=words)


def outer_role(context: Context) -> Role:
    """Rounds of an outer loop."""
    return Role("outer_iterations", "iterations")


def ambiguous_role(context: Context) -> Role:
    """Image iterations, which may be samples or steps."""
    assert context.noun is not None
    return Role("samples_or_steps", context.noun["ambiguous"].lower())


def epochs_role(context: Context) -> Role:
    """Epochs, unless they are a unit, an interval or a schedule."""
    if find(rf"{SCHEDULE}", context.modifiers) or find(rf"(?:{SCHEDULE})[^,.;]{{0,30}}$", context.near):
        return Role("", why="epochs of a schedule")
    if find(rf"^\s*(?:of|for)?\s*(?:linear |cosine |the |learning[- ]rate )*(?:{SCHEDULE})", context.tail):
        return Role("", why="epochs of a schedule")
    if find(_EVERY, context.near) or find(_EVERY_AFTER, context.tail):
        return Role("", why="an interval")
    if find(_CHANGED_AT, context.before):
        return Role("", why="a point of the schedule")
    if find(_OF_UPDATE, context.tail):
        return Role("", why="epochs of something else")
    if context.numeral.value == 1 and find(
        r"^\s*(?:あたり|当|=|有|は|が|:)?\s*(?:약|約|约)?\s*[\d,]+\s*(?:万|만)?\s*(?:steps?|步|ステップ|스텝|次迭代)|"
        r"^\s*(?:amounts?|corresponds?|is|equals?|takes?|has|=|consists?|contains?|means)(?!\w)",
        context.tail,
    ):
        return Role("", why="the unit of another number")
    if find(r"patience|without improvement", context.sentence) and find(r"patience[^,.;]{0,20}$", context.near):
        return Role("", why="patience")
    return Role("epochs", "epochs", words=said_of(context))


MANY = 1000
"""Batches that are those of a run."""
_SEES = r"\b(?:see[sn]?|saw|goes|went|pass\w*|repeat\w*|visit\w*)\b[^.;]{0,60}$"


def times_role(context: Context) -> Role | None:
    """Passes over the data: `is seen 300 times`."""
    passes = r"\b(?:pass\w*|seen|sees?|repeat\w*|iterat\w+|goes|go|went|loop\w*) ?(?:over|through)?\b[^.;\d]{0,40}$"
    return Role("epochs", "epochs") if find(passes, context.near) or find(_SEES, context.before) else None


def batches_role(context: Context) -> Role | None:
    """Batches of an epoch or of a run."""
    if per_epoch := length_of(PER_EPOCH, context.tail):
        return Role("steps_per_epoch", "steps", tail=per_epoch)
    if find(EPOCH_IS, context.before):
        return Role("steps_per_epoch", "steps")
    if find(r"^\s*of size \d", context.tail) and context.numeral.value >= MANY:
        return Role("steps", "steps")
    if find(r"accumulat\w* (?:gradients )?(?:over|for)\s*$", context.near):
        return Role("gradient_accumulation", "micro-steps")
    if find(r"^\s*of\s+(?:size\s+)?\d", context.tail) and find(
        r"process|train|draw|over|for\s*$|see[sn]?\b|saw|steps?", context.near
    ):
        return Role("steps", "steps")
    if find(r"\b(?:process\w*|train\w*|consum\w*|seen) in\s*$", context.near):
        return Role("steps", "steps")
    noun = context.noun["batch"].lower() if context.noun is not None else ""
    is_one = noun.isascii() and "batch" in noun and not noun.endswith("batches")
    is_other = "size" not in noun and (find(_NOT_ITS_SIZE, context.tail) or find(_OF_MANY, context.near))
    if not is_one or context.numeral.value < 2 or is_other:
        return None
    per_device = length_of(PER_DEVICE, context.tail)
    return Role("per_device" if per_device else "global_batch", "samples", tail=per_device, words=said_of(context))


_NOT_ITS_SIZE = r"^[-\s]*(?:updates?|steps?|iterations?|norm\w*|elements?|dimensions?|items?|inference|script)(?!\w)"
"""After a batch that is no size: `256 batch updates`."""
_OF_MANY = r"\b(?:every|each|per|first|last|after|than|number)\s*$"


def micro_role(context: Context) -> Role:
    """Micro-steps per step, by the noun."""
    return Role("gradient_accumulation", "micro-steps")

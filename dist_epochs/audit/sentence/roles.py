"""The role of one number, from the key before it, the noun after it, and the words around both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find

__all__ = ["Role", "role_of"]


@dataclass(frozen=True, slots=True)
class Role:
    """What a number is.

    Attributes:
        name: The role; nothing for a number that is no fact.
        unit: What it counts.
        why: Of a number that is no fact: what it is.
        tail: How many characters after the noun belong to it.
        words: What is said of it beside.
    """

    name: str
    unit: str = ""
    why: str = ""
    tail: int = 0
    words: frozenset[str] = frozenset()


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

_PER_STEP = (
    r"^\s*(?:tokens?\s*)?(?:/|per\s+|an?\s+|every\s+|each\s+|in (?:each|"
    r"every|one) |pro\s+|par\s+|毎)(?:global |optimizer |training |gradient |"
    r"mini-?)?(?:batch|step|update|iteration|Schritt|étape|步)(?!\w)"
)
_PER_DEVICE = (
    r"^\s*(?:,\s*)?\(?(?:/|per[- ]|on each |on every |for each |each |"
    r"pro\s+|par\s+|on (?:a|one|every|each) )\s*(?:NVIDIA )?(?:GPU|device|"
    r"core|chip|TPU|accelerator|worker|rank|card|[AHV]\d{2,4}\w*|H\d00)(?:-\w+)?(?:\s?GPUs?|"
    r"(?![\w-]))"
)
_PER_NODE = r"^\s*(?:/|per |each|on each |in each )\s*(?:node|machine|host|server)?(?!\w)"
_PER_EPOCH = (
    r"^\s*(?:/|per\s+|an?\s+|each\s+|every\s+|in (?:each|every|one) |"
    r"for (?:each|every|one) |pro\s+|par\s+)(?:training |full )?(?:epoch|"
    r"pass|Epoche|époque)(?!\w)"
)
_PER_SECOND = r"^\s*(?:/\s?|per\s+|a\s+|每)(?:sec(?:ond)?|s|秒)(?![a-z])\.?"
_PER_TIME = r"^\s*(?:/\s?|per\s+|a\s+|every\s+|each\s+)(day|hour)(?!\w)"
_EPOCH_IS = (
    r"\b(?:an?|one|each|every|1|single)\s+(?:training |full )?(?:epoch|"
    r"pass)\s*(?:\w+ly |thus |then |therefore |here |which )*"
    r"(?:is|has|takes?|contains?|consists|amounts|equals|=|~|corresponds|"
    r"means|covers|comprises|of|lasts|being)(?!\w)[^.;\d]{0,30}$|\bper epoch,?\s*$|"
    r"(?:一个|每个?|(?<!\d)1\s*(?:个)?)\s*(?:epoch|轮|エポック|에폭)[^。；,，、\d]{0,8}$"
)
_EACH_STEP = (
    r"\b(?:every|each|one|per|a single)\s+(?:optimizer |training |gradient )?(?:update|step|iteration)\b[^.;]{0,40}$"
)
_STEPS_OF = r"(?:steps?|updates?|iterations?)\s+(?:of|with|à|von|mit)\s*$"
_BATCH_NEAR = r"(?:\bbatch(?:es)?\b|batch[- ]size|バッチ|批次|배치|Batch(?:größe)?)"
_DATA = (
    r"(?:corpus|corpora|data ?sets?|\bdata\b|collection|\bPile\b|training set|"
    r"train(?:ing)? split|training examples|语料|数据集|データセット|コーパス|데이터셋|말뭉치|"
    r"Korpus|Datensatz|Daten)"
)
_PARTS_NEAR = r"batch|accumulat|\bbs\b|samples|sequences|images"
_IN_OTHER_WORDS = (
    r"(?:i\.e\.,?|that is|which (?:is|are|gives|makes|means)|corresponds? to|"
    r"corresponding to|equals?|equivalent to|amounts? to|=|→|giving|相当于|"
    r"即|つまり|すなわち|soit|das sind|totall?ing|for a total of)\s*$"
)
_SEEN = (
    r"\b(?:see[sn]?|saw|draws?|drew|drawn|consum\w+|process\w+|during|"
    r"ingest\w*|iterat\w+ (?:over|through))\b|看了?|見た|본"
)
_AFTER_SEEN = (
    r"^\s*(?:have been |has been |were |are |was |is )?(?:seen|drawn|"
    r"processed|consumed|trained on|in total|in all|overall|altogether|"
    r"本当)"
)
_SCHEDULE = r"warm|decay|anneal|cool-?down|ramp|aufwärm|échauff|预热|ウォームアップ|웜업"
_EVERY = r"(?:\bevery|\beach|\balle|\bjede|\btoutes les|\btous les|\bper|每|毎)(?:\s+(?:~|about)?)?\s*$"
_EVERY_AFTER = r"^\s*(?:마다|ごと|毎に)"
_SAMPLER = (
    r"PLMS|DDI[MP]|DDPM|sampl(?:ing|er)|denois|inference|diffusion|Euler|"
    r"solver|DPM|warm|decay|anneal|eval|decod|MCMC|Langevin|rollout|logging|"
    r"environment|\benv\b|validation|reverse|spare|refinement|editing"
)
_RUNS = (
    r"(?i)train|\btook\b|\btakes?\b|\btaken\b|\brun\b|\brunning\b|\bruns\b|"
    r"\bran\b|GPU|TPU|[AHV]\d00|历时|耗时|用时|学習|학습|demande|dur[ée]|dauer|"
    r"benötigt|lasted|lasts|finish|complet|wall|needs?|requires?"
)
_MIXTURE = (
    r"(?i)mixture|\bmix(?:es|ed|ing)?\b|blend|composition|proportion|"
    r"sampling (?:weight|ratio|rate)|\bweights?\b|consists? of|混合|配比|"
    r"ミックス|Mischung|mélange"
)


_NAMED = re.compile(r"(?:^|[\s(])[A-Z][\w.-]*(?:\s\d(?:\.\d)?)?\s$")
"""A name, perhaps with a version, before the size of a model."""


def role_of(context: Context) -> Role | None:
    """The role of a number; None where neither a key nor a noun says what it is."""
    key, category = context.key_name, context.category
    if key == "epoch" or (key and category not in _COMPATIBLE[key]):
        key = ""
    if key in _LINKED and category == "" and not _links(context):
        key = ""
    if context.numeral.is_percent:
        return _utilization(context) if key == "utilization" else _percent(context)
    if not key and not category and find(r"(?:micro|local)[- ]?batch(?:es)? (?:size )?of\s*$", context.before):
        return Role("per_device", "samples")
    if not key and not category and _length(_PER_DEVICE, context.after) and find(_PARTS_NEAR, context.sentence):
        return Role("per_device", "samples", tail=_length(_PER_DEVICE, context.after))
    if not key and not category and re.search(r"\d[BM]$", context.numeral.spelling) and _NAMED.search(context.before):
        return Role("parameters", "parameters", words=frozenset({"either"}))  # Qwen3 8B
    decide = _BY_KEY.get(key) if key else _BY_NOUN.get(category)
    if decide is None:
        return None
    return decide(context)


def _links(context: Context) -> bool:
    """Whether something ties a key to the number: `steps: 1M`, and neither `in steps 3` nor `steps, 3`."""
    if context.key is None:
        return False
    return bool(context.key["link"].strip(" \n")) or not context.key[0].strip().isascii()


def _unit(context: Context, default: str) -> str:
    """The noun of a number as its unit, in the plural."""
    if context.noun is None or context.category not in ("sample", "batch", "frame"):
        return default
    noun = context.noun[context.category].lower()
    if context.category == "batch":
        return default
    if not noun.isascii():
        return next((english for signs, english in _SAMPLES.items() if re.search(signs, noun)), "samples")
    return noun if noun.endswith("s") else f"{noun}s"


_SAMPLES = {"实例|實例": "instances", "图|画像|이미지": "images", "序列|시퀀스|シーケンス|séquence": "sequences"}
"""What samples are, in other scripts."""


def _said(context: Context) -> frozenset[str]:
    """Words that tell one number of a role from another."""
    found = set()
    around = f"{context.key[0] if context.key is not None else ''} {context.modifiers}".lower()
    if re.search(r"effective|global|total|overall|combined|全局|글로벌|グローバル|effektiv", around):
        found.add("whole")
    if find(r"^\s*,?\s*(?:in total|in all|overall|altogether|总共|insgesamt|au total)", context.tail) or find(
        r"(?:in total|in all|a total of|total of|overall|au total|insgesamt|总共|共|altogether)[^.;:]{0,20}$",
        context.near,
    ):
        found.add("total")
    if find(r"^\s*(?:each|apiece)(?!\w)", context.tail) or find(r"(?:各|\beach\b)\s*$", context.near):
        found.add("each")
    if find(
        (
            r"(?:first|then|next|another|further|more|phase|stage|followed by|"
            r"after (?:that|which)|afterwards|subsequent|last|remaining)\b"
        ),
        context.near,
    ):
        found.add("phase")
    return frozenset(found)


def _other(context: Context) -> Role:
    return Role("", why=context.key["other"].lower() if context.key is not None else "another setting")


def _accumulation(context: Context) -> Role:
    return Role("gradient_accumulation", "micro-steps")


def _batch_per_device(context: Context) -> Role:
    if context.category == "token":
        return Role("tokens_per_device", "tokens")
    if (
        find(r"per (?:update|optimizer step)|一次迭代|每次(?:迭代|更新)|更新ごと", context.near)
        and context.key is not None
    ):
        return Role("batch_per_rank", _unit(context, "samples"))
    return Role("per_device", _unit(context, "samples"))


def _batch(context: Context) -> Role:
    if context.category == "token":
        return Role("batch_tokens", "tokens", tail=_length(_PER_STEP, context.tail), words=_said(context))
    if context.category == "word":
        return Role("batch_words", "words")
    if context.category == "time":
        return Role("batch_audio", _audio_unit(context), tail=_length(r"^\s*of \w+", context.tail))
    if find(r"GPU 上|单卡|单张|每卡|每张", context.near):
        return Role(
            "batch_per_rank" if find(r"一次迭代|每次", context.near) else "per_device", _unit(context, "samples")
        )
    per_device = _length(_PER_DEVICE, context.tail)
    if per_device or find(r"(?:per|each)[- ](?:device|GPU|gpu|core|chip|TPU|worker)[^.;]{0,12}$", context.near):
        return Role("per_device", _unit(context, "samples"), tail=per_device)
    if context.category == "" and context.key is not None and find(r"tokens?\)", context.key[0]):
        return Role("batch_tokens", "tokens", words=_said(context))
    return Role("global_batch", _unit(context, "samples"), words=_said(context))


def _sequence_length(context: Context) -> Role:
    return Role("sequence_length", "words" if context.category == "word" else "tokens")


def _corpus_key(context: Context) -> Role | None:
    if context.category == "":
        if not context.numeral.is_percent and _links(context) and context.key is not None and "size" in context.key[0]:
            return Role("corpus", "")
        return None
    return _BY_NOUN[context.category](context)


def _examples(context: Context) -> Role:
    return Role("corpus", _unit(context, "samples"), words=_said(context) | {"either"})


def _length(pattern: str, text: str) -> int:
    match = find(pattern, text)
    return match.end() if match is not None else 0


def _steps(context: Context) -> Role:
    words = _said(context)
    if per_epoch := _length(_PER_EPOCH, context.tail):
        return Role("steps_per_epoch", "steps", tail=per_epoch)
    if find(_EPOCH_IS, context.near) or find(_EPOCH_IS, context.before):
        return Role("steps_per_epoch", "steps")
    if find(_EVERY, context.near) or find(_EVERY_AFTER, context.tail):
        updates = (
            r"accumulat|updat(?:e[sd]?|ing) (?:the )?(?:param|weight|model|once|"
            r"every)|梯度|更新|step(?:s|ped)? the optimizer|勾配|누적"
        )
        if find(updates, context.sentence):
            return Role("gradient_accumulation", "micro-steps")
        return Role("", why="an interval")
    if find(r"accumulat|累积|累計", context.near) and not find(r"[,;]", context.near):
        return Role("gradient_accumulation", "micro-steps")
    schedule = rf"(?:{_SCHEDULE})[^,.;]{{0,40}}$"
    if find(_SCHEDULE, context.modifiers) or find(schedule, context.near):
        return Role("", why="steps of a schedule")
    if find(rf"^\s*(?:of|for)?\s*(?:linear |cosine |the |learning[- ]rate |lr )*(?:{_SCHEDULE})", context.tail):
        return Role("", why="steps of a schedule")
    if find(r"\bfirst\b", context.near) and find(rf"{_SCHEDULE}|learning rate|\blr\b|linear", context.sentence):
        return Role("", why="steps of a schedule")
    if find(rf"^\s*(?:of|with|using|by)?\s*(?:the )?(?:{_SAMPLER})", context.tail):
        return Role("", why="steps of something else")
    if find(_SAMPLER, context.modifiers) or find(r"(?:save|log|evaluat|checkpoint)\w* (?:at )?every", context.near):
        return Role("", why="steps of something else")
    return Role("steps", "steps", tail=_length(r"^\s*in (?:total|all)\b", context.tail), words=words)


def _outer(context: Context) -> Role:
    return Role("outer_iterations", "iterations")


def _ambiguous(context: Context) -> Role:
    assert context.noun is not None
    return Role("samples_or_steps", context.noun["ambiguous"].lower())


def _epochs(context: Context) -> Role:
    if find(rf"{_SCHEDULE}", context.modifiers) or find(rf"(?:{_SCHEDULE})[^,.;]{{0,30}}$", context.near):
        return Role("", why="epochs of a schedule")
    if find(rf"^\s*(?:of|for)?\s*(?:linear |cosine |the |learning[- ]rate )*(?:{_SCHEDULE})", context.tail):
        return Role("", why="epochs of a schedule")
    if find(_EVERY, context.near) or find(_EVERY_AFTER, context.tail):
        return Role("", why="an interval")
    if context.numeral.value == 1 and find(
        r"^\s*(?:あたり|当|=|有|は|が|:)?\s*(?:약|約|约)?\s*[\d,]+\s*(?:万|만)?\s*(?:steps?|步|ステップ|스텝|次迭代)|"
        r"^\s*(?:amounts?|corresponds?|is|equals?|takes?|has|=|consists?|contains?|means)(?!\w)",
        context.tail,
    ):
        return Role("", why="the unit of another number")
    if find(r"patience|without improvement", context.sentence) and find(r"patience[^,.;]{0,20}$", context.near):
        return Role("", why="patience")
    return Role("epochs", "epochs", words=_said(context))


def _tokens(context: Context) -> Role:
    tail, near = context.tail, context.near
    if per_second := _length(_PER_SECOND, tail):
        rest = tail[per_second:]
        if on_device := _length(_PER_DEVICE, rest):
            return Role("tokens_per_second_per_device", "tokens/s/device", tail=per_second + on_device)
        return Role("tokens_per_second", "tokens/s", tail=per_second)
    if per_time := find(_PER_TIME, tail):
        return Role(f"tokens_per_{per_time[1].lower()}", f"tokens/{per_time[1].lower()}", tail=per_time.end())
    if per_device := _length(rf"{_PER_DEVICE}\s*(?:/|per )\s*(?:s|sec|second)(?!\w)", tail):
        return Role("tokens_per_second_per_device", "tokens/s/device", tail=per_device)
    if find(r"^\s*(?:/|per )\s*(?:active )?param", tail):
        return Role("", why="tokens for each parameter")
    words = _said(context)
    samples = r"(?:sequences?|samples?|examples?|documents?|chunks?|blocks?|windows?|Sequenzen|séquences)"
    if find(
        (
            rf"{samples}\s*(?:each )?(?:of|with|at|à|von|mit|containing|x|×|\*|"
            rf"@)\s*(?:length|up to|longueur|Länge)?\s*(?:of )?$"
        ),
        context.before,
    ):
        return Role("sequence_length", "tokens")
    if per_step := _length(_PER_STEP, tail):
        return Role("batch_tokens", "tokens", tail=per_step, words=words)
    if find(r"^-?\s*(?:mini-?)?batch(?:es)?(?!\w)", tail):
        return Role("batch_tokens", "tokens", tail=_length(r"^-?\s*(?:mini-?)?batch(?:es)?", tail), words=words)
    each = _length(r"^\s*(?:each|apiece)(?!\w)", tail)
    if find(
        r"(?:steps?|updates?|iterations?|batches)\s+(?:of|with|at|à|von|mit|x|×|\*)\s*(?:~|about)?\s*$", context.before
    ):
        return Role("batch_tokens", "tokens", tail=each, words=words)
    if find(r"^(?:-|\s)*(?:context|sequences?|windows?|samples?|chunks?|blocks?|inputs?|documents)(?!\w)", tail) and (
        find(r"^(?:-|\s)*(?:context|windows?|chunks?|blocks?|inputs?)", tail)
        or (context.noun is not None and context.noun["hyphen"])
    ):
        return Role("sequence_length", "tokens", tail=_length(r"^(?:-|\s)*(?:context (?:length|window)|\w+)", tail))
    if find(r"^\s*(?:/|per )\s*(?:sample|sequence|example|document)(?!\w)", tail):
        return Role("sequence_length", "tokens", tail=_length(r"^\s*(?:/|per )\s*\w+", tail))
    if find(_EACH_STEP, near) or _batch_before(near):
        return Role("batch_tokens", "tokens", words=words)
    if _is_corpus(context):
        return Role("corpus", "tokens", tail=_length(rf"^(?:-|\s)*(?:\w+ )?{_DATA}", tail), words=words)
    return Role("tokens", "tokens", tail=_length(r"^\s*in (?:total|all)\b", tail), words=words)


def _batch_before(near: str) -> bool:
    """Whether a batch is what a number is of, with no other noun between."""
    if find(
        rf"{_BATCH_NEAR}[^.;]{{0,30}}\b(?:increas|gr[eo]w|ramp|rais|rises?|rose|scal)\w*[^.;]{{0,20}}\bfrom\s*$", near
    ):
        return True
    match = find(rf"{_BATCH_NEAR}[^.;]{{0,40}}$", near)
    return match is not None and not find(
        r"\b(?:steps|epochs|for|over|train\w*|total|until|through|on|from|past)\b", match[0]
    )


def _is_corpus(context: Context) -> bool:
    """Whether a number of tokens, words or samples is the size of the data rather than what was drawn."""
    tail, near = context.tail, context.near
    if find(rf"^(?:-|\s)*(?:training )?(?:text )?{_DATA}", tail) or find(
        r"unique|dedup|distinct|raw", context.modifiers
    ):
        return True
    if find(_EPOCH_IS, context.before) or find(_PER_EPOCH, tail):
        return True
    if find(
        r"\b(?:epochs?|passes|times|époques|Epochen)\s+(?:over|of|through|on|over the|sur|über)\b[^.;,\d]{0,30}$",
        context.before,
    ):
        return True
    match = find(
        rf"{_DATA}(?:[^.;,]{{0,50}}|,[^.;]{{0,40}}\b(?:has|have|contains?|comprises?|holds|is|are|of)\s*)$", near
    )
    if (
        match is None
        or "total" in _said(context)
        or find(r"(?:\bfor|\bsees?|\bsaw|\bthrough|\bconsum\w*|\bprocess\w*|\bafter|\buntil|\bto|\btrain\w*)\s*$", near)
    ):
        return False
    return not find(r"\b(?:train\w*|total|budget|steps?)\b", match[0][len(find(_DATA, match[0])[0]) :])  # type: ignore[index]


def _words(context: Context) -> Role:
    if find(_PER_STEP, context.tail):
        return Role("batch_words", "words", tail=_length(_PER_STEP, context.tail))
    if find(r"^\s*(?:/|per )", context.tail):
        return Role("", why="words for each of something")
    return Role("corpus", "words", tail=_length(rf"^(?:-|\s)*{_DATA}", context.tail), words=_said(context))


def _samples(context: Context) -> Role:
    tail, near, unit, words = context.tail, context.near, _unit(context, "samples"), _said(context)
    if find(r"validation|\btest\b|\beval|held-?out|candidate|most recent|\bshot", context.modifiers):
        return Role("", why="data of an evaluation, or of something else")
    if per_device := _length(_PER_DEVICE, tail):
        return Role("per_device", unit, tail=per_device)
    if find(r"^\s*(?:/|per )\s*(?:s|sec|second)(?!\w)", tail):
        on_device = _length(_PER_DEVICE, tail[_length(_PER_SECOND, tail) :])
        return Role(
            "samples_per_second" + "_per_device" * bool(on_device), f"{unit}/s", tail=_length(_PER_SECOND, tail)
        )
    if per_step := _length(_PER_STEP, tail):
        return Role("global_batch", unit, tail=per_step, words=words)
    if batches := _length(r"^-?\s*(?:mini-?)?batch(?:es)?(?![\w])", tail):
        return Role("global_batch", unit, tail=batches, words=words)
    if find(r"^\s*(?:/|per )\s*(?:query|prompt|question|class|document|video|image)", tail):
        return Role("", why="samples for each of something")
    of_length = r"^\s*(?:each )?(?:of|with|at|x|×|\*|@|von|à|mit)\s*(?:length\s*)?(?:of )?[\d]"
    if find(_EACH_STEP, near) or find(_STEPS_OF, context.before) or _batch_before(near):
        return Role("global_batch", unit, words=words)
    if find(r"(?:validation|test|held-?out|evaluat\w+|benchmark)[^.;,]{0,40}$", near) or find(
        r"^\s*(?:of|from) the (?:\w+ )?(?:validation|test)", tail
    ):
        return Role("", why="data of an evaluation")
    if _is_corpus(context):
        return Role("corpus", unit, tail=_length(rf"^(?:-|\s)*(?:\w+ )?{_DATA}", tail), words=words)
    if find(r"buffer|replay|memory", f"{near} {tail[:40]}"):
        return Role("", why="the size of a memory")
    if find(_SEEN, near) or find(_AFTER_SEEN, tail) or words & {"total"} or find(_SEEN, tail[:24]):
        return Role("samples", unit, words=words)
    if find(_IN_OTHER_WORDS, near) or find(
        r"(?:steps?|updates?|iterations?|batch(?:es)?|步|스텝|ステップ)\s*\($", context.before
    ):
        return Role("samples", unit, words=words)
    if find(r"\b(?:corpora|corpus)\b", near) or (
        find(of_length, tail) and not find(r"\b(?:on|contain\w*|has|have|comprises?)\b\s*$", near)
    ):
        return Role("global_batch" if not find(_DATA, near) else "corpus", unit, words=words)
    if find(r"samples?|实例|样本|샘플|サンプル", unit) and not find(
        r"\b(?:on|over|with|use[sd]?|using|contain\w*|has|have|auf|sur|of)\b[^,]{0,20}$", near
    ):
        return Role("samples", unit, words=words | {"either"})
    is_data = find(
        (
            r"\b(?:on|over|through|from|use[sd]?|using|contain\w*|has|have|ha[ds]|"
            r"comprises?|auf|sur|became|of)\b[^,]{0,25}$"
        ),
        near,
    ) or (
        find(r"train", context.modifiers)
        or find(r"\b(?:on|over|through|from|auf|sur)\b[^,;.]{0,40}\($", context.before)
    )
    return Role("corpus", unit, words=words if is_data else words | {"either"})


def _frames(context: Context) -> Role:
    if find(
        r"most recent|buffer|replay|memory|stack|skip", f"{context.modifiers} {context.tail[:30]} {context.near}"
    ) and not find(_SEEN, context.near):
        return Role("", why="frames of a memory")
    if find(r"^\s*(?:/|per )", context.tail):
        return Role("", why="a rate")
    return Role("frames", "frames")


def _batches(context: Context) -> Role | None:
    if per_epoch := _length(_PER_EPOCH, context.tail):
        return Role("steps_per_epoch", "steps", tail=per_epoch)
    if find(_EPOCH_IS, context.before):
        return Role("steps_per_epoch", "steps")
    if find(r"accumulat\w* (?:gradients )?(?:over|for)\s*$", context.near):
        return Role("gradient_accumulation", "micro-steps")
    if find(r"^\s*of\s+(?:size\s+)?\d", context.tail) and find(
        r"process|train|draw|over|for\s*$|see[sn]?\b|saw|steps?", context.near
    ):
        return Role("steps", "steps")
    return None


def _micro(context: Context) -> Role:
    return Role("gradient_accumulation", "micro-steps")


def _devices(context: Context) -> Role:
    assert context.noun is not None
    if find(r"spare|standby|backup|idle|reserve|备用|予備|예비", context.modifiers + context.noun[0]) or find(
        r"备用|予備", context.near
    ):
        return Role("", why="spare devices")
    per_node = find(_PER_NODE, context.tail)
    after_nodes = find(r"(?:nodes?|machines?|hosts?|servers?)\W+\w*\W*$", context.before) is not None
    if per_node is not None and (per_node[0].strip() != "each" or after_nodes):
        return Role("devices_per_node", "GPUs", tail=per_node.end())
    if find(
        (
            r"(?:nodes?|machines?|hosts?|servers?|Knoten|nœuds)\s*(?:,\s*)?(?:each )?(?:with|"
            r"of|having|x|×|\*|mit|avec|de)\s*(?:each )?$"
        ),
        context.before,
    ):
        return Role("devices_per_node", "GPUs")
    unit = re.sub(r"^\W*(?:[x×*]\s*)?", "", context.noun[0]).strip().replace("\n", " ")
    unit = re.sub(r"^(?:张|張|枚の?|台の?|个|個|块|장의?|대의?|개의?)\s*", "", unit)
    unit = re.sub(r"\s?\b\d+\s?GB", "", unit).strip()
    if re.search(r"\d\w?s$", unit):
        unit = unit[:-1]  # 64 A100s
    elif not re.search(r"\d", unit.split()[-1]) and unit.isascii() and context.numeral.value != 1:
        unit = f"{unit.removesuffix('s')}s"
    return Role("devices", unit)


def _nodes(context: Context) -> Role:
    return Role("nodes", "nodes")


def _parameters(context: Context) -> Role:
    if find(r"\bactive|activated|激活", context.modifiers) or find(
        r"^\s*(?:are |is |being )?(?:active|activated)", context.tail
    ):
        return Role("active_parameters", "parameters")
    return Role("parameters", "parameters")


def _model(context: Context) -> Role | None:
    if context.numeral.value < 10**6 or context.modifiers.count(" ") > 2:
        return None
    return Role("parameters", "parameters")


def _time(context: Context) -> Role | None:
    assert context.noun is not None
    of_what = find(r"^\s*of (?:\w+ )?(?:audio|speech|video|recordings?|music|footage)", context.tail)
    if of_what is not None:
        name = "batch_audio" if find(r"\bbatch\b[^.;]{0,40}$", context.near) else "corpus"
        return Role(name, _audio_unit(context), tail=of_what.end())
    of_game = find(r"^\s*of (?:game|gameplay|experience|play|in-game)\w*(?: \w+)?", context.tail)
    if of_game is not None:
        return Role("game_days", f"{context.noun['time'].lower()} of game experience", tail=of_game.end())
    unit = context.noun["time"].lower()
    if re.match(r"sec|min", unit) or not find(_RUNS, f"{context.before} {context.after}"):
        return Role("", why="a time")
    if find(r"^\s*(?:ago|later|old|per|/|long|each)(?!\w)", context.tail) or find(
        r"(?:every|within|past|last|after)\s*$", context.near
    ):
        return Role("", why="a time")
    return Role("hours", _TIMES.get(unit, unit))


_TIMES = {
    "个月": "months",
    "個月": "months",
    "小时": "hours",
    "小時": "hours",
    "时间": "hours",
    "時間": "hours",
    "시간": "hours",
    "天": "days",
    "日": "days",
    "日間": "days",
    "일": "days",
    "周": "weeks",
    "stunden": "hours",
    "tage": "days",
    "tagen": "days",
    "wochen": "weeks",
    "monate": "months",
    "monaten": "months",
    "heures": "hours",
    "heure": "hours",
    "jours": "days",
    "jour": "days",
    "semaines": "weeks",
    "mois": "months",
    "hour": "hours",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "h": "hours",
    "hrs": "hours",
    "hr": "hours",
    "stunde": "hours",
    "tag": "days",
}


def _audio_unit(context: Context) -> str:
    assert context.noun is not None
    unit = context.noun["time"].lower()
    return f"{_TIMES.get(unit, unit)} of audio"


def _device_time(context: Context) -> Role:
    assert context.noun is not None
    unit = re.sub(r"^[\W_]+", "", context.noun[0]).strip()
    unit = "compute hours" if "计算时" in unit else re.sub(r"[\s-]+", " ", unit)
    return Role("device_hours", unit if not unit.isascii() or unit.endswith(("s", "h")) else f"{unit}s")


def _flops(context: Context) -> Role:
    assert context.noun is not None
    if find(r"^\s*(?:/|per )\s*(?:s|sec|second|GPU|token|forward|image)", context.tail):
        return Role("", why="FLOPs of a part")
    return Role("flops", context.noun["flop"])


def _percent(context: Context) -> Role | None:
    if find(
        r"^\s*(?:\w+ )?(?:MFU|HFU|model flops? utili[sz]ation|(?:model |hardware |GPU )?(?:FLOPs? )?utili[sz]ation)",
        context.after,
    ):
        return Role("mfu", "", tail=_length(r"^\s*(?:\w+ ){0,3}?(?:MFU|HFU|utili[sz]ation)", context.after))
    of_training = (
        r"^\s*(?:of (?:it|them|the data|these) )?(?:is |are )?(?:used )?(?:for|"
        r"as|in) (?:the )?train|^\s*(?:the )?train(?:ing)?[- ](?:split|set|"
        r"data)"
    )
    if find(of_training, context.after):
        return Role("training_share", "")
    is_share = find(r"^\s*(?:of the |from |are |is )?[A-Za-z(]", context.after) is not None
    of_results = find(r"accura|score|faster|fewer|improv|top-1", context.after[:40]) is not None
    if is_share and not of_results and find(_MIXTURE, context.sentence):
        return Role("mixture_share", "of the samples", tail=_length(r"^\s*(?:of the )?[\w-]+", context.tail))
    return None


def _utilization(context: Context) -> Role | None:
    return Role("mfu", "") if context.numeral.is_percent or context.numeral.value < 1 else None


def _role(name: str, unit: str) -> Callable[[Context], Role]:
    return lambda context: Role(name, unit, words=_said(context))


_BY_KEY: Mapping[str, Callable[[Context], Role | None]] = {
    "other": _other,
    "accumulation": _accumulation,
    "per_device": _batch_per_device,
    "batch": _batch,
    "length": _sequence_length,
    "steps": _steps,
    "epochs": _epochs,
    "tokens": _role("tokens", "tokens"),
    "samples": _role("samples", "samples"),
    "examples": _examples,
    "parallel": _role("model_parallel", "devices"),
    "devices": _role("devices", "ranks"),
    "nodes": _role("nodes", "nodes"),
    "active": _role("active_parameters", "parameters"),
    "parameters": _role("parameters", "parameters"),
    "corpus": _corpus_key,
    "utilization": _utilization,
    "hours": _time,
}

_BY_NOUN: Mapping[str, Callable[[Context], Role | None]] = {
    "device_time": _device_time,
    "device": _devices,
    "node": _nodes,
    "flop": _flops,
    "parameter": _parameters,
    "outer": _outer,
    "micro": _micro,
    "ambiguous": _ambiguous,
    "step": _steps,
    "epoch": _epochs,
    "token": _tokens,
    "word": _words,
    "frame": _frames,
    "sample": _samples,
    "batch": _batches,
    "byte": lambda _: Role("", why="bytes"),
    "length": _sequence_length,
    "time": _time,
    "model": _model,
}

"""The roles of what a run draws, and of the data it draws from: tokens, words, samples, shares."""

from __future__ import annotations

from dist_epochs.arithmetic.quantity import LONGEST_SEQUENCE
from dist_epochs.audit.sentence.context import Context
from dist_epochs.audit.sentence.lexicon import find
from dist_epochs.audit.sentence.phrases import (
    EPOCH_IS,
    PER_BATCH_KOREAN,
    PER_DEVICE,
    PER_EPOCH,
    PER_STEP,
    Role,
    is_linked,
    length_of,
    said_of,
    unit_of,
)

__all__ = [
    "corpus_key_role",
    "examples_role",
    "frames_role",
    "percent_role",
    "samples_role",
    "tokens_role",
    "words_role",
]


_PER_SECOND = r"^\s*(?:/\s?|per\s+|a\s+|每)(?:sec(?:ond)?|s|秒)(?![a-z])\.?"
_PER_TIME = r"^\s*(?:/\s?|per\s+|a\s+|every\s+|each\s+)(day|hour)(?!\w)"
_EACH_STEP = (
    r"\b(?:every|each|one|per|a single)\s+(?:optimizer |training |gradient )?(?:update|step|iteration)\b[^.;]{0,40}$"
)
_STEPS_OF = r"(?:steps?|updates?|iterations?)\s+(?:of|with|à|von|mit)\s*$"
_BATCH_NEAR = r"(?:\bbatch(?:es)?\b|batch[- ]size|バッチ|批次|배치|Batch(?:größe)?)"
_TOKENS_OF_BATCH = (
    rf"{_BATCH_NEAR}\s+(?:sizes?\s+)?(?:of|with|:|=)\s*(?:about |~)?[\d.,]+\s?[KkMm]?(?:illion)?\s+tokens\s*"
    r"(?:,|\(|=|or|i\.e\.,?)+\s*$"
)
"""A batch in tokens, after which a number of samples says the same batch."""
_DATA = (
    r"(?:corpus|corpora|data ?sets?|\bdata\b|collection|\bPile\b|training set|"
    r"train(?:ing)? split|training examples|语料|数据集|データセット|コーパス|데이터셋|말뭉치|"
    r"Korpus|Datensatz|Daten)"
)
_IN_OTHER_WORDS = (
    r"(?:i\.e\.,?|that is|which (?:is|are|gives|makes|means)|corresponds? to|"
    r"corresponding to|equals?|equivalent to|amounts? to|=|→|giving|相当于|"
    r"即|つまり|すなわち|soit|das sind|totall?ing|for a total of)\s*$"
)
_SEEN = (
    r"\b(?:see[sn]?|saw|draws?|drew|drawn|consum\w+|process\w*|during|"
    r"ingest\w*|iterat\w+ (?:over|through))\b|看了?|見た|본"
)
_AFTER_SEEN = (
    r"^\s*(?:have been |has been |were |are |was |is )?(?:seen|drawn|"
    r"processed|consumed|trained on|in total|in all|overall|altogether|"
    r"本当)"
)
_MIXTURE = (
    r"(?i)mixture|\bmix(?:es|ed|ing)?\b|blend|composition|proportion|"
    r"sampling (?:weight|ratio|rate)|\bweights?\b|consists? of|混合|配比|"
    r"ミックス|Mischung|mélange"
)


def corpus_key_role(context: Context) -> Role | None:
    """A number after a word for data."""
    if context.category == "":
        if (
            not context.numeral.is_percent
            and is_linked(context)
            and context.key is not None
            and find(r"size|tokens", context.key[0])
        ):
            return Role("corpus", "tokens" if find("tokens", context.key[0]) else "")
        return None
    return {"token": tokens_role, "word": words_role, "sample": samples_role}[context.category](context)


def examples_role(context: Context) -> Role:
    """A number of training examples, which may be drawn ones."""
    return Role("corpus", unit_of(context, "samples"), words=said_of(context) | {"either"})


_EACH_DEVICE = r"\b(?:each|every|per|a single|one) (?:GPU|TPU|device|worker|rank|core|chip|accelerator)\b[^.;,]{0,30}$"


_EACH_OF_DEVICES = (
    r"\b(?:each|every one) of (?:the |our |these )?\w+ (?:GPUs|TPUs|devices|workers|ranks|cores|chips)\b[^.;,]{0,30}$"
)
_DEVICES_WITH = r"\b(?:GPUs|TPUs|devices|workers|ranks|cores|chips|accelerators)\s*(?:,|with|at|of|processing|on)\s*$"
"""Before the samples of each of them."""


LONGEST_AT = 16384
"""Tokens of a length in `1M steps at 128 tokens`: batches have more."""
_VOCABULARY = (
    r"\bvocab\w*\b[^.;\d]{0,40}$|"
    r"\btokeni[sz]er\b[^.;,]{0,60}\b(?:has|have|of|with)\b[^.;,\d]{0,12}$|"
    r"\btokeni[sz]er (?:is |was |were |has been )?(?:trained|learned|built|fitted)\b[^.;,]{0,12}$"
)
"""Before tokens that a vocabulary has, or that a tokenizer was trained on."""


def tokens_role(context: Context) -> Role:
    """Tokens: of a batch, a length, a corpus or a rate; else those drawn."""
    tail, near = context.tail, context.near
    if per_second := length_of(_PER_SECOND, tail):
        rest = tail[per_second:]
        if on_device := length_of(PER_DEVICE, rest):
            return Role("tokens_per_second_per_device", "tokens/s/device", tail=per_second + on_device)
        return Role("tokens_per_second", "tokens/s", tail=per_second)
    if per_time := find(_PER_TIME, tail):
        return Role(f"tokens_per_{per_time[1].lower()}", f"tokens/{per_time[1].lower()}", tail=per_time.end())
    if per_device := length_of(rf"{PER_DEVICE}\s*(?:/|per )\s*(?:s|sec|second)(?!\w)", tail):
        return Role("tokens_per_second_per_device", "tokens/s/device", tail=per_device)
    if find(r"^\s*(?:/|per )\s*(?:active )?param", tail):
        return Role("", why="tokens for each parameter")
    words = said_of(context)
    if find(_VOCABULARY, context.before) or find(r"^\s*(?:in the |of the )?vocab", tail):
        return Role("", why="tokens of a vocabulary")
    if context.numeral.value <= LONGEST_SEQUENCE and find(r"\bmax(?:\.|imum|imal)?(?: of)?\s*$", near):
        return Role("sequence_length", "tokens", words=frozenset({"most"}))
    if not find(r"^\s*,", tail) and (per_device := length_of(PER_DEVICE, tail)):
        return Role("tokens_per_device", "tokens", tail=per_device)
    of_checkpoint = "each" in words and find(r"\bcheckpoint|\bsaved?\b|\binterval", context.sentence)
    if of_checkpoint or find(r"\bevery\s*$", near):
        return Role("", why="an interval")
    samples = r"(?:sequences?|samples?|examples?|documents?|chunks?|blocks?|windows?|Sequenzen|séquences)"
    if find(
        (
            rf"{samples}\s*(?:each )?(?:of|with|at|à|von|mit|containing|x|×|\*|"
            rf"@)\s*(?:length|up to|longueur|Länge)?\s*(?:of )?$"
        ),
        context.before,
    ):
        return Role("sequence_length", "tokens")
    if per_step := length_of(PER_STEP, tail) or length_of(PER_BATCH_KOREAN, tail):
        return Role("batch_tokens", "tokens", tail=per_step, words=words)
    if find(r"^-?\s*(?:mini-?)?batch(?:es)?(?!\w)", tail):
        return Role("batch_tokens", "tokens", tail=length_of(r"^-?\s*(?:mini-?)?batch(?:es)?", tail), words=words)
    each = length_of(r"^\s*(?:each|apiece)(?!\w)", tail)
    if each and find(rf"{samples}\s*[,(]?\s*$", context.before):  # 512 sequences, 2,048 tokens each
        return Role("sequence_length", "tokens", tail=each)
    if find(r"^(?:-|\s)*(?:context|sequences?|windows?|samples?|chunks?|blocks?|inputs?|documents)(?!\w)", tail) and (
        find(r"^(?:-|\s)*(?:context|windows?|chunks?|blocks?|inputs?)", tail)
        or (context.noun is not None and context.noun["hyphen"])
    ):
        return Role("sequence_length", "tokens", tail=length_of(r"^(?:-|\s)*(?:context (?:length|window)|\w+)", tail))
    if context.numeral.value <= LONGEST_AT and find(r"\bsteps?\s+at\s*$", context.before):
        return Role("sequence_length", "tokens")
    if find(
        r"(?:steps?|updates?|iterations?|batches)(?:\s*,?\s+each)?\s+(?:of|with|at|containing|holding|à|von|mit|x|×|\*)\s*"
        r"(?:~|about)?\s*$",
        context.before,
    ):
        return Role("batch_tokens", "tokens", tail=each, words=words)
    if find(r"^\s*(?:/|per )\s*(?:sample|sequence|example|document)(?!\w)", tail):
        return Role("sequence_length", "tokens", tail=length_of(r"^\s*(?:/|per )\s*\w+", tail))
    in_brackets = near.strip() == "(" and find(rf"{_BATCH_NEAR}[^.;()]{{0,40}}\($", context.before) is not None
    of_many = r"\b(?:steps|updates|iterations|epochs)\b[^()]*\($|\d\w*\s+(?:mini-?)?batches\b[^()]*\($"
    if in_brackets and not find(of_many, context.before):
        return Role("batch_tokens", "tokens", words=words)
    if find(_EACH_STEP, near) or _batch_before(near):
        return Role("batch_tokens", "tokens", words=words)
    if _is_corpus(context):
        return Role("corpus", "tokens", tail=length_of(rf"^(?:-|\s)*(?:\w+ )?{_DATA}", tail), words=words)
    return Role("tokens", "tokens", tail=length_of(r"^\s*in (?:total|all)\b", tail), words=words)


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


_REPEATED = (
    r"^\s*(?:\([^()]*\)\s*)?(?:are |is |were |each )?(?:seen |repeated |passed |visited )?(?:about |~)?"
    r"(?:[\d.,]+|two|three|four|five|six|seven|eight|nine|ten|twice|several)(?:\s+times|(?<=twice))(?!\w)"
)
"""What is seen so many times is the data."""


def _is_corpus(context: Context) -> bool:
    """Whether a number of tokens, words or samples is the size of the data rather than what was drawn."""
    tail, near = context.tail, context.near
    if find(rf"^(?:-|\s)*(?:training )?(?:text )?{_DATA}", tail) or find(
        r"unique|dedup|distinct|raw", context.modifiers
    ):
        return True
    if find(EPOCH_IS, context.before) or find(PER_EPOCH, tail) or find(_REPEATED, tail):
        return True
    if "total" in said_of(context):
        return False
    if find(
        r"\b(?:epochs?|passes|times|époques|Epochen)\s+(?:over|of|through|on|sur|über)\b"
        r"(?:(?!\band\b)[^.;,\d]){0,30}$",
        context.before,
    ):
        return True
    match = find(
        rf"{_DATA}(?:[^.;,]{{0,50}}|,[^.;]{{0,40}}\b(?:has|have|contains?|comprises?|holds|is|are|of)\s*)$", near
    )
    if match is None or find(
        r"(?:\bfor|\band|\bsees?|\bsaw|\bthrough|\bconsum\w*|\bprocess\w*|\bafter|\buntil|\bto|\btrain\w*)\s*$", near
    ):
        return False
    return not find(r"\b(?:train\w*|total|budget|steps?)\b", match[0][len(find(_DATA, match[0])[0]) :])  # type: ignore[index]


def words_role(context: Context) -> Role:
    """Words of a corpus."""
    if find(PER_STEP, context.tail):
        return Role("batch_words", "words", tail=length_of(PER_STEP, context.tail))
    if find(r"^\s*(?:/|per )", context.tail):
        return Role("", why="words for each of something")
    return Role("corpus", "words", tail=length_of(rf"^(?:-|\s)*{_DATA}", context.tail), words=said_of(context))


def samples_role(context: Context) -> Role:
    """Samples: of a batch, a device or a corpus, or those drawn."""
    tail, near, unit, words = context.tail, context.near, unit_of(context, "samples"), said_of(context)
    if find(r"validation|\btest\b|\beval|held-?out|candidate|most recent|\bshot", context.modifiers):
        return Role("", why="data of an evaluation, or of something else")
    if per_device := length_of(PER_DEVICE, tail):
        return Role("per_device", unit, tail=per_device)
    if find(r"^\s*(?:/|per )\s*(?:s|sec|second)(?!\w)", tail):
        on_device = length_of(PER_DEVICE, tail[length_of(_PER_SECOND, tail) :])
        return Role(
            "samples_per_second" + "_per_device" * bool(on_device), f"{unit}/s", tail=length_of(_PER_SECOND, tail)
        )
    if find(_EACH_DEVICE, near) or find(_EACH_OF_DEVICES, context.before):
        return Role("per_device", unit)
    each = length_of(r"^\s*(?:each|apiece)(?!\w)", tail)
    if each and find(_DEVICES_WITH, context.before):
        return Role("per_device", unit, tail=each)
    if per_step := length_of(PER_STEP, tail):
        return Role("global_batch", unit, tail=per_step, words=words)
    if batches := length_of(r"^-?\s*(?:mini-?)?batch(?:es)?(?![\w])", tail):
        return Role("global_batch", unit, tail=batches, words=words)
    if find(r"^\s*(?:/|per )\s*(?:query|prompt|question|class|document|video|image)", tail):
        return Role("", why="samples for each of something")
    of_length = (
        r"^\s*(?:each )?(?:of|with|at|x|×|\*|@|von|à|mit)\s*(?:length\s*)?(?:of )?\d(?![\w.,]*\s*(?:\w+ )?"
        r"(?:steps|epochs|updates|iterations|classes|labels|GPUs|TPUs|devices)\b)"
    )
    if find(_EACH_STEP, near) or find(_STEPS_OF, context.before) or _batch_before(near):
        return Role("global_batch", unit, words=words)
    if find(_TOKENS_OF_BATCH, context.before) and not find(r"^[^.;]{0,20}\b(?:corpus|data|in (?:total|all))\b", tail):
        return Role("global_batch", unit, words=words)
    if find(r"(?:validation|test|held-?out|evaluat\w+|benchmark)[^.;,]{0,40}$", near) or find(
        r"^\s*(?:of|from) the (?:\w+ )?(?:validation|test)", tail
    ):
        return Role("", why="data of an evaluation")
    if _is_corpus(context):
        return Role("corpus", unit, tail=length_of(rf"^(?:-|\s)*(?:\w+ )?{_DATA}", tail), words=words)
    if find(r"buffer|replay|memory", f"{near} {tail[:40]}"):
        return Role("", why="the size of a memory")
    if find(r"\btrain\w*\s+(?:\w+\s+){0,2}for\s*$", near):
        return Role("samples", unit, words=words)
    is_seen = find(_SEEN, near) is not None and find(r"\bon (?:the )?$", near) is None  # 9B samples seen on 2B pairs
    if is_seen or find(_AFTER_SEEN, tail) or words & {"total"} or find(_SEEN, tail[:24]):
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


def frames_role(context: Context) -> Role:
    """Frames that an agent saw."""
    if find(
        r"most recent|buffer|replay|memory|stack|skip", f"{context.modifiers} {context.tail[:30]} {context.near}"
    ) and not find(_SEEN, context.near):
        return Role("", why="frames of a memory")
    if find(r"^\s*(?:/|per )", context.tail):
        return Role("", why="a rate")
    return Role("frames", "frames")


_HELD_OUT = (
    r"^\s*of (?:[^.;,]|[.,]\d){0,60}\b(?:for|as) (?:a |the |our )?(?:validation|evaluation|test|held[- ]out|dev)"
)
"""After a share of the data that is not trained on."""


def percent_role(context: Context) -> Role | None:
    """Utilization, or a share of a mixture or of the data."""
    if find(
        r"^\s*(?:\w+ )?(?:MFU|HFU|model flops? utili[sz]ation|(?:model |hardware |GPU )?(?:FLOPs? )?utili[sz]ation)",
        context.after,
    ):
        until = length_of(r"^\s*(?:\w+ ){0,3}?(?:MFU|HFU|utili[sz]ation)", context.after)
        return Role("mfu", "", tail=until - (context.noun.end() if context.noun is not None else 0))
    of_training = (
        r"^\s*(?:of (?:it|them|the data|these) )?(?:is |are )?(?:used )?(?:for|"
        r"as|in) (?:the )?train|^\s*(?:the )?train(?:ing)?[- ](?:split|set|"
        r"data)"
    )
    if find(of_training, context.after):
        return Role("training_share", "")
    if find(r"^\s*of (?:the |its |their )?(?:theoretical )?(?:peak\b|\d[\d.,]*\s?[A-Za-z]{0,4}-?FLOP)", context.after):
        return Role("mfu", "")
    if find(_HELD_OUT, context.after):
        return Role("held_out_share", "")
    is_share = find(r"^\s*(?:of the |from |are |is )?[A-Za-z(]", context.after) is not None
    of_results = find(r"accura|score|faster|fewer|improv|top-1", context.after[:40]) is not None
    if is_share and not of_results and find(_MIXTURE, context.sentence):
        return Role("mixture_share", "of the samples", tail=length_of(r"^\s*(?:of the )?[\w-]+", context.tail))
    return None

"""The words of the field that say what a number counts: nouns after it, keys before it, and what it is not.

Names of groups are categories; `roles` makes roles of them. Each list holds English first, then Chinese, Japanese,
Korean, German and French.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

__all__ = ["NODES_OF", "after_number", "before_number", "device_name", "find", "is_about_training", "is_noun"]

_DEVICE_NAME = (
    r"(?:(?:NVIDIA|Nvidia|nvidia|AMD|Google|Cloud|Tesla|Intel|AWS|Huawei)\s+)*(?:\d+\s?GB\s+)?"
    r"(?:TPU[ -]?(?:Pods?\s+)?[vV]\d\w?(?:-\d+)?|(?:DGX[ -]?)?(?:[AHVPLBK]\d{2,4}[A-Z]?|"
    r"T4|L4|G[BH]200|MI\d{2,3}[AX]?|[RG]TX ?[A-Z]?\d{4}(?: Ti)?"
    r"|Gaudi ?\d?|Trainium\d?|Ascend ?\w+))(?:[- ](?:\d+\s?GB?|SXM\d?|PCIe|NVL))*s?(?![\w])"
)
_DEVICE_WORD = (
    r"(?:GPUs?|TPUs?|NPUs?|gpus?|tpus?|accelerators?|chips?|cores?|devices?|"
    r"workers?|ranks?|显卡|卡(?!时)|장치|デバイス|Grafikkarten?|cartes?)(?![\w-])"
)
NODES_OF = r"(?=\d{1,2}-(?:GPU|TPU)\s(?:nodes?|machines?|hosts?|servers?)\b)"
"""Before machines that are called after the devices in them: `two 8-GPU servers`."""
_MEASURE = r"(?:\s*(?:个|個|张|張|枚の?|台の?|块|塊|条|條|件|次|개의?|장의?|대의?|つの|個の|本の|篇))?"

_PREFIX = r"(?:(?:[KMGTPEZY]-?|(?:kilo|mega|giga|tera|peta|exa|zetta|yotta)[- ]?))?"

NOUNS: Mapping[str, str] = {
    "device_time": (
        rf"(?:{_DEVICE_NAME}[\s-]+)?(?:{_DEVICE_NAME}|GPU|TPU|NPU|gpu|device|"
        rf"chip|core|node|accelerator|compute)[\s-]*(?:hours?|days?|years?|h\b)|(?:GPU|"
        rf"卡)\s?(?:小时|時間|시간)|GPU-?Stunden|GPU-?Tagen?|计算时|卡时|heures?[- ]GPU"
    ),
    "node": (
        rf"(?:(?:{_DEVICE_NAME}|DGX[- ]?\d)[\s-]+)?(?:nodes?|machines?|hosts?|servers?|pods?|节点|節點|ノード|노드|"
        r"Knoten|n(?:œ|oe)uds?)(?![\w-])|DGX[- ]?(?:[AHB]\d00|[12])s?(?![\w-])"
    ),
    "device": rf"(?:{_DEVICE_NAME}(?:[\s-]+(?:\d+\s?GB\s+)?{_DEVICE_WORD})?|{_DEVICE_WORD})",
    "flop_days": r"(?:PF|PFLOPs?|petaflops?)(?:\s?/\s?s)?[- ]?days?(?!\w)",
    "flop_rate": (
        rf"{_PREFIX}FLOPs?(?:\s?/\s?(?:GPU|TPU|chip|device))?(?:\s?/\s?s(?:ec(?:ond)?)?|\s?per second|ps)"
        r"(?:\s?/\s?(?:GPU|TPU|chip|device))?(?!\w)"
    ),
    "flop": rf"{_PREFIX}FLO(?:P|PS|Ps|s)?(?![\w])|floating[- ]point operations",
    "parameter": r"(?:param(?:eter)?s?|Parametern?|paramètres|参数|參數|パラメータ|파라미터|매개변수)(?![\w])",
    "outer": r"(?:rounds?|outer (?:steps?|iterations?|loops?))(?!\w)",
    "micro": (
        r"(?:(?:gradient[- ])?accumulat(?:ion|ed|ive)(?:[- ](?:steps?|iterations?|"
        r"(?:micro|mini)-?batches|gradients))?|micro[- ]?(?:steps?|batches)|"
        r"累积步|勾配累積ステップ|누적 스텝)(?!\w)"
    ),
    "ambiguous": r"(?:image|sample|sequence|frame)[ -](?:iterations?|steps?)(?!\w)",
    "step": (
        r"(?:steps?|updates?|iterations?|iters?|it(?=\s?/\s?s)|Schritten?|Iterationen|Updates|"
        r"étapes|pas|itérations|步|次迭代|迭代|스텝|스탭|ステップ|イテレーション|反復)(?![A-Za-z-])"
    ),
    "epoch": r"(?:epoch(?:e?s)?|passes|Epochen?|époques|轮|輪|个?周期|에폭|에포크|エポック)(?![A-Za-z-])",
    "token": (
        r"(?:tokens?|sub-?words?|word-?pieces?|pieces|positions|jetons|文本标识符|标识符|词元|詞元|토큰|トークン)"
        r"(?![A-Za-z])"
    ),
    "word": r"(?:words?|Wörtern?|mots|单词|词|詞|단어|単語|語)(?![A-Za-z])",
    "frame": r"(?:frames?|environment (?:steps?|interactions?)|env(?:ironment)?[- ]steps?|timesteps?)(?!\w)",
    "sample": (
        r"(?:(?:image-text |text-image |image-caption |caption |sentence )pairs|"
        r"sequences?(?![- ](?:length|len|window))|samples?|examples?|images?|videos?|clips?|segments?|instances?|"
        r"rows?|records?|documents?|sentences?|utterances?|prompts?|dialog(?:ue)?s|instructions|"
        r"articles|data ?points?|pairs|conversations?|recordings?|molecules|"
        r"proteins|Sequenzen|Beispielen?|Bildern?|Proben|exemples|séquences|"
        r"échantillons|样本|樣本|实例|實例|序列|图片|图像|图|例|샘플|시퀀스|이미지|문장|サンプル|シーケンス|"
        r"画像|文)(?![A-Za-z])"
    ),
    "batch": r"(?:(?:mini-?)?batch(?:es|[- ]sizes?)?|批次|배치|バッチ|Batches|lots)(?![A-Za-z])",
    "byte": r"(?:[KMGTP]i?B|(?:kilo|mega|giga|tera)?bytes?|文件)(?!\w)",
    "times": r"times(?!\w)",
    "length": r"(?:context|sequence)(?:[- ](?:length|window|size))?(?!\w)",
    "time": (
        r"(?:hours?|hrs?|h|d(?=\s*\d+\s?h|\s*$)|days?|weeks?|months?|years?|minutes?|mins?|seconds?|"
        r"s(?=\s*(?:/|per )\s*(?:step|it|update))|secs?|"
        r"小时|小時|天|个月|個月|周|時間|日間|日|시간|일|Stunden?|Tagen?|Wochen?|Monaten?|"
        r"heures?|jours?|semaines?|mois)(?![A-Za-z])"
    ),
    "model": r"(?:(?:language |dense |base |chat |MoE )*(?:models?|LLMs?|LMs?|transformers?|networks?))(?!\w)",
}
"""What stands after a number. The order matters: the first that matches is taken."""

_STOP = (
    r"of|in|on|with|and|or|per|at|for|to|the|a|an|that|which|than|over|"
    r"each|every|into|about|by|as|is|are|was|were|from|so|"
    r"takes?|took|we|it|its|both|until|after|before|when|while|then|not|"
    r"yields?|gives?|und|mit|auf|für|der|die|das|et|sur|avec|de|x|i\.e|"
    r"e\.g|using|via|through|across|having|including|giving|making|"
    r"processing|running|accumulating|taking|yielding|reaching|consuming|seeing"
)
_MODIFIERS = rf"(?:(?!(?:{_STOP})\b)[A-Za-zÀ-ÿ][\w'./-]*\s+){{0,3}}?"
"""Up to three words between a number and its noun: `500 training steps`, `1,500 random batches`."""

KEYS: Mapping[str, str] = {
    "other": (
        r"(?:learning[- ]rate|\blr|warm-?up(?:[- _]\w+)*|weight[- ]decay|dropout(?: rate)?|"
        r"momentum|temperature|seed|vocab(?:ulary)?(?:[- ]size)?|patch(?:[- ]size)?|"
        r"resolution|hidden(?:[- ](?:size|dim\w*))?|embedding\w*(?:[- ]\w+)?|"
        r"layers?|heads?|rank|accuracy|perplexity|loss|score|FID|BLEU|top-[1kp]|"
        r"patience|version|threshold|label smoothing|clip\w*|norm|decay|Wert|"
        r"Lernrate|taux d'apprentissage|学习率|學習率|学習率|학습률|interval|frequency|"
        r"alpha|beta|epsilon|lambda|(?:total[- _])?(?:eval\w*|val(?:idation)?|test)[- _]batch(?:[- _]?size)?|"
        r"page|chapter|"
        r"section|figure|fig\.|table|tab\.|eq\.|equation|appendix)"
    ),
    "accumulation": (
        r"(?:\bga\b|grad_acc|gradient[- _]?accum\w*(?:[- _]steps?)?|accumulat\w*(?:[- _]steps?|"
        r"(?: gradients)?(?: over| for)?)?|grad[- _]?accum\w*(?:[- _]steps?)?|"
        r"梯度累[积計计](?:步数)?|累积步数|勾配累積(?:ステップ数?)?|(?:그래디언트|기울기) 누적(?: 스텝)?|"
        r"Gradienten-?[Aa]kkumulation(?:sschritte)?|"
        r"accumulation de gradients?)"
    ),
    "per_device": (
        r"(?:per[- _](?:device|gpu|core|chip|tpu|rank|worker|node)[- _]?(?:train[- _]?)?(?:mini-?)?"
        r"(?:batch(?:[- _]?size)?)?|"
        r"(?:micro|local|device)[- _]?(?:train[- _]?)?batch(?:[- _]?size)?|"
        r"batch(?:[- _]?size)? (?:per|on each|for each|on a single|of each) (?:device|"
        r"gpu|GPU|core|chip|TPU|rank|worker)|train_batch_size|mbs|MBS|GPU 上的批次大小|"
        r"(?:单卡|每卡|每张卡|每个 ?GPU|每张 ?GPU)[^，。；]{0,6}批次?大小|GPU ?당 ?배치 ?(?:크기|"
        r"사이즈)|GPU ?あたりの?バッチサイズ|Batchgröße pro GPU|taille de (?:lot|batch) par GPU)"
    ),
    "batch": (
        r"(?:(?:global|effective|total|overall|train(?:ing)?|mini|full|target|"
        r"real|combined)[- _]*)*(?:batch(?:es)?(?:[- _]?sizes?)?|GBS|gbs|"
        r"bs|BS|minibatch(?:es)?)|全局批次大小|批次大小|批量大小|批大小|批量|(?:글로벌 ?|전체 ?)?배치 ?(?:크기|"
        r"사이즈)?|(?:グローバル)?バッチサイズ|(?:effektive |globale )?Batch-?[Gg]röße|"
        r"taille de (?:lot|batch)"
    ),
    "length": (
        r"(?:(?:(?:model[- _])?max(?:imum|imal)?[- _]*)?(?:sequence|context|input|seq|block)[- _]*(?:length|"
        r"len|window|size)s?|(?:max_)?seq_?len(?:gth)?|(?<![\w-])lengths?|model_max_length|cutoff[- _]len(?:gth)?|"
        r"context(?: window)?|seq_length|n_ctx|序列长度|上下文长度|长度|시퀀스 ?길이|문맥 ?길이|"
        r"シーケンス長|系列長|コンテキスト長|Sequenzlänge|Kontextlänge|longueur(?: de (?:séquence|"
        r"contexte))?)"
    ),
    "steps": (
        r"(?:(?:max|num|n|total|train(?:ing)?|optimizer)[- _]*)*(?:steps|updates|"
        r"iterations|iters)|训练步数|步数|総?ステップ数|스텝 ?수|Schritte|迭代次数"
    ),
    "epochs": r"(?:(?:num|total|train(?:ing)?|max)[- _]*)*epochs|训练轮数|轮数|エポック数|에폭 ?수|Epochen|époques",
    "epoch": r"epoch|step|iteration",
    "tokens": r"(?:(?:token|training) budget|tokens(?: seen| trained)?|total tokens|训练量|训练数据量|"
    r"token ?数|토큰 ?수|トークン数)",
    "parallel": (
        r"(?:(?:tensor|pipeline|model|context|expert)[- ]?(?:model[- ]?)?parallel(?:ism)?(?:[- _](?:degree|size))?"
        r"|\b(?:TP|PP|CP|EP)(?=\s?=|\s?\d))"
    ),
    "samples": r"(?:samples seen|total samples|samples drawn|images seen)",
    "devices": (
        r"(?:(?:FSDP|HSDP|DDP|DP|data[- ]?parallel\w*|ZeRO)[- ]+(?:degree|size)|"
        r"data[- ]?parallel(?:ism)?|\bDP(?==)|world[- _]?size|(?:number of |num_?)(?:GPUs|gpus|devices|"
        r"accelerators|TPUs|chips)|n_gpus|GPUs|nproc_per_node)"
    ),
    "nodes": r"(?:number of |num_?)(?:nodes|machines)|nnodes|Nodes",
    "active": r"(?:active|activated) (?:parameters|params)",
    "parameters": (
        r"(?:(?:number of |total |trainable )?(?:parameters|params|Params|"
        r"Parameters)|model size|参数量|参数|パラメータ数|파라미터 ?수|Parameterzahl)"
    ),
    "corpus": (
        r"(?:(?:corpus|dataset|data set|training set|train set|training data|"
        r"data)(?: size|(?: train(?:ing)?)? tokens)?|size of the (?:\w+ )?(?:corpus|data ?set|data|set)|"
        r"num(?:ber of )?_?(?:train_?)?examples|语料(?:库)?|"
        r"数据集|データセット|데이터셋|말뭉치|Datensatz|Korpus|corpus d'entraînement)"
    ),
    "examples": (
        r"(?:len\(\w+\)|(?:num(?:ber of)?[_ ])?(?:train(?:ing)?[_ ])?(?:examples|samples|images|sequences|rows)"
        r"|(?:train(?:ing)? |data ?)set)"
    ),
    "utilization": r"(?:MFU|HFU|(?:model (?:FLOPs?|flops?) )?utili[sz]ation)",
    "hours": r"(?:(?:training|wall[- ]?clock|total) time|Trainingszeit|训练时间|durée)",
}
"""What stands before a number, with a link such as `of`, `is`, `=` or nothing between."""

_LINK = (
    r"(?:of size|of|is|was|are|were|to|at|as|=|:|equals?|equal to|set to|fixed (?:at|to)|"
    r"(?:limited|restricted|truncated|clipped|padded) to|capped at|(?:kept|held)(?: constant)? at|"
    r"reaches|reached|becomes|which is|von|ist|beträgt|de|est|à|为|是|约|"
    r"は|が|を|은|는|이|가|으로)"
)
_LINKS = rf"(?P<link>[\s'\"|]*(?:{_LINK}[\s'\"|]*){{0,3}})"

_TRAINING = (
    r"(?i)train|tun(?:e|ing|ed)\b|learn|optimi[sz]|gradient|\bGPUs?\b|"
    r"\bTPUs?\b|[AHV]100|tokens?\b|checkpoint|corpus|dataset"
    r"|\bparam(?:eter)?s\b|accelerators?\b|passes over|context (?:window|length)|FLOPs?\b|\bsteps?\b|"
    r"sequences?\b|mini-?batch|batch[- _]size|model|tfrecord|samples?\b|"
    r"GBS|epochs? (?:over|of|on)|训练|學習|学習|学习|학습|학습한다"
    r"|trainier|Lernen|entraîn|apprent|参数|批次|ステップ|迭代|标识符|iteration|videos|agent"
)


def find(pattern: str, text: str) -> re.Match[str] | None:
    """Search a text for a pattern of the lexicon, in any case."""
    return _compiled(pattern).search(text)


@cache
def _compiled(pattern: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(pattern, flags)


@cache
def after_number() -> re.Pattern[str]:
    """A noun after a number: a group for each category, and `modifiers` before it."""
    nouns = "|".join(f"(?P<{name}>{pattern})" for name, pattern in NOUNS.items())
    return re.compile(
        (
            rf"(?P<hyphen>-)?\s*(?:[x×*]\s*(?={_DEVICE_NAME}|{_DEVICE_WORD}))?{_MEASURE}\s*(?:de\s+|"
            rf"d')?(?P<modifiers>{_MODIFIERS})(?:{nouns})"
        ),
        re.IGNORECASE,
    )


def is_noun(text: str, at: int) -> bool:
    """Whether a noun of the field stands at a place, after a number that is a word: `three epochs`."""
    return _any_noun().match(text, at) is not None


@cache
def _any_noun() -> re.Pattern[str]:
    nouns = "|".join(NOUNS[name] for name in ("device", "node", "step", "epoch", "micro", "time"))
    return re.compile(rf"\s+(?:{_MODIFIERS}(?:{nouns})|{NODES_OF})", re.IGNORECASE)


@cache
def before_number() -> re.Pattern[str]:
    """A key at the end of the text before a number: a group for each category, and the `link` between."""
    keys = "|".join(f"(?P<{name}>{pattern})" for name, pattern in KEYS.items())
    return re.compile(rf"(?<![A-Za-z_])(?:{keys})(?:\s*\([^()\d]{{0,60}}\))?{_LINKS}$", re.IGNORECASE)


def device_name(text: str, at: int) -> bool:
    """Whether a name of a device stands at a place."""
    return _compiled(_DEVICE_NAME, 0).match(text, at) is not None


def is_about_training(text: str) -> bool:
    """Whether a text is about training at all: an epoch is also a stretch of a sleep recording."""
    return _compiled(_TRAINING).search(text) is not None

"""Sentences made of random claims in the patterns of the field are read back, whatever their order and wording."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.audit.sentence.audited import audit_text_of
from dist_epochs.audit.sentence.reader import read_text

ABOUT = ("", "about ", "approximately ", "~", "roughly ", "around ")
PATTERNS = {
    "steps": ("{} steps", "{} optimizer steps", "{} training steps", "{} updates", "{} iterations"),
    "global_batch": (
        "a batch size of {}",
        "a global batch size of {}",
        "batches of {} sequences",
        "an effective batch size of {} sequences",
        "{} sequences per batch",
        "a batch of {} samples",
        "batch_size={}",
        "{} samples per step",
        "{}-sample batches",
    ),
    "sequence_length": (
        "a sequence length of {}",
        "sequence length {}",
        "a context length of {} tokens",
        "a context window of {}",
        "a maximum sequence length of {} tokens",
        "seq_len={}",
    ),
    "tokens": ("{} tokens", "{} training tokens", "{} tokens in total"),
    "epochs": ("{} epochs", "{} training epochs", "{} passes over the data"),
    "devices": (
        "{} GPUs",
        "{} A100 GPUs",
        "{} NVIDIA H100 80GB GPUs",
        "{}xA100",
        "{} × H100",
        "{} TPU v4 chips",
        "{} accelerators",
    ),
    "parameters": ("{} parameters", "a {} model", "{} params"),
    "corpus": ("a corpus of {} tokens", "a {} token corpus", "a dataset of {} tokens"),
    "gradient_accumulation": ("gradient accumulation of {}", "{} accumulation steps", "gradient_accumulation_steps={}"),
    "per_device": (
        "a batch size of {} per GPU",
        "a per-device batch size of {}",
        "a micro-batch size of {}",
        "{} samples per GPU",
    ),
    "device_hours": ("{} GPU hours", "{} A100 GPU-hours"),
    "flops": ("{} FLOPs",),
}
NOISE = (
    "a learning rate of 3e-4",
    "a warmup of 2,000 steps",
    "weight decay 0.1",
    "24 layers",
    "a dropout of 0.1",
    "the AdamW optimizer",
    "β2 = 0.95",
    "temperature 0.7",
    "bf16 precision",
    "GPT-3 as the baseline",
    "a vocabulary size of 50,257",
    "Table 4",
)
HEADS = ("We train with ", "Training uses ", "Our model was trained with ", "Pretraining ran with ", "All runs use ")
JOINTS = (", ", " and ", "; it also has ", ", with ", ". We use ")


def scaled(value):
    """Spellings of a whole number: in full, with commas, and with a scale where that is exact."""
    found = {str(value), f"{value:,}"}
    for letter, word, size in (
        ("K", "thousand", 10**3),
        ("M", "million", 10**6),
        ("B", "billion", 10**9),
        ("T", "trillion", 10**12),
    ):
        if value % (size // 100) == 0 and value >= size and value < 10**4 * size:
            digits = f"{value / size:.10g}"
            found |= {
                f"{digits}{letter}",
                *([f"{digits} {word}"] if size > 1000 else []),
                *([f"{digits}k"] if letter == "K" else []),
            }
    return sorted(found)


FLOWING = {
    "steps": ("for {} steps", "over {} optimizer steps", "during {} updates", "in {} iterations"),
    "global_batch": (
        "with a batch size of {}",
        "at batch size {}",
        "using batches of {} sequences",
        "with {} samples per step",
    ),
    "sequence_length": ("at sequence length {}", "with a context of {} tokens", "at a context length of {}"),
    "tokens": ("for {} tokens", "for {} training tokens"),
    "epochs": ("for {} epochs",),
    "devices": ("on {} GPUs", "using {} A100s", "on {} H100 GPUs", "with {} V100 GPUs", "on {} TPU v3 cores"),
    "corpus": ("on a corpus of {} tokens", "on a dataset of {} tokens"),
    "parameters": ("with {} parameters",),
    "gradient_accumulation": ("with gradient accumulation of {}", "accumulating gradients over {} steps"),
    "per_device": ("with a per-device batch size of {}", "with {} samples per GPU"),
}
LANGUAGES = {
    "zh": (
        "我们训练模型：",
        "，",
        {
            "steps": ("训练 {} 步", "共 {} 步"),
            "global_batch": ("批次大小为 {}", "批量大小 {}"),
            "sequence_length": ("序列长度为 {}",),
            "epochs": ("训练 {} 轮",),
            "tokens": ("共 {} token",),
            "devices": ("使用 {} 张 A100 GPU", "{} 块 GPU"),
            "parameters": ("参数量 {}",),
        },
    ),
    "ja": (
        "モデルを学習した：",
        "、",
        {
            "steps": ("{} ステップ", "{}ステップ学習"),
            "global_batch": ("バッチサイズは {}", "バッチサイズ {}"),
            "sequence_length": ("系列長 {}", "シーケンス長は {}"),
            "epochs": ("{} エポック",),
            "tokens": ("{} トークン",),
            "devices": ("{} 台の GPU", "{}GPU"),
        },
    ),
    "ko": (
        "모델을 학습했다: ",
        ", ",
        {
            "steps": ("{} 스텝", "{} step"),
            "global_batch": ("배치 크기 {}", "배치 크기는 {}"),
            "sequence_length": ("시퀀스 길이 {}",),
            "epochs": ("{} 에폭",),
            "tokens": ("{} 토큰",),
            "devices": ("{}개의 GPU",),
        },
    ),
    "de": (
        "Das Modell wurde trainiert: ",
        ", ",
        {
            "steps": ("{} Schritte", "in {} Schritten"),
            "global_batch": ("mit einer Batchgröße von {}",),
            "sequence_length": ("Sequenzlänge {}", "Kontextlänge von {}"),
            "epochs": ("{} Epochen lang", "für {} Epochen"),
            "tokens": ("{} Tokens",),
            "devices": ("auf {} GPUs", "auf {} A100-GPUs"),
        },
    ),
    "fr": (
        "Le modèle est entraîné : ",
        ", ",
        {
            "steps": ("{} étapes", "pendant {} itérations"),
            "global_batch": ("avec une taille de lot de {}",),
            "sequence_length": ("longueur de séquence de {}",),
            "epochs": ("{} époques", "pendant {} époques"),
            "tokens": ("{} tokens", "sur {} tokens"),
            "devices": ("sur {} GPU", "sur {} A100"),
        },
    ),
}
"""Beginning, joint and patterns of other languages."""

SIZES = {
    "steps": st.integers(2, 999).map(lambda number: number * 1000) | st.integers(1001, 99999),
    "global_batch": st.sampled_from([16, 64, 96, 256, 512, 1000, 1024, 2048, 4096, 8192]),
    "sequence_length": st.sampled_from([128, 384, 512, 1024, 2048, 4096, 8192]),
    "tokens": st.integers(1, 9999).map(lambda number: number * 10**9),
    "epochs": st.integers(2, 600),
    "devices": st.integers(2, 4096),
    "parameters": st.integers(1, 700).map(lambda number: number * 10**9),
    "corpus": st.integers(1, 9999).map(lambda number: number * 10**8),
    "gradient_accumulation": st.integers(2, 64),
    "per_device": st.integers(1, 128),
    "device_hours": st.integers(100, 9_000_000),
    "flops": st.integers(1, 99).map(lambda number: number * 10**22),
}


@st.composite
def claims(draw):
    """A sentence, and the role and value of each of its facts, in order."""
    roles = draw(st.lists(st.sampled_from(sorted(PATTERNS)), unique=True, min_size=2, max_size=6))
    text, facts = draw(st.sampled_from(HEADS)), []
    noise = draw(st.lists(st.sampled_from(NOISE), unique=True, max_size=2))
    pieces = [*roles, *noise]
    for at, piece in enumerate(draw(st.permutations(pieces))):
        text += draw(st.sampled_from(JOINTS)) if at else ""
        if piece in NOISE:
            text += piece
            continue
        value = draw(SIZES[piece])
        pattern = draw(st.sampled_from(PATTERNS[piece]))
        if piece == "flops":
            spelling = f"{int(value):.2e}"
        elif piece == "devices":
            spelling = str(value)  # nobody writes 1.44KxA100
        else:
            spelling = draw(st.sampled_from(scaled(value)))
        is_rough = piece not in ("devices", "global_batch", "per_device", "parameters") and pattern.startswith("{}")
        text += pattern.format((draw(st.sampled_from(ABOUT)) if is_rough else "") + spelling)
        facts.append((piece, Fraction(value)))
    return f"{text}.", facts


@st.composite
def flowing_claims(draw):
    """A sentence without commas."""
    roles = draw(st.lists(st.sampled_from(sorted(FLOWING)), unique=True, min_size=2, max_size=5))
    facts = [(role, Fraction(draw(SIZES[role]))) for role in roles]
    words = [
        draw(st.sampled_from(FLOWING[role])).format(draw(st.sampled_from(scaled(int(value))))) for role, value in facts
    ]
    return f"{draw(st.sampled_from(('We train', 'The model is trained', 'We pretrain it')))} {' '.join(words)}.", facts


@st.composite
def foreign_claims(draw):
    """A sentence in another language."""
    head, joint, patterns = LANGUAGES[draw(st.sampled_from(sorted(LANGUAGES)))]
    roles = draw(st.lists(st.sampled_from(sorted(patterns)), unique=True, min_size=2, max_size=5))
    facts = [(role, Fraction(draw(SIZES[role]))) for role in roles]
    words = [draw(st.sampled_from(patterns[role])).format(int(value)) for role, value in facts]
    return head + joint.join(words), facts


@settings(max_examples=300, deadline=None)
@given(claims() | flowing_claims() | foreign_claims())
def test_claims_are_read_back(claim):
    text, facts = claim
    found = [(fact.role, fact.numeral.value) for fact in read_text(text).facts]
    assert found == facts, text


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(3, 900),
    batch=st.sampled_from([64, 256, 512, 1000]),
    length=st.sampled_from([128, 512, 2048]),
    times=st.sampled_from([1, 3, 7]),
    order=st.permutations(range(4)),
)
def test_what_adds_up_is_consistent_and_what_does_not_is_not(steps, batch, length, times, order):
    pieces = [
        f"{steps}K steps",
        f"a global batch size of {batch} sequences",
        f"sequence length {length}",
        f"{steps * 1000 * batch * length * times:,} tokens in total",
    ]
    verdict = str(audit_text_of(f"We train with {', '.join(pieces[at] for at in order)}.").audit.verdict)
    assert (verdict == "consistent") is (times == 1), verdict


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789,.KMB%~×*=()/-$ \n\\^_abxtokensepochGPU步万个", max_size=80) | st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    if text.strip():
        found = audit_text_of(text)
        for fact in found.reading.facts:
            assert text[fact.start : fact.end] == fact.text

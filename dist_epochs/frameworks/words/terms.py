"""The words that `dist-epochs explain` defines, and what this project means by each."""

from __future__ import annotations

from dataclasses import dataclass

from dist_epochs.frameworks.words.entry import spelled
from dist_epochs.names import folded

__all__ = ["TERMS", "Term", "find_term"]


@dataclass(frozen=True, slots=True)
class Term:
    """A word.

    Attributes:
        name: The word, as topics are written.
        word: Its key in each system's words.
        here: What it means in this project.
        also: Other words for it, in other languages too.
    """

    name: str
    word: str
    here: str
    also: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and the other words for it."""
        return (self.name, *self.also)


TERMS: tuple[Term, ...] = (
    Term(
        "step",
        "step",
        "an optimizer update, over all devices. Two uses stand in texts: steps per epoch, and in all.",
        ("update", "optimizer step", "training step", "parameter update", "weight update", "步", "步数", "步數",
         "步骤", "训练步", "스텝", "스텝 수", "스탭", "단계", "갱신", "ステップ", "ステップ数"),
    ),
    Term(
        "iteration",
        "iteration",
        "not used: it means an update in some places and a batch of an epoch in others.",
        ("iter", "迭代", "迭代次数", "迭代次數", "이터레이션", "이터레이션 수", "반복", "반복 횟수",
         "イテレーション", "イテレーション数", "イテレーション回数", "反復", "反復回数", "繰り返し"),
    ),
    Term(
        "epoch",
        "epoch",
        "samples trained ÷ samples of the corpus: any fraction, added over phases and sources.",
        ("轮", "轮次", "轮数", "輪", "周期", "週期", "训练轮次", "训练轮数", "训练周期", "世代", "回合", "에폭",
         "에포크", "에폭 수", "에포크 수", "에포치", "エポック", "エポック数"),
    ),
    Term(
        "batch-size",
        "batch size",
        "the global batch: samples of one step over all devices and micro-steps.",
        ("batch", "bs", "批", "批大小", "批尺寸", "批量", "批量大小", "批次", "批次大小", "批處理大小",
         "批处理大小", "배치", "배치 크기", "배치 사이즈", "배치사이즈", "バッチ", "バッチサイズ",
         "バッチの大きさ"),
    ),
    Term(
        "batches",
        "number of batches",
        "a pass has samples ÷ global batch of them; they run on across passes.",
        ("number of batches", "批数", "批次数", "批次數", "배치 수", "배치 개수", "バッチ数"),
    ),
)  # fmt: skip


def find_term(name: str) -> Term | None:
    """The term of a topic, in any case, number and language; None if it is none.

    Examples:
        >>> find_term("Batch_Size").name, find_term("배치크기").name, find_term("batches").name, find_term("walrus")
        ('batch-size', 'batch-size', 'batches', None)
    """
    exact = next((term for term in TERMS if folded(name) in map(folded, term.names)), None)
    return exact or next((term for term in TERMS if spelled(name) in map(spelled, term.names)), None)

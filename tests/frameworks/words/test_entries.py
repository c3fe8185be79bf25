"""Every word that people look up has its page, in any spelling and language, and is the glossary's."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.explain import rule_pages
from dist_epochs.cli.main import main
from dist_epochs.frameworks.words.entries import ENTRIES, find_entry
from dist_epochs.frameworks.words.entry import spelled
from dist_epochs.frameworks.words.glossary import GLOSSARY
from dist_epochs.frameworks.words.terms import TERMS, find_term

GLOSSARY_FILE = Path(__file__).parents[3] / "docs" / "words.md"


def explain(*arguments, code=0):
    result = CliRunner().invoke(main, ["explain", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout if code == 0 else result.stderr)


@pytest.mark.parametrize(
    "word",
    ["mini-batch", "token", "sgd", "gradient-accumulation", "warm-up", "mfu", "goodput", "packing", "total_flos",
     "world-size", "rank", "micro-batch", "effective-batch-size", "learning-rate", "learning-rate-schedule",
     "chinchilla",
     "flops", "hfu", "max_steps", "global_step", "max_iter", "steps-per-epoch", "padding", "sequence-length", "sample",
     "checkpoint", "data-parallel", "tensor-parallel", "throughput", "global-batch", "gradient-descent", "shuffling"],
)  # fmt: skip
def test_words_of_the_field_have_a_page_with_numbers(word):
    page = explain(word)
    assert page["topic"] == word
    assert page["text"].startswith(f"{word}: ")
    assert len(page["text"].splitlines()) < 12
    assert word in ("sample", "learning-rate") or re.search(r"\d", page["text"])


def glossary_of_the_docs():
    """Each row: its words, and what they mean without links and references."""
    text = GLOSSARY_FILE.read_text(encoding="utf-8").partition("## The same words elsewhere")[0]
    for words, meaning in re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE):
        if words != "word" or meaning != "meaning":
            meaning = re.sub(r" \(\[[^\]]+\]\([^)]+\)\)", "", meaning)
            yield [word.strip("`") for word in words.split(", ")], re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", meaning)


def test_the_glossary_of_the_docs_is_what_explain_says():
    rows = list(glossary_of_the_docs())
    told = {entry.name: entry.meaning for entry in GLOSSARY}
    assert {words[0].replace(" ", "-"): meaning for words, meaning in rows if words[0] not in ("step", "epoch")} == told
    for words, _ in rows:
        for word in words:
            assert find_term(word) or find_entry(word), word


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("step", "step Steps STEP update 스텝 步 步数 步數 ステップ ｽﾃｯﾌﾟ ステップ数"),
        ("iteration", "Iterations iter 이터레이션 반복 迭代 迭代次数 イテレーション 反復 反復回数"),
        ("epoch", "Epoch EPOCHS 에폭 에포크 轮 轮次 周期 週期 エポック エポック数"),
        (
            "batch-size",
            "batch_size Batch-Size batchsize batch 배치크기 배치 批大小 批量大小 批次 批次大小 バッチサイズ",
        ),
        ("batches", "batches number_of_batches 批次数 バッチ数"),
        ("mini-batch", "minibatch Mini-Batches 미니배치 小批量 ミニバッチ"),
        ("gradient-accumulation", "gradient_accumulation_steps 梯度累积 勾配蓄積"),
        ("token", "Tokens 토큰 词元 トークン"),
        ("warm-up", "warmup warmup_steps WarmUp"),
        ("learning-rate", "lr 학습률 学习率 学習率"),
    ],
)
def test_any_case_number_and_language(page, words):
    for word in words.split():
        assert explain(word)["topic"] == page, word


@pytest.mark.parametrize(
    ("page", "word"),
    [("batch-size", "배치 크기"), ("batch-size", "Batch Size"), ("gradient-accumulation", "그래디언트 누적"),
     ("step", "스텝 수"), ("epoch", "\u110b\u1166\u1111\u1169\u11a8"),
     ("warmup-beyond-the-run", "Warmup beyond_the run"),
     ("mini-batch", "ｍｉｎｉ－ｂａｔｃｈ")],
)  # fmt: skip
def test_words_of_several_parts_and_syllables_in_pieces(page, word):
    assert explain(word)["topic"] == page


def test_no_spelling_stands_for_two_pages():
    owners = {}
    for word in (*ENTRIES, *TERMS):
        for name in word.names:
            known = owners.setdefault(spelled(name), word.name)
            assert known == word.name or spelled(name) == "batch", name  # batch is a size, batches are a number
    assert not {spelled(rule) for rule in rule_pages()} & owners.keys()


def test_the_name_of_a_claim_leads_to_its_audit():
    (error,) = explain("BERT", code=2)["errors"]
    assert error["fixes"] == ["dist-epochs audit bert"]


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("iteratoin", "iteration"), ("foo", None), ("walrus", None), ("gradient acumulation", "gradient-accumulation"),
     ("even-batchs", "even-batches"), ("배치크키", "batch-size"), ("x" * 300, None), ("", None)],
)  # fmt: skip
def test_an_unknown_word_gets_the_three_nearest(word, nearest):
    (error,) = explain(word, code=2)["errors"]
    assert len(set(error["fixes"])) == 3
    assert nearest is None or error["fixes"][0] == nearest
    known = {*(each.name for each in (*TERMS, *ENTRIES)), *rule_pages()}
    assert set(error["fixes"]) <= known


def test_methods_have_pages_with_numbers():
    page = explain("sgd", "--examples", 100, "--epochs", 500)
    assert [row["updates"] for row in page["methods"]] == [500, 500, 500, 500, 50_000, 5_000]
    assert "student: an epoch is a pass" in page["text"]
    (error,) = explain("token", "--examples", 100, "--epochs", 500, code=2)["errors"]
    assert "mini-batch" in error["fixes"]


def test_all_topics_in_a_line_each():
    topics = explain()["topics"]
    assert {"step", "lane", "mfu", "even-batches"} <= topics.keys()
    assert all("\n" not in heading and heading for heading in topics.values())

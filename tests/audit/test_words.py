"""What a person reads has words where formulas have identifiers: `tokens per batch`, not `tokens_per_batch`."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import claim_names, find_claim
from dist_epochs.audit.sentence.audited import audit_text_of
from dist_epochs.cli.main import main
from dist_epochs.names import in_words
from dist_epochs.render.sentence import sentence_text
from dist_epochs.render.sentence_markdown import sentence_markdown

FOLDER = Path(__file__).parent / "sentence"
TEXTS = [
    each["text"]
    for name in ("sentences", "other_sentences", "published")
    for each in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
]


def identifiers(text):
    return set(re.findall(r"[a-z]\w*_\w+", text))


@pytest.mark.parametrize("show", [lambda found: sentence_text(found, full=True), sentence_markdown])
def test_sentences(show):
    shown = {text: identifiers(show(audit_text_of(text)).replace("\\_", "_")) for text in TEXTS}
    assert not {text: names for text, names in shown.items() if any(name not in text for name in names)}


@pytest.mark.parametrize(
    "text",
    [
        "We train with 4M tokens per batch for 100k steps, 100B tokens in all.",
        "Run 1 has 100k steps of 1M tokens (100B tokens); the second run has 50k steps of 4M tokens (100B tokens).",
        "Training on 1024 A100 GPUs with a peak of 312 TFLOPS each at 45% utilization takes 34 days: 4.2e24 FLOPs.",
    ],
)
def test_changes_that_would_close_a_contradiction(text):
    audit = audit_text_of(text).audit
    assert audit.suspects
    assert not identifiers(" ".join(suspect.told for suspect in audit.suspects))
    assert any("_" in suspect.name or " " in suspect.name for suspect in audit.suspects)


def test_claims():
    audits = [audit_claim(*find_claim(name)) for name in claim_names()]
    told = [suspect.told for audit in audits for suspect in audit.suspects]
    facts = {name for audit in audits for check in audit.readings[0].checks for name in check.facts}
    assert {name for name in facts if "_" in name}
    assert not identifiers(" ".join(told)) & facts
    for audit in audits:
        named = [source.split(": ")[0] for source in audit.sources if "/" not in source.split(": ")[0]]
        assert not identifiers(" ".join(named)) & facts
        assert not {check.how for check in audit.readings[0].checks} & facts


def test_the_table_of_a_mixture(tmp_path):
    table = tmp_path / "mix.csv"
    table.write_text(
        "source,share,tokens,epochs\nweb_crawl,50%,100B,1.5\nwiki-en,50%,50B,4\n书,0%,0B,0\n", encoding="utf-8"
    )
    output = CliRunner().invoke(main, ["audit", "--table", str(table), "--full"]).output
    assert "epochs of web crawl 1.5 → " in output.replace("\n", " ")
    assert "epochs_" not in output


@pytest.mark.parametrize(
    ("name", "words"),
    [("tokens_per_batch", "tokens per batch"), ("mfu", "MFU"), ("length_run_2", "length, run 2"), ("flops", "FLOPs")],
)
def test_names_in_words(name, words):
    assert in_words(name) == words

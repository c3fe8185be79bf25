"""A sentence for each shipped claim, in our own words (BERT's as it was printed): never a wrong accusation."""

import json
from pathlib import Path

import pytest

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import claim_names, find_claim
from dist_epochs.audit.sentence.audited import audit_text_of

SENTENCES = json.loads((Path(__file__).parent / "claims.json").read_text(encoding="utf-8"))

CONSISTENT = {"consistent", "consistent-with-rounding"}
# what a sentence may come to, which states less than its claim does; a consistent one needs no condition of its own
COMPATIBLE = {
    "consistent": CONSISTENT | {"underdetermined"},
    "consistent-with-rounding": CONSISTENT | {"underdetermined"},
    "consistent-only-if": {"consistent-only-if", "consistent-with-rounding", "underdetermined"},
    "inconsistent": {"inconsistent", "underdetermined"},
    "underdetermined": {"underdetermined"},
}
LEAST_SAME = 50
"""Sentences with the very verdict of their claims, of which there are 71."""


def verdict_of(name):
    return str(audit_claim(*find_claim(name)).verdict)


def test_every_claim_has_a_sentence():
    assert set(SENTENCES) == set(claim_names())


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_sentences(name):
    found = audit_text_of(SENTENCES[name]["text"]).audit
    assert str(found.verdict) == SENTENCES[name]["verdict"]
    assert str(found.verdict) in COMPATIBLE[verdict_of(name)]
    if str(found.verdict) == "underdetermined":
        assert found.missing


def test_most_sentences_come_to_the_verdict_of_their_claim():
    same = [name for name in SENTENCES if SENTENCES[name]["verdict"] == verdict_of(name)]
    assert len(same) >= LEAST_SAME


@pytest.mark.parametrize(
    ("text", "verdict", "only_if"),
    [
        (
            "We train for 500K steps of 8192 sequences of 512 tokens, 2.2T tokens in all.",
            "consistent-only-if",
            "the 500K steps are read as 2^19",
        ),
        ("We train for 500K steps of 8192 sequences of 512 tokens, 2.5T tokens in all.", "inconsistent", None),
        ("We train for 250K steps of 1024 sequences of 512 tokens, 137B tokens.", "consistent-only-if", "2^18"),
        (
            "Training uses a batch size of 32 x 8 x 2 x 4 = 2048 images and 100k steps, 204.8M images in all.",
            "consistent",
            None,
        ),
    ],
)
def test_what_the_claims_taught_the_grammar(text, verdict, only_if):
    found = audit_text_of(text).audit
    assert str(found.verdict) == verdict
    assert (only_if is None) == (found.only_if is None)
    assert (only_if or "") in (found.only_if or "")


def test_a_product_after_a_batch_is_the_batch():
    found = audit_text_of("The model was trained with a batch of 8 × 16 × 4 = 512 images on 128 GPUs.").reading
    assert [(fact.role, fact.text) for fact in found.facts] == [("global_batch", "512 images"), ("devices", "128 GPUs")]

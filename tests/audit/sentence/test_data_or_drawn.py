"""`Trained on 3.3B tokens`: the size of the data, or what was drawn of them."""

import pytest

from dist_epochs.audit.check import Verdict
from dist_epochs.audit.sentence.audited import audit_text_of

PHASES = (
    "We pretrain on 16B tokens with 100k steps at batch size 1024 and sequence length 128, then 25k steps at sequence "
    "length 512"
)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("We trained on 3.3B tokens for 40 epochs, 1M steps with batches of 256 sequences of 512 tokens.", "3.3B"),
        ("We train on 33B tokens for 3 epochs with 100k steps of 1M tokens.", "33B"),
        (f"{PHASES}, 26.2B tokens in total.", "16B"),
        (f"{PHASES}, seeing 13.1B tokens in the first phase and 26.2B tokens in total.", "16B"),
    ],
)
def test_they_are_the_data_where_only_that_agrees(text, data):
    found = audit_text_of(text)
    assert found.audit.verdict is Verdict.ONLY_IF
    assert found.audit.only_if == f"{data} tokens are the data, not those drawn"
    (fact,) = [fact for fact in found.reading.facts if fact.role == "corpus"]
    assert fact.text == f"{data} tokens"


@pytest.mark.parametrize(
    "text",
    [
        "We train on 300B tokens with 100k steps of 1M tokens.",  # as data it would agree with anything
        "We train on 300B tokens for 3 epochs with 100k steps of 1M tokens.",  # a third of an epoch
        "It sees 33B tokens in 3 epochs with 100k steps of 1M tokens.",  # these are said to be drawn
    ],
)
def test_they_excuse_nothing_else(text):
    assert audit_text_of(text).audit.verdict is Verdict.INCONSISTENT


def test_what_is_drawn_stays_so():
    found = audit_text_of("We train on 100B tokens with 100k steps of 1M tokens.")
    assert found.audit.verdict is Verdict.CONSISTENT
    assert "corpus" not in {fact.role for fact in found.reading.facts}

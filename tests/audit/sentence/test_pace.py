"""Seconds a step × steps is the time of a run."""

import pytest

from dist_epochs.audit.check import Verdict
from dist_epochs.audit.sentence.audited import audit_text_of


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        # Vaswani et al. 2017 (arXiv:1706.03762), section 5.2
        ("Each training step took about 0.4 seconds; the base models took 100,000 steps or 12 hours.", "rounding"),
        (
            "For the big models, step time was 1.0 seconds. They were trained for 300,000 steps (3.5 days).",
            "consistent",
        ),
        ("We train 500k steps at 1.2 s/it, 7 days of training.", "consistent"),
        ("We train 500k steps at 1.2 s/it, and training took 3 days.", "inconsistent"),
    ],
)
def test_it_is_compared_with_the_time(text, verdict):
    found = audit_text_of(text)
    assert verdict in str(found.audit.verdict)
    assert [fact.unit for fact in found.reading.facts if fact.role == "seconds_per_step"] == ["seconds a step"]


def test_a_longer_run_had_pauses():
    found = audit_text_of("We train 500k steps at 1.2 s/it; training took 9 days.")
    assert found.audit.verdict is not Verdict.INCONSISTENT


def test_other_seconds_are_none():
    found = audit_text_of("We train for 100k steps on audio of 15 seconds per sample; training took 3 days.")
    assert "seconds_per_step" not in {fact.role for fact in found.reading.facts}

"""Budgets that were published, in our own words: every number has its role, and none of them is accused."""

import json
from pathlib import Path

import pytest

from dist_epochs.audit.sentence.audited import audit_text_of

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("published", PUBLISHED, ids=[each["text"][:40] for each in PUBLISHED])
def test_roles_and_verdict(published):
    found = audit_text_of(published["text"])
    facts = [[fact.role, float(fact.numeral.value)] for fact in found.reading.facts]
    assert facts == [[role, pytest.approx(value)] for role, value in published["facts"]]
    assert (str(found.audit.verdict), found.audit.only_if) == (published["verdict"], published["only_if"])


def test_every_budget_names_where_its_figures_are_from():
    assert all(published["figures"] for published in PUBLISHED)
    assert not [published["text"] for published in PUBLISHED if published["verdict"] == "inconsistent"]

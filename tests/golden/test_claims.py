"""The shipped claims against numbers that were worked out from the papers before this code was written.

`claims.json` holds for each claim what its readings give, in the order they were worked out, to six digits, and how
that agrees with what the paper states. They come from the project's notes of published claims, which give for each
number the page it was read on; the claim files cite the same pages. Those of later claims (bloom, pythia, whisper and
others that cite a repository) were multiplied out apart from the package, from the same lines of their sources.
"""

import json
from pathlib import Path

import pytest

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import claim_names, find_claim

WORKED_OUT = json.loads((Path(__file__).parent / "claims.json").read_text())


def test_every_claim_was_worked_out():
    assert set(WORKED_OUT) == set(claim_names())


@pytest.mark.parametrize("name", WORKED_OUT)
def test_the_collection_against_numbers_of_other_origin(name):
    readings = audit_claim(*find_claim(name)).readings
    checks = [check for reading in readings for check in reading.checks]
    for value, agreement in WORKED_OUT[name]:
        found = {check.agreement for check in checks if float(check.derived.point) == pytest.approx(value, rel=2e-4)}
        assert agreement in found, (value, agreement)

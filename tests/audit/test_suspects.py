"""Typos planted in consistent claims are found, and consistent claims are not accused."""

from fractions import Fraction
from random import Random

import pytest

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.claim import CheckText, Claim, Fact
from dist_epochs.audit.verdict import Verdict, audit_claim

CASES = 30


def printed(value, digits=3):
    return f"{float(value):.{digits - 1}e}"


def consistent(draw, million=False):
    """Facts of a run, and what a paper may state of it, each number rounded as papers do."""
    devices, per_device, accumulation = (
        draw.choice([8, 16, 64, 256]),
        draw.choice([4, 8, 16, 32]),
        draw.choice([1, 2, 4]),
    )
    length, steps = draw.choice([128, 512, 1024, 2048]), draw.randrange(20, 2000) * 1000
    corpus, parameters = draw.randrange(100, 999) * 10 ** draw.choice([7, 8, 9]), draw.randrange(100, 999) * 10**6
    steps = 1_000_000 if million else steps
    samples = steps * devices * per_device * accumulation
    facts = {
        "steps": f"{steps} steps", "devices": f"{devices} devices", "per_device": f"{per_device} samples",
        "accumulation": str(accumulation), "length": str(length), "corpus": f"{corpus} tokens", "parameters": str(parameters),
    }  # fmt: skip
    drawn = "steps * devices * per_device * accumulation"
    checks = {
        "global batch": ("devices * per_device * accumulation", str(samples // steps)),
        "samples": (drawn, str(samples)),
        "tokens": (f"{drawn} * length", printed(samples * length)),
        "epochs": (f"{drawn} * length / corpus", printed(Fraction(samples * length, corpus))),
        "FLOPs": (f"6 * parameters * {drawn} * length", printed(6 * parameters * samples * length)),
        "FLOPs a token": ("6 * parameters", printed(6 * parameters)),
    }
    return facts, checks


def audit(facts, checks):
    made = {name: Fact(number=parse(text), exact=True) for name, text in facts.items()}
    texts = {
        name: CheckText(formula=formula, stated=Fact(number=parse(stated)))
        for name, (formula, stated) in checks.items()
    }
    return audit_claim("x", Claim(title="x", facts=made, checks=texts))


def number(facts, name):
    return int(facts[name].split()[0])


def mistype(draw, facts, name):
    digits = list(str(number(facts, name)))
    at = draw.randrange(len(str(number(facts, name)).rstrip("0")))
    digits[at] = draw.choice([digit for digit in "123456789" if digit != digits[at]])
    return int("".join(digits))


PLANTED = {
    "a zero too many": lambda draw, facts: ("steps", number(facts, "steps") * 10),
    "a zero lost": lambda draw, facts: ("corpus", number(facts, "corpus") // 10),
    "a digit mistyped": lambda draw, facts: ("steps", mistype(draw, facts, "steps")),
    "samples for steps": lambda draw, facts: (
        "steps", number(facts, "steps") * number(facts, "devices") * number(facts, "per_device") * number(facts, "accumulation")),
    "per device for global": lambda draw, facts: ("per_device", number(facts, "per_device") * number(facts, "devices")),
    "2^20 for a million": lambda draw, facts: ("steps", 2**20),
    "words for tokens": lambda draw, facts: ("corpus", number(facts, "corpus") * 4 // 5),
    "a factor of the length": lambda draw, facts: ("per_device", number(facts, "per_device") * number(facts, "length")),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_typo_is_ranked_first(kind):
    draw, first, tried = Random(kind), 0, 0
    while tried < CASES:
        facts, checks = consistent(draw, million=kind == "2^20 for a million")
        name, wrong = PLANTED[kind](draw, facts)
        right = number(facts, name)
        planted = facts | {name: facts[name].replace(str(right), str(wrong))}
        found = audit(planted, checks)
        if found.verdict is not Verdict.INCONSISTENT:  # a mistyped last digit may be within the rounding
            continue
        tried += 1
        first += bool(found.suspects) and (found.suspects[0].name, found.suspects[0].after) == (name, right)
    assert first >= 0.9 * CASES


def test_consistent_claims_are_never_called_inconsistent():
    draw = Random(0)
    for _ in range(200):
        found = audit(*consistent(draw))
        assert found.verdict in (Verdict.CONSISTENT, Verdict.WITH_ROUNDING)
        assert found.suspects == ()


@pytest.mark.parametrize(
    ("facts", "checks", "name", "after", "slip"),
    [
        # T5 counts BERT's steps as a power of two
        ({"steps": "1000000", "batch": "256", "length": "512"}, {"tokens": ("steps * batch * length", "1.37439e11")}, "steps", 2**20,
         "a power of two"),
        # recomputation: 8 FLOPs a parameter and token
        ({"flops_factor": "6", "parameters": "175B", "tokens": "300B"},
         {"a": ("flops_factor * parameters * tokens", "4.2e23"), "b": ("parameters * tokens", "5.25e22")}, "flops_factor", 8, "6 FLOPs"),
    ],
)  # fmt: skip
def test_slips_of_papers(facts, checks, name, after, slip):
    found = audit(facts, checks)
    first = next(suspect for suspect in found.suspects if suspect.name == name)
    assert (first.after, first.told.count(slip)) == (after, 1)


def test_eight_flops_for_six():
    draw, first = Random(8), 0
    for _ in range(CASES):
        facts, checks = consistent(draw)
        formula, _ = checks["FLOPs"]
        tokens = number(facts, "length") * int(checks["samples"][1])
        found = audit(facts, checks | {"FLOPs": (formula, printed(8 * number(facts, "parameters") * tokens))})
        first += (
            bool(found.suspects) and found.suspects[0].name == "stated FLOPs" and "6 FLOPs" in found.suspects[0].told
        )
    assert first >= 0.9 * CASES


def test_a_name_s_size_for_the_measured_one():
    draw, first = Random(9), 0
    for _ in range(CASES):
        facts, checks = consistent(draw)
        measured = draw.randrange(6_600, 6_950) * 10**6
        tokens = number(facts, "length") * int(checks["samples"][1])
        for name, factor in {"FLOPs": tokens, "FLOPs a token": 1}.items():
            checks[name] = (checks[name][0], printed(6 * measured * factor))
        found = audit(facts | {"parameters": "7000000000"}, checks)
        first += bool(found.suspects) and (found.suspects[0].name, "name" in found.suspects[0].told) == (
            "parameters",
            True,
        )
    assert first >= 0.9 * CASES

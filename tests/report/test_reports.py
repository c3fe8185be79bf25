"""Reports of plans and claims: their numbers are those of the JSON, and they load nothing."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import claim_names, find_claim
from dist_epochs.audit.sentence.audited import audit_text_of
from dist_epochs.cli.main import main
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.plan.sensitivity import sensitivity_of
from dist_epochs.recipe import make_recipe
from dist_epochs.report.claim import audit_report
from dist_epochs.report.plan import plan_report, plans_report
from dist_epochs.settings.document import Document
from tests.report.reading import Page, at

CONFIGS = Path(__file__).parents[2] / "configs"
BERT = (
    "We train with batch size of 256 sequences (256 sequences * 512 tokens = 128,000 tokens/batch) for 1,000,000 "
    "steps, which is approximately 40 epochs over the 3.3 billion word corpus."
)
GIB = 2**30


def plan(recipe, **settings):
    path = CONFIGS / f"{recipe}.yaml"
    document = Document.read(path)
    for key, value in settings.items():
        document.override(f"{key.replace('__', '.')}={value}")
    return make_plan(make_recipe(document, path))


def check_numbers(page, data, least):
    """Every number of a page has the value that the JSON has at its key, and its text says so."""
    numbers = Page(page).numbers
    assert len(numbers) >= least
    for key, value, text in numbers:
        stated = at(data, key)
        assert json.loads(value) == stated if not isinstance(stated, str) else value == stated, key
        if isinstance(stated, str):
            continue
        read = float(parse(text.replace("\N{NO-BREAK SPACE}", " ")).value)
        stated = stated / GIB if "memory_bytes" in key else stated
        assert read == pytest.approx(stated, rel=6e-3), f"{key}: {text}"


def check_page(page):
    """A page is well formed, has one heading, and loads and runs nothing."""
    found = Page(page)
    assert not [tag for tag, _ in found.open if tag not in ("meta",)]
    assert found.elements.count("h1") == 1
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(found.elements)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src", "href", "action")]
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")


def test_plan():
    made = plan("bert-base", batch__devices=8, hardware__device="H100", hardware__price=2.5)
    moves = sensitivity_of(made, make_plan)
    page = plan_report(made, moves)
    check_page(page)
    check_numbers(page, plan_json(made) | {"moves": [move.to_json() for move in moves]}, 20)
    text = Page(page).text
    assert "= 256 × (900,000 × 128 + 100,000 × 512)" in text
    assert "900,000 steps of 256 at length 128" in text
    hours = [float(value) for value in re.findall(r"at length \d+ ([\d.]+)–", text)]
    assert sum(hours) == pytest.approx(plan_json(made)["cost"]["ranges"]["wall_hours"]["low"], rel=0.01)
    assert "run <code>dist-epochs tokenize SOURCE" in page


def test_plan_with_sources():
    made = plan("mixture")
    page = plan_report(made, ())
    check_page(page)
    assert {"sources.0.epochs", "sources.3.epochs"} <= {key for key, _, _ in Page(page).numbers}
    check_numbers(page, plan_json(made) | {"moves": []}, 15)


def test_plans_side_by_side():
    plans = [plan("bert-base"), plan("gpt2-small"), plan("mixture")]
    page = plans_report(plans)
    check_page(page)
    text = Page(page).text
    assert all(f"{made.name}: " in text for made in plans)
    assert "10.33" in text
    assert "32.64" in text


def test_recipe_with_markup_in_its_name():
    made = plan("bert-base", name='"</title><script>alert(1)</script>"')
    page = plan_report(made, ())
    check_page(page)
    assert "<script>alert(1)</script>" in Page(page).text


@pytest.mark.parametrize("name", ["bert", "gpt3", claim_names()[-1]])
def test_claim(name):
    audit = audit_claim(*find_claim(name))
    page = audit_report(audit.to_json(), audit.heading)
    check_page(page)
    check_numbers(page, audit.to_json(), 1)
    assert audit.heading in Page(page).text


def test_sentence_has_its_numbers_marked():
    found = audit_text_of(BERT)
    page = audit_report(found.to_json(), text=BERT)
    check_page(page)
    check_numbers(page, found.to_json(), 4)
    marked = re.findall(r"<mark>(.*?)<small> (.*?)</small></mark>", page)
    assert ("1,000,000 steps", "steps") in marked
    assert len(marked) == len(found.reading.facts)
    assert "Consistent only if every step has length 512 and a word is one token." in Page(page).text


def test_sentence_with_markup():
    text = "<script>alert(1)</script> We train for 100 steps with a batch of 20 sequences, 2,000 sequences in all."
    page = audit_report(audit_text_of(text).to_json(), text=text)
    check_page(page)
    assert "<script>alert(1)</script> We train" in Page(page).text


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        (["plan", "bert-base"], "BERT-base: the plan"),
        (["plan", "bert-base", "gpt2-small"], "BERT-base and GPT-2 small"),
        (["audit", "bert"], "Audit of BERT"),
        (["audit", BERT], "Audit of a sentence"),
        (["audit", "--steps", "1M", "--batch", "256x512", "--corpus", "3.3B words", "--epochs", "~40"], "Audit of"),
    ],
)
def test_commands(tmp_path, words, heading):
    path = tmp_path / "report.html"
    plain, found = (CliRunner().invoke(main, [*words, *more]) for more in ([], ["--html", str(path)]))
    assert found.exit_code == plain.exit_code == 0, found.output
    assert found.stdout == plain.stdout
    assert str(path) in found.stderr
    page = path.read_text()
    check_page(page)
    assert f"<h1>{heading}" in page


def test_what_cannot_be_reported(tmp_path):
    path = tmp_path / "report.html"
    for words in (["audit", "--all"], ["plan", "bert-base", "--sweep", "seed=1,2"], ["audit", "--many", str(tmp_path)]):
        assert CliRunner().invoke(main, [*words, "--html", str(path)]).exit_code == 2
    assert CliRunner().invoke(main, ["plan", "bert-base", "--html", str(tmp_path / "no/x.html")]).exit_code == 2
    assert not path.exists()

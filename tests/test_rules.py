"""The registry of rules: one page for each name."""

import re
from pathlib import Path

import pytest

import dist_epochs
from dist_epochs.cli.explain import rule_pages
from dist_epochs.frameworks.causes import CAUSES
from dist_epochs.frameworks.words.entries import find_entry
from dist_epochs.frameworks.words.terms import find_term
from dist_epochs.integrations.warnings import RULES
from dist_epochs.ledger.limit import budget_limit
from dist_epochs.plan.warnings import NOTES, WARNINGS
from dist_epochs.rules import PAGES, rule, rule_name
from dist_epochs.tool_configs.launch import rules as launches


def test_a_second_page_of_a_name_is_refused():
    def words_as_tokens():
        """Another page."""

    page = PAGES["words-as-tokens"]
    with pytest.raises(TypeError, match="has a page already"):
        rule(words_as_tokens)
    assert PAGES["words-as-tokens"] == page


def test_a_rule_without_a_page_is_refused():
    with pytest.raises(TypeError, match="has no page"):
        rule(lambda: None)


def test_every_rule_that_may_speak_has_a_page_and_every_page_a_rule():
    asked = (*WARNINGS, *NOTES, *CAUSES, *launches.FINDINGS, *launches.NOTES, *RULES, budget_limit)
    names = {rule_name(each) for each in asked}
    assert names == PAGES.keys() - {"example-of-a-rule"}  # a doctest's
    assert len(asked) - len(names) == 4  # sought in a plan or a framework, and in a loop under way


def test_every_page_that_the_code_names_exists():
    """In advice, and where a warning is made by a name alone, without the function of that name."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in Path(dist_epochs.__file__).parent.rglob("*.py"))
    named = re.findall(r"dist-epochs explain ([a-z][a-z-]+)|\.warn\(\s*\"([a-z-]+)\"", text)
    pages = {page for pair in named for page in pair if page}
    assert {"repeated-data", "six-per-parameter"} <= pages
    assert not [page for page in pages if page not in rule_pages() and not find_term(page) and not find_entry(page)]

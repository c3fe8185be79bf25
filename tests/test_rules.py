"""The registry of rules: one page for each name."""

import pytest

from dist_epochs.frameworks.causes import CAUSES
from dist_epochs.integrations.warnings import RULES
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
    asked = (*WARNINGS, *NOTES, *CAUSES, *launches.FINDINGS, *launches.NOTES, *RULES)
    names = {rule_name(each) for each in asked}
    assert names == PAGES.keys() - {"example-of-a-rule"}  # a doctest's
    assert len(asked) - len(names) == 4  # sought in a plan or a framework, and in a loop under way

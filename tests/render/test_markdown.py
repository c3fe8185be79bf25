"""Markdown whose text is shown as it is."""

import pytest

from dist_epochs.render.markdown import bullets, escaped, markdown_table, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("~40 and ~50", r"\~40 and \~50"),
        ("a | b", r"a \| b"),
        ("<img src=x>", r"\<img src=x>"),
        ("[a](https://b.c)", r"\[a](https://b.c)"),
        ("`x` *y* _z_", r"\`x\` \*y\* \_z\_"),
        ("tokens_per_batch", "tokens_per_batch"),
        ("1. one", r"1\. one"),
        ("39.72", "39.72"),
        ("# one", r"\# one"),
        ("> one", r"\> one"),
        ("-3", "-3"),
        ("line\nline", "line line"),
        ("@all and #12", "@<!-- -->all and #<!-- -->12"),
        ("https://a.b/_c_?d#1", "https://a.b/_c_?d#1"),
    ],
)
def test_text_is_shown_as_it_is(text, shown):
    assert escaped(text) == shown


def test_tables_lists_and_quotations():
    assert markdown_table(["a", "b"], [["1", "x|y"], ["2", ""]], "><") == [
        "| a | b |", "|--:|---|", r"| 1 | x\|y |", "| 2 |  |",
    ]  # fmt: skip
    assert markdown_table(["a"], []) == []
    assert bullets(["- a"]) == [r"- \- a"]
    assert list(quoted("a\n\n<b>")) == ["> a", ">", r"> \<b>"]

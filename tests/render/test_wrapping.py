"""Wrapped text and tables: nothing is lost, no number is cut, and nothing is wider than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.render.wrapping import paragraph, width_of, wrapped_table

words = st.one_of(
    st.integers(0, 10**9).map("{:,}".format),
    st.sampled_from(["×", "÷", "(900,000", "34.4 %", "tokens", "a", "步数", "(3 digits)", "configuration", "→"]),
)
texts = st.lists(words, max_size=12).map(" ".join)


@given(texts, st.sampled_from(["", "  ", "   "]), st.integers(24, 80))
def test_a_paragraph_loses_nothing(text, indent, width):
    lines = paragraph(text, indent, width=width)
    assert " ".join(line.strip() for line in lines).strip() == text
    assert all(line.startswith(indent) for line in lines[1:])
    longest = max((width_of(word) for word in text.replace(" %", "%").split()), default=0)
    if not any(sign in text for sign in "×÷→%"):  # what a sign keeps together may take more than one line of it
        assert all(width_of(line) <= max(width, longest + len(indent)) for line in lines)


@given(st.lists(st.tuples(texts, words, words, texts), min_size=1, max_size=8))
def test_a_table_keeps_its_words_in_their_order(rows):
    table = wrapped_table(rows, "<>><", wraps="w--w")
    assert len(table) == len(rows)
    for row, lines in zip(rows, table, strict=True):
        shown = " ".join(lines).split()
        assert sorted(shown) == sorted(" ".join(row).split())
        assert all(width_of(line) <= 80 for line in lines)


def test_what_is_longer_than_a_line():
    path = "/srv/" + "a_folder/" * 12 + "1,000,000.log"
    lines = paragraph(f"{path}: a log", "  ", width=40)
    assert "".join(line.strip() for line in lines[:-1]) + lines[-1].strip() == f"{path}: a log"
    assert max(map(len, lines)) <= 40


def test_a_table_of_nothing():
    assert wrapped_table([["", ""]], "<<", wraps="w-") == [[""]]

"""Words in UTF-8 text are those of `str.split`."""

from hypothesis import example, given
from hypothesis import strategies as st

from dist_epochs.corpus.tokenizing.words import WIDE, count_words

SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()]


@given(st.text(st.sampled_from([*SPACES, *"ab\0\x1b¡é‐’漢😀"])))
@example("\u3000")
@example("a\u2003b ")
def test_words_are_counted_as_split_finds_them(text):
    assert count_words(text.encode()) == len(text.split())


def test_white_space_is_that_of_python():
    assert {each for each in SPACES if not each.isascii()} == set(WIDE)

"""Numbers from papers and public threads, each with its source."""

from fractions import Fraction

import pytest

from dist_epochs.arithmetic.given import Given
from dist_epochs.arithmetic.identity import solve
from dist_epochs.arithmetic.quantity import parse


def ask(**texts):
    return solve(Given(**{name: parse(text) for name, text in texts.items()}))


@pytest.mark.parametrize(
    ("given", "unknown", "value"),
    [
        # BERT, arXiv:1810.04805 appendix A.2: 1M steps of 256 × 512 over 3.3B words, "approximately 40 epochs"
        ({"steps": "1M", "batch": "256x512", "corpus": "3.3B words", "tokens_per_word": "1"}, "epochs",
         Fraction(32768, 825)),
        # RoBERTa, arXiv:1907.11692 table 3: 1M steps at 256 = 125K at 2K, only if K is 1024
        ({"samples": "256M", "batch": "2000"}, "steps", 128_000),
        ({"samples": "256M", "batch": "2Ki"}, "steps", 125_000),
        # T5, arXiv:1910.10683 section 3.1.2: 2^19 steps of 128 × 512 tokens = 2^35
        ({"steps": "2**19", "batch": "128x512"}, "tokens", 2**35),
        # allenai/OLMo issue 584: 817,847 steps of 2,097,152 tokens
        ({"steps": "817847", "batch": "2097152 tokens"}, "tokens", 1_715_149_471_744),
        # A student's question, and the teacher's other example: 100 examples, batch 5, 30 epochs
        ({"corpus": "100 examples", "batch": "5", "epochs": "30"}, "steps", 600),
        # huggingface/alignment-handbook issue 220: 698 packed rows, batch 32, 3 epochs
        ({"corpus": "698 rows", "batch": "32", "epochs": "3"}, "steps", Fraction(698 * 3, 32)),
    ],
)  # fmt: skip
def test_published(given, unknown, value):
    solution = ask(**given)
    assert (solution.unknown, solution.value.value) == (unknown, value)

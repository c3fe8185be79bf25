"""Encodes the lines of a file with the bare tokenizer: `python -m tests.benchmarks.bare FILE`."""

import os
import sys
from itertools import islice
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer

from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer

if __name__ == "__main__":
    tokenizer = Tokenizer.from_file(str(TextTokenizer(EMBEDDED).path))
    with Path(sys.argv[1]).open() as file:
        while lines := list(islice(file, 1000)):
            tokenizer.encode_batch_fast(lines)

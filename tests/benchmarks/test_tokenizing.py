"""Tokenizing beside the bare tokenizer, on several processes, of tiny documents, and of a file larger than memory.

    python -m pytest -m benchmark -s tests/benchmarks/test_tokenizing.py

Sizes are taken from the environment: `MEGABYTES` of the large file (256; 2000 takes half an hour of one core), and
`TINY`, documents of eight words (500,000).
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest

from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]

MEGABYTES = int(os.environ.get("MEGABYTES", "256"))
TINY = int(os.environ.get("TINY", "500000"))
ROUNDS = 7
SETTINGS = Settings(sequence_lengths=(512,))


@pytest.fixture(scope="module")
def folder():
    """A folder in memory, where there is one: what is measured is work, not a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def topics():
    """The embedded text, a topic a line."""
    (source,) = find_sources((EMBEDDED,))
    return [" ".join(text.split()) for text in source.read(source.units[0]) if isinstance(text, str)]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


def bare(tokenizer, lines):
    for start in range(0, len(lines), 1000):
        tokenizer._tokenizer.encode_batch_fast(lines[start : start + 1000])


def eight_words(topics, documents):
    words = " ".join(topics).split()
    draw = random.Random(0)
    starts = (draw.randrange(len(words) - 8) for _ in range(documents))
    return (" ".join(words[start : start + 8]) for start in starts)


@pytest.mark.parametrize("kind", ["topics", "eight words"])
def test_beside_the_bare_tokenizer(folder, topics, kind):
    lines = (
        [f"{at} {topic}" for at in range(20) for topic in topics] if kind == "topics" else eight_words(topics, 10**5)
    )
    path = folder / f"{kind.split()[0]}.txt"
    path.write_text("\n".join(lines))
    tokenizer, numbers = TextTokenizer(EMBEDDED), count()
    pairs, counts = [], {}
    for _ in range(ROUNDS):
        began = time.process_time()
        counts = tokenize(find_sources((str(path),)), tokenizer, SETTINGS, out=folder / f"{path.stem}-{next(numbers)}")
        between = time.process_time()
        bare(tokenizer, lines)
        pairs.append((between - began, time.process_time() - between))
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    print(
        f"\n{kind}: {counts['tokens']:,} tokens, tokenized, counted, written and packed {ours:.2f} CPU s,"
        f" encode_batch_fast alone {theirs:.2f}, ratio {statistics.median(ratios):.2f}"
        f" [{ratios[0]:.2f}..{ratios[-1]:.2f}], padding {1 - counts['tokens'] / counts['samples']['512'] / 512:.2%}"
    )


def test_two_workers_and_what_is_not_shared(folder, topics):
    """By wall clock, on an idle machine; and the CPU time of the process that hands out the work."""
    path = folder / "large.txt"
    path.write_text("\n".join(f"{at} {topic}" for at in range(80) for topic in topics))
    tokenizer, numbers = TextTokenizer(EMBEDDED), count()
    ratios, serial, tokens = [], [], 1
    for _ in range(2):
        walls = []
        for workers in (1, 2):
            began, cpu = time.perf_counter(), time.process_time()
            sources = find_sources((str(path),))
            out = folder / f"large-{next(numbers)}"
            tokens = tokenize(sources, tokenizer, SETTINGS, out=out, workers=workers)["tokens"]
            walls.append(time.perf_counter() - began)
            serial.append(time.process_time() - cpu)
        ratios.append(walls[0] / walls[1])
    print(
        f"\ntwo workers {', '.join(f'{ratio:.2f}' for ratio in ratios)} times as fast as one by wall clock (load"
        f" {os.getloadavg()[0]:.1f}, {tokens:,} tokens); not shared: {min(serial[1::2]) / tokens * 1e6:.4f} CPU s per"
        " million tokens"
    )


def run(*arguments):
    """CPU seconds, and the peak of memory of the largest process in MiB, of a command and those that it begins."""
    process = subprocess.Popen([sys.executable, "-m", *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return output, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_tiny_documents(folder, topics):
    path = folder / "many.txt"
    with path.open("w") as file:  # one by one: what this process holds would count as the peak of those that it begins
        file.writelines(f"{line}\n" for line in eight_words(topics, TINY))
    _, raw, _ = run("tests.benchmarks.bare", path)
    output, ours, memory = run(
        "dist_epochs", "tokenize", path, "--tokenizer", EMBEDDED, "--sequence-length", "512", "--workers", "1",
        "--out", folder / "many", "--json",
    )  # fmt: skip
    counts = json.loads(output)
    print(
        f"\n{counts['documents']:,} documents of eight words: {ours:.1f} CPU s, {ours / raw:.2f} times raw, peak"
        f" {memory:.0f} MiB, {size(folder / 'many') / counts['tokens']:.2f} bytes a token,"
        f" padding {1 - counts['tokens'] / counts['samples']['512'] / 512:.2%}"
    )


def test_a_file_larger_than_the_memory_that_is_used(folder, topics):
    path = folder / "huge.jsonl"
    lines = [json.dumps({"text": topic}) for topic in topics]
    copies = MEGABYTES * 10**6 // sum(map(len, lines))
    with path.open("w") as file:
        for at in range(copies):
            file.writelines(f'{line[:-2]} {at}"}}\n' for line in lines)
    megabytes = path.stat().st_size / 1e6
    _, ours, memory = run(
        "dist_epochs", "tokenize", path, "--tokenizer", EMBEDDED, "--sequence-length", "512", "--workers", "2",
        "--out", folder / "huge",
    )  # fmt: skip
    path.unlink()
    output, _, streaming = run("tests.benchmarks.streamed", folder / "huge")
    print(f"\n{megabytes:.0f} MB tokenized in {ours:.0f} CPU s by two workers, peak of a process {memory:.0f} MiB")
    print(f"streamed: {output.strip()}, peak {streaming:.0f} MiB")

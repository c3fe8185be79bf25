"""Training beside the Hugging Face Trainer on the CPU: tokens a CPU second, and memory, in pairs.

    python -m tests.benchmarks.training                    every row
    python -m tests.benchmarks.training --row bert-small   the rows whose names begin so

Each way to train has a process and a thread of its own. They take turns, a round of some steps each; a round's time is
the CPU time, user and system, of all threads of its process. The first steps are not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from time import process_time

import torch

from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED
from tests.benchmarks.trainers import WAYS, Case, Text, make_text, train

__all__ = ["ROWS", "Row", "measure"]

OURS = "dist_epochs"
WARM_UP = 2
"""Steps of each process that are not counted."""

BERT_SMALL = {
    "model_type": "bert", "vocab_size": 30522, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
    "intermediate_size": 1024,
}  # fmt: skip
BERT_BASE = {"model_type": "bert", "vocab_size": 30522}
GPT2_SMALL = {"model_type": "gpt2", "vocab_size": 30522, "n_embd": 256, "n_layer": 4, "n_head": 4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A case, and the steps of a round."""

    case: Case
    steps: int

    @property
    def ways(self) -> list[str]:
        """The ways to train it: nobody trains a causal model line by line."""
        return list(WAYS)[: 3 if self.case.objective == "masked" else 2]


def _rows() -> Iterator[Row]:
    for dropout in (False, True):
        of = "dropout 0.1" if dropout else "no dropout"
        bert = Case(name="", model=BERT_SMALL, length=128, per_device=8, accumulation=2, dropout=dropout)
        yield Row(case=replace(bert, name=f"bert-small 128, {of}"), steps=2)
        yield Row(case=replace(bert, name=f"bert-small 512, {of}", length=512, per_device=2), steps=2)
        base = replace(bert, model=BERT_BASE, accumulation=1, per_device=4)
        yield Row(case=replace(base, name=f"bert-base 128, {of}"), steps=1)
        yield Row(case=replace(base, name=f"bert-base 512, {of}", length=512, per_device=1), steps=1)
        yield Row(case=replace(bert, name=f"gpt2-small 128, {of}", model=GPT2_SMALL), steps=2)


ROWS = tuple(_rows())
"""BERT and GPT-2 of 4 layers × hidden 256, and BERT-base; with and without dropout."""


@dataclass(frozen=True, slots=True)
class _Report:
    """What a process has done so far: CPU seconds, tokens without padding, and the most memory over its imports."""

    seconds: float
    tokens: int
    peak_mib: float


def measure(row: Row, text: Text, folder: Path, *, pairs: int) -> Mapping[str, list[_Report]]:
    """Train a row in every way, in turns.

    Returns:
        By the way to train, what each round took; of memory, the most until then.
    """
    context = multiprocessing.get_context("spawn")
    case = replace(row.case, steps=WARM_UP + pairs * row.steps + 1)
    processes, ends, told = {}, {}, {}
    try:
        for way in row.ways:
            ends[way], other = context.Pipe()
            place = folder / way.replace(",", "").replace(" ", "-")
            arguments = (way, case, text, place, row.steps, other)
            processes[way] = context.Process(target=_work, args=arguments, daemon=True)
            processes[way].start()
            other.close()
        for way in row.ways:
            told[way] = [ends[way].recv()]
        for pair in range(pairs):
            for way in row.ways if pair % 2 else reversed(row.ways):
                ends[way].send("go on")
                told[way].append(ends[way].recv())
    finally:
        for process in processes.values():
            process.kill()
            process.join()
    return {way: _differences(reports) for way, reports in told.items()}


def _differences(reports: list[_Report]) -> list[_Report]:
    return [
        _Report(after.seconds - before.seconds, after.tokens - before.tokens, after.peak_mib)
        for before, after in pairwise(reports)
    ]


def _work(way: str, case: Case, text: Text, folder: Path, every: int, parent: Connection) -> None:
    """Train in a process of its own, and wait after each round."""
    torch.set_num_threads(1)
    imports = _memory_mib("VmRSS")

    def mark(step, tokens):
        if step >= WARM_UP and (step - WARM_UP) % every == 0:
            parent.send(_Report(process_time(), tokens(), _memory_mib("VmHWM") - imports))
            parent.recv()

    train(way, case, text, folder, mark)


def _memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def show(row: Row, rounds: Mapping[str, list[_Report]]) -> None:
    """Print a row."""
    paces = {way: [report.tokens / report.seconds for report in reports] for way, reports in rounds.items()}
    print(f"{row.case.name}, {row.case.per_device} × {row.case.accumulation} samples a step, {row.case.precision}")
    for way, pace in paces.items():
        line = f"  {way:<22}{statistics.median(pace):>8,.0f} tokens a CPU second{rounds[way][-1].peak_mib:>8,.0f} MiB"
        if way != OURS:
            ratios = [own / other for own, other in zip(paces[OURS], pace, strict=True)]
            line += f"   ours ÷ it {statistics.median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"
        print(line, flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=__doc__.split("\n")[0])
    parser.add_argument("--row", default="", help="the beginning of the names of the rows to measure")
    parser.add_argument("--pairs", type=int, default=7, help="rounds of each way to train")
    parser.add_argument("--text", default=EMBEDDED, help="a text file with a document a line")
    parser.add_argument("--tokenizer", default=EMBEDDED, help="a tokenizer.json of at most 30,522 ids")
    chosen = parser.parse_args()
    rows = [row for row in ROWS if row.case.name.startswith(chosen.row)]
    if not rows:
        parser.error(f"no row begins with {chosen.row!r}: {'; '.join(row.case.name for row in ROWS)}")
    with tempfile.TemporaryDirectory() as folder:
        lengths = {row.case.length for row in rows}
        text = make_text(Path(folder), lengths, text=chosen.text, tokenizer=chosen.tokenizer)
        for at, row in enumerate(rows):
            show(row, measure(row, text, Path(folder) / str(at), pairs=chosen.pairs))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()

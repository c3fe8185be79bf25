"""Tokenizing and loading masked batches beside other tools: CPU seconds, in turns.

    python -m tests.benchmarks.peers                                          what this environment has
    python -m tests.benchmarks.peers --peer litdata=/tmp/litdata/bin/python   and a tool that has its own
    python -m tests.benchmarks.peers --text FILE --tokenizer FILE --copies 8  of another text, eight times over

Each way to tokenize has a new process each time, and each way to load one process for all rounds, with one thread
for torch. What `peer_ways.py` cannot import is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer

__all__ = ["documents_of", "main"]

HERE = Path(__file__).parent
OURS, RAW, DATASETS = "dist_epochs", "raw", "datasets"
TOKENIZED = (
    RAW, OURS, DATASETS, "nanogpt", "datatrove", "mosaicml-streaming", "mosaicml-streaming, encoded at once",
    "litdata", "litdata, encoded at once",
)  # fmt: skip
LOADED = (OURS, DATASETS, "datasets, iterable", "nanogpt", "mosaicml-streaming", "litdata")
HERE_TOO = {RAW, OURS, DATASETS, "nanogpt"}
"""What runs in this environment unless another is named."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What is compared, and where.

    Attributes:
        folder: Where everything is written.
        text: The text, a document a line.
        tokenizer: The tokenizer's file.
        pythons: The interpreter that has a tool.
        rounds: Rounds of each comparison.
        skipped: Why a way was not measured.
    """

    folder: Path
    text: Path
    tokenizer: Path
    pythons: Mapping[str, str]
    rounds: int
    skipped: dict[str, str] = field(default_factory=dict)

    def tokenizing(self) -> None:
        """Print CPU seconds for a million tokens."""
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in TOKENIZED}
        for number in range(self.rounds):
            for way in TOKENIZED if number % 2 else reversed(TOKENIZED):
                if way not in self.skipped and (told := self._tokenize(way)) is not None:
                    found[way].append(told)
        tokens = Store(self._out(OURS)).facts().tokens
        print(f"\nTokenizing {tokens:,} tokens, {self.rounds} rounds, load {os.getloadavg()[0]:.1f}")
        for way in TOKENIZED:
            if self._says_why_not(way):
                continue
            seconds = [told["seconds"] for told in found[way]]
            over = {name: _ratios([told["seconds"] for told in found[name]], seconds) for name in (RAW, OURS)}
            print(
                f"  {way:<36}{statistics.median(seconds) / tokens * 1e6:6.2f} s a million tokens"
                f"{found[way][-1]['bytes'] / tokens:6.2f} bytes a token   ÷ raw {over[RAW]}   ÷ ours {over[OURS]}"
            )

    def loading(self, action: str, title: str) -> None:
        """Print positions a CPU second."""
        with ExitStack() as stack:
            workers = {way: worker for way in LOADED if (worker := self._worker(stack, action, way)) is not None}
            found: dict[str, list[float]] = {way: [] for way in workers}
            for number in range(self.rounds):
                for way in workers if number % 2 else reversed(workers):
                    told = workers[way].ask()
                    found[way].append(told["positions"] / told["seconds"] / 1e6)
        print(f"\n{title}, {self.rounds} rounds, load {os.getloadavg()[0]:.1f}")
        for way in LOADED:
            if self._says_why_not(way):
                continue
            line = f"  {way:<36}{statistics.median(found[way]):6.2f} M positions a CPU second"
            print(line + ("" if way == OURS else f"   ours ÷ it {_ratios(found[way], found[OURS])}"))

    def _tokenize(self, way: str) -> dict[str, Any] | None:
        shutil.rmtree(self._out(way), ignore_errors=True)
        done = subprocess.run(
            self._command("tokenize", way), capture_output=True, text=True, env=self._environment(way)
        )
        if done.returncode:
            self.skipped[way] = _last_line(done.stderr)
            return None
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    def _worker(self, stack: ExitStack, action: str, way: str) -> _Worker | None:
        if way in self.skipped or not self._out(way).exists():
            return None
        errors = stack.enter_context((self.folder / f"{way}.errors").open("w+"))
        worker = _Worker(
            stack.enter_context(
                subprocess.Popen(
                    self._command(action, way), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                    env=self._environment(way),
                )
            )
        )  # fmt: skip
        if worker.told() is None:
            errors.seek(0)
            self.skipped[way] = _last_line(errors.read())
            return None
        return worker

    def _says_why_not(self, way: str) -> bool:
        if way in self.skipped:
            print(f"  {way:<36}not measured: {self.skipped[way]}")
        return way in self.skipped

    def _tool(self, way: str) -> str:
        return way.split(",")[0]

    def _out(self, way: str) -> Path:
        return self.folder / self._tool(way).replace(" ", "-")

    def _command(self, action: str, way: str) -> list[str]:
        paths = map(str, (self.text, self.tokenizer, self._out(way)))
        return [self.pythons[self._tool(way)], str(HERE / "peer_ways.py"), action, way, *paths]

    def _environment(self, way: str) -> dict[str, str]:
        """Without what this interpreter was told, but for our own package."""
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return environment | ({"PYTHONPATH": str(HERE.parent.parent)} if way == OURS else {})


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process that loads a round of batches each time it is asked."""

    process: subprocess.Popen[str]

    def told(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        told: dict[str, Any] | None = json.loads(line) if line else None
        return told

    def ask(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()
        told = self.told()
        assert told is not None
        return told


def _ratios(below: Sequence[float], above: Sequence[float]) -> str:
    """The median ratio of pairs, with the least and the most."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    return f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}..{ratios[-1]:.2f}]"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a message"])[-1]


def documents_of(text: str, copies: int) -> Iterator[str]:
    """Every document of a text on a line of its own, each copy of it after another number."""
    (source,) = find_sources((text,))
    read = [part for unit in source.units for part in source.read(unit) if isinstance(part, str) and part.strip()]
    for copy in range(copies):
        yield from (" ".join(f"{copy} {part}".split()) for part in read)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__.split("\n")[0])
    parser.add_argument("--text", default=EMBEDDED, help="a file with a document a line")
    parser.add_argument("--tokenizer", default=EMBEDDED, help="a tokenizer.json with BERT's special tokens")
    parser.add_argument("--copies", type=int, default=20, help="how often every document is in the corpus")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", action="append", default=[], metavar="TOOL=PYTHON", help="a tool's own interpreter")
    chosen = parser.parse_args(arguments)
    named = dict(each.split("=", 1) for each in chosen.peer)
    tools = {way.split(",")[0] for way in (*TOKENIZED, *LOADED)}
    if unknown := named.keys() - tools:
        parser.error(f"not measured: {', '.join(sorted(unknown))}; there are {', '.join(sorted(tools))}")
    pythons = dict.fromkeys(HERE_TOO, sys.executable) | named
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        text.write_text("\n".join(documents_of(chosen.text, chosen.copies)), encoding="utf-8")
        bench = Bench(Path(folder), text, TextTokenizer(chosen.tokenizer).path, pythons, chosen.rounds)
        for way in (*TOKENIZED, *LOADED):
            if (tool := way.split(",")[0]) not in pythons:
                bench.skipped[way] = f"it needs --peer {tool}=PYTHON"
            elif shutil.which(pythons[tool]) is None:
                bench.skipped[way] = f"{pythons[tool]} is no interpreter"
        bench.tokenizing()
        bench.loading("load", "Masked batches of 64 × 512, by transformers' collator")
        bench.loading("load-at-once", "The same, with special tokens found for a whole batch by lines of ours")


if __name__ == "__main__":
    main()

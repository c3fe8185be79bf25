"""Training on one GPU: `python -m tests.benchmarks.gpu` prints each row as it is done, and ends within eight minutes.

It needs this checkout, torch, transformers and accelerate. Without CUDA it runs at toy size on the CPU in fp32, which
shows that it works, and nothing about speed.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import torch
from accelerate.state import AcceleratorState

from dist_epochs.errors import InputError
from dist_epochs.ledger.reading import read_totals
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.hardware import find_device
from tests.benchmarks.trainers import Case, Text, can_compile, make_text, train

__all__ = ["Bench", "Size", "main"]

OURS, TRAINER = "dist_epochs", "Trainer, grouped"

MASKED = Fraction(15, 100)
"""Share of the tokens that the loss of a masked model counts."""


class _Enough(Exception):
    """A training was measured for long enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        budget: Seconds for everything.
        seconds: Seconds of each training that are measured.
        warm_up: Steps before them.
        positions: Positions of a micro-step, padding included.
        product: Rows and columns of the matrices that are multiplied.
        copies: Copies of the text.
    """

    budget: float = 440.0
    seconds: float = 6.0
    warm_up: int = 5
    positions: int = 32768
    product: int = 8192
    copies: int = 20


TOY = Size(seconds=0.2, warm_up=1, positions=64, product=128, copies=1)


@dataclass(frozen=True, slots=True)
class _Pace:
    """What a training did on the device.

    Attributes:
        tokens: Tokens a second, without padding.
        positions: Positions a second.
        steps: Steps that were measured.
        memory: The most bytes that tensors took on the device; None on a CPU.
    """

    tokens: float
    positions: float
    steps: int
    memory: int | None


class Bench:
    """The rows, and the time that is left for them.

    Args:
        folder: Where everything may be written.
        size: How much is measured.
        cuda: Whether there is a GPU.
    """

    def __init__(self, folder: Path, size: Size, *, cuda: bool) -> None:
        self._folder, self._size, self._cuda = folder, size, cuda
        self._began = time.monotonic()
        self._trainings = 0
        self._text: Text | None = None
        self._product = 0.0
        self.failed = 0

    def run(self) -> None:
        """Print every row that there is time for."""
        for name, seconds, row in self._rows():
            left = self._size.budget - (time.monotonic() - self._began)
            if seconds > left:
                print(f"{name}: left out, since it takes about {seconds:.0f} s and {left:.0f} s are left", flush=True)
                continue
            try:
                print(f"{name}: {row()}", flush=True)
            except Exception as error:  # the rows after it are worth having
                self.failed += 1
                print(f"{name}: failed, {type(error).__name__}: {error}", flush=True)
                traceback.print_exc()
        print(f"{time.monotonic() - self._began:.0f} s in all", flush=True)

    def _rows(self) -> Iterator[tuple[str, float, Callable[[], str]]]:
        """Each row's name, its usual seconds, and what measures it; the most important first."""
        yield "machine", 5, self._machine
        yield "corpus", 10, self._tokenize
        large, small = self._cases()["bert-large 512"], self._cases()["bert-base 128"]
        for name in ("bert-large 512", "bert-base 512", "bert-base 128", "gpt2-small 1024"):
            yield name, 30, lambda name=name: self._beside_the_trainer(self._cases()[name])
        yield "counts", 15, self._counts
        yield "bert-large 512, compiled", 150, lambda: self._compiled(large)
        yield "fp16", 15, self._fp16
        yield "bert-base 128, compiled", 120, lambda: self._compiled(small, beside=True)
        yield "bert-large 128", 30, lambda: self._beside_the_trainer(self._cases()["bert-large 128"])
        for name, seconds in (("bert-base 512", 60), ("gpt2-small 1024", 60), ("bert-large 128", 100)):
            yield f"{name}, compiled", seconds, lambda name=name: self._compiled(self._cases()[name])

    def _cases(self) -> dict[str, Case]:
        bert = {"model_type": "bert", "vocab_size": 30522}
        large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
        gpt2 = {"model_type": "gpt2", "vocab_size": 50257}
        if not self._cuda:
            tiny = {"vocab_size": 2048, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
            bert |= {**tiny, "intermediate_size": 64}
            large, gpt2 = {}, {"model_type": "gpt2", "vocab_size": 2048, "n_embd": 32, "n_layer": 1, "n_head": 2}
        models = {"bert-base": bert, "bert-large": bert | large, "gpt2-small": gpt2}
        sizes = {"bert-base": (128, 512), "bert-large": (128, 512), "gpt2-small": (1024,)}
        return {f"{name} {length}": self._case(name, models[name], length) for name in models for length in sizes[name]}

    def _case(self, name: str, model: dict[str, int | str], length: int) -> Case:
        short = length if self._cuda else length // 16
        positions = {"max_position_embeddings": max(512, short)}
        samples = max(1, self._size.positions // short)
        precision = "bf16" if self._cuda else "fp32"
        return Case(
            name=name, model=positions | model, length=short, per_device=samples, steps=10**5, precision=precision
        )

    @property
    def text(self) -> Text:
        """The corpus."""
        assert self._text is not None
        return self._text

    def _tokenize(self) -> str:
        lengths = {case.length for case in self._cases().values()}
        self._text = make_text(self._folder, lengths, copies=self._size.copies)
        return f"{len(self.text.documents):,} documents, packed at {', '.join(map(str, sorted(lengths)))}"

    def _machine(self) -> str:
        """The device, and what it makes of one matrix product."""
        device, size = torch.device("cuda" if self._cuda else "cpu"), self._size.product
        kind = torch.bfloat16 if self._cuda else torch.float32
        left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
        for _ in range(3):
            left @ right
        self._wait()
        began, products = time.perf_counter(), 0
        while time.perf_counter() - began < self._size.seconds / 4:
            for _ in range(10):
                left @ right
            self._wait()
            products += 10
        self._product = 2 * size**3 * products / (time.perf_counter() - began)
        name = torch.cuda.get_device_name() if self._cuda else "CPU, toy sizes"
        return (
            f"{name}, torch {torch.__version__}; products of {size:,} × {size:,} in {str(kind)[6:]} "
            f"{_tera(self._product)} TFLOP/s{self._of_peak(self._product)}"
        )

    def _of_peak(self, flops: float) -> str:
        """A rate as a share of the device's dense peak, in words; nothing where that is not known."""
        try:
            peak = find_device(torch.cuda.get_device_name()).dense_tflops["bf16"] if self._cuda else None
        except InputError:
            peak = None
        return "" if peak is None else f", {flops / float(peak) / 1e12:.1%} of the dense peak of {float(peak):g}"

    def _beside_the_trainer(self, case: Case) -> str:
        ours = self._pace(OURS, case)
        theirs = self._pace(TRAINER, case)
        ratio = f"\n  ours ÷ it: {ours.tokens / theirs.tokens:.2f}"
        samples = f"{case.per_device} samples a step of {case.length}, {case.precision}, no dropout"
        return samples + self._line(OURS, case, ours) + self._line(TRAINER, case, theirs) + ratio

    def _compiled(self, case: Case, *, beside: bool = False) -> str:
        if not self._cuda:
            return "left out on a CPU"
        compiled = replace(case, compiles=True)
        lines = [self._line(way, case, self._pace(way, compiled)) for way in ([OURS] if can_compile() else [])]
        if not lines:
            lines = ["a recipe cannot ask for it in this checkout"]
        if beside:
            lines.append(self._line(TRAINER, case, self._pace(TRAINER, compiled)))
        return "".join(lines)

    def _line(self, way: str, case: Case, pace: _Pace) -> str:
        """A training in words, with its utilization by the FLOPs that it needs, and by model FLOPs as papers count."""
        model = read_architecture(case.config, where=case.name)
        counted = (MASKED if case.objective == "masked" else 1) * Fraction(pace.tokens / pace.positions)
        needed = pace.positions * float(model.executed_flops_per_token(case.length, min(counted, Fraction(1))))
        nominal = pace.positions * float(model.flops_per_token(case.length))
        memory = "" if pace.memory is None else f", {pace.memory / 2**30:.1f} GiB"
        return (
            f"\n  {way}: {pace.tokens:,.0f} tokens/s ({pace.tokens / pace.positions:.1%} of the positions){memory}, "
            f"{pace.steps} steps\n    needed FLOPs {_tera(needed)} TFLOP/s, {needed / self._product:.1%} of the "
            f"matrix product{self._of_peak(needed)}"
            f"\n    model FLOPs (all positions through the head) {_tera(nominal)} TFLOP/s{self._of_peak(nominal)}"
        )

    def _pace(self, way: str, case: Case) -> _Pace:
        """Train until it was measured for long enough; with half the samples where memory does not suffice."""
        try:
            return self._measure(way, case)
        except torch.OutOfMemoryError:
            if case.per_device == 1:
                raise
        half = replace(case, per_device=case.per_device // 2, accumulation=case.accumulation * 2)
        print(f"  {way}: memory does not suffice for {case.per_device} samples, so {half.per_device} are taken")
        return self._pace(way, half)

    def _measure(self, way: str, case: Case) -> _Pace:
        self._forget()
        first: tuple[float, int] | None = None
        pace: _Pace | None = None

        def mark(step: int, tokens: Callable[[], int]) -> None:
            nonlocal first, pace
            if step < self._size.warm_up:
                return
            if first is None:
                self._wait()
                first = time.perf_counter(), tokens()
            elif time.perf_counter() - first[0] > self._size.seconds:
                self._wait()
                took, steps = time.perf_counter() - first[0], step - self._size.warm_up
                positions = steps * case.per_device * case.accumulation * case.length
                memory = torch.cuda.max_memory_allocated() if self._cuda else None
                pace = _Pace((tokens() - first[1]) / took, positions / took, steps, memory)
                raise _Enough

        try:
            train(way, case, self.text, self._place(), mark)
        except _Enough:
            assert pace is not None
            return pace
        raise RuntimeError(f"{case.steps} steps were too few")

    def _counts(self) -> str:
        """Whether a run on this device counts what a run on the CPU counts, down to the digest of its samples."""
        case = replace(self._cases()["bert-base 128"], model=self._tiny(), steps=20, precision="fp32", per_device=4)
        totals = []
        for on_cpu in (False, True):
            self._forget()
            place = self._place()
            with patch.dict(os.environ, {"ACCELERATE_USE_CPU": "true"} if on_cpu else {}):
                train(OURS, case, self.text, place, lambda step, tokens: None)
            totals.append(read_totals(place / "run" / "ledger.jsonl").applied)
        here, on_cpu = totals
        if here.passes != on_cpu.passes or here.micro_steps != on_cpu.micro_steps:
            raise AssertionError(f"{here} here and {on_cpu} on the CPU")
        counts = here.counts
        return f"equal to a CPU run's: {here.steps} steps, {counts.tokens:,} tokens, digest {counts.digest:032x}"

    def _fp16(self) -> str:
        """Steps that fp16's loss scale skips, which the ledger has apart."""
        if not self._cuda:
            return "left out: it needs a GPU"
        self._forget()
        place = self._place()
        case = replace(self._cases()["bert-base 128"], steps=40, precision="fp16", model=self._tiny())
        train(OURS, case, self.text, place, lambda step, tokens: None)
        totals = read_totals(place / "run" / "ledger.jsonl")
        if totals.last_step != case.steps:
            raise AssertionError(f"{totals.last_step} steps of {case.steps} are in the ledger")
        return f"{totals.applied.steps} steps applied and {totals.skipped.steps} skipped, of {case.steps} drawn"

    def _tiny(self) -> dict[str, int | str]:
        return {
            "model_type": "bert", "vocab_size": 2048, "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 128,
        }  # fmt: skip

    def _place(self) -> Path:
        """A new folder for a training."""
        self._trainings += 1
        return self._folder / str(self._trainings)

    def _wait(self) -> None:
        if self._cuda:
            torch.cuda.synchronize()

    def _forget(self) -> None:
        """Free what the training before held."""
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.compiler.reset()
        gc.collect()
        if self._cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _tera(flops: float) -> str:
    return f"{flops / 1e12:,.3g}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--positions", type=int, help=f"positions of a micro-step, {Size().positions} if not stated")
    chosen = parser.parse_args()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # the Trainer would take all
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    cuda = torch.cuda.is_available()
    size = Size() if cuda else TOY
    if chosen.positions:
        size = replace(size, positions=chosen.positions)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), size, cuda=cuda)
        bench.run()
    raise SystemExit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()

"""Console of torchtitan (trainer.py, components/metrics.py, distributed/parallel_dims.py).

`Trainer is initialized with local batch size 8, global batch size 64, gradient accumulation steps 1, sequence length
2048, total steps 10 (warmup 2)`; since 2026 `… with 16384 tokens per DP rank, 262144 tokens per train step, gradient
accumulation steps 2, maximum context length 8192, total steps …`, where the first are those of a micro-step.
`Building device mesh with parallelism: pp=1, dp_replicate=1, dp_shard=8, cp=1, tp=1, ep=1` (ep lies inside), once
`Building 1-D device mesh with ['dp_shard'], [8]`. `step: 10 loss: … tps: 5,756 tflops: 0.41`: steps done; tokens a
second and FLOPs of one device, as means since the line before.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import prod

from dist_epochs.audit.records.log_reading import LineReader, run_of_track
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.records.timeline import Line

__all__ = ["TorchtitanLog"]

HEAD = {
    b"local batch size": "per_device",
    b"global batch size": "global_batch",
    b"gradient accumulation steps": "gradient_accumulation",
    b"gradient_accumulation_steps:": "gradient_accumulation",
    b"sequence length": "sequence_length",
    b"maximum context length": "sequence_length",
    b"total steps": "planned_steps",
}
OF_DIMENSIONS = {"tp": "tensor_parallel", "pp": "pipeline_parallel", "cp": "context_parallel"}
DATA_PARALLEL, OF_WORLD = ("dp_replicate", "dp_shard"), ("pp", "dp_replicate", "dp_shard", "cp", "tp")

_HEAD = re.compile(rb"(" + b"|".join(map(re.escape, HEAD)) + rb") ([\d,]{1,20})(?=[,\s]|$)")
_TOKENS = re.compile(rb"(\d{1,15}) tokens per (DP rank|train step)\b")
_MESH = re.compile(rb"Building device mesh with parallelism: (.{1,400})")
_DIMENSION = re.compile(rb"\b([a-z_]{2,12})=(\d{1,9})\b")
_OLD_MESH = re.compile(rb"Building \d-D device mesh with \[([^\]]{1,200})\], \[([\d, ]{1,100})\]")
_STARTS = re.compile(rb"Training starts at step (\d{1,15})\b")
_STEP = re.compile(
    rb"\bstep:\s{1,9}(\d{1,15})\s.{0,80}?\bloss:\s.{0,300}?\btps: ([\d,]{1,20})\s+tflops: ([\d,.]{1,20})\s+mfu:"
)


class TorchtitanLog(LineReader):
    """What the lines have said so far."""

    MARKS = (
        b"tflops: ",
        b"Trainer is initialized with",
        b"device mesh with",
        b"Training starts at step",
        b"Training completed",
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.tokens: dict[str, Number] = {}
        self.world: Number | None = None
        self.data_parallel: Number | None = None
        self.is_over = False

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        if match := _STEP.search(line):
            self._step(
                int(match[1]), int(match[2].replace(b",", b"") or b"0"), match[3].replace(b",", b"").decode(), at
            )
        elif b"Trainer is initialized with" in line:
            for key, text in _HEAD.findall(line):
                self._set(HEAD[key], int(text.replace(b",", b"") or b"0"), at, key.decode().strip(":"))
            for text, of in _TOKENS.findall(line):
                self.tokens[of.decode()] = Number.exact(int(text), self.place(at, f"tokens per {of.decode()}"))
        elif match := _MESH.search(line):
            self._mesh({key.decode(): int(text) for key, text in _DIMENSION.findall(match[1])}, at)
        elif match := _OLD_MESH.search(line):
            names = [name.strip(b" '\"").decode("ascii", "replace") for name in match[1].split(b",")]
            sizes = [int(size) for size in match[2].split(b",") if size.strip().isdigit()]
            self._mesh(dict(zip(names, sizes, strict=False)), at)
        elif match := _STARTS.search(line):
            self.track.start(int(match[1]) - 1)
        elif b"Training completed" in line:
            self.is_over = True

    def _set(self, name: str, value: int, at: int, key: str) -> None:
        if value:
            self.numbers[name] = Number.exact(value, self.place(at, key))

    def _mesh(self, sizes: dict[str, int], at: int) -> None:
        self.world = Number.exact(prod(sizes.get(name, 1) for name in OF_WORLD), self.place(at, "device mesh"))
        size = prod(sizes.get(name, 1) for name in DATA_PARALLEL)
        self.data_parallel = Number.exact(size, self.place(at, "device mesh"))
        for key, name in OF_DIMENSIONS.items():
            self._set(name, sizes.get(key, 1), at, key)

    @property
    def _tokens_per_step(self) -> Number | None:
        if "train step" in self.tokens:
            return self.tokens["train step"]
        batch, length = self.numbers.get("global_batch"), self.numbers.get("sequence_length")
        if batch is None or length is None:
            return None
        return Number.exact(int(batch.value * length.value), batch.where)

    def _step(self, step: int, rate: int, tflops: str, at: int) -> None:
        tokens = self._tokens_per_step
        seconds = None
        if rate and self.world is not None and tokens is not None:
            seconds = Decimal(int(tokens.value)) / (rate * int(self.world.value))
        total = int(tokens.value) * step if tokens is not None else None
        flops = Decimal(tflops) if re.fullmatch(r"\d+\.\d+", tflops) else None
        self.track.add(Line(step=step, at=at, tokens=total, batch=self._batch, seconds=seconds, tflops=flops))

    @property
    def _batch(self) -> int | None:
        if "global_batch" in self.numbers:
            return int(self.numbers["global_batch"].value)
        return self._samples("train step")

    def _samples(self, of: str) -> int | None:
        """Samples of so many tokens, where they are whole."""
        tokens, length = self.tokens.get(of), self.numbers.get("sequence_length")
        if tokens is None or length is None or tokens.value % length.value:
            return None
        return int(tokens.value / length.value)

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged."""
        if self.track.last is None:
            return None
        numbers = dict(self.numbers)
        if "per_device" not in numbers and (size := self._samples("DP rank")):
            numbers["per_device"] = Number.exact(size, self.tokens["DP rank"].where)
        if self.world is not None and self.data_parallel is not None:
            numbers |= {"devices": self.world, "data_parallel_size": self.data_parallel}
        further: dict[str, Number | bool] = {}
        if (tokens := self._tokens_per_step) is not None:
            further["tokens_per_step"] = tokens
        if "DP rank" in self.tokens:
            further["tokens_per_dp_rank"] = self.tokens["DP rank"]
        return run_of_track("torchtitan", self.path, self.track, numbers, further=further, is_over=self.is_over)

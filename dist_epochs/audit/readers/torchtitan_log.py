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

from dist_epochs.audit.records.log_reading import LineReader, samples_of, whole_of
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
DIMENSIONS = {
    "devices": ("pp", "dp_replicate", "dp_shard", "cp", "tp"),
    "data_parallel_size": ("dp_replicate", "dp_shard"),
    "tensor_parallel": ("tp",),
    "pipeline_parallel": ("pp",),
    "context_parallel": ("cp",),
}
"""The dimensions of the mesh whose product each number is."""
TOKENS = {b"DP rank": "tokens_per_dp_rank", b"train step": "tokens_per_step"}

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

    KIND = "torchtitan"
    MARKS = (
        b"tflops: ",
        b"Trainer is initialized with",
        b"device mesh with",
        b"Training starts at step",
        b"Training completed",
    )

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        if match := _STEP.search(line):
            self._step(int(match[1]), whole_of(match[2]), match[3].replace(b",", b"").decode(), at)
        elif b"Trainer is initialized with" in line:
            for key, text in _HEAD.findall(line):
                self.tell(HEAD[key], text, at, key.decode().strip(":"))
            for text, of in _TOKENS.findall(line):
                self.further[TOKENS[of]] = Number.exact(int(text), self.place(at, f"tokens per {of.decode()}"))
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

    def _mesh(self, sizes: dict[str, int], at: int) -> None:
        for name, keys in DIMENSIONS.items():
            self.tell(name, prod(sizes.get(key, 1) for key in keys), at, "device mesh" if len(keys) > 1 else keys[0])

    def _step(self, step: int, rate: int, tflops: str, at: int) -> None:
        batch, length = self.numbers.get("global_batch"), self.numbers.get("sequence_length")
        if "tokens_per_step" not in self.further and batch is not None and length is not None:
            self.further["tokens_per_step"] = Number.exact(int(batch.value * length.value), batch.where)
        logged, devices = self.further.get("tokens_per_step"), self.numbers.get("devices")
        tokens = int(logged.value) if isinstance(logged, Number) else None
        self.track.add(
            Line(
                step=step,
                at=at,
                tokens=tokens * step if tokens is not None else None,
                batch=int(batch.value) if batch is not None else samples_of(logged, length),
                seconds=Decimal(tokens) / (rate * int(devices.value)) if rate and devices and tokens else None,
                tflops=Decimal(tflops) if re.fullmatch(r"\d+\.\d+", tflops) else None,
            )
        )

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged."""
        tokens = self.further.get("tokens_per_dp_rank")
        size = samples_of(tokens, self.numbers.get("sequence_length"))
        if "per_device" not in self.numbers and size and isinstance(tokens, Number):
            self.numbers["per_device"] = Number.exact(size, tokens.where)
        return super().finished()

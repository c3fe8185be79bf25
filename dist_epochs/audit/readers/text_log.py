r"""Text logs of Megatron-LM, GPT-NeoX and OLMo, read line by line.

Formats, as published:

- Megatron-LM and its forks (a line in the README of FlagAI-Open/OpenSeek, epfLLM/Megatron-LLM issue 11):
  ` iteration 1/ 24000 | consumed samples: 1024 | elapsed time per iteration (ms): 271607.0 | throughput per GPU
  (TFLOP/s/GPU): 40.4 | … | global batch size: 1024 | … | number of skipped iterations: 0 | number of nan iterations:
  0 |`; forks add `consumed tokens`, `samples per second`, `TFLOPs`, write the time in `(s)`, and misspell
  `gloabl batch size`.
- GPT-NeoX (EleutherAI/gpt-neox, megatron/logging.py): ` samples/sec: 51.2 | iteration 10/ 320000 | … | approx flops
  per GPU: 150.3TFLOPS | …`, without batch and samples.
- OLMo (allenai/OLMo, olmo/train.py): `[step=1/739328]`, then a line for each number,
  `throughput/total_tokens=4,194,304`.
- Arguments (NVIDIA/Megatron-LM issue 91, EleutherAI/gpt-neox issue 1248): `  seq_length ............ 2048`, in NeoX
  with `.......updated` or `.......default` behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from dist_epochs.audit.readers.record import FinishedRun, Number, whole
from dist_epochs.audit.readers.timeline import MOST_KEPT, Line, Track

__all__ = ["read_text_log"]

LONGEST_LINE = 1 << 16
"""Bytes read at once; a longer line is not a log line, and its rest counts as lines of its own."""

ARGUMENTS = {
    b"world_size": "devices",
    b"global_num_gpus": "devices",
    b"data_parallel_size": "data_parallel_size",
    b"tensor_model_parallel_size": "tensor_parallel",
    b"model_parallel_size": "tensor_parallel",
    b"pipeline_model_parallel_size": "pipeline_parallel",
    b"pipe_parallel_size": "pipeline_parallel",
    b"context_parallel_size": "context_parallel",
    b"global_batch_size": "global_batch",
    b"train_batch_size": "global_batch",
    b"micro_batch_size": "per_device",
    b"train_micro_batch_size_per_gpu": "per_device",
    b"gradient_accumulation_steps": "gradient_accumulation",
    b"seq_length": "sequence_length",
    b"train_iters": "planned_steps",
    b"train_samples": "planned_samples",
}
"""Arguments that are read, and what they are here."""

FIELDS = {
    b"consumed samples": "samples",
    b"consumed tokens": "tokens",
    b"global batch size": "batch",
    b"gloabl batch size": "batch",
    b"elapsed time per iteration (ms)": "milliseconds",
    b"elapsed time per iteration (s)": "seconds",
    b"throughput per GPU (TFLOP/s/GPU)": "tflops",
    b"throughput per GPU (TFLOPs/GPU)": "tflops",
    b"TFLOPs": "tflops",
    b"approx flops per GPU": "tflops",
    b"samples/sec": "samples_per_second",
    b"samples per second": "samples_per_second",
    b"actual seqlen": "length",
    b"number of skipped iterations": "skipped",
    b"number of nan iterations": "nan",
}

COUNTS = ("samples", "tokens", "batch", "length", "skipped", "nan")

_ITERATION = re.compile(rb"\biteration\s+(\d{1,18})\s*/\s*(\d{1,18})\s*\|")
_FIELD = re.compile(
    rb"(" + b"|".join(re.escape(key) for key in FIELDS) + rb"):\s*(\d{1,18}(?:\.\d{1,9})?(?:[eE][-+]?\d{1,2})?)"
    rb"\s*(?:TFLOPS)?(?:/[\d.]+)?\s*\|"
)
_ARGUMENT = re.compile(rb"(?:^|\s)([a-z][a-z0-9_]{2,60}) \.{2,}\s*(\S+?)(?:\.{3,}(?:default|updated))?\s*$")
_LOADED = re.compile(rb"loaded checkpoint\b.{0,2000}?\bat iteration\s+(\d{1,18})\b")
_STEP = re.compile(rb"\[step=(\d{1,18})/(\d{1,18})[,\]]")
_TOTAL = re.compile(rb"^\s+throughput/total_tokens=([\d,]{1,30})\s*$")


@dataclass(slots=True)
class _Reading:
    """What the lines so far say."""

    name: str
    kind: str | None = None
    track: Track = field(default_factory=Track)
    numbers: dict[str, Number] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    precision: str | None = None
    ramps: bool = False
    skipped: int = 0
    nan: int = 0
    unread: int = 0
    lengths: set[int] = field(default_factory=set)
    begun: tuple[int, str] | None = None

    def argument(self, key: bytes, text: bytes, at: int) -> None:
        if self.track.last is not None:
            self.track.start()  # arguments are printed once, when the program begins
        if key in (b"bf16", b"fp16") and text == b"True":
            self.precision = key.decode()
        if key == b"rampup_batch_size" and text[:1] not in (b"", b"N"):
            self.ramps = True
        if key in (b"global_num_gpus", b"train_micro_batch_size_per_gpu"):
            self.kind = "gpt-neox"
        name = ARGUMENTS.get(key)
        value = text.decode("ascii", errors="replace")
        if name in ("pipeline_parallel", "tensor_parallel") and value == "0":
            value = "1"  # NeoX writes 0 where layers are not shared
        number = whole(value, f"{self.name}:{at}: {key.decode()}") if name else None
        if name is None or number is None:
            return
        old = self.numbers.get(name)
        if old is not None and old.value != number.value:
            told = self.changed.setdefault(name, [old.text])
            if len(told) < MOST_KEPT:
                told.append(number.text)
        self.numbers[name] = number

    def planned(self, steps: int, where: str) -> None:
        if steps > 0 and "planned_steps" not in self.numbers:
            self.numbers["planned_steps"] = Number.exact(steps, where)

    def iteration(self, line: bytes, at: int) -> None:
        """A line of fields between bars; only what stands before a bar is whole."""
        steps = _ITERATION.search(line)
        if steps is None:
            return
        found = {FIELDS[key]: text.decode() for key, text in _FIELD.findall(line)}
        if b"samples/sec:" in line:
            self.kind = "gpt-neox"
        self.kind = self.kind or "megatron"
        where = f"{self.name}:{at}"
        self.planned(int(steps[2]), where)
        counts = {name: int(found[name]) for name in COUNTS if found.get(name, "").isdecimal()}
        self.skipped += counts.get("skipped", 0)
        self.nan += counts.get("nan", 0)
        if counts.get("length") and len(self.lengths) < MOST_KEPT:
            self.lengths.add(counts["length"])
        rate = found.get("samples_per_second")
        self.track.add(
            Line(
                step=int(steps[1]),
                where=where,
                samples=counts.get("samples"),
                tokens=counts.get("tokens"),
                batch=counts.get("batch") or self._batch(),
                seconds=_seconds(found),
                tflops=Decimal(found["tflops"]) if "tflops" in found else None,
                samples_per_second=float(rate) if rate else None,
            )
        )

    def _batch(self) -> int | None:
        """NeoX logs no batch: it is that of the arguments, and never ramps."""
        stated = self.numbers.get("global_batch")
        return int(stated.value) if stated and self.kind == "gpt-neox" else None

    def olmo(self, line: bytes, at: int) -> None:
        """A step of OLMo; its tokens stand on a line of their own, a few further down."""
        if match := _STEP.search(line):
            self.close()
            self.kind = "olmo"
            where = f"{self.name}:{at}"
            self.planned(int(match[2]), where)
            self.begun = int(match[1]), where
        elif self.begun and (match := _TOTAL.match(line)):
            step, where = self.begun
            self.track.add(Line(step=step, where=where, tokens=int(match[1].replace(b",", b"") or b"0")))
            self.begun = None

    def close(self) -> None:
        """A step without tokens counts, too."""
        if self.begun:
            self.track.add(Line(step=self.begun[0], where=self.begun[1]))
            self.begun = None


def _seconds(found: Mapping[str, str]) -> Decimal | None:
    """Seconds of a step, which BigScience writes as such."""
    if "milliseconds" in found:
        return Decimal(found["milliseconds"]) / 1000
    return Decimal(found["seconds"]) if "seconds" in found else None


def read_text_log(path: Path) -> FinishedRun | None:
    """Read a log; None if no line of it is one that is known.

    The file is streamed: memory does not grow with it. NUL bytes and bytes of other encodings are passed over; a line
    that ends in the middle counts as far as its last bar.

    Raises:
        OSError: If it cannot be read.
    """
    reading = _Reading(path.name)
    for at, line in enumerate(_lines(path), start=1):
        if b"iteration" in line:
            if b"|" in line:
                reading.iteration(line, at)
            elif match := _LOADED.search(line):
                reading.track.start(int(match[1]))
        elif b" ..." in line or b" .. " in line:
            if match := _ARGUMENT.search(line):
                reading.argument(match[1], match[2], at)
        elif b"[step=" in line or b"throughput/total_tokens=" in line:
            reading.olmo(line, at)
    reading.close()
    return _finished(reading, path)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            yield line.replace(b"\0", b"") if b"\0" in line else line


def _finished(reading: _Reading, path: Path) -> FinishedRun | None:
    track = reading.track
    layout = {"global_batch", "per_device", "sequence_length", "planned_steps"}
    if track.last is None and len(layout & set(reading.numbers)) < 2:
        return None
    logged = track.numbers(path.name)
    if track.batches and len(track.batches) > 1:
        reading.numbers.pop("global_batch", None)  # the argument is where the ramp ends, and no step's mean
    if len(reading.lengths) > 1:
        reading.numbers.pop("sequence_length", None)  # a curriculum: no one length makes the tokens
    elif reading.lengths:
        reading.numbers["sequence_length"] = Number.exact(min(reading.lengths), f"{path.name}: actual seqlen")
    numbers = {**reading.numbers, **logged}
    return FinishedRun(
        kind=reading.kind or "megatron",
        path=str(path),
        numbers=numbers,
        precision=reading.precision,
        changes_batch=len(track.batches) > 1,
        unlogged=_unlogged(track, numbers),
        segments=track.segments,
        overlaps=track.overlaps,
        gaps=track.gaps,
        notes=tuple(_notes(reading)),
    )


def _unlogged(track: Track, numbers: Mapping[str, Number]) -> int:
    """Steps that may have followed the last line, up to those that were planned."""
    planned = numbers.get("planned_steps")
    if track.last is None:
        return 0
    left = int(planned.value) - track.last.step if planned else track.stride - 1
    return max(min(track.stride - 1, left), 0)


def _notes(reading: _Reading) -> Iterator[str]:
    track = reading.track
    if track.last is None:
        yield "Only the arguments were found: no line tells of a step."
    if len(track.batches) > 1:
        smallest, largest = min(track.batches), max(track.batches)
        yield f"The batch changes: {smallest:,} to {largest:,} samples, so steps × batch is taken line by line."
    elif reading.ramps:
        yield "rampup_batch_size is set, and the batch does not change in the lines that were read."
    if len(reading.lengths) > 1:
        shortest, longest = min(reading.lengths), max(reading.lengths)
        yield f"The length changes: {shortest:,} to {longest:,} positions, so tokens are no samples × length."
    if reading.skipped:
        yield f"Iterations skipped, without an update: {reading.skipped:,}. Their samples are drawn and not trained."
    if reading.nan:
        yield f"Iterations whose loss was no number: {reading.nan:,}."
    for name, values in reading.changed.items():
        yield f"{name.replace('_', ' ')} changes between starts: {', then '.join(values[:10])}. The last one is used."
    if track.repeated:
        yield f"Lines that repeat the step before them: {track.repeated:,}. Several ranks print; each step counts once."
    if track.is_ragged:
        yield f"More than {MOST_KEPT:,} segments: the log is garbled, or holds several runs."
    if track.stride > 1 and len(track.segments) > 1:
        yield f"A line every {track.stride:,} steps: where segments begin is known to {track.stride:,} steps."

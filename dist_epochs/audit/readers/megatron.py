r"""Lines of Megatron-LM and GPT-NeoX logs: one for each iteration, and the arguments at each start.

Formats, as published:

- Megatron-LM and its forks (a line in the README of FlagAI-Open/OpenSeek, epfLLM/Megatron-LLM issue 11):
  ` iteration 1/ 24000 | consumed samples: 1024 | elapsed time per iteration (ms): 271607.0 | throughput per GPU
  (TFLOP/s/GPU): 40.4 | … | global batch size: 1024 | … | number of skipped iterations: 0 | number of nan iterations:
  0 |`; forks add `consumed tokens`, `samples per second`, `TFLOPs`, write the time in `(s)`, and misspell
  `gloabl batch size`.
- GPT-NeoX (EleutherAI/gpt-neox, megatron/logging.py): ` samples/sec: 51.2 | iteration 10/ 320000 | … | approx flops
  per GPU: 150.3TFLOPS | …`, without batch and samples.
- DeepSpeed's own arguments (deepspeed/runtime/config.py): `[INFO] [config.py:904:print]   world_size ......... 1`. They
  start no segment, and its world_size is the number of devices that see different data.
- Arguments (NVIDIA/Megatron-LM issue 91, EleutherAI/gpt-neox issue 1248): `  seq_length ............ 2048`, in NeoX
  with `.......updated` or `.......default` behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from dist_epochs.audit.records.log_reading import LineReader
from dist_epochs.audit.records.record import FinishedRun, Place
from dist_epochs.audit.records.timeline import MOST_KEPT, Line

__all__ = ["MegatronLog"]

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

OF_DEEPSPEED = b":print]"
"""What stands before each of DeepSpeed's arguments, behind the line of its own code."""

ARGUMENTS_OF_DEEPSPEED = {b"world_size": "data_parallel_size"} | {
    key: ARGUMENTS[key]
    for key in (b"train_batch_size", b"train_micro_batch_size_per_gpu", b"gradient_accumulation_steps")
}

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

ENOUGH = {"global_batch", "per_device", "sequence_length", "planned_steps"}
"""Two of them are arguments of a run."""

COUNTS = ("samples", "tokens", "batch", "length", "skipped", "nan")

_ITERATION = re.compile(rb"\biteration\s++(\d{1,18})\s*+/\s*+(\d{1,18})\s*+\|")
_RECORD = re.compile(rb"(?:\bsamples/sec:[^|]{0,200}\|\s*+)?\biteration\s++\d{1,18}\s*+/\s*+\d{1,18}\s*+\|")
"""Where a line begins, also behind another one that a second process wrote at the same moment."""
_FIELD = re.compile(
    rb"(" + b"|".join(re.escape(key) for key in FIELDS) + rb"):\s*(\d{1,18}(?:\.\d{1,9})?(?:[eE][-+]?\d{1,2})?)"
    rb"\s*+(?:TFLOPS)?(?:/[\d.]++)?\s*+\|"  # nothing is given back, so that many blanks are read once
)
_ARGUMENT = re.compile(rb"(?:^|\s)([a-z][a-z0-9_]{2,60}) \.{2,}+\s*+(\S++)\s*+$")
_ORIGIN = re.compile(rb"(?<=[^.])\.{3,}+(?:default|updated)$")
"""Behind NeoX's values: where they come from."""
_ARGUMENT_OF_DEEPSPEED = re.compile(rb"\[config\.py:\d+:print\]\s++([a-z][a-z0-9_]{2,60})\s[\s.]*+(\S++)\s*+$")
_LOADED = re.compile(rb"loaded checkpoint\b.{0,2000}?\bat iteration\s+(\d{1,18})\b")


class MegatronLog(LineReader):
    """What the lines have said so far: of Megatron-LM, and of GPT-NeoX where something tells so."""

    KIND = "megatron"
    MARKS = (b"iteration", b" ...", b" .. ", OF_DEEPSPEED)

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._precision: str | None = None
        self._ramps = False
        self._skipped = self._nan = 0
        self._lengths: set[int] = set()

    def read(self, line: bytes, at: int) -> None:
        """An argument; or fields between bars, each whole up to its bar; or which checkpoint was loaded."""
        if b"iteration" not in line:
            self._argument(line, at)
        elif b"|" in line:
            begins = [match.start() for match in _RECORD.finditer(line)]
            for start, end in zip([0, *begins[1:]], [*begins[1:], len(line)], strict=bool(begins)):
                self._record(line[start:end], at)
        elif match := _LOADED.search(line):
            self.track.start(int(match[1]))

    def _record(self, line: bytes, at: int) -> None:
        """The fields of one iteration."""
        if (steps := _ITERATION.search(line)) is None:
            return
        found = {FIELDS[key]: text.decode() for key, text in _FIELD.findall(line)}
        if b"samples/sec:" in line:
            self.KIND = "gpt-neox"
        self.plan_steps(int(steps[2]), at)
        milliseconds = found.get("milliseconds")  # BigScience writes seconds
        # NeoX logs no batch: it is that of the arguments, and never ramps
        stated = self.numbers.get("global_batch") if self.KIND == "gpt-neox" else None
        counts = {name: int(found[name]) for name in COUNTS if found.get(name, "").isdecimal()}
        self._skipped += counts.get("skipped", 0)
        self._nan += counts.get("nan", 0)
        if counts.get("length") and len(self._lengths) < MOST_KEPT:
            self._lengths.add(counts["length"])
        self.track.add(
            Line(
                step=int(steps[1]),
                at=at,
                samples=counts.get("samples"),
                tokens=counts.get("tokens"),
                batch=counts.get("batch") or (int(stated.value) if stated else None),
                seconds=Decimal(found.get("seconds", 0)) if milliseconds is None else Decimal(milliseconds) / 1000,
                tflops=Decimal(found["tflops"]) if "tflops" in found else None,
                samples_per_second=float(found["samples_per_second"]) if "samples_per_second" in found else None,
            )
        )

    def _argument(self, line: bytes, at: int) -> None:
        """A line with one argument, its name and value far apart."""
        if OF_DEEPSPEED in line:
            if match := _ARGUMENT_OF_DEEPSPEED.search(line):
                self._set(ARGUMENTS_OF_DEEPSPEED.get(match[1]), match[2], self.place(at, match[1].decode()))
            return
        if (match := _ARGUMENT.search(line)) is None:
            return
        key, text = match[1], _ORIGIN.sub(b"", match[2])
        if self.track.last is not None:
            self.track.start()  # arguments are printed once, when the program begins
        if key in (b"bf16", b"fp16") and text == b"True":
            self._precision = key.decode()
        if key == b"rampup_batch_size" and text[:1] not in (b"", b"N"):
            self._ramps = True
        if key in (b"global_num_gpus", b"train_micro_batch_size_per_gpu"):
            self.KIND = "gpt-neox"
        self._set(ARGUMENTS.get(key), text, self.place(at, key.decode()))

    def _set(self, name: str | None, text: bytes, where: Place) -> None:
        """An argument that is known here, if it is a count."""
        if name in ("pipeline_parallel", "tensor_parallel") and text == b"0":
            text = b"1"  # NeoX writes 0 where layers are not shared
        if name is not None:
            self.state(name, text, where)

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged, and less than two arguments that tell of them."""
        if self.track.last is None and len(ENOUGH & set(self.numbers)) < 2:
            return None
        if len(self._lengths) > 1:
            self.numbers.pop("sequence_length", None)  # a curriculum: no one length makes the tokens
        elif self._lengths:
            self.tell("sequence_length", min(self._lengths), None, "actual seqlen")
        return self.run(tuple(self._notes()), precision=self._precision)

    def _notes(self) -> Iterator[str]:
        if self.track.last is None:
            yield "Only the arguments were found: no line tells of a step."
        if self._ramps and len(self.track.batches) <= 1:
            yield "rampup_batch_size is set, and the batch does not change in the lines that were read."
        if len(self._lengths) > 1:
            shortest, longest = min(self._lengths), max(self._lengths)
            yield f"The length changes: {shortest:,} to {longest:,} positions, so tokens are no samples × length."
        if self._skipped:
            yield f"Iterations skipped, without an update: {self._skipped:,}. Their samples are drawn and not trained."
        if self._nan:
            yield f"Iterations whose loss was no number: {self._nan:,}."
        yield from self.changes()

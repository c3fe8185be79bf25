"""Every command and every file that is read: samples, how each is read, and what the result depends on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.explained import Explains
from tests.fuzz.wandb_bytes import wandb_bytes

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
MADE = TESTS / "compatibility/2026-11-27"
LOGS = TESTS / "audit/readers/logs"

PLAN = ("plan", "--batch", "8x64", "--steps", "5")

WHAT_COUNTS = r"steps|micro_steps|samples|positions|tokens|loss_tokens"
WHAT_COSTS = r"wall_hours|device_hours|price|price_per_device_hour|energy_kwh|pue|watts_per_device"
PLAN_FILE = Explains(
    form="json",
    matters=rf"({WHAT_COUNTS}|coverage|sample_digest|corpus\.(tokens|samples\..*)|passes(\..*)?|phases\..*|"
    rf"global_batch\..*|replanned(\..*)?|cost\.({WHAT_COSTS}))",
    optional=rf"({WHAT_COUNTS}|coverage|sample_digest|passes.*|corpus\..*|global_batch\..*|phases\..*|replanned.*)",
    is_typed=True,
)
LEDGER = Explains(
    form="lines",
    matters=r"(segment|begin|applied|skipped|evaluation|checkpoint|totals|end|corpus|pass|reported|warning|unknown)(\..*)?",
    is_typed=True,
)
STATE = Explains(
    form="json",
    matters=r"global_step|max_steps|num_train_epochs|train_batch_size|num_input_tokens_seen|epoch|total_flos|log_history.*",
    signed=True,
    leaves_out=True,
)
WANDB = Explains(form="json", matters=r"(run|config|rows|summary|exit)(\..*)?", signed=True, leaves_out=True)
MODEL = Explains(form="json", is_typed=True)
PEOPLE = Explains(form="yaml")
OTHER_TOOLS = Explains(form="yaml", signed=True)
LINES = Explains(form="text", matters=r"\s*[^#\s].*|\s*|.*\x00.*")
SCRIPT = Explains(form="text", matters=rf"#SBATCH.*|{LINES.matters}")
LOG = Explains(
    form="text",
    matters=r".*(\x1b|iteration|\[step=|throughput/|\.\.|Running|Num |Total|Gradient|batch size|\d/\d|'|training).*",
)
"""A line of a log that is known."""
UNREAD = Explains(form="text", matters="(?!)")
"""Of a store: whatever changes the result is damage."""

WANDB_DATA = {
    "run": "abc123",
    "config": {
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "num_train_epochs": 3, "max_steps": -1
    },
    "rows": [
        {"train/global_step": 10 * at, "train/epoch": at / 10, "train/num_input_tokens_seen": 900 * at, "train/loss": 2}
        for at in range(1, 9)
    ],
    "summary": {"train/train_runtime": 12.5, "train/total_flos": 1e15, "_step": 8},
    "exit": 0,
}  # fmt: skip
WANDB_PLAIN = {
    "run": "b", "config": {"global_batch_size": 8, "seq_length": 128}, "summary": {}, "exit": 0,
    "rows": [{"step": at, "samples": 8 * at, "tokens": 1024 * at} for at in (1, 2, 3, 2, 3, 4)],
}  # fmt: skip

MODELS = {
    "bert": {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
             "vocab_size": 100, "intermediate_size": 128, "max_position_embeddings": 128},
    "gpt2": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128, "vocab_size": 100},
    "llama": {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100, "attention_bias": True},
    "modernbert": {"model_type": "modernbert", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 2,
                   "layer_types": ["full_attention", "sliding_attention", "full_attention"], "local_attention": 16},
}  # fmt: skip

RECIPE = """\
name: small
corpus: {words: 3.3B words, tokens_per_word: 1.25}
batch: {global_batch: 256, per_device: 8, devices: 8}
phases:
  - {steps: 900K, sequence_length: 128}
  - {steps: 100K, sequence_length: 512}
hardware: {device: H100}
model: {config: {model_type: bert, num_hidden_layers: 4}}
"""
CLAIM = """\
title: A claim
facts: {steps: 200K steps, batch: 256 sequences, corpus: 3.3B words, ratio: 1.25}
checks:
  samples: {formula: steps * batch, stated: 51.2M samples}
  epochs: {formula: steps * batch / 1000, stated: "~51,000"}
"""
WORDS = (
    'solve --steps 1M --batch 256x512 --corpus "3.3B words" --tokens-per-word 1.25',
    "solve --steps 1000 --global-batch 64 --epochs 3",
    'plan --batch 8x64 --steps 5 --devices 8xH100 --model bert-base --per-device 2 --corpus "9K samples" --like all',
    'plan --global-batch 8 --corpus "3.3B tokens" --sequence-length 128 --epochs 1.5 --per-device 2 --devices 4',
    'plan --batch 8x64 --steps 100 --restarts 1 --checkpoint-every 2 --restart-time "3 min"',
    "explain iteration --examples 100 --epochs 500 --batch-size 10",
    "explain epoch",
    "audit bert",
    "audit {}/trainer_state.json --devices 2 --per-device 4 --corpus '698 samples' --epochs 3 --steps 66",
    "audit {}/a.log --devices 8xA100 --model llama-7b --hours 72 --mfu 45% --tokens 300B --sequence-length 4096",
    "audit {}/a.wandb --epochs 3 --gradient-accumulation 4 --samples 2094 --tokens-per-second 1.2M --precision bf16",
    "plan {}/r.yaml --set batch.per_device=4 --sweep batch.global_batch=128,256 --strict",
    "plan {}/r.yaml bert-base gpt2-small",
    "ledger {}",
)


@dataclass(frozen=True)
class Subject:
    """Something that is read.

    Attributes:
        name: What to call it.
        words: The command; `{}` is the folder of the files.
        files: By their name below the folder.
        target: The file that is mutated; None for the words of the command.
        form: How it is mutated, see `mutations.mutate`.
        explains: What the result depends on.
        weight: How often it is drawn.
    """

    name: str
    words: tuple[str, ...]
    files: Mapping[str, bytes]
    target: str | None
    form: str
    explains: Explains
    weight: int = 4


def _small_json(path: Path) -> bytes:
    """A file of JSON whose lists have a dozen items at most, so that what counts is met more often."""

    def cut(data: object) -> object:
        if isinstance(data, dict):
            return {key: cut(value) for key, value in data.items()}
        return [cut(item) for item in data[:12]] if isinstance(data, list) else data

    return json.dumps(cut(json.loads(path.read_bytes()))).encode()


def _records() -> Iterator[Subject]:
    """The records of other trainers: whatever is in them may change what is read, and nothing may fail."""
    for path in sorted((LOGS.parent / "samples").rglob("*")):
        if path.suffix == ".md" and path.parent == LOGS.parent / "samples":
            continue
        if path.is_file() and path.name != "expected.json" and path.parent.parent.name != "wandb-files":
            form = "json" if path.suffix == ".json" else "text"
            explains = Explains(form=form, signed=True, leaves_out=True)
            name = path.name if path.suffix != ".md" else "README.md"
            yield _one(
                f"record {path.parent.name}/{path.name}",
                f"audit {{}}/{name}",
                name,
                path.read_bytes(),
                form,
                explains,
                1,
            )


def _one(
    name: str, words: str, file: str, content: bytes | str, form: str, explains: Explains, weight: int = 4
) -> Subject:
    raw = content.encode() if isinstance(content, str) else content
    return Subject(name, tuple(shlex.split(words)), {file: raw}, file, form, explains, weight)


@cache
def subjects() -> tuple[Subject, ...]:
    """All of them."""
    return tuple(_all())


def _all() -> Iterator[Subject]:
    yield _one("recipe", "plan {}/r.yaml", "r.yaml", RECIPE, "text", PEOPLE, 30)
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        yield _one(f"recipe {path.stem}", "plan {}/r.yaml", "r.yaml", path.read_bytes(), "text", PEOPLE, 8)
    yield _one("claim", "audit {}/c.yaml", "c.yaml", CLAIM, "text", PEOPLE, 30)
    for path in sorted((ROOT / "dist_epochs/audit/claims").glob("[abdgo]*.yaml")):
        yield _one(f"claim {path.stem}", "audit {}/c.yaml", "c.yaml", path.read_bytes(), "text", PEOPLE, 1)
    run = {name: (MADE / "run" / name).read_bytes() for name in ("plan.json", "ledger.jsonl")}
    for command in ("ledger", "audit"):
        yield Subject(f"plan of a run, {command}", (command, "{}"), run, "plan.json", "json", PLAN_FILE, 20)
        yield Subject(f"ledger of a run, {command}", (command, "{}"), run, "ledger.jsonl", "lines", LEDGER, 20)
        loop = (MADE / "loop/ledger.jsonl").read_bytes() + _notes()
        yield _one(f"ledger of a loop, {command}", f"{command} {{}}", "ledger.jsonl", loop, "lines", LEDGER, 20)
    for target, form in (("plan.json", "json"), ("ledger.jsonl", "lines")):
        explains = Explains(form=form, signed=True, leaves_out=True)
        yield Subject(
            f"{target} of a run, compare", ("compare", "{}", str(MADE / "run")), run, target, form, explains, 10
        )
    for name, config in MODELS.items():
        content = json.dumps(config)
        yield _one(f"model {name}", f"{' '.join(PLAN)} --model {{}}", "config.json", content, "json", MODEL, 10)
    for path in sorted(LOGS.glob("*.json")):
        if not path.name.startswith("git_lfs"):
            content = _small_json(path)
            yield _one(f"state {path.stem}", "audit {}", "trainer_state.json", content, "json", STATE, 5)
    for path in sorted(LOGS.glob("*.log")):
        yield _one(f"log {path.stem}", "audit {}/a.log", "a.log", path.read_bytes(), "text", LOG, 6)
    yield from _records()
    for name, data in (("of a Trainer", WANDB_DATA), ("plain", WANDB_PLAIN)):
        yield _one(f"wandb {name}", "audit {}/a.wandb", "a.wandb", json.dumps(data), "wandb", WANDB, 20)
    samples = TESTS / "tool_configs/samples"
    for path in sorted(path for path in samples.glob("*/*/*") if path.name != "expected.json"):
        kind = path.parts[-3]
        explains = OTHER_TOOLS if path.suffix in (".yaml", ".yml", ".json") else LINES
        form, name = "json" if path.suffix == ".json" else "text", f"a{path.suffix}"
        words = f"plan --from {{}}/{name} --corpus '91M tokens' --epochs 1"
        words += "" if kind == "litgpt" or path.suffix == ".sh" else " --devices 8"
        words += " --sequence-length 512" if kind in ("torchtune", "llama-factory") else ""
        yield _one(f"--from {kind} {path.parent.name} {path.name}", words, name, path.read_bytes(), form, explains, 3)
    ta = json.dumps({"per_device_train_batch_size": 8, "num_train_epochs": 2, "gradient_accumulation_steps": 4,
                     "accelerator_config": {"split_batches": False}, "max_steps": -1, "bf16": True})  # fmt: skip
    words = "plan --from {}/ta.json --corpus '910 samples' --devices 2"
    yield _one("--from TrainingArguments", words, "ta.json", ta, "json", OTHER_TOOLS, 15)
    for path in sorted((ROOT / "launch").glob("*.yaml")):
        words = f"{' '.join(PLAN)} --launch {{}}/a.yaml"
        yield _one(f"--launch {path.name}", words, "a.yaml", path.read_bytes(), "text", OTHER_TOOLS, 8)
    script, words = ROOT / "launch" / "slurm.sbatch", f"{' '.join(PLAN)} --launch {{}}/a.sbatch"
    yield _one(f"--launch {script.name}", words, "a.sbatch", script.read_bytes(), "text", SCRIPT, 8)
    yield from _stores()
    state = _small_json(LOGS / "trainer_state.json")
    log = (LOGS / "megatron.log").read_bytes()
    files = {
        "r.yaml": RECIPE.encode(), "trainer_state.json": state, "a.log": log, "a.wandb": wandb_bytes(WANDB_DATA), **run
    }  # fmt: skip
    for text in WORDS:
        yield Subject(text, tuple(shlex.split(text)), files, None, "words", UNREAD, 8)
    lines = b'{"text": "one two three"}\n{"text": "four"}\n{"text": "five six"}\n'
    for name, content in (("a.jsonl", lines), ("a.txt", b"one two\nthree\n\nfour five\n")):
        words = f"tokenize {{}}/{name} --tokenizer embedded --count-only"
        yield _one(f"tokenize {name}", words, name, content, "bytes", Explains(form="text", matters=".*"), 4)


def _notes() -> bytes:
    """Lines of a loop that has more to say."""
    notes = (
        {
            "event": "segment",
            "from_step": 14,
            "world_size": 1,
            "device": "cpu",
            "counted": ["samples"],
            "refused": ["a"],
        },
        {"event": "reported", "epoch": 2.0, "step": 14, "by": "loop"},
        {"event": "warning", "rule": "leaked-window", "message": "a window", "step": 14},
        {"event": "unknown", "units": ["tokens"], "step": 14},
        {"event": "end", "status": "failed", "reason": "a reason"},
    )
    return b"".join(json.dumps(note, separators=(",", ":")).encode() + b"\n" for note in notes)


def _stores() -> Iterator[Subject]:
    """Each file of a token store, read by a plan."""
    files = {str(path.relative_to(MADE)): path.read_bytes() for path in (MADE / "store").rglob("*") if path.is_file()}
    recipe = (MADE / "recipe.yaml").read_text().replace("STORE", "store").encode()
    for name in files:
        is_json = name.endswith(".json")
        if name.endswith("tokenizer.json"):
            continue
        form, weight = ("json", 8) if is_json else ("bytes", 2)
        yield Subject(name, ("plan", "{}/r.yaml"), {**files, "r.yaml": recipe}, name, form, UNREAD, weight)

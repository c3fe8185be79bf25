"""A run of ours, or the ledger of a user's own loop, as it is compared with others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dist_epochs.audit.compare.evidence import Cause, ComparedRun, Setting, Stretch
from dist_epochs.errors import Origin
from dist_epochs.ledger.loop_notes import LoopNotes
from dist_epochs.ledger.reconcile import Reconciliation, read_run
from dist_epochs.ledger.writer import LEDGER_FILE, ledger_of
from dist_epochs.recipe import Recipe, read_recipe
from dist_epochs.recipe.writing import flat, recipe_to_data
from dist_epochs.settings.files import open_file, read_utf8
from dist_epochs.settings.json_text import load_json

__all__ = ["is_own_run", "own_run"]

CAUSES_OF_KEYS: Mapping[str, Cause] = {
    "seed": "seed",
    "corpus.weights": "mixture",
    "corpus.temperature": "mixture",
    "model.objective": "masks",
    "model.mask_probability": "masks",
    "optimizer.learning_rate": "learning rate",
    "optimizer.warmup_steps": "learning rate",
    "optimizer.decay": "learning rate",
    "hardware.shard_size": "world",
}
"""Settings of a recipe, and the cause that each is if it differs."""

SEEN_ELSEWHERE = ("batch", "phases", "budget", "precision", "model.config", "corpus")
"""What the plan and the ledger tell better: as numbers that were derived."""
WITHOUT_EFFECT = ("name", "evaluation", "tracking", "checkpoints", "timeout", "log_every", "hardware")
"""What changes nothing of what is trained."""

MODEL_FILE, MOST_BYTES = "model.json", 1 << 24
NO_SETTINGS = ("model.config.transformers_version",)

LAYOUT: Mapping[str, str] = {
    "world_size": "processes",
    "data_parallel_size": "data-parallel size",
    "device": "device",
}
"""Facts of a segment that say on what it ran."""
SHARES: Mapping[str, str] = {"per_device": "samples per device", "gradient_accumulation": "accumulation"}
"""Facts of a segment that say how a batch is laid over devices: of other loops they make the batch."""

DUPLICATES = (
    "same-samples-on-ranks", "padded-duplicates", "data-split-twice", "sampler-not-resumable", "stream-restarted",
)  # fmt: skip
"""Warnings of a loop that draws some samples more often than others."""


LINE_OF_LEDGER = b'{"event":'
"""How each line of a ledger begins."""


def is_own_run(path: Path) -> bool:
    """Whether it is a run directory with a ledger, or a ledger, by the first bytes of it."""
    if path.is_dir():
        return (path / LEDGER_FILE).is_file()
    if not path.is_file():
        return False
    if path.name == LEDGER_FILE:
        return True
    with open_file(path) as file:
        return file.read(len(LINE_OF_LEDGER)) == LINE_OF_LEDGER


def own_run(path: Path) -> ComparedRun:
    """Read a run directory, or a lone ledger.

    Raises:
        InputError: If there is no ledger, or a file of the run is damaged.
    """
    result = read_run(path)
    ledger = ledger_of(path)
    folder = ledger.parent
    plan = result.plan
    recipe_file = folder / "recipe.yaml"
    recipe = read_recipe(recipe_file) if plan is not None and recipe_file.is_file() else None
    settings: list[Setting] = []
    if plan is not None:
        settings += _of_plan(plan, recipe)
    if recipe is not None:
        settings += _of_recipe(recipe, _model(folder))
    settings += _of_ledger(result)
    return ComparedRun(
        path=str(path),
        kind="dist-epochs",
        settings=tuple({setting.name: setting for setting in settings}.values()),
        ledger=ledger,
        stretches=tuple(
            Stretch(phase["steps"], phase["global_batch"], phase["sequence_length"])
            for phase in (plan or {}).get("phases", ())
        ),
        derives_batch=recipe is not None and recipe.batch.global_batch is None and recipe.batch.ramp is None,
        pass_ends=frozenset(_pass_ends(result.loop_notes)),
        whole_passes=frozenset(_whole_passes(result)),
        reached=_reached(result),
        notes=tuple(_notes(result, recipe)),
    )


def _model(folder: Path) -> Mapping[str, Any] | None:
    """The whole configuration of the model, whatever file the recipe names."""
    file = folder / MODEL_FILE
    if not file.is_file():
        return None
    data = load_json(read_utf8(file, MOST_BYTES, "a model's configuration"), Origin(str(file), 1))
    return data if isinstance(data, Mapping) else None


def _of_plan(plan: Mapping[str, Any], recipe: Recipe | None) -> Iterator[Setting]:
    corpus = plan["corpus"]
    for name in ("documents", "words", "tokens", "stated_samples"):
        if corpus.get(name) is not None:
            shown = name.replace("stated_samples", "samples")
            yield Setting(cause="corpus", name=f"{shown} of the corpus", value=_plain(corpus[name]))
    if corpus.get("fingerprint"):
        yield Setting(cause="corpus", name="content of the corpus", value=corpus["fingerprint"])
    if corpus.get("tokenizer"):
        yield Setting(cause="tokenizer", name="tokenizer", value=corpus["tokenizer"])
    for source, by_length in sorted((corpus.get("samples") or {}).items()):
        for length, samples in by_length.items():
            name = f"samples of {source} at {length}"
            yield Setting(cause="packing", name=name, value=samples, follows=True)
    for rule in ("packing", "order", "masks"):
        causes: Mapping[str, Cause] = {"packing": "packing", "order": "order", "masks": "masks"}
        if rule in (plan.get("rules") or {}):
            yield Setting(cause=causes[rule], name=f"rule of {rule}", value=plan["rules"][rule])
    weighted = recipe is not None and recipe.corpus.weights is not None
    for source in plan.get("sources") or ():
        if isinstance(source, Mapping) and source.get("share") is not None:
            name, share = f"share of {source.get('name')}", _plain(source["share"])
            yield Setting(cause="mixture", name=name, value=share, follows=not weighted, is_stated=True)
    for number, phase in enumerate(plan["phases"], start=1):
        for source in phase.get("sources") or ():
            name = f"weight of {source['name']} in phase {number}"
            yield Setting(cause="mixture", name=name, value=source["weight"], is_stated=True)
    if "seed" in plan:
        yield Setting(cause="seed", name="seed", value=plan["seed"])
    if recipe is None or recipe.optimizer is None or recipe.optimizer.decay != "constant":
        yield Setting(cause="learning rate", name="steps of the schedule", value=plan["steps"])


def _of_recipe(recipe: Recipe, model: Mapping[str, Any] | None) -> Iterator[Setting]:
    yield Setting(cause="precision", name="precision", value=recipe.arithmetic)
    stage = recipe.hardware.zero_stage if recipe.hardware is not None else 0
    yield Setting(cause="world", name="hardware.zero_stage", value=stage)
    masked = recipe.model is not None and recipe.model.objective == "masked"
    for name, value in flat(recipe_to_data(recipe)):
        cause = next((cause for key, cause in CAUSES_OF_KEYS.items() if _is_in(name, key)), None)
        if cause is None and any(_is_in(name, key) for key in (*SEEN_ELSEWHERE, *WITHOUT_EFFECT)):
            continue
        if name != "model.mask_probability" or masked:
            yield Setting(cause=cause, name=name, value=_plain(value), is_stated=True)
    config = model if model is not None else getattr(recipe.model, "config", None)
    for name, value in flat(config, "model.config") if isinstance(config, Mapping) else ():
        if name not in NO_SETTINGS:
            yield Setting(cause=None, name=name, value=_plain(value), is_stated=True)


def _is_in(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _of_ledger(result: Reconciliation) -> Iterator[Setting]:
    segments = [segment.facts for segment in result.totals.segments]
    for fact, shown in LAYOUT.items():
        if values := _in_turn(segments, fact):
            yield Setting(cause="world", name=shown, value=values)
    for fact, shown in SHARES.items():
        if not (values := _in_turn(segments, fact)):
            continue
        if result.plan is None:
            yield Setting(cause="global batch", name=shown, value=values)
        else:  # the batch is planned, and these say how it is computed
            yield Setting(cause="world", name=f"{shown} at most", value=values)
    if values := _in_turn(segments, "precision"):
        yield Setting(cause="precision", name="precision of the launch", value=values)
    packages = dict.fromkeys(package for facts in segments for package in facts.get("versions", ()))
    for package in packages:
        versions = [{"version": facts.get("versions", {}).get(package)} for facts in segments]
        yield Setting(cause="versions", name=package, value=_in_turn(versions, "version"))
    yield Setting(cause="skipped", name="skipped steps", value=result.totals.skipped.steps, follows=True)
    if result.plan is not None:
        wrong = sum(each.unit.startswith("digest of") for each in result.differences)
        yield Setting(cause="duplicates", name="passes with other samples than planned", value=wrong, follows=True)
    else:
        yield from _of_loop(result)


def _of_loop(result: Reconciliation) -> Iterator[Setting]:
    notes, segments = result.loop_notes, [segment.facts for segment in result.totals.segments]
    causes: Mapping[str, Cause] = {"seed": "seed", "learning_rate": "learning rate"}
    for fact, cause in causes.items():
        if any(fact in facts for facts in segments):
            yield Setting(cause=cause, name=cause, value=_in_turn(segments, fact))
    if notes.corpus is not None:
        for unit in ("samples", "tokens"):
            if notes.corpus[unit] is not None:
                yield Setting(cause="corpus", name=f"{unit} of the corpus", value=notes.corpus[unit])
    if whole := [entry["samples"] for entry in notes.passes if entry.get("whole")]:
        yield Setting(cause="duplicates", name="samples drawn in a pass", value=whole[-1], follows=True)
    rules = sorted({entry["rule"] for entry in notes.warnings} & set(DUPLICATES))
    yield Setting(cause="duplicates", name="warnings of duplicates", value=" ".join(rules) or "none", follows=True)


def _in_turn(segments: Sequence[Mapping[str, Any]], fact: str) -> str | int | float:
    """What a fact was from segment to segment: `4`, or `4, then 2`; empty where no segment has it."""
    found: list[Any] = []
    for facts in segments:
        value = facts.get(fact)
        if value is not None and (not found or value != found[-1]):
            found.append(value)
    if len(found) == 1 and isinstance(found[0], int | float):
        return found[0]
    return ", then ".join(map(str, found))


def _plain(value: Any) -> int | float | str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if isinstance(value, int | float | str) else str(value)


def _pass_ends(notes: LoopNotes) -> Iterator[int]:
    """The steps at which a loop had drawn all of its data, no sample more often than others."""
    if notes.corpus is not None and notes.corpus["known"] != "learned":
        for entry in notes.passes:
            if entry.get("whole") and entry["samples"] == notes.corpus["samples"]:
                yield entry["step"]


def _whole_passes(result: Reconciliation) -> Iterator[tuple[str, int, int]]:
    """Source, length and number of each pass that was drawn in whole, skipped steps included."""
    sizes = ((result.plan or {}).get("corpus") or {}).get("samples") or {}
    drawn: dict[tuple[str, int, int], int] = {}
    for tally in (result.totals.applied, result.totals.skipped):
        for key, counts in tally.passes.items():
            place = (key.source, key.sequence_length, key.number)
            drawn[place] = drawn.get(place, 0) + counts.samples
    for (source, length, number), samples in drawn.items():
        if samples == (sizes.get(source) or {}).get(str(length)):
            yield source, length, number


def _reached(result: Reconciliation) -> dict[str, int | float | str]:
    recorded, epochs = result.recorded(), result.epochs()["samples"]
    found = {"steps": result.totals.last_step, "samples": recorded["samples"], "tokens": recorded["tokens"]}
    known: dict[str, int | float | str] = {name: value for name, value in found.items() if value is not None}
    return known if epochs is None else known | {"epochs": float(epochs)}


def _notes(result: Reconciliation, recipe: Recipe | None) -> Iterator[str]:
    last = result.totals.segments[-1]
    if last.status == "no end":
        yield f"It is still running, or was killed: it is compared as far as it got, to step {last.last_step:,}."
    for change in (result.plan or {}).get("replanned", ()):
        yield f"Its plan was changed after step {change['step']:,}; what is compared is the last one."
    if result.plan is not None and recipe is None:
        yield "It has no recipe.yaml, so its optimizer, model and precision are not known."

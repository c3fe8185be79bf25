"""What a report states of a run: each number with the place where it is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.text import number, percent
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.reconcile import Reconciliation
from dist_epochs.ledger.steps import LinesOfRun, lines_of_run
from dist_epochs.ledger.writer import ledger_of
from dist_epochs.names import in_words
from dist_epochs.recipe import Recipe, read_recipe
from dist_epochs.recipe.writing import flat, recipe_to_data
from dist_epochs.settings.shapes import number_or_none

__all__ = ["CardFact", "CardFacts", "card_facts"]

PLAN, RECIPE = "plan.json", "recipe.yaml"

LARGEST_AS_IS = 10**5
"""Numbers below are shown in six digits, as they were set; those above in full."""
MOST_PHASES = 4
"""Phases that are stated one by one; of more, such as those of a ramp, only their ends are."""

HYPERPARAMETERS = {
    "optimizer.learning_rate": "learning rate, at its peak",
    "optimizer.warmup_steps": "warm-up steps",
    "optimizer.decay": "decay of the learning rate",
    "optimizer.weight_decay": "weight decay",
    "optimizer.betas.0": "Adam β₁",
    "optimizer.betas.1": "Adam β₂",
    "optimizer.epsilon": "Adam ε",
    "optimizer.max_grad_norm": "gradients clipped to a norm of",
    "model.objective": "objective",
    "model.mask_probability": "share of tokens masked",
    "seed": "seed",
}
"""Keys of a recipe that a report states, and what they are called there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFact:
    """One number of a report.

    Attributes:
        section: `data`, `hyperparameters`, `hardware` or `cost`.
        name: What it is, with its unit.
        value: The number or text; None where it is not known.
        where: The line of the ledger, or the key of another file of the run; of what is not known, why.
    """

    section: str
    name: str
    value: int | float | str | None
    where: str

    @property
    def text(self) -> str:
        """The value as it is shown."""
        if self.value is None:
            return "not known"
        if isinstance(self.value, float) and abs(self.value) < LARGEST_AS_IS:
            return f"{self.value:.6g}"
        return self.value if isinstance(self.value, str) else number(self.value)

    def to_json(self) -> dict[str, Any]:
        """As in `dist-epochs ledger --card --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """All of them, and what else a card needs.

    Attributes:
        name: Of the run.
        facts: In the order of a report.
        energy_kwh: Kilowatt-hours; None where they are not known.
        energy_how: What they were computed from, or why they are not known.
        hardware: On what it ran, in a few words.
        objective: `masked` or `causal`; None where the run has no recipe.
        status: How the last segment ended.
        unexplained: Units in which plan and ledger differ without a known cause.
    """

    name: str
    facts: tuple[CardFact, ...]
    energy_kwh: float | None
    energy_how: str
    hardware: str
    objective: str | None
    status: str
    unexplained: tuple[str, ...] = ()

    def section(self, name: str) -> list[CardFact]:
        """The facts of one section."""
        return [fact for fact in self.facts if fact.section == name]


def card_facts(path: Path, result: Reconciliation) -> CardFacts:
    """What a report states of a run.

    Args:
        path: Run directory or ledger file.
        result: What was read of it.

    Raises:
        InputError: If its recipe is damaged, or nothing was trained yet.
    """
    ledger = ledger_of(path)
    folder = ledger.parent
    lines, data, plan = lines_of_run(ledger), result.to_json(), result.plan
    if lines.last_step is None or not result.totals.applied.steps:
        raise InputError(
            "nothing was trained yet, and a card says what was", fixes="running it", origin=Origin(str(path))
        )
    file = folder / RECIPE
    recipe = read_recipe(file) if plan is not None and file.is_file() else None
    hardware = _hardware_text(data["segments"])
    return CardFacts(
        name=(recipe.name if recipe else "") or (plan or {}).get("name") or folder.resolve().name,
        facts=(
            *_data(data, plan, lines),
            *_hyperparameters(plan, recipe),
            *_hardware(data, lines),
            *_cost(data, plan, lines, result),
        ),
        energy_kwh=number_or_none(data.get("energy_kwh")),
        energy_how=_energy_how(data),
        hardware=hardware,
        objective=recipe.model.objective if recipe and recipe.model else None,
        status=data["status"],
        unexplained=tuple(each.unit for each in result.differences if each.cause == "unexplained"),
    )


def _data(data: Mapping[str, Any], plan: Mapping[str, Any] | None, lines: LinesOfRun) -> Iterator[CardFact]:
    summed = f"ledger.jsonl, steps up to line {lines.last_step:,}"
    if plan is not None:
        for unit in ("documents", "words", "tokens"):
            if (value := plan["corpus"].get(unit)) is not None:
                where = f"{PLAN}: corpus.{unit}"
                yield CardFact(section="data", name=f"corpus, {unit}", value=value, where=where)
    elif data["data"] is not None and data["data"]["samples"] is not None:
        known = f"ledger.jsonl, its last corpus line: {data['data']['known']}"
        yield CardFact(section="data", name="corpus, samples", value=data["data"]["samples"], where=known)
    steps = data["steps"]
    yield CardFact(section="data", name="steps applied", value=steps["applied"], where=summed)
    for kind in ("skipped", "replayed"):
        if steps[kind]:
            yield CardFact(section="data", name=f"steps {kind}, in no count", value=steps[kind], where=summed)
    for unit in ("samples", "positions", "tokens", "loss_tokens"):
        if data[unit] is not None:
            name = {"positions": "positions, padding included"}.get(unit, in_words(unit))
            yield CardFact(section="data", name=name, value=data[unit], where=summed)
    for basis, value in data["epochs"].items():
        if value is not None:
            yield CardFact(section="data", name=f"epochs by {basis}", value=value, where=_epochs_from(basis, plan))
    for source in data["sources"] if len(data["sources"]) > 1 else ():
        name = f"epochs of {source['name']}"
        if source["epochs"] is not None:
            yield CardFact(section="data", name=name, value=source["epochs"], where=_epochs_from("samples", plan))


def _epochs_from(basis: str, plan: Mapping[str, Any] | None) -> str:
    size = "samples" if basis == "samples" else "tokens"
    return f"{basis} ÷ {f'{PLAN}: corpus.{size}' if plan is not None else f'{size} of the corpus'}"


def _hyperparameters(plan: Mapping[str, Any] | None, recipe: Recipe | None) -> Iterator[CardFact]:
    def fact(name: str, value: Any, where: str) -> CardFact:
        return CardFact(section="hyperparameters", name=name, value=value, where=where)

    phases = list(enumerate(plan["phases"])) if plan is not None else []
    for at, phase in phases if len(phases) <= MOST_PHASES else (phases[0], phases[-1]):
        several = f", phase {at + 1}" if len(phases) > 1 else ""
        where = f"{PLAN}: phases.{at}"
        yield fact(f"steps planned{several}", phase["steps"], f"{where}.steps")
        yield fact(f"global batch, samples{several}", phase["global_batch"], f"{where}.global_batch")
        if phase["sequence_length"] is not None:
            yield fact(f"sequence length{several}", phase["sequence_length"], f"{where}.sequence_length")
        for which, source in enumerate(phase.get("sources") or ()):
            yield fact(f"weight of {source['name']}{several}", source["weight"], f"{where}.sources.{which}.weight")
    if len(phases) > MOST_PHASES:
        yield fact("phases", len(phases), f"{PLAN}: phases")
    if recipe is None:
        return
    for key, value in flat(recipe_to_data(recipe)):
        if key in HYPERPARAMETERS and not (key == "model.mask_probability" and _is_causal(recipe)):
            yield fact(HYPERPARAMETERS[key], value, f"{RECIPE}: {key}")
    yield fact("optimizer", "AdamW", f"{RECIPE}: optimizer")
    yield fact("precision", recipe.arithmetic, f"{RECIPE}: precision" + ", the default" * (recipe.precision is None))


def _is_causal(recipe: Recipe) -> bool:
    return recipe.model is not None and recipe.model.objective == "causal"


def _hardware(data: Mapping[str, Any], lines: LinesOfRun) -> Iterator[CardFact]:
    before: Mapping[str, Any] = {}
    for place, segment in zip(lines.segments, data["segments"], strict=False):
        where = f"ledger.jsonl:{place}"
        seen = {name: segment.get(name) for name in ("world_size", "device", "peak", "versions")}
        if seen != before:
            first = f" from step {segment['first_step']:,} on" if before else ""
            yield CardFact(section="hardware", name=f"devices{first}", value=_devices(segment), where=where)
            if segment.get("versions") != before.get("versions"):
                shown = ", ".join(f"{name} {version}" for name, version in (segment.get("versions") or {}).items())
                yield CardFact(section="hardware", name=f"software{first}", value=shown or None, where=where)
        before = seen


def _devices(segment: Mapping[str, Any]) -> str | None:
    if "world_size" not in segment:
        return None
    kind = (segment.get("peak") or {}).get("device") or segment.get("device") or "device"
    return f"{segment['world_size']:,} × {kind}"


def _hardware_text(segments: Sequence[Mapping[str, Any]]) -> str:
    return ", then ".join(dict.fromkeys(text for each in segments if (text := _devices(each))))


def _cost(
    data: Mapping[str, Any], plan: Mapping[str, Any] | None, lines: LinesOfRun, result: Reconciliation
) -> Iterator[CardFact]:
    """What the run took, as far as the ledger tells; where not, the reason."""

    def fact(name: str, value: Any, where: str, why: str) -> CardFact:
        return CardFact(section="cost", name=name, value=value, where=where if value is not None else why)

    timed = f"ledger.jsonl:{lines.segments[0]} to line {lines.last:,}"
    seconds = number_or_none((data.get("time") or {}).get("wall_seconds"))
    hours = None if seconds is None else seconds / 3600
    yield fact("hours from start to end", hours, timed, "the ledger adds up no time")
    how = {name: (data.get("spending") or {}).get(name, {}).get("how") for name in ("price", "energy_kwh")}
    for key, name in {"device_hours": "device-hours", "price": "price", "energy_kwh": "energy, kWh"}.items():
        why = data.get(f"{key.removesuffix('_kwh')}_reason") or "the ledger does not tell"
        where = f"{timed}{f', {how[key]}' if how.get(key) else ''}"
        yield fact(name, number_or_none(data.get(key)), where, why)
    goodput = number_or_none(data.get("goodput"))
    yield fact(
        "goodput, share of the computed tokens that counted", None if goodput is None else percent(goodput),
        f"ledger.jsonl, steps up to line {lines.last_step:,}", "no token was computed",
    )  # fmt: skip
    yield fact("starts of the program", len(data["segments"]), _listed(lines.segments), "")
    cost = (plan or {}).get("cost") or {}
    parameters = cost.get("parameters")
    yield fact("parameters", parameters, f"{PLAN}: cost.parameters", "no plan tells them")
    yield from _flops(cost, result)


def _flops(cost: Mapping[str, Any], result: Reconciliation) -> Iterator[CardFact]:
    """FLOPs of what was drawn: planned ones of a position at each length, times the positions."""
    at_length = cost.get("flops_per_token_at") or {}
    where = f"{PLAN}: cost.flops_per_token_at × positions"
    totals = result.totals
    for name, tallies in (
        ("FLOPs of the applied steps", (totals.applied,)),
        ("FLOPs of all steps, skipped and replayed ones among them", (totals.applied, totals.skipped, totals.replayed)),
    ):
        drawn = [
            (number_or_none(at_length.get(str(key.sequence_length))), key.sequence_length * counts.samples)
            for tally in tallies
            for key, counts in tally.passes.items()
        ]
        known = [flops * positions for flops, positions in drawn if flops is not None]
        value = f"{sum(known):.4g}" if known and len(known) == len(drawn) else None
        yield CardFact(section="cost", name=name, value=value, where=where if value else "no plan tells FLOPs")


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:8])
    return f"ledger.jsonl, line{'s' * (len(numbers) > 1)} {shown}{', …' * (len(numbers) > 8)}"


def _energy_how(data: Mapping[str, Any]) -> str:
    how = (data.get("spending") or {}).get("energy_kwh", {}).get("how")
    return str(how or data.get("energy_reason") or "the ledger does not tell the energy")

"""The training section of a model card, and the compute item of a reproducibility checklist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.text import scaled
from dist_epochs.render.card_facts import CardFact, CardFacts
from dist_epochs.render.markdown import bullets, escaped, markdown_table
from dist_epochs.settings.yaml_writing import yaml_text

__all__ = ["Card", "make_card"]

TASKS = {"masked": "fill-mask", "causal": "text-generation"}
"""What the Hub calls a model of each objective."""

TITLES = {
    "data": "Data",
    "hyperparameters": "Hyperparameters",
    "hardware": "Hardware and software",
    "cost": "Time and compute",
}
"""Sections, in their order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A card.

    Attributes:
        metadata: Of the Hub, without what is not known.
        left_out: What of it is left out, and why.
        facts: The numbers of the text.
        compute: The compute item of a checklist, as sentences.
    """

    metadata: dict[str, Any]
    left_out: tuple[str, ...]
    facts: CardFacts
    compute: tuple[str, ...]

    @property
    def text(self) -> str:
        """As Markdown, with the metadata in front as the Hub reads them."""
        parts = [f"---\n{yaml_text(self.metadata)}---"] if self.metadata else []
        parts.append("## Training")
        if self.facts.status != "finished":
            so_far = f"The run has not finished ({self.facts.status}): the numbers are of what it did so far."
            parts.append(escaped(so_far))
        if self.facts.unexplained:
            parts.append(escaped(f"Plan and ledger differ without a known cause: {', '.join(self.facts.unexplained)}."))
        for section, title in TITLES.items():
            if rows := self.facts.section(section):
                parts += [f"### {title}", "\n".join(_table(rows))]
        if self.left_out:
            parts += ["### Left out of the metadata", "\n".join(bullets(self.left_out))]
        parts += ["## Reproducibility checklist: compute", "\n".join(bullets(self.compute))]
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        """As in `dist-epochs ledger --card --json`."""
        return {
            "metadata": self.metadata,
            "left_out": list(self.left_out),
            "facts": [fact.to_json() for fact in self.facts.facts],
            "compute": list(self.compute),
            "text": self.text,
        }


def make_card(facts: CardFacts, grams_per_kwh: float | None = None) -> Card:
    """The card of a run.

    Args:
        facts: What is stated.
        grams_per_kwh: Grams of CO₂-equivalent that a kilowatt-hour of the electricity caused; None where it is not
            stated, and then no emissions are.
    """
    metadata: dict[str, Any] = {}
    left_out = []
    if facts.objective is not None:
        metadata |= {"library_name": "transformers", "pipeline_tag": TASKS[facts.objective]}
    emissions = None
    if facts.energy_kwh is None:
        left_out.append(f"co2_eq_emissions: the energy is not known ({facts.energy_how})")
    elif grams_per_kwh is None:
        left_out.append("co2_eq_emissions: the carbon intensity is not stated (--grams-per-kwh)")
    else:
        emissions = facts.energy_kwh * grams_per_kwh
        metadata["co2_eq_emissions"] = {
            "emissions": float(f"{emissions:.6g}"),
            "source": f"{facts.energy_kwh:.4g} kWh ({facts.energy_how}) × {grams_per_kwh:g} g/kWh, by dist-epochs",
            "training_type": "pre-training",
            "hardware_used": facts.hardware,
        }
    return Card(metadata=metadata, left_out=tuple(left_out), facts=facts, compute=tuple(_compute(facts, emissions)))


def _table(rows: Sequence[CardFact]) -> list[str]:
    return markdown_table(["", "value", "recorded in"], [[row.name, row.text, row.where] for row in rows], "<><")


def _compute(facts: CardFacts, emissions: float | None) -> Iterator[str]:
    """What the compute items of the NeurIPS checklist and of the ML reproducibility checklist ask for."""
    by_name = {fact.name: fact for fact in facts.facts}

    def told(name: str) -> str:
        fact = by_name.get(name)
        return "not known" if fact is None or fact.value is None else f"{fact.text} ({fact.where})"

    hardware = ", then ".join(
        f"{fact.text} ({fact.where})" for fact in facts.section("hardware") if fact.name.startswith("devices")
    )
    yield f"Workers: {hardware or 'not known'}. Memory, storage and the cluster or provider are yours to add."
    yield f"Hours of this run: {told('hours from start to end')}; device-hours: {told('device-hours')}."
    flops = "FLOPs of all steps, skipped and replayed ones among them"
    yield f"{flops}: {told(flops)}."
    energy = "" if emissions is None else f"; grams of CO₂-equivalent: {scaled(emissions)}"
    yield f"Energy in kWh: {told('energy, kWh')}{energy}; price: {told('price')}."
    goodput = "goodput, share of the computed tokens that counted"
    yield f"Starts of the program: {told('starts of the program')}; {goodput}: {told(goodput)}."
    yield (
        "Not in it: evaluations elsewhere, preliminary and failed runs of the project, whose compute a checklist asks "
        "for as well; each has a ledger of its own."
    )

"""What a run recorded, beside its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.ledger.differences import Difference, differences_of
from dist_epochs.ledger.epochs import epochs_of, epochs_of_passes, samples_of_a_pass
from dist_epochs.ledger.file import drawn_from_json
from dist_epochs.ledger.index import LedgerLines
from dist_epochs.ledger.loop_notes import LoopNotes, loop_notes_of
from dist_epochs.ledger.plan_file import UNITS, read_plan
from dist_epochs.ledger.reading import totals_of
from dist_epochs.ledger.spending import Spending, spending_of
from dist_epochs.ledger.time import TimeLine, time_line
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import ledger_of

__all__ = ["Reconciliation", "read_run", "reconcile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciliation:
    """What a run recorded, what was planned, and where the two differ.

    Attributes:
        totals: What was recorded.
        plan: What was planned; None for users' own loops.
        differences: Where they differ, by cause.
        loop_notes: What the ledger of a user's own loop holds besides its steps.
    """

    totals: Totals
    plan: dict[str, Any] | None
    differences: tuple[Difference, ...]
    loop_notes: LoopNotes = field(default_factory=LoopNotes)

    @property
    def agrees(self) -> bool | None:
        """Whether ledger and plan are equal in every unit; None without a plan."""
        return None if self.plan is None else not self.differences

    @property
    def is_users_loop(self) -> bool:
        """Whether a user's own loop was counted: by what its batches hold, without passes and lengths."""
        return self.totals.is_of_users_loop

    @property
    def unchecked(self) -> int:
        """Planned parts of passes whose tokens and digest cannot be compared.

        They were only partly drawn, or drawn by a user's own loop, which does not tell them apart.
        """
        if self.plan is None:
            return 0
        if self.is_users_loop:
            return len(self.plan["passes"] or [])
        drawn, skipped = self.totals.applied.passes, self.totals.skipped.passes
        return sum(
            0 < drawn.get(key, Counts()).samples + skipped.get(key, Counts()).samples < counts.samples
            for key, counts in drawn_from_json(self.plan["passes"] or [])
        )

    @property
    def goodput(self) -> float | None:
        """Share of the computed tokens that counted: applied ÷ (applied + skipped + replayed).

        A step that a kill interrupted is in none of the three. None before the first step.
        """
        totals = self.totals
        computed = sum(tally.counts.tokens for tally in (totals.applied, totals.skipped, totals.replayed))
        return totals.applied.counts.tokens / computed if computed else None

    @property
    def adds_up(self) -> bool:
        """Whether every difference has a known cause."""
        return all(difference.cause != "unexplained" for difference in self.differences)

    def to_json(self) -> dict[str, Any]:
        """As `dist-epochs ledger --json` prints it."""
        totals, applied = self.totals, self.totals.applied
        counts = applied.counts
        return {
            "steps": {
                "applied": applied.steps,
                "skipped": totals.skipped.steps,
                "replayed": totals.replayed.steps,
                "unfinished": totals.unfinished,
            },
            **self.recorded(),
            "epochs": {basis: json_number(value) for basis, value in self.epochs().items()},
            "epochs_exact": {basis: None if value is None else str(value) for basis, value in self.epochs().items()},
            "coverage": self.coverage(),
            "packings": self.packings(),
            "sources": self.sources(),
            "phases": self.phase_sources(),
            "segments": [
                {
                    "first_step": segment.first_step,
                    "last_step": segment.last_step,
                    "status": segment.status,
                    "reason": segment.reason,
                    **segment.facts,
                }
                for segment in totals.segments
            ],
            "status": totals.segments[-1].status,
            "goodput": self.goodput,
            "time": self.time(),
            **self._spent(),
            "sample_digest": f"{counts.digest:032x}",
            "planned": self.plan and {name: self.plan[name] for name in (*UNITS, "sample_digest")},
            "differences": [difference.to_json() for difference in self.differences],
            "agrees": self.agrees,
            "unchecked_passes": self.unchecked,
            "data": self.loop_notes.corpus,
            "loader_passes": self.loop_notes.passes,
            "warnings": self.loop_notes.warnings,
            "reported": self.loop_notes.reported,
        }

    @property
    def time_line(self) -> TimeLine:
        """Where the time went."""
        return time_line(self.totals)

    @property
    def spending(self) -> Spending:
        """Hours, device-hours, money and energy."""
        return spending_of(self.totals, self.plan)

    def time(self) -> dict[str, Any]:
        """Seconds of rank 0 by cause, and those of the whole run: planned, and expected at its end."""
        hours = self.spending.wall_hours
        end = hours.expected
        return {
            **self.time_line.to_json(),
            "planned_seconds": None if hours.planned is None else hours.planned * 3600,
            "expected_seconds": end and [end.low * 3600, end.high * 3600],
            "expected_point_seconds": end and end.point * 3600,
        }

    def _spent(self) -> dict[str, Any]:
        """What was spent so far, with the reason where that is not known."""
        found = self.spending
        rows = {name: spent for name, spent in found.rows().items() if name != "wall_hours"}
        recorded = {name: spent.recorded for name, spent in rows.items()}
        reasons = {
            f"{name.removesuffix('_kwh')}_reason": spent.reason if spent.recorded is None else None
            for name, spent in rows.items()
        }
        return {**recorded, **reasons, "spending": found.to_json()}

    def recorded(self) -> dict[str, int | None]:
        """What was applied, by unit; None for units that the batches did not show, or not all of them."""
        counted = self.totals.segments[0].facts.get("counted") if self.totals.segments else None
        found = self.totals.applied.by_unit()
        known = set(found)
        if counted is not None:
            known = {"micro_steps", *counted} if counted else {unit for unit, value in found.items() if value}
        known -= self.loop_notes.unknown
        return {unit: value if unit in known else None for unit, value in found.items()}

    def epochs(self) -> dict[str, Fraction | None]:
        """Epochs by samples, positions and tokens; None where the corpus is not known, or what was drawn of it."""
        epochs = epochs_of(self.totals.applied, self._sized)
        size = (self.loop_notes.corpus or {}).get("samples")
        if self.plan is None and size:  # sources as the first pass drew them may include duplicates of padding
            epochs["samples"] = Fraction(self.totals.applied.counts.samples, size)
        return {basis: None if basis in self.loop_notes.unknown else value for basis, value in epochs.items()}

    @property
    def _sized(self) -> Mapping[str, Any] | None:
        """The plan, or what is known of the data without one."""
        sizes = self.loop_notes.sizes
        return self.plan if self.plan is not None or sizes is None else {"corpus": sizes}

    def sources(self) -> list[dict[str, Any]]:
        """Samples, tokens and epochs of each source."""
        return self._of_sources(self.totals.applied.passes)

    def phase_sources(self) -> list[dict[str, Any]] | None:
        """The same for each phase, beside the samples planned; None where no phase has sources of its own."""
        phases = (self.plan or {}).get("phases") or ()
        if not any(phase.get("sources") for phase in phases):
            return None
        planned = dict(drawn_from_json((self.plan or {})["passes"] or []))
        result = []
        for index, phase in enumerate(phases):
            names = dict.fromkeys(source["name"] for source in phase["sources"] or ())
            applied = {key: counts for key, counts in self.totals.applied.passes.items() if key.phase == index}
            recorded = {source["name"]: source for source in self._of_sources(applied)}
            sources = [
                {
                    **recorded.get(name, {"name": name, "samples": 0, "tokens": 0, "epochs": 0}),
                    "planned_samples": sum(
                        counts.samples for key, counts in planned.items() if (key.phase, key.source) == (index, name)
                    ),
                }
                for name in names | dict.fromkeys(recorded)
            ]
            result.append({"steps": phase["steps"], "sequence_length": phase["sequence_length"], "sources": sources})
        return result

    def _of_sources(self, passes: Mapping[PassKey, Counts]) -> list[dict[str, Any]]:
        result = []
        for name in dict.fromkeys(key.source for key in passes):
            mine = {key: c for key, c in passes.items() if key.source == name}
            counts, recorded = sum(mine.values(), Counts()), self.recorded()
            samples, tokens = (None if recorded[u] is None else getattr(counts, u) for u in ("samples", "tokens"))
            epochs = None if samples is None else epochs_of_passes(mine, samples_of_a_pass(self._sized).get(name, {}))
            result.append({"name": name, "samples": samples, "tokens": tokens, "epochs": json_number(epochs)})
        return result

    def coverage(self) -> float | int | None:
        """Share of the documents drawn at least once, where it follows from the counts.

        It does after a full pass of every source, unless packing drops documents, and where the run drew what was
        planned.
        """
        if self.agrees and self.plan:
            planned: float | int | None = self.plan["coverage"]
            return planned
        sizes = samples_of_a_pass(self.plan)
        whole = {
            key.source
            for key, counts in self.totals.applied.passes.items()
            if counts.samples == sizes.get(key.source, {}).get(key.sequence_length)
        }
        drops = any(packed.get("tokens_dropped") for packed in self.packings())
        return 1 if sizes and whole == set(sizes) and not drops else None

    def packings(self) -> list[dict[str, Any]]:
        """What packing did to the documents of the plan's corpus at each length, one pass over it."""
        rows: list[dict[str, Any]] = ((self.plan or {}).get("corpus") or {}).get("packings") or []
        return rows


def reconcile(totals: Totals, plan: dict[str, Any] | None, notes: LoopNotes | None = None) -> Reconciliation:
    """Compare a ledger with its plan.

    Args:
        totals: What was recorded.
        plan: The object in `plan.json`, or None where there was none.
        notes: What else the ledger holds.
    """
    differences = () if plan is None else tuple(differences_of(totals, plan))
    return Reconciliation(totals=totals, plan=plan, differences=differences, loop_notes=notes or LoopNotes())


def read_run(path: Path) -> Reconciliation:
    """Read a run directory (or a lone ledger file) and reconcile it.

    Raises:
        InputError: If there is no ledger, or a line of it is damaged.
    """
    ledger = ledger_of(path)
    plan = ledger.parent / "plan.json"
    lines = LedgerLines(ledger)
    totals = totals_of(lines)
    notes = loop_notes_of(lines)
    if plan.is_file():
        return reconcile(totals, read_plan(plan), LoopNotes(warnings=notes.warnings))
    return reconcile(totals, None, notes)

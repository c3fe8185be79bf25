"""Compares the ledger with the plan: every difference, by cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.ledger.file import drawn_from_json
from dist_epochs.ledger.index import LedgerLines
from dist_epochs.ledger.loop_notes import LoopNotes, loop_notes_of
from dist_epochs.ledger.plan_file import UNITS, read_plan
from dist_epochs.ledger.reading import totals_of
from dist_epochs.ledger.spending import Spending, spending_of
from dist_epochs.ledger.time import TimeLine, time_line
from dist_epochs.ledger.totals import Tally, Totals
from dist_epochs.ledger.writer import ledger_of

__all__ = ["UNITS", "Difference", "Reconciliation", "read_plan", "read_run", "reconcile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One cause of a difference between plan and ledger.

    Attributes:
        unit: What is counted; `tokens of NAME` for one source, `digest of …` for the proof.
        planned: The plan's number; of `re-planned`, the number the run was begun with.
        recorded: The ledger's number, applied steps only.
        cause: `skipped`, `stopped early`, `not finished`, `topology changed`, `re-planned` or `unexplained`.
        amount: How much of the difference this cause makes; None for digests.
    """

    unit: str
    planned: int | str
    recorded: int | str
    cause: str
    amount: int | None

    def to_json(self) -> dict[str, Any]:
        """As in `dist-epochs ledger --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


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
        return _is_users_loop(self.totals)

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
        found = _recorded(self.totals.applied)
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
            epochs = None if samples is None else _epochs(mine, _sizes(self._sized).get(name, {}))
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
        sizes = _sizes(self.plan)
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


def epochs_of(applied: Tally, plan: Mapping[str, Any] | None) -> dict[str, Fraction | None]:
    """Epochs of what was applied: samples ÷ samples of the corpus, added over lengths; and by tokens."""
    sizes: dict[int, int] = {}
    for by_length in _sizes(plan).values():
        for length, count in by_length.items():
            sizes[length] = sizes.get(length, 0) + count
    lengths = {phase["sequence_length"] for phase in (plan or {}).get("phases") or ()}
    if len(lengths) == 1 and lengths <= sizes.keys():
        sizes[0] = sizes[lengths.pop()]  # a user's own loop records no length, and this is the only one
    tokens = ((plan or {}).get("corpus") or {}).get("tokens")
    return {
        "samples": _epochs(applied.passes, sizes) if sizes else None,
        "positions": Fraction(applied.positions) / Fraction(tokens) if tokens else None,
        "tokens": Fraction(applied.counts.tokens) / Fraction(tokens) if tokens else None,
    }


def _sizes(plan: Mapping[str, Any] | None) -> dict[str, dict[int, int]]:
    """Samples per pass by source and length, as far as the plan knows them."""
    samples = ((plan or {}).get("corpus") or {}).get("samples") or {}
    return {name: {int(length): count for length, count in sizes.items()} for name, sizes in samples.items()}


def _epochs(passes: Mapping[PassKey, Counts], sizes: Mapping[int, int]) -> Fraction | None:
    """Samples ÷ samples per pass, added over lengths; None where a length's size is not known."""
    if any(key.sequence_length not in sizes for key in passes):
        return None
    return sum((Fraction(counts.samples, sizes[key.sequence_length]) for key, counts in passes.items()), Fraction(0))


def reconcile(totals: Totals, plan: dict[str, Any] | None, notes: LoopNotes | None = None) -> Reconciliation:
    """Compare a ledger with its plan.

    Args:
        totals: What was recorded.
        plan: The object in `plan.json`, or None where there was none.
        notes: What else the ledger holds.
    """
    differences: list[Difference] = []
    if plan is not None:
        planned_passes = dict(drawn_from_json(plan["passes"] or []))
        recorded, skipped = _recorded(totals.applied), _recorded(totals.skipped)
        recorded["steps"], skipped["steps"] = totals.applied.steps, totals.skipped.steps
        left = _left(plan, totals.last_step)
        differences += _replanned(plan, recorded)
        for unit in UNITS:
            if plan[unit] is not None:
                differences += _explain(unit, plan[unit], recorded[unit], skipped[unit], totals, plan, left.get(unit))
        if planned_passes and not _is_users_loop(totals):
            differences += _by_source(planned_passes, totals, plan)
            differences += _digests(planned_passes, totals)
    return Reconciliation(totals=totals, plan=plan, differences=tuple(differences), loop_notes=notes or LoopNotes())


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


def _is_users_loop(totals: Totals) -> bool:
    """Whether no length is known of anything that was drawn, as the trainer of this package knows it."""
    passes = {**totals.applied.passes, **totals.skipped.passes}
    return bool(passes) and not any(key.sequence_length for key in passes)


def _recorded(tally: Tally) -> dict[str, int]:
    counts = tally.counts
    return {
        "micro_steps": tally.micro_steps,
        "samples": counts.samples,
        "positions": tally.positions,
        "tokens": counts.tokens,
        "loss_tokens": counts.loss_tokens,
    }


def _left(plan: dict[str, Any], done: int) -> dict[str, int]:
    """What is planned for the steps after step `done`, in the units that follow from the phases."""
    left = dict.fromkeys(UNITS[:4], 0)
    for phase in plan["phases"]:
        steps = phase["steps"] - min(done, phase["steps"])
        done -= phase["steps"] - steps
        samples = steps * phase["global_batch"]
        left["steps"] += steps
        left["micro_steps"] += steps * (phase["gradient_accumulation"] or 0)
        left["samples"] += samples
        left["positions"] += samples * (phase["sequence_length"] or 0)
    return left


def _replanned(plan: dict[str, Any], recorded: Mapping[str, int]) -> list[Difference]:
    """What a new plan added or removed, compared with the plan that the run was begun with."""
    if not plan.get("replanned"):
        return []
    first = plan["replanned"][0]["planned"]
    return [
        Difference(
            unit=unit, planned=first[unit], recorded=recorded[unit], cause="re-planned", amount=first[unit] - plan[unit]
        )
        for unit in UNITS
        if first.get(unit) is not None and plan[unit] is not None and first[unit] != plan[unit]
    ]


def _explain(
    unit: str,
    planned: int,
    recorded: int,
    skipped: int,
    totals: Totals,
    plan: dict[str, Any],
    left: int | None,
) -> list[Difference]:
    """Split the difference in one unit by cause.

    `left` is what the steps that were not taken would have drawn, where that is known. A run that ended early
    explains exactly that much, and nothing else.
    """
    differences = []
    rest = planned - recorded
    if skipped:
        differences.append(Difference(unit=unit, planned=planned, recorded=recorded, cause="skipped", amount=skipped))
        rest -= skipped
    if rest:
        cause = _cause(unit, rest, totals, plan, left)
        differences.append(Difference(unit=unit, planned=planned, recorded=recorded, cause=cause, amount=rest))
    return differences


def _cause(unit: str, rest: int, totals: Totals, plan: dict[str, Any], left: int | None) -> str:
    batch = plan["global_batch"]
    laid = {name: batch[name] for name in ("data_parallel_size", "per_device") if name in batch}
    if unit == "micro_steps" and any(s.facts.get(n, v) != v for s in totals.segments for n, v in laid.items()):
        return "topology changed"
    status = totals.segments[-1].status
    if rest > 0 and left in (None, rest) and totals.last_step < plan["steps"] and status != "finished":
        return "stopped early" if status == "stopped" else "not finished"
    return "unexplained"


def _by_source(planned: dict[PassKey, Counts], totals: Totals, plan: dict[str, Any]) -> list[Difference]:
    names = list(dict.fromkeys(key.source for key in planned))
    if len(names) == 1:
        return []
    differences = []
    for name in names:
        for unit in ("samples", "tokens"):
            wanted, applied, skipped = (
                sum(getattr(counts, unit) for key, counts in passes.items() if key.source == name)
                for passes in (planned, totals.applied.passes, totals.skipped.passes)
            )
            differences += _explain(f"{unit} of {name}", wanted, applied, skipped, totals, plan, None)
    return differences


def _digests(planned: dict[PassKey, Counts], totals: Totals) -> list[Difference]:
    """Check that each sample was drawn exactly once: by the digest, wherever a planned part was drawn in full."""
    differences = []
    for key, counts in planned.items():
        drawn = totals.applied.passes.get(key, Counts()) + totals.skipped.passes.get(key, Counts())
        if drawn.samples == counts.samples and drawn != counts:
            unit = f"digest of {key.source}, length {key.sequence_length}, pass {key.number}, phase {key.phase}"
            differences.append(
                Difference(
                    unit=unit,
                    planned=f"{counts.digest:032x}",
                    recorded=f"{drawn.digest:032x}",
                    cause="unexplained",
                    amount=None,
                )
            )
    for key in totals.applied.passes:
        if key not in planned:
            unit = f"samples of {key.source}, length {key.sequence_length}, pass {key.number}, phase {key.phase}"
            recorded = totals.applied.passes[key].samples
            differences.append(
                Difference(unit=unit, planned=0, recorded=recorded, cause="unexplained", amount=-recorded)
            )
    return differences

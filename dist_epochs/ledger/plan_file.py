"""The plan that a run was started with, as it stands in `plan.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.lines import DIGEST, DRAWN
from dist_epochs.settings.files import read_utf8
from dist_epochs.settings.json_text import load_json
from dist_epochs.settings.shapes import NUMBER, TEXT, each, matching, maybe, record, refuse_damage, row, table, whole

__all__ = ["UNITS", "read_plan"]

UNITS = ("steps", "micro_steps", "samples", "positions", "tokens", "loss_tokens")
"""What a plan and a ledger count."""

MOST_BYTES = 1 << 26
"""Bytes; the plan of a hundred thousand passes is smaller."""

MARKS = {"fingerprint", "global_batch", "passes", "phases", "sample_digest"}
"""Keys of a plan, of which a damaged one may lack some."""

COUNT, SIZE, MAYBE = whole(), whole(1), maybe(whole())
_LENGTH = matching("[0-9]{1,18}", "a number of positions")

_PLANNED = {"steps": SIZE, "micro_steps": MAYBE, "samples": COUNT} | dict.fromkeys(UNITS[3:], MAYBE)
_PHASE = record(
    {"steps": COUNT, "global_batch": SIZE, "sequence_length": maybe(SIZE), "gradient_accumulation": maybe(SIZE)},
    {"sources": maybe(each(record({"name": TEXT, "weight": SIZE}), least=1))},
)
_BATCH = record({}, dict.fromkeys(("samples", "positions", "per_device", "data_parallel_size"), maybe(SIZE)))
_HISTORY = record(
    {"phases": each(row(SIZE, SIZE, SIZE)), "lanes": table(SIZE, _LENGTH)}, {"mixtures": each(maybe(table(SIZE)))}
)
_COST = record(
    {},
    {
        "flops_per_token_at": maybe(table(NUMBER)),
        **dict.fromkeys(
            ("wall_hours", "device_hours", "price", "energy_kwh", "price_per_device_hour", "watts_per_device", "pue"),
            maybe(NUMBER),
        ),
    },
)
_REPLANNED = record({"step": COUNT, "fingerprint": TEXT, "planned": record({}, dict.fromkeys(UNITS, MAYBE))})

_PACKING = record(
    {"packing": TEXT, "sequence_length": SIZE, "samples": SIZE, "tokens": SIZE, "padding": COUNT},
    {"documents_cut": maybe(COUNT), "tokens_truncated": COUNT, "tokens_dropped": COUNT},
)

PLAN = record(
    {
        **_PLANNED,
        "passes": maybe(DRAWN),
        "phases": each(_PHASE, least=1),
        "corpus": record(
            {"tokens": maybe(NUMBER), "samples": maybe(table(table(SIZE, _LENGTH)))},
            {
                "tokenizer": maybe(TEXT),
                "fingerprint": maybe(TEXT),
                "documents": maybe(COUNT),
                "words": maybe(COUNT),
                "packings": each(_PACKING),
            },
        ),
        "coverage": maybe(NUMBER),
        "sample_digest": maybe(DIGEST),
        "global_batch": _BATCH,
        "fingerprint": TEXT,
    },
    {
        "cost": maybe(_COST),
        "epochs": record({}, dict.fromkeys(("samples", "positions", "tokens"), maybe(NUMBER))),
        "history": maybe(_HISTORY),
        "replanned": each(_REPLANNED),
        "run": maybe(TEXT),
        "rules": table(TEXT),
        "seed": whole(),
    },
)
"""What is read of a plan."""


def read_plan(path: Path) -> dict[str, Any]:
    """The plan a run was started with.

    Raises:
        InputError: If the file is damaged, with everything that is wrong in it, each with its line.
    """
    text = read_utf8(path, MOST_BYTES, "a plan")
    try:
        plan: dict[str, Any] = load_json(text, Origin(str(path), 1))
    except InputError as error:
        raise error.but(asked=f"damaged: {error.asked}") from None
    if not isinstance(plan, dict) or not MARKS & plan.keys():
        rule = f"one has {', '.join(sorted(MARKS))}"
        raise InputError("not a plan of this program", rule=rule, origin=Origin(str(path), 1))
    refuse_damage(plan, PLAN, text, str(path))
    return plan

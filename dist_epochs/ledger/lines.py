"""What each line of a ledger must hold, by its event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dist_epochs.settings.fields import Place, Problem
from dist_epochs.settings.shapes import (
    FLAG,
    NUMBER,
    TEXT,
    Check,
    each,
    either,
    matching,
    maybe,
    record,
    row,
    table,
    whole,
)

__all__ = ["DIGEST", "DRAWN", "LINES", "SIZE_IS_KNOWN"]

SIZE_IS_KNOWN = ("stated", "dataset", "store", "learned")
"""How the size of the data is known."""

COUNT, STEP, SIZE = whole(), whole(1), whole(1)
DIGEST = matching("[0-9a-f]{32}", "a digest of 32 hexadecimal digits")
DRAWN = each(row(COUNT, TEXT, COUNT, COUNT, COUNT, COUNT, COUNT, DIGEST))
"""Rows of phase, source, length, pass, samples, tokens, loss tokens, digest."""

_WAIT: Mapping[str, Check] = {"data_wait_us": COUNT, "positions": COUNT}
_TAKEN = record(
    {"step": STEP, "micro_steps": COUNT, "drawn": DRAWN},
    {**_WAIT, "time": NUMBER, "communication_us": COUNT, "energy_mj": COUNT},
)
_GROUP = row(*[COUNT] * 8)
"""Length, samples of a step, ranks; steps, their microseconds and the squares of these; first steps, and theirs."""
_TALLY = record(
    {"steps": COUNT, "micro_steps": COUNT, "drawn": DRAWN},
    {
        **_WAIT, "data_wait_steps": COUNT,
        "time": record({"us": COUNT, "communication_us": COUNT, "groups": each(_GROUP)}),
    },
)  # fmt: skip
_CLOCK = record(
    {"spent": table(COUNT), "events": table(COUNT)},
    {
        "last": maybe(COUNT), "device_us": maybe(COUNT), "energy_mj": maybe(COUNT), "back_us": COUNT, "world": COUNT,
        "timed": maybe(each(TEXT)), "begun": FLAG, "seen": each(COUNT), "segment_energy_mj": COUNT,
    },
)  # fmt: skip
_PAUSE = record({"step": COUNT}, {"time": NUMBER, "seconds": NUMBER})


def _logged(data: Any, place: Place) -> Iterator[Problem]:
    """A value that was logged: what is not finite is written as text."""
    if type(data) not in (int, float) and data not in ("nan", "inf", "-inf"):
        yield Problem(place, "must be a number, or nan, inf or -inf as text")


LINES: Mapping[str, Check] = {
    "segment": record(
        {"from_step": COUNT},
        {
            "time": NUMBER, "world_size": SIZE, "data_parallel_size": SIZE, "per_device": maybe(SIZE),
            "gradient_accumulation": maybe(SIZE), "device": TEXT, "precision": maybe(TEXT), "versions": table(TEXT),
            "counted": each(TEXT), "refused": each(TEXT), "plan": TEXT, "checkpoint": TEXT, "wandb": TEXT,
            "peak": record({}), "started": NUMBER, "steps": COUNT, "timed": each(TEXT), "watts": maybe(NUMBER),
            "seed": COUNT, "learning_rate": NUMBER,
        },
    ),
    "begin": record({"step": STEP}, {"time": NUMBER}),
    "applied": _TAKEN,
    "skipped": _TAKEN,
    "metrics": record({"step": COUNT, "values": table(_logged)}),
    "checkpoint": _PAUSE,
    "evaluation": _PAUSE,
    "mirrored": record({}),
    "totals": record(
        {"step": COUNT, "applied": _TALLY, "skipped": _TALLY, "replayed": _TALLY, "unfinished": COUNT},
        {"clock": _CLOCK},
    ),
    "end": record({"status": TEXT}, {"reason": maybe(TEXT), "time": NUMBER}),
    "corpus": record(
        {"samples": maybe(COUNT), "tokens": maybe(COUNT), "known": either(*SIZE_IS_KNOWN)},
        {"sources": table(SIZE)},
    ),
    "pass": record({"number": COUNT, "samples": COUNT, "step": COUNT}, {"drawn": COUNT, "whole": FLAG, "left": FLAG}),
    "reported": record({"epoch": NUMBER, "by": TEXT}, {"step": COUNT}),
    "warning": record({"rule": TEXT, "message": TEXT}, {"step": COUNT}),
    "unknown": record({"units": each(TEXT)}, {"step": COUNT}),
}  # fmt: skip
"""By the event of the line; the kinds of lines are described in `file`."""

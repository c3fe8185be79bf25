"""Jobs and launches that are started again and again, and whether the time they get is enough for a checkpoint."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.saves import Saves

__all__ = ["Attempt", "slow_checkpoint", "this_attempt", "time_limit_error"]

LEAVING = 30.0
"""Seconds that torchrun, and so `accelerate launch`, gives its ranks between a stop signal and their end, where
TORCH_ELASTIC_SHUTDOWN_TIMEOUT does not say otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One start of a job or a launch.

    Attributes:
        job: What is started again and again: `slurm 1234`, or a launch of torchrun; None for a lone process.
        torchrun_restarts: How often torchrun, which `accelerate launch` uses too, has started its ranks again; None
            where it did not start them.
        slurm_restarts: How often Slurm has started the job again; None where it does not say so.
        ends: When the job ends, in seconds since 1970; None where that is not known.
        leaving: Seconds that its launcher gives the ranks after a stop signal.
    """

    job: str | None = None
    torchrun_restarts: int | None = None
    slurm_restarts: int | None = None
    ends: float | None = None
    leaving: float = LEAVING

    def facts(self) -> dict[str, Any]:
        """For the line of a segment; only what is known."""
        facts = {name: getattr(self, name) for name in ("job", "torchrun_restarts", "slurm_restarts")}
        return {name: value for name, value in facts.items() if value is not None}

    def follows(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is a restart of the job or launch that wrote a segment.

        Args:
            facts: The line of the segment.
        """
        before = facts.get("slurm_restarts") or 0, facts.get("torchrun_restarts") or 0
        now = self.slurm_restarts or 0, self.torchrun_restarts or 0
        return self.job is not None and self.job == facts.get("job") and now > before


def this_attempt(environment: Mapping[str, str] = os.environ) -> Attempt:
    """What the environment says about this start.

    Slurm names the end of the job from version 23.02 on.

    Args:
        environment: The process environment.

    Examples:
        >>> this_attempt({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "TORCHELASTIC_RESTART_COUNT": "0"}).facts()
        {'job': 'slurm 7', 'torchrun_restarts': 0, 'slurm_restarts': 2}
        >>> this_attempt({}).facts()
        {}
    """
    slurm, torchrun = environment.get("SLURM_JOB_ID"), _count(environment.get("TORCHELASTIC_RESTART_COUNT"))
    ends = _count(environment.get("SLURM_JOB_END_TIME"))
    job = None
    if slurm:
        job = f"slurm {slurm}"
    elif torchrun is not None:  # the id of a launch may be "none", and process ids come again
        launcher = f"{socket.gethostname()} {os.getppid()} {_began(os.getppid())}"
        job = f"torchrun {environment.get('TORCHELASTIC_RUN_ID', 'none')} {launcher}"
    return Attempt(
        job=job,
        torchrun_restarts=torchrun,
        slurm_restarts=_count(environment.get("SLURM_RESTART_COUNT")),
        ends=float(ends) if ends else None,
        leaving=float(_count(environment.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT")) or LEAVING),
    )


def time_limit_error(saves: Saves, attempt: Attempt, now: float, out: Path) -> InputError | None:
    """The error for a run that would not get as far as its next checkpoint, as far as that is known.

    A segment that ended with an error of its own says nothing about the time it was given.

    Args:
        saves: The last segment of the run's ledger.
        attempt: This start.
        now: Seconds since 1970.
        out: The run directory.
    """
    fixes = (
        "a longer --time",
        "shorter checkpoints.time or checkpoints.steps",
        "more seconds between the stop signal and the end (Slurm: --signal=B:TERM@SECONDS)",
    )
    if attempt.follows(saves.facts) and saves.checkpoints == 0 and saves.status != "failed":
        return InputError(
            f"{_named(attempt)} was restarted and no step had been saved",
            rule="the time limit (or what ends it) is too short for start-up and a checkpoint",
            consequence="it would be restarted again and again; the run is as it was, and a new job can resume it",
            fixes=fixes,
            origin=Origin(str(out)),
        )
    if attempt.ends is None or saves.checkpoint_seconds is None:
        return None
    start_up, left = saves.first_step_seconds or 0.0, attempt.ends - now
    needed = start_up + saves.checkpoint_seconds
    if needed <= left:
        return None
    return InputError(
        f"the job ends in {max(0.0, left):,.0f} s, and this run needs {needed:,.0f} s for start-up and a checkpoint",
        rule=f"its last start took {start_up:,.0f} s up to the first step, its last checkpoint "
        f"{saves.checkpoint_seconds:,.0f} s",
        consequence="no step of this job would be saved; the run is as it was",
        fixes=fixes[:1],
        origin=Origin(str(out)),
    )


def slow_checkpoint(seconds: float, attempt: Attempt, now: float) -> str | None:
    """What is said after the first checkpoint of a segment, if it took too long to be saved when the job is stopped.

    Args:
        seconds: How long it took.
        attempt: This start.
        now: Seconds since 1970.
    """
    took = f"a checkpoint took {seconds:,.0f} s"
    if attempt.ends is not None and seconds > attempt.ends - now:
        return f"{took}, and the job ends in {max(0.0, attempt.ends - now):,.0f} s: no other one can be saved before"
    if attempt.torchrun_restarts is not None and seconds > attempt.leaving:
        return (
            f"{took}, and torchrun or accelerate launch ends its ranks {attempt.leaving:g} s after a stop signal: a "
            "stop loses the steps since the last checkpoint. Shorter checkpoints.time or checkpoints.steps lose fewer"
        )
    return None


def _named(attempt: Attempt) -> str:
    """The job or launch, as a user knows it."""
    kind, _, name = str(attempt.job).partition(" ")
    return f"Slurm's job {name}" if kind == "slurm" else "this launch"


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _began(process: int) -> str:
    """When a process began, in clock ticks since the machine did."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "?"

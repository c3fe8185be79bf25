"""How often a job or a launch was started again, and when it ends, as far as the environment says."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Attempt", "this_attempt"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One start of a job or a launch.

    Attributes:
        job: What is started again and again: `slurm 1234`, or the launch of torchrun; None for a lone process.
        slurm: How often Slurm has requeued the job; None outside of Slurm.
        torchelastic: How often torchrun, which `accelerate launch` uses too, has started its ranks again; None where it
            did not start them.
        ends: When the job ends, in seconds since 1970; None where that is not known.
    """

    job: str | None = None
    slurm: int | None = None
    torchelastic: int | None = None
    ends: float | None = None

    def facts(self) -> dict[str, Any]:
        """For the line of a segment: `job`, and `restarts` by what counts them."""
        restarts = {"slurm": self.slurm, "torchelastic": self.torchelastic}
        known = {name: count for name, count in restarts.items() if count is not None}
        return {**({"job": self.job} if self.job else {}), **({"restarts": known} if known else {})}


def this_attempt(environment: Mapping[str, str] = os.environ) -> Attempt:
    """What the environment says about this start.

    Slurm sets the end of the job from version 23.02 on.

    Args:
        environment: The process environment.

    Examples:
        >>> this_attempt({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "TORCHELASTIC_RESTART_COUNT": "0"}).facts()
        {'job': 'slurm 7', 'restarts': {'slurm': 2, 'torchelastic': 0}}
        >>> this_attempt({}).facts()
        {}
    """
    slurm, launch = environment.get("SLURM_JOB_ID"), environment.get("TORCHELASTIC_RUN_ID")
    elastic = _count(environment.get("TORCHELASTIC_RESTART_COUNT"))
    ends = _count(environment.get("SLURM_JOB_END_TIME"))
    job = None
    if slurm:
        job = f"slurm {slurm}"
    elif elastic is not None:  # the id may be "none" for every launch, so the launcher is named as well
        job = f"launch {launch or 'none'} {socket.gethostname()} {os.getppid()} {_began(os.getppid())}"
    return Attempt(
        job=job,
        slurm=(_count(environment.get("SLURM_RESTART_COUNT")) or 0) if slurm else None,
        torchelastic=elastic,
        ends=float(ends) if ends else None,
    )


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _began(process: int) -> str:
    """When a process began, in clock ticks since the machine did: process ids come again."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "?"

"""Where the ranks of a launch meet: a store that rank 0 serves, or torchrun's agent."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from datetime import timedelta

from torch.distributed import DistError, TCPStore

from dist_epochs.errors import InputError
from dist_epochs.runtime.meeting import Meeting, NoMeeting, Unheard
from dist_epochs.runtime.troubles import Place, places

__all__ = ["open_meeting"]

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets."""

FORKED = "ACCELERATE_DEBUG_RDV_FILE"
"""Set where Accelerate forks ranks of one program, which meet in a file."""

BETWEEN_TRIES = 0.5
"""Seconds between two tries to reach the store."""


def open_meeting(environment: Mapping[str, str], patience: float) -> Meeting | NoMeeting:
    """Where the ranks of this launch meet.

    Args:
        environment: The process environment.
        patience: Seconds that ranks wait for each other.

    Raises:
        InputError: On rank 0, if the port is taken.
        Unheard: If nobody serves the store in time.
    """
    if any(not environment.get(name) for name in NEEDED) or FORKED in environment:
        return NoMeeting()
    rank, size, port = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    if size == 1:
        return NoMeeting()
    address, place = environment["MASTER_ADDR"], Place(rank, socket.gethostname())
    by_agent = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    serves = rank == 0 and not by_agent
    problem = None if serves else _unreachable(address, port, patience)
    try:
        if problem is None:
            store = TCPStore(
                address, port, is_master=serves, timeout=timedelta(seconds=patience), wait_for_workers=False,
                multi_tenant=not by_agent,
            )  # fmt: skip
            return Meeting(store, place, size, patience, speaks=environment.get("LOCAL_RANK", "0") == "0")
    except DistError as error:
        problem = str(error).splitlines()[0]
    if serves:
        raise InputError(
            f"rank 0 cannot open port {port} for the other ranks",
            rule=problem,
            fixes=("another port (--main_process_port, --master-port, or MASTER_PORT)",),
        )
    made = Unheard(
        f"rank 0 did not open {address}:{port} in {patience:g} s",
        rule=f"waiting for it: {places([place])} of {size}; {problem}",
        fixes=("the messages of rank 0", "MASTER_ADDR and MASTER_PORT, which must be those of rank 0's machine"),
    )
    made.speaks = environment.get("LOCAL_RANK", "0") == "0"
    raise made


def _unreachable(address: str, port: int, patience: float) -> str | None:
    """Wait until something answers at an address; why nothing does, after that time."""
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((address, port), timeout=max(1.0, min(10.0, patience))).close()
            return None
        except OSError as error:
            if time.monotonic() > deadline:
                return error.strerror or str(error)
        time.sleep(BETWEEN_TRIES)

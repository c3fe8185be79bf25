"""A run on a wandb server, through wandb's public API, as plain rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.wandb_login import logged_in

if TYPE_CHECKING:
    from dist_epochs.audit.readers.record import FinishedRun

__all__ = ["PREFIX", "fetch_run"]

PREFIX = "wandb:"
TIMEOUT = 30
"""Seconds for one answer of the server."""

OFFLINE = "the offline file run-ID.wandb"

_ADDRESS = re.compile(r"wandb:([^/\s]+)/([^/\s]+)/([^/\s]+)")


def fetch_run(address: str, api: Any = None) -> FinishedRun:
    """Fetch `wandb:ENTITY/PROJECT/ID`.

    Args:
        address: The address of the run.
        api: Stands in for `wandb.Api()` in tests: an object with `run(path)`.

    Raises:
        InputError: If it is no such address, wandb is not installed or not logged in, or the server has no such run.
    """
    from dist_epochs.audit.readers.wandb_run import run_of_rows

    match = _ADDRESS.fullmatch(address)
    origin = Origin(address)
    if match is None:
        raise InputError(
            "this is not the address of a run on a wandb server",
            rule="it has three parts, as in the browser: wandb.ai/ENTITY/PROJECT/runs/ID",
            fixes="wandb:ENTITY/PROJECT/ID",
            origin=origin,
        )
    path = "/".join(match.groups())
    api = api or _api(origin)
    try:
        run = api.run(path)
        rows = list(run.scan_history())
        config = dict(run.config)
        summary = dict(getattr(run.summary, "_json_dict", run.summary))  # an object that fetches what it is asked for
        state = str(getattr(run, "state", "finished"))
    except Exception as error:  # no network, no such run, no right to see it: wandb has many classes for them
        raise InputError(
            f"wandb answered: {_first_line(error)}",
            fixes=("correcting entity, project or ID", "wandb login", OFFLINE),
            origin=origin,
        ) from None
    notes = [] if state == "finished" else [f"Its state is {state}: it may not be over."]
    return run_of_rows(rows, config, summary, name=path, notes=notes, is_cut=state != "finished")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _api(origin: Origin) -> Any:
    try:
        import wandb
    except ModuleNotFoundError:
        asked = "wandb is not installed, and a run on its server is fetched with it"
        raise InputError(asked, fixes=("pip install wandb", OFFLINE), origin=origin) from None
    if not logged_in():  # Api() would ask for a key on the terminal
        fixes = ("wandb login", "setting WANDB_API_KEY", OFFLINE)
        raise InputError("nobody is logged in to wandb, so its server cannot be asked", fixes=fixes, origin=origin)
    try:
        return wandb.Api(timeout=TIMEOUT)
    except Exception as error:  # a key of the wrong form, a server that does not answer
        raise InputError(f"wandb does not start: {_first_line(error)}", origin=origin) from None

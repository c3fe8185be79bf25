"""A run on a wandb server, through wandb's public API, as plain rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.wandb_login import logged_in

if TYPE_CHECKING:
    from dist_epochs.audit.records.record import FinishedRun

__all__ = ["PREFIX", "fetch_run"]

PREFIX = "wandb:"
OFFLINE_FILE = "the offline file run-ID.wandb, which is read without a server"

TIMEOUT = 30
"""Seconds for one answer of the server."""

_ADDRESS = re.compile(r"wandb:([^/\s]+)/([^/\s]+)/([^/\s]+)")


def fetch_run(address: str, api: Any = None) -> FinishedRun:
    """Fetch `wandb:ENTITY/PROJECT/ID`.

    Args:
        address: Where it is.
        api: Instead of `wandb.Api()`: anything with its `run(path)`.

    Raises:
        InputError: If it is not such an address, wandb is not installed, nobody is logged in, or the server does not
            have the run.
    """
    from dist_epochs.audit.records.tracker_rows import is_number, run_of_rows

    origin = Origin(address)
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(
            "this is not the address of a run",
            rule="a run on a server has three parts, as in the browser: wandb.ai/ENTITY/PROJECT/runs/ID",
            fixes="wandb:ENTITY/PROJECT/ID",
            origin=origin,
        )
    path = "/".join(match.groups())
    api = api or _api(origin)
    try:
        run = api.run(path)
        rows = [{key: one for key, one in row.items() if is_number(one)} for row in run.scan_history()]
        config, summary = dict(run.config), _plain(run.summary)
        state = str(getattr(run, "state", "finished"))
    except Exception as error:  # no network, no such run, no right to see it: wandb has many classes for them
        raise InputError(
            f"wandb answered: {str(error).strip() or type(error).__name__}",
            fixes=["another entity, project or ID", "wandb login", OFFLINE_FILE],
            origin=origin,
        ) from None
    notes = [] if state == "finished" else [f"Its state is {state}: it may not be over."]
    return run_of_rows(rows, config, summary, name=path, notes=notes, is_cut=state != "finished")


def _plain(summary: Any) -> Mapping[str, Any]:
    """The summary is an object that fetches what it is asked for."""
    return dict(getattr(summary, "_json_dict", summary))


def _api(origin: Origin) -> Any:
    try:
        import wandb
    except ModuleNotFoundError:
        raise InputError(
            "wandb is not installed",
            rule="this asks wandb's server",
            fixes=["pip install wandb", OFFLINE_FILE],
            origin=origin,
        ) from None
    if not logged_in():  # Api() would ask for a key on the terminal
        raise InputError(
            "nobody is logged in to wandb",
            rule="its server is asked only then",
            fixes=["wandb login", "setting WANDB_API_KEY", OFFLINE_FILE],
            origin=origin,
        )
    try:
        return wandb.Api(timeout=TIMEOUT)
    except Exception as error:  # a key of the wrong form, a server that does not answer
        raise InputError(f"wandb does not start: {str(error).strip()}", origin=origin) from None

"""A run on a wandb server, through wandb's public API, as plain rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dist_epochs.errors import InputError
from dist_epochs.runtime.wandb_login import logged_in

if TYPE_CHECKING:
    from dist_epochs.audit.readers.record import FinishedRun

__all__ = ["PREFIX", "fetch_run"]

PREFIX = "wandb:"
TIMEOUT = 30
"""Seconds for one answer of the server."""

_ADDRESS = re.compile(r"wandb:([^/\s]+)/([^/\s]+)/([^/\s]+)")


def fetch_run(address: str, api: Any = None) -> FinishedRun:
    """Fetch `wandb:ENTITY/PROJECT/ID`.

    Args:
        address: Where it is.
        api: Instead of `wandb.Api()`: anything with its `run(path)`.

    Raises:
        InputError: If the address is none, wandb is not installed, nobody is logged in, or the server has no such run.
    """
    from dist_epochs.audit.readers.wandb_run import run_of_rows

    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(
            f"{address}: a run on a server is wandb:ENTITY/PROJECT/ID, three parts, as in its address in the browser "
            "(wandb.ai/ENTITY/PROJECT/runs/ID). Nothing was fetched."
        )
    path = "/".join(match.groups())
    api = api or _api(address)
    try:
        run = api.run(path)
        rows = list(run.scan_history())
        config, summary = dict(run.config), _plain(run.summary)
        state = str(getattr(run, "state", "finished"))
    except Exception as error:  # no network, no such run, no right to see it: wandb has many classes for them
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(
            f"{address}: wandb answered: {reason}. Nothing was read. Look at entity, project and ID, and at "
            "`wandb login`; or give the offline file run-ID.wandb."
        ) from None
    notes = [] if state == "finished" else [f"Its state is {state}: it may not be over."]
    return run_of_rows(rows, config, summary, name=path, notes=notes, is_cut=state != "finished")


def _plain(summary: Any) -> Mapping[str, Any]:
    """The summary is an object that fetches what it is asked for."""
    return dict(getattr(summary, "_json_dict", summary))


def _api(address: str) -> Any:
    try:
        import wandb
    except ModuleNotFoundError:
        raise InputError(
            f"{address}: this asks wandb's server, and wandb is not installed: pip install wandb. An offline file "
            "run-ID.wandb can be read without it."
        ) from None
    if not logged_in():  # Api() would ask for a key on the terminal
        raise InputError(
            f"{address}: nobody is logged in to wandb, so its server was not asked. Run `wandb login`, or set "
            "WANDB_API_KEY; an offline file run-ID.wandb can be read without."
        )
    try:
        return wandb.Api(timeout=TIMEOUT)
    except Exception as error:  # a key of the wrong form, a server that does not answer
        raise InputError(f"{address}: wandb does not start: {str(error).strip().split(chr(10))[0]}.") from None

"""A model repository on the Hugging Face Hub: the small files that tell of its training, never its weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dist_epochs.errors import InputError, Origin

if TYPE_CHECKING:
    from dist_epochs.audit.records.record import FinishedRun

__all__ = ["FILES", "PREFIX", "fetch_repository"]

PREFIX = "hub:"

FILES = (
    "README.md", "trainer_state.json", "checkpoint-*/trainer_state.json", "*_results.json", "trainer_log.jsonl",
    "runs/*/events.out.tfevents.*", "metrics.csv", "hparams.yaml", "wandb-summary.json", "*.log",
)  # fmt: skip
"""Patterns of what is fetched; config.json and weights tell nothing of steps."""

_ADDRESS = re.compile(r"hub:([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,120}))?")


def fetch_repository(address: str) -> FinishedRun | None:
    """Read `hub:OWNER/NAME`, or `hub:OWNER/NAME@REVISION`, through huggingface_hub and its cache.

    Raises:
        InputError: If it is not such an address, huggingface_hub is not installed, neither the Hub nor the cache gives
            it, or it holds no record of a run.
    """
    from dist_epochs.audit.detect.folder import read_finished_run

    origin = Origin(address)
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(
            "this is not the address of a model repository",
            rule="it has an owner and a name, as in the browser: huggingface.co/OWNER/NAME",
            fixes="hub:OWNER/NAME",
            origin=origin,
        )
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise InputError(
            "huggingface_hub is not installed",
            rule="it fetches the files of a repository",
            fixes=["pip install huggingface_hub", "the folder of the repository, fetched in another way"],
            origin=origin,
        ) from None
    try:
        folder = snapshot_download(match[1], revision=match[2], allow_patterns=list(FILES))
    except Exception as error:  # no network, no such repository, no right to see it: there are many classes for them
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"huggingface_hub answered: {said}", fixes="another owner or name", origin=origin) from None
    run = read_finished_run(Path(folder))
    return replace(run, path=address) if run is not None else None

"""Makes the run directory, and writes the trained model into it."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from accelerate import Accelerator
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.writer import LEDGER_FILE, versions
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe.writing import recipe_to_yaml
from dist_epochs.runtime.files import new_folder, write_json, write_text
from dist_epochs.train.checkpoints import weights
from dist_epochs.train.model import transformers_tokenizer
from dist_epochs.train.peak import Peak
from dist_epochs.train.restarts import this_attempt
from dist_epochs.train.resume import Start, begun
from dist_epochs.train.same_run import MODEL
from dist_epochs.train.setup import Setup
from dist_epochs.train.sharding import whole

__all__ = ["make_run_directory", "save_model", "segment_facts"]


def make_run_directory(out: Path, plan: Plan, setup: Setup) -> None:
    """Write recipe, model configuration and plan to a new directory, which gets its name when all of them are written.

    Raises:
        InputError: If the directory is there and not empty.
    """
    hint: tuple[str, ...] = ()
    if begun(out):
        hint = ("--resume, to continue the run in it",)
    elif (out / LEDGER_FILE).exists():
        hint = ("to put back its plan.json, without which it cannot be resumed",)
    taken = InputError(
        "not empty, and a run gets a new directory",
        consequence="nothing in it was changed",
        fixes=("another --out", *hint),
        origin=Origin(str(out)),
    )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise taken
    try:
        with new_folder(out, replaces=False) as folder:
            write_text(folder / "recipe.yaml", recipe_to_yaml(plan.recipe))
            write_text(folder / MODEL, json.dumps(dict(setup.config_data), indent=1) + "\n")
            write_json(folder / "plan.json", plan_json(plan) | {"run": uuid4().hex})
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise taken from None
        raise InputError(error.strerror or str(error), origin=Origin(str(error.filename or out))) from None


def segment_facts(
    accelerator: Accelerator, plan: Plan, start: Start, tracked_as: str | None, peak: Peak | None
) -> dict[str, Any]:
    """Topology, peak and versions of a segment, the checkpoint it resumes from, its run in wandb, and its restarts."""
    return {
        "world_size": accelerator.num_processes,
        "data_parallel_size": plan.batches[0].data_parallel_size,
        "per_device": plan.batches[0].per_device,
        "device": accelerator.device.type,
        "precision": accelerator.mixed_precision,
        **({"peak": peak.to_json()} if peak else {}),
        "plan": plan.fingerprint,
        "versions": versions(("torch", "accelerate", "transformers")),
        **({"checkpoint": start.found.folder.name} if start.found else {}),
        **({"refused": list(start.refused)} if start.refused else {}),
        **({"wandb": tracked_as} if tracked_as else {}),
        **this_attempt().facts(),
    }


def save_model(accelerator: Accelerator, model: PreTrainedModel, setup: Setup, out: Path) -> None:
    """Model and tokenizer in transformers' format; the folder appears when it is complete. Every rank calls this.

    Raises:
        InputError: If it could not be written.
    """
    state = {}
    for name, tensor in weights(model):
        gathered = whole(tensor)  # every rank takes part, and one keeps it
        if accelerator.is_main_process:
            state[name] = gathered.detach().to("cpu")
    if not accelerator.is_main_process:
        return
    disable_progress_bar()  # the run has a progress bar of its own
    try:
        with new_folder(out / "model") as folder:
            model.save_pretrained(folder, state_dict=state)
            transformers_tokenizer(setup.tokenizer, setup.recipe.longest).save_pretrained(folder)
    except Exception as error:  # a full disk comes as OSError, as SafetensorError, or as bare Exception
        raise InputError(f"the trained model could not be saved: {error}", origin=Origin(str(out / "model"))) from None

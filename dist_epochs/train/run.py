"""One run from recipe to run directory: check, plan, make or open the directory, train."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from dist_epochs.corpus.streaming.planning import exact_plan
from dist_epochs.ledger.saves import read_saves
from dist_epochs.ledger.writer import LEDGER_FILE
from dist_epochs.recipe import read_recipe
from dist_epochs.recipe.shipped import find_recipe
from dist_epochs.runtime.files import run_lock
from dist_epochs.runtime.meeting_place import open_meeting
from dist_epochs.runtime.peers import on_first
from dist_epochs.train.agreement import agree
from dist_epochs.train.checkpoints import Checkpoints
from dist_epochs.train.command import SAME_COMMAND
from dist_epochs.train.directory import make_run_directory
from dist_epochs.train.model import build_model
from dist_epochs.train.restarts import this_attempt, time_limit_error
from dist_epochs.train.resume import Start, begun, go_on, is_finished
from dist_epochs.train.same_run import same_recipe
from dist_epochs.train.segment import train_segment
from dist_epochs.train.setup import Setup, evaluation_of, set_up, verify_together
from dist_epochs.train.world import join

__all__ = ["run_recipe"]

PATIENCE = 300.0
"""Seconds that ranks wait for each other at the start, where the recipe's timeout cannot be read."""


def run_recipe(
    path: Path,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    replan: bool = False,
    verify: bool = False,
    again: str = SAME_COMMAND,
    say: Callable[[str], None] = print,
    started: float | None = None,
) -> None:
    """Train a recipe; every rank calls this.

    Args:
        path: The recipe, or the name of a shipped one.
        out: Run directory to make, or to resume the run of.
        overrides: `key=value` settings over the recipe.
        resume: Resume the run in `out`, if one was begun.
        replan: Resume it, and let the recipe decide length, batch and learning from here on.
        verify: Compare the digests of the whole store even if that was done before.
        again: The command that resumes this run, printed where it stops.
        say: Prints a line; called on rank 0 only.
        started: When the program began, in seconds since 1970; now, if that is not stated.

    Raises:
        InputError: If recipe, store, launch or output cannot be used, or ranks differ in them; a new run has then
            written nothing.
        Unheard: If rank 0 is not there to tell the error.
        RankFailed: If something else failed on a rank before training.
        NotFinite: If the loss became NaN or infinite; the run is set back to its last checkpoint.
        RankLost: If another rank is dead or frozen.
        RanksDiffer: If a checkpoint could not be written; the one before it is unchanged.
    """
    began = time.time() if started is None else started
    prepared = _prepare(path, overrides)
    patience = prepared.recipe.timeout_seconds if isinstance(prepared, Setup) else PATIENCE
    with open_meeting(os.environ, patience) as meeting, ExitStack() as stack:
        setup, resumes = agree(meeting, prepared, out, resumes=lambda: (resume or replan) and begun(out))
        meeting.watch()
        given = setup.recipe
        recipe, changes = same_recipe(given, out, replans=replan) if resumes else (given, False)
        setup = replace(setup, recipe=recipe)
        world = join(recipe, say)
        verify_together(setup.store, world.ranks, again=verify)
        checkpoints = Checkpoints(out / "checkpoints", world.ranks, recipe.checkpoints.keep)
        if resumes:
            on_first(world.ranks, lambda: stack.enter_context(run_lock(out)))
            if not changes and is_finished(out):
                world.say(f"{out}: finished already; nothing was done")
                return
            on_first(world.ranks, lambda: _check_time_limit(out))
            start, corpus, plan = go_on(setup, world, out, checkpoints, given if changes else None)
        else:
            start, (corpus, plan) = Start(), exact_plan(recipe, setup.store, setup.objective, world.size)
        model, evaluation = build_model(setup.model, setup.config, recipe.seed), evaluation_of(setup, world)
        if not resumes:  # a model that cannot be built must not leave a directory behind
            world.ranks.share("")  # nor one that a single rank cannot build
            on_first(world.ranks, lambda: make_run_directory(out, plan, setup))
            on_first(world.ranks, lambda: stack.enter_context(run_lock(out)))
        windows = corpus.windows(plan.batches, world.ranks.rank, start.step)
        train_segment(
            setup, world, out, start=start, plan=plan, windows=windows, checkpoints=checkpoints, model=model,
            evaluation=evaluation, again=again, ready=meeting.release, began=began,
        )  # fmt: skip


def _prepare(path: Path, overrides: Sequence[str]) -> Setup | Exception:
    """The recipe and what it names; or the error, which the other ranks are told before it is raised."""
    try:
        found = find_recipe(path)
        return set_up(read_recipe(found, overrides), found)
    except Exception as error:
        return error


def _check_time_limit(out: Path) -> None:
    ledger = out / LEDGER_FILE
    if ledger.is_file() and (error := time_limit_error(read_saves(ledger), this_attempt(), time.time(), out)):
        raise error

"""`dist-epochs compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import InputError
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.audit.compare.evidence import ComparedRun


@click.command(short_help="Where two runs part, and why.")
@click.argument("a", metavar="RUN")
@click.argument("b", metavar="RUN")
@as_json
def command(a: str, b: str, as_json: bool) -> None:
    """The first step at which two runs part, and the causes, the likeliest first.

    RUN is a run directory or a ledger of ours (of the trainer, or of a loop with a Ledger or LedgerCallback), which
    may still be running, or whatever `dist-epochs audit` reads: what both tell is compared, and the rest is named.

    Causes are seed, corpus, tokenizer, packing, mixture, masks, global batch, world, order, duplicates, skipped,
    learning rate, precision and versions. A setting that was changed stands before its effects.
    """
    from dist_epochs.audit.compare.comparison import compare_runs
    from dist_epochs.render.compare import comparison_of_runs_text

    comparison = compare_runs(_run(a), _run(b))
    print_json(comparison.to_json()) if as_json else show(comparison_of_runs_text(comparison))


def _run(name: str) -> ComparedRun:
    """A run by its path or address."""
    from dist_epochs.audit.compare.own import is_own_run, own_run

    if is_own_run(Path(name)):
        return own_run(Path(name))
    from dist_epochs.audit.compare.logs import logged_run
    from dist_epochs.cli.audit import find_run

    run = find_run(name)
    if run is None:
        raise InputError(
            f"{name} is no run",
            rule="a claim states numbers and has no steps",
            fixes=(f"dist-epochs audit {name}", "a run directory, or what a trainer wrote"),
        )
    return logged_run(run)

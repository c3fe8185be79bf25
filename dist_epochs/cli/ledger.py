"""`dist-epochs ledger`."""

from __future__ import annotations

from pathlib import Path

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import EXIT_DISAGREES
from dist_epochs.terminal import show


@click.command(short_help="What a run really trained, beside its plan.")
@click.argument("run", type=click.Path(path_type=Path))
@as_json
def command(run: Path, as_json: bool) -> None:
    """What RUN really trained, compared with its plan: totals, epochs, segments, sample digest.

    RUN is a run directory or a ledger file; it may still be running. Exit code 1 means that a
    difference from the plan has no known cause.
    """
    from dist_epochs.ledger.reconcile import read_run
    from dist_epochs.render.ledger import ledger_text

    result = read_run(run)
    if as_json:
        print_json(result.to_json())
    else:
        show(ledger_text(result, str(run)))
    if not result.adds_up:
        raise SystemExit(EXIT_DISAGREES)

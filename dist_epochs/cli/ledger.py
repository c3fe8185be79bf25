"""`dist-epochs ledger`."""

from __future__ import annotations

from pathlib import Path

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import EXIT_DISAGREES, InputError
from dist_epochs.terminal import show


@click.command(short_help="What a run really trained, beside its plan.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--card", is_flag=True, help="The training section of a model card, and a checklist's compute item.")
@click.option("--grams-per-kwh", type=click.FloatRange(min=0), metavar="385",
              help="For --card: grams of CO2-equivalent that a kWh of your electricity caused.")  # fmt: skip
@as_json
def command(run: Path, card: bool, grams_per_kwh: float | None, as_json: bool) -> None:
    """What RUN really trained, compared with its plan: totals, epochs, segments, sample digest.

    RUN is a run directory or a ledger file; it may still be running. Exit code 1 means that a
    difference from the plan has no known cause.
    """
    from dist_epochs.ledger.reconcile import read_run
    from dist_epochs.render.ledger import ledger_text

    if grams_per_kwh is not None and not card:
        raise InputError("--grams-per-kwh is for the emissions of a card", fixes="--card")
    result = read_run(run)
    if card:
        from dist_epochs.render.card import make_card
        from dist_epochs.render.card_facts import card_facts

        made = make_card(card_facts(run, result), grams_per_kwh)
        print_json(made.to_json()) if as_json else show(made.text)
    elif as_json:
        print_json(result.to_json())
    else:
        show(ledger_text(result, str(run)))
    if not result.adds_up:
        raise SystemExit(EXIT_DISAGREES)

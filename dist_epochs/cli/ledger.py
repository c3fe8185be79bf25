"""`dist-epochs ledger`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from dist_epochs.cli.output import as_html, as_json, print_json, write_html
from dist_epochs.errors import EXIT_DISAGREES, InputError
from dist_epochs.terminal import clear_screen, show

EVERY = 2.0
"""Seconds between two looks at a run that is watched."""


@click.command(short_help="What a run really trained and took, beside its plan.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Follow a run that is under way, until it ends.")
@click.option("--card", is_flag=True, help="The training section of a model card, and a checklist's compute item.")
@click.option("--grams-per-kwh", type=click.FloatRange(min=0), metavar="385",
              help="For --card: grams of CO2-equivalent that a kWh of your electricity caused.")  # fmt: skip
@as_html
@as_json
def command(run: Path, watch: bool, card: bool, grams_per_kwh: float | None, html: Path | None, as_json: bool) -> None:
    """What RUN really trained and took, compared with its plan.

    Totals, epochs, segments and sample digest; time, price and energy, planned, so far and at the end; and where the
    time went.

    RUN is a run directory or a ledger file; it may still be running. Exit code 1 means that a
    difference from the plan has no known cause.
    """
    from dist_epochs.ledger.reconcile import read_run
    from dist_epochs.render.ledger import ledger_text

    if grams_per_kwh is not None and not card:
        raise InputError("--grams-per-kwh is for the emissions of a card", fixes="--card")
    if watch and (as_json or card):
        raise InputError(
            "--watch shows a run again and again, and --json and --card are one object", fixes="one of the two"
        )
    if watch:
        _watch(run)
    result = read_run(run)
    if html is not None:
        from dist_epochs.ledger.history import segment_times
        from dist_epochs.ledger.steps import logged_rows
        from dist_epochs.ledger.writer import ledger_of
        from dist_epochs.report.run import run_report

        path = ledger_of(run)
        write_html(html, run_report(run, result.to_json(), logged_rows(path), segment_times(path)))
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


def _watch(run: Path) -> None:
    """Show a run until it has ended: anew on a terminal, a line for each change elsewhere."""
    from dist_epochs.ledger.reconcile import read_run
    from dist_epochs.render.ledger import ledger_line, ledger_text

    on_terminal, shown = sys.stdout.isatty(), ""
    try:
        while (result := read_run(run)).totals.segments[-1].status == "no end":
            text = ledger_text(result, str(run)) if on_terminal else ledger_line(result)
            if text != shown:
                if on_terminal:
                    clear_screen()
                show(text)
                shown = text
            time.sleep(EVERY)
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    if on_terminal:
        clear_screen()

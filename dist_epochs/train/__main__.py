"""`accelerate launch -m dist_epochs.train RECIPE --out RUN`, or `python -m dist_epochs.train` in one process."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dist_epochs.errors import exit_on_input_error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run directory to make.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. batch.per_device=4."
)
def main(recipe: Path, out: Path, overrides: tuple[str, ...]) -> None:
    """Train RECIPE and write the run directory."""
    speaks = os.environ.get("RANK", "0") == "0"
    with exit_on_input_error(speaks=speaks):
        from dist_epochs.train.loop import NotFinite
        from dist_epochs.train.run import run_recipe

        try:
            run_recipe(recipe, out, overrides, say=click.echo)
        except NotFinite as error:
            if speaks:
                click.echo(f"error: {error}; {out}/ledger.jsonl holds the run up to there", err=True)
            raise SystemExit(1) from None


if __name__ == "__main__":
    main()

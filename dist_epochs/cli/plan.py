"""`dist-epochs plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import exit_on_input_error

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan
    from dist_epochs.plan.recipe import Recipe


@click.command(short_help="What a recipe will draw, before it runs.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. batch.devices=4."
)
@as_json
def command(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """What RECIPE will draw: steps, samples, tokens, epochs, each with its formula.

    With a token store the integers are exact, and the ledger of the run will show the same ones.
    Without one, what cannot be known before counting is left open and named.
    """
    with exit_on_input_error():
        from dist_epochs.plan.recipe import read_recipe
        from dist_epochs.render.plan import plan_text

        plan = _plan(read_recipe(recipe, overrides))
        if as_json:
            print_json(plan.to_json())
        else:
            click.echo(plan_text(plan))


def _plan(recipe: Recipe) -> Plan:
    from dist_epochs.plan.planner import make_plan

    if recipe.corpus.store is None:
        return make_plan(recipe)
    from dist_epochs.corpus.planning import plan_on_store

    return plan_on_store(recipe)

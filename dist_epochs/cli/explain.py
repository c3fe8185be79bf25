"""`dist-epochs explain`."""

from __future__ import annotations

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import InputError, exit_on_input_error


@click.command(short_help="What a warning means, and what to do about it.")
@click.argument("topic", required=False)
@as_json
def command(topic: str | None, as_json: bool) -> None:
    """What a warning or note of a plan means, and what to do about it. Without TOPIC, all of them in a line each."""
    with exit_on_input_error():
        from dist_epochs.plan.keys import nearest
        from dist_epochs.plan.rules import page, rule_names

        if topic is None:
            headings = {name: (page(name) or "").partition("\n")[0] for name in rule_names()}
            if as_json:
                print_json({"topics": headings})
                return
            width = max(map(len, headings))
            click.echo("\n".join(f"{name:<{width}}  {heading}" for name, heading in headings.items()))
            return
        text = page(topic)
        if text is None:
            raise InputError(f"there is no page {topic!r}{nearest(topic, rule_names())}")
        if as_json:
            print_json({"topic": topic, "text": text})
        else:
            click.echo(text)

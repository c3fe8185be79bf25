"""`dist-epochs explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import InputError, nearest
from dist_epochs.terminal import show


@click.command(short_help="What a word or a warning means, with numbers.")
@click.argument("topic", required=False)
@click.option("--examples", metavar="100", help="Examples of the data.")
@click.option("--epochs", metavar="500", help="Epochs, in the words of each system.")
@click.option("--batch-size", metavar="5", help="Examples of a mini-batch.")
@as_json
def command(topic: str | None, as_json: bool, **numbers: str | None) -> None:
    """What a word means in textbooks and frameworks, a warning of a plan, or why a framework reports otherwise.

    Words are step, iteration, epoch, batch-size and batches, with the numbers of a run if they are given.
    Warnings come with what to do about them. Without TOPIC, all of them in a line each.
    """
    from dist_epochs.frameworks.words.terms import TERMS, find_term

    term = None if topic is None else find_term(topic)
    if term is None and any(numbers.values()):
        raise InputError("numbers are for one of the words", fixes=[each.name for each in TERMS])
    if topic is None:
        _list_topics(as_json)
        return
    if term is not None:
        from dist_epochs.render.words import term_json, term_text

        given = _numbers(numbers)
        print_json(term_json(term, **given)) if as_json else show(term_text(term, **given))
        return
    topic = topic.strip().lower().replace(" ", "-").replace("_", "-")
    pages = _pages()
    if topic not in pages:
        raise InputError(f"there is no page {topic!r}{nearest(topic, (*(term.name for term in TERMS), *pages))}")
    text = pages[topic]
    print_json({"topic": topic, "text": text}) if as_json else show(text)


def _numbers(texts: dict[str, str | None]) -> dict[str, Any]:
    """All three numbers, or none of them."""
    from dist_epochs.arithmetic.quantity import Unit, parse_count

    units = {"examples": Unit.SAMPLE, "epochs": Unit.EPOCH, "batch_size": Unit.SAMPLE}
    missing = [f"--{name.replace('_', '-')}" for name, text in texts.items() if text is None]
    if missing and len(missing) < len(texts):
        fix = f"{' and '.join(missing)} too"
        raise InputError("the numbers of a run are examples, epochs and batch size", fixes=fix)
    return {
        name: None if text is None else parse_count(text, unit=units[name], what=f"--{name.replace('_', '-')}")
        for name, text in texts.items()
    }


def _pages() -> Mapping[str, str]:
    """The pages of all rules; each package registers its own when it is imported."""
    import dist_epochs.frameworks.causes
    import dist_epochs.integrations.warnings
    import dist_epochs.plan.warnings
    import dist_epochs.tool_configs.launch.rules  # noqa: F401
    from dist_epochs.rules import PAGES

    return PAGES


def _list_topics(as_json: bool) -> None:
    from dist_epochs.frameworks.words.terms import TERMS

    headings = {term.name: f"What {term.word} means, in textbooks and in frameworks." for term in TERMS}
    headings |= {name: text.partition("\n")[0] for name, text in _pages().items()}
    if as_json:
        print_json({"topics": headings})
        return
    width = max(map(len, headings))
    show("\n".join(f"{name:<{width}}  {heading}" for name, heading in headings.items()))

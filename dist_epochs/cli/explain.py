"""`dist-epochs explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import InputError, close_matches
from dist_epochs.names import find_name, folded
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.render.words import Numbers


@click.command(short_help="What a word or a warning means, with numbers.")
@click.argument("words", metavar="[TOPIC]", nargs=-1)
@click.option("--examples", metavar="100", help="Examples of the data.")
@click.option("--epochs", metavar="500", help="Epochs, in the words of each system.")
@click.option("--batch-size", metavar="5", help="Examples of a mini-batch.")
@as_json
def command(words: tuple[str, ...], as_json: bool, **numbers: str | None) -> None:
    """What a word means here, in textbooks and frameworks; a warning of a plan; or why a framework reports otherwise.

    step, iteration, epoch, batch-size and batches come with the words of each framework, and with the numbers of a
    run if they are given. Warnings come with what to do about them. Words may be Korean, Chinese or Japanese.
    Without TOPIC, all of them in a line each.
    """
    from dist_epochs.frameworks.words.entries import find_entry
    from dist_epochs.frameworks.words.terms import TERMS, find_term

    topic = " ".join(words) if words else None
    term, entry = (None, None) if topic is None else (find_term(topic), find_entry(topic))
    if any(numbers.values()) and term is None and (entry is None or entry.name not in METHOD_PAGES):
        raise InputError("numbers are for one of the words", fixes=[*(each.name for each in TERMS), *METHOD_PAGES])
    if topic is None:
        _list_topics(as_json)
        return
    given = _numbers(numbers)
    if term is not None:
        from dist_epochs.render.words import term_json, term_text

        print_json(term_json(term, given)) if as_json else show(term_text(term, given))
        return
    name, text = (entry.name, entry.text) if entry is not None else _page_of_rule(topic)
    counted: dict[str, Any] = {}
    if given is not None:
        from dist_epochs.render.words import methods_json, methods_text

        counted, text = methods_json(given), f"{text}\n\n{methods_text(given)}"
    elif name in METHOD_PAGES:
        text = f"{text}\n\nWith numbers: dist-epochs explain {name} --examples 100 --epochs 500"
    print_json({"topic": name, "text": text} | counted) if as_json else show(text)


METHOD_PAGES = ("gradient-descent", "sgd", "mini-batch")
"""Words whose page has numbers too."""


def _page_of_rule(topic: str) -> tuple[str, str]:
    """The name and the page of a rule.

    Raises:
        InputError: If there is no page of that name, with the audit of a claim that has it, or the three nearest names.
    """
    from dist_epochs.audit.collection import claim_names
    from dist_epochs.frameworks.words.entries import ENTRIES
    from dist_epochs.frameworks.words.terms import TERMS

    pages = rule_pages()
    name = find_name(topic, pages)
    if name is not None:
        return name, pages[name]
    known = {rule: rule for rule in pages}
    for term in TERMS:
        known |= dict.fromkeys(map(folded, term.names), term.name)
    for entry in ENTRIES:
        known |= dict.fromkeys(map(folded, entry.names), entry.name)
    close = close_matches(folded(topic), known, most=len(known), likeness=0)
    nearest = list(dict.fromkeys(known[spelling] for spelling in close))[:MOST_NEAREST]
    claim = find_name(topic, claim_names())
    raise InputError(
        f"there is no page {topic.strip()!r}",
        rule="`dist-epochs explain` lists all that there are",
        fixes=nearest if claim is None else [f"dist-epochs audit {claim}"],
    )


MOST_NEAREST = 3
"""Names that are shown in place of an unknown one."""


def _numbers(texts: Mapping[str, str | None]) -> Numbers | None:
    """Examples and epochs, with the mini-batch if it is stated; None if there are no numbers."""
    from dist_epochs.arithmetic.quantity import Unit, parse_count
    from dist_epochs.render.words import Numbers

    if not any(texts.values()):
        return None
    missing = [f"--{name}" for name in ("examples", "epochs") if texts[name] is None]
    if missing:
        fix = f"{' and '.join(missing)} too"
        raise InputError("the numbers of a run are its examples and its epochs", fixes=fix)
    units = {"examples": Unit.SAMPLE, "epochs": Unit.EPOCH, "batch_size": Unit.SAMPLE}
    counts = {
        name: parse_count(text, unit=units[name], what=f"--{name.replace('_', '-')}")
        for name, text in texts.items()
        if text is not None
    }
    return Numbers(counts["examples"], counts["epochs"], counts.get("batch_size"))


def rule_pages() -> Mapping[str, str]:
    """The pages of all rules; each package registers its own when it is imported."""
    import dist_epochs.frameworks.causes
    import dist_epochs.integrations.warnings
    import dist_epochs.ledger.limit
    import dist_epochs.plan.warnings
    import dist_epochs.tool_configs.launch.rules  # noqa: F401
    from dist_epochs.rules import PAGES

    return PAGES


def _list_topics(as_json: bool) -> None:
    from dist_epochs.frameworks.words.entries import ENTRIES
    from dist_epochs.frameworks.words.terms import TERMS

    headings = {term.name: f"What {term.word} means, in textbooks and in frameworks." for term in TERMS}
    headings |= {entry.name: f"{entry.meaning}." for entry in ENTRIES}
    headings |= {name: text.partition("\n")[0] for name, text in rule_pages().items()}
    if as_json:
        print_json({"topics": headings})
        return
    width = max(map(len, headings))
    show("\n".join(f"{name:<{width}}  {heading}" for name, heading in headings.items()))

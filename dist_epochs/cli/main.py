"""The command `dist-epochs`: thin, each command loads what it needs when it runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from dist_epochs import __version__
from dist_epochs.errors import InputError, close_matches
from dist_epochs.usage import Group

__all__ = ["main"]

COMMANDS = {
    "init": "Write a recipe that fits a corpus and the devices at hand.",
    "solve": "Find the missing one of steps × batch = corpus × epochs.",
    "plan": "What a run will draw and cost, before it runs.",
    "tokenize": "Count a corpus exactly, and write its tokens.",
    "merge": "Put token stores together.",
    "ledger": "What a run really trained, beside its plan.",
    "audit": "Do the numbers of a paper or a finished run add up?",
    "compare": "Where two runs part, and why.",
    "explain": "What a word or a warning means, with numbers.",
    "page": "Write a web page on which these run, without a server.",
}


class _Commands(Group):
    """Loads a command's module only when it is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            if name.startswith("-"):
                return None  # click names the option
            near = [f"dist-epochs {each}" for each in close_matches(name.lower(), COMMANDS)] or _meant(name)
            raise InputError(f"dist-epochs has no command {name!r}", fixes=[*near, "dist-epochs --help"])
        command: Any = import_module(f"dist_epochs.cli.{name}").command
        return command  # type: ignore[no-any-return]

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _meant(name: str) -> list[str]:
    """The command for what stands in its place: a word, a sentence, a claim, a file."""
    from dist_epochs.audit.collection import claim_names
    from dist_epochs.cli.sentences import is_sentence
    from dist_epochs.frameworks.words.entries import find_entry
    from dist_epochs.frameworks.words.terms import find_term

    if find_term(name) is not None or find_entry(name) is not None:
        return [f"dist-epochs explain {name}"]
    if name in claim_names() or is_sentence(name):
        return [f"dist-epochs audit {name}" if name in claim_names() else "dist-epochs audit, and the text in quotes"]
    return [f"dist-epochs plan {name}", f"dist-epochs audit {name}"] if Path(name).exists() else []


@click.group("dist-epochs", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dist-epochs")
def main() -> None:
    """Steps, tokens and epochs of a pretraining run: before, during and after it.

    Train with: accelerate launch -m dist_epochs.train RECIPE --out RUN
    """

"""Wrong commands and options, in the same words and the same place as all other errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from dist_epochs.errors import EXIT_INPUT, InputError, close_matches
from dist_epochs.terminal import exit_on_input_error, forget_output, replace_unknown_characters, show

__all__ = ["Command", "Group"]

OTHER_NAMES = {
    "iterations": "steps",
    "iters": "steps",
    "updates": "steps",
    "max-steps": "steps",
    "train-iters": "steps",
    "num-train-epochs": "epochs",
    "num-epochs": "epochs",
    "passes": "epochs",
    "gpus": "devices",
    "world-size": "devices",
    "num-processes": "devices",
    "batch-size": "batch",
    "per-device-train-batch-size": "per-device",
    "micro-batch-size": "per-device",
    "gradient-accumulation-steps": "gradient-accumulation",
    "global-batch-size": "global-batch",
    "train-batch-size": "global-batch",
    "max-length": "sequence-length",
    "max-seq-length": "sequence-length",
    "seq-length": "sequence-length",
    "seq-len": "sequence-length",
    "context-length": "sequence-length",
    "data": "corpus",
    "dataset": "corpus",
}
"""What other tools call our options."""

DASHES = "–—−‑"
"""What hyphens become in a word processor or a PDF."""

EXTRA = "unexpected extra argument"
"""What click says of too many words."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class _Spoken(click.Command):
    """Ends with errors as `errors.error_text` prints them, or as an object with `--json`."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        words = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):  # click prints help by itself
            replace_unknown_characters(stream)
        with exit_on_input_error(as_json="--json" in words):
            try:
                code = super().main(words, prog_name, **{**extra, "standalone_mode": False})
            except click.exceptions.NoArgsIsHelpError as error:
                show(error.format_message(), err=True)
                raise SystemExit(EXIT_INPUT) from None
            except click.UsageError as error:
                of = " ".join([self.name or "", *words[:1]])  # of a group's command, whose parser knows no context
                raise _as_input_error(error, of, words) from None
            except click.Abort:
                raise SystemExit(INTERRUPTED) from None
        raise SystemExit(code if isinstance(code, int) else 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _quiet_when_nobody_listens():  # help is printed in here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _quiet_when_nobody_listens():
            return super().invoke(ctx)


class Command(_Spoken):
    """A command by itself."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, each option once."""
        _refuse_two_values(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(_Spoken, click.Group):
    """A command of several."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, whose options are each given once."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_two_values(command, ctx, rest)
        return name, command, rest


def _refuse_two_values(command: click.Command, context: click.Context, args: Sequence[str]) -> None:
    """Refuse an option with one value that is given twice: click would take the last."""
    single = {
        name: option
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count)
        for name in option.opts
    }
    names = [word.partition("=")[0] for word in args[: args.index("--") if "--" in args else None]]
    for option in dict.fromkeys(single[name] for name in names if name in single):
        given = [name for name in names if name in option.opts]
        if len(given) > 1:
            twice = f"{given[0]} is given twice" if len(set(given)) == 1 else f"{' and '.join(given)} are one option"
            raise InputError(twice, rule="it has one value", fixes="leaving one of them out")


@contextmanager
def _quiet_when_nobody_listens() -> Iterator[None]:
    """A reader that closed the pipe (`| head`) has seen enough."""
    try:
        yield
    except BrokenPipeError:
        forget_output(sys.stdout)
        raise SystemExit(0) from None


def _as_input_error(error: click.UsageError, command: str, words: Sequence[str]) -> InputError:
    """What click found wrong, with the nearest of what is known and the command that lists it all."""
    command = error.ctx.command_path if error.ctx else command
    more = f"{command} --help"
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        if not name.startswith("--"):  # of `-epochs` click reads the first letter
            name = next((word.partition("=")[0] for word in words if word.startswith(name)), name)
        return InputError(f"{command} has no option {name}", fixes=[*_like(name, _options(error.ctx)), more])
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.opts[0] if isinstance(error.param, click.Option) else error.param.human_readable_name
        return InputError(f"{command} needs {name}", fixes=more)
    said = error.format_message().strip().rstrip(".")
    dashed = next((word for word in words if word[:1] in DASHES), None)
    if EXTRA in said and dashed is not None:
        option = f"--{dashed.lstrip(DASHES + '-')}"
        return InputError(
            f"{dashed} is no option", rule="options begin with two hyphens, and this with a dash of prose", fixes=option
        )
    if EXTRA in said:
        return InputError(said, rule="it takes fewer words, and what holds spaces stands in quotes", fixes=more)
    return InputError(said, fixes=more)


def _options(context: click.Context | None) -> list[str]:
    """The long spellings of a command's options."""
    found = context.command.params if context else []
    return [name for each in found if isinstance(each, click.Option) for name in each.opts if name.startswith("--")]


def _like(option: str, known: Sequence[str]) -> list[str]:
    """The option of another tool's name, or the nearest one."""
    plain = option.lstrip("-").lower().replace("_", "-")
    ours = f"--{OTHER_NAMES.get(plain, plain)}"
    return [ours] if ours in known else close_matches(ours, known, likeness=0.8)

"""Commands that run inside the page, with the text that a shell would show.

The worker of the page sends one request after the other as JSON and gets an answer as JSON. A command sees a folder of
its own, in memory, which holds the recipe of the request and is gone after it.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from dist_epochs.errors import EXIT_INPUT, InputError, error_text
from dist_epochs.page.views import view
from dist_epochs.terminal import visible

__all__ = ["COMMANDS", "Session", "split"]

COMMANDS = ("init", "solve", "plan", "audit", "explain")
"""Commands that need neither files nor processes of a machine; what `init` writes is shown."""

PROGRAM = "dist-epochs"
SHELL_SIGNS = frozenset("|&;<>()")
"""Signs outside quotes that only a shell understands."""
TEXT_ONLY = frozenset(("--all", "--help", "-h", "--json", "--version"))
"""Flags of commands of which nothing but the text is shown."""
MOST_SHOWN = 2**20
"""Characters of a file that a command wrote, of which no more is handed to the page."""


class Session:
    """Runs commands one after the other.

    Args:
        main: The command `dist-epochs`.
    """

    def __init__(self, main: click.Group) -> None:
        self._main = main

    def answer(self, request: str) -> str:
        """Run what a request asks for.

        Args:
            request: JSON with `words` (the command and its arguments) or `line` (as typed in a shell); also `more` (a
                text with further arguments), `files` (content by name, for the command to read), and `view` (whether
                more than the text is wanted).

        Returns:
            JSON with `line` (the command as a shell takes it), `parts` (pairs of `out` or `err` and a text, in order),
            `code` (the exit code), `files` (what the command wrote), and `view` (see `views.view`; null where none).
        """
        asked = json.loads(request)
        try:
            words = [
                *(asked["words"] if "words" in asked else _split_line(asked["line"])),
                *split(asked.get("more", "")),
            ]
            self._refuse_other_commands(words)
        except InputError as error:
            line = asked.get("line", "")
            return json.dumps(_answer(line, [("err", error_text(error) + "\n")], EXIT_INPUT))
        files: Mapping[str, str] = asked.get("files", {})
        parts, code, written = self.run(words, files)
        shown = _answer(shlex.join([PROGRAM, *words]), parts, code, written)
        if asked.get("view") and code != EXIT_INPUT and not TEXT_ONLY & set(words):
            shown["view"] = self._view(words, files)
        return json.dumps(shown)

    def _refuse_other_commands(self, words: Sequence[str]) -> None:
        """Refuse the commands that work on files; what is no command at all is left to the program itself."""
        if not words or words[0] in COMMANDS or words[0] not in self._main.list_commands(click.Context(self._main)):
            return
        raise InputError(
            f"{words[0]} works on files of a machine, and a page in a browser has none",
            rule=f"{', '.join(COMMANDS[:-1])} and {COMMANDS[-1]} run here",
            fixes=f"`{shlex.join([PROGRAM, *words])}` in a shell, where the package is installed",
        )

    def run(self, words: Sequence[str], files: Mapping[str, str]) -> tuple[list[tuple[str, str]], int, dict[str, str]]:
        """What a command prints, its exit code, and the files it wrote into its folder."""
        parts: list[tuple[str, str]] = []
        with TemporaryDirectory() as folder, chdir(folder):
            for name, content in files.items():
                Path(name).write_text(content, encoding="utf-8")
            with _streams(parts):
                code = self._code(words)
            written = {
                path.name: path.read_text(encoding="utf-8", errors="replace")[:MOST_SHOWN]
                for path in sorted(Path().iterdir())
                if path.is_file() and path.name not in files
            }
        return parts, code, written

    def _code(self, words: Sequence[str]) -> int:
        try:
            self._main.main(list(words), PROGRAM)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
        except Exception:  # a defect of ours: told as Python tells it
            sys.stderr.write(visible(traceback.format_exc()))
            return 1
        return 0

    def _view(self, words: Sequence[str], files: Mapping[str, str]) -> dict[str, Any] | None:
        """What more is shown; a command without an object, such as `--help`, has nothing."""
        before = words.index("--") if "--" in words else len(words)
        parts, _, _ = self.run([*words[:before], "--json", *words[before:]], files)
        try:
            data = json.loads("".join(text for stream, text in parts if stream == "out"))
        except ValueError:
            return None
        return view(words, data)


def _split_line(line: str) -> list[str]:
    """The arguments of a line, with or without the program's name and a prompt.

    Raises:
        InputError: If a quote is not closed, or the line needs a shell.
    """
    words = split(line)
    for start in ("$", PROGRAM):
        words = words[1:] if words[:1] == [start] else words
    return words


def split(line: str) -> list[str]:
    """The words of a line, by a shell's rules of quoting.

    Raises:
        InputError: If a quote is not closed, or there is a pipe, a redirection or a second command.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="".join(SHELL_SIGNS))
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        raise InputError("a quote is not closed", fixes="closing it") from None
    if signs := [word for word in words if word and set(word) <= SHELL_SIGNS]:
        fixes = [f"the command before {signs[0]} alone", "quotes around it, if it belongs to an argument"]
        raise InputError(f"{signs[0]} is for a shell, and this page has none", fixes=fixes)
    return words


def _answer(
    line: str, parts: Sequence[tuple[str, str]], code: int, files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {"line": line, "parts": list(parts), "code": code, "files": dict(files or {}), "view": None}


class _Part(io.StringIO):
    """A stream whose texts stand in one list with those of another, in the order in which they were written."""

    def __init__(self, name: str, parts: list[tuple[str, str]]) -> None:
        super().__init__()
        self._name, self._parts = name, parts

    def write(self, text: str) -> int:
        length = super().write(text)  # refuses bytes, which is how click tells streams apart
        before = self._parts[-1] if self._parts else None
        if before is not None and before[0] == self._name:
            self._parts[-1] = (self._name, before[1] + text)
        elif text:
            self._parts.append((self._name, text))
        return length


@contextmanager
def _streams(parts: list[tuple[str, str]]) -> Iterator[None]:
    """Collect what is printed; nothing can be read."""
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), _Part("out", parts), _Part("err", parts)
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before

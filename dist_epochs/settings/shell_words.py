"""The words of a shell script, read and never run: comments, quotes, line ends, variables with stated values, sums.

What only a running shell knows (`$1`, `$(…)`, a variable that is set nowhere, or in a branch) is unknown: a word with
such a part says so, and whoever needs its value refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dist_epochs.settings.shell_sums import whole_sum
from dist_epochs.settings.shell_word import MARKS, Word, joined_words, split_word, unknown_word

__all__ = ["Command", "read_commands"]

LONGEST_VALUE, MOST_EXPANDED = 20_000, 1_000_000
"""Characters of a variable, and of all that variables become in a script: sixty lines of `A=$A$A` would fill memory.
What is longer is unknown."""

_SPACE = re.compile(r"(?:[ \t\r]|\\\n)+")
_ARRAY_OF = re.compile(r"\$\{(?P<name>\w+)\[[@*]\]\}")
_BRACED = re.compile(r"\$\{(?P<name>\w+)(?::?(?P<how>[-=])(?P<other>[^${}\"']*))?\}")
_NAMED = re.compile(r"\$(?P<name>[A-Za-z_]\w*)")
_SUM = re.compile(r"\$\(\((?P<sum>[^()]*(?:\([^()]*\)[^()]*)*)\)\)")
_ASSIGNS = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<more>\+?)=")
_SEPARATES = re.compile(r"&&|\|\||[;&|()\n{}]")
_OPENS = {"if", "case"}
_CLOSES = {"fi", "esac"}
_BEFORE = {
    "for", "while", "until", "done", "then", "do", "else", "elif", "export", "local", "declare", "readonly", "exec",
    "time", "nohup", "set", "!",
}  # fmt: skip
"""Words that stand in front of a command."""
_REDIRECTS = re.compile(r"[0-9]*(>>?|<<<|<<-?|<)(&[0-9-])?|&>>?")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a script: its words, and the variables that are set in front of it."""

    words: tuple[Word, ...]
    environment: dict[str, Word] = field(default_factory=dict)


def read_commands(text: str, variables: dict[str, str] | None = None) -> tuple[Command, ...]:
    r"""The commands of a script, in order, with assignments carried out.

    Args:
        text: The script.
        variables: Values that are known before it starts.

    Examples:
        >>> commands = read_commands("N=$((2*4))  # all\ntorchrun --nproc $N \\\n  train.py \"$1\"")
        >>> [(word.text, word.is_known) for word in commands[0].words]
        [('torchrun', True), ('--nproc', True), ('8', True), ('train.py', True), ('$1', False)]
    """
    known: dict[str, tuple[Word, ...]] = {name: (Word(value, 0),) for name, value in (variables or {}).items()}
    return tuple(_Reader(text, known).commands())


@dataclass(slots=True)
class _Piece:
    """A part of a word: its words once expanded; quoted ones are not split."""

    words: tuple[Word, ...]
    is_quoted: bool


class _Reader:
    """A cursor over a script, and the variables so far."""

    def __init__(self, text: str, known: dict[str, tuple[Word, ...]]) -> None:
        text = text.replace(MARKS[0], "").replace(MARKS[1], "").replace("\r\n", "\n")
        self.text, self.at, self.line = text, 0, 1
        self.known = known
        self.depth = 0
        self.left = MOST_EXPANDED
        self.text_ends = ""

    def commands(self) -> Iterator[Command]:
        while self.at < len(self.text):
            command = self._command()
            if command.words:
                yield command

    def _command(self) -> Command:
        words: list[Word] = []
        environment: dict[str, Word] = {}
        while not self._ends():
            if not words and (found := _ASSIGNS.match(self.text, self.at)):
                self._take(found.end())
                self._assign(found["name"], self._value(), adds=bool(found["more"]), environment=environment)
            elif found := _REDIRECTS.match(self.text, self.at):
                self._take(found.end())
                self._space()
                if not found[2] and not self._ends():
                    names = self._word()
                    if found[1] in ("<<", "<<-") and names:
                        self.text_ends = names[0].text
            else:
                made = self._word()
                if not words and len(made) == 1 and made[0].text in _OPENS | _CLOSES | _BEFORE:
                    self.depth += (made[0].text in _OPENS) - (made[0].text in _CLOSES)
                    continue
                words += made
        if words:  # what stands in front of a command is set for it alone
            for name in environment:
                self.known.pop(name, None)
        return Command(tuple(words), environment if words else {})

    def _assign(self, name: str, value: tuple[Word, ...], *, adds: bool, environment: dict[str, Word]) -> None:
        if adds:
            value = (*self.known.get(name, ()), *value)
        if self.depth:  # whether a branch is taken is not known
            value = tuple(unknown_word(f"${name}", word.line) for word in value[:1])
        self.known[name] = value
        if value:
            environment[name] = value[0]

    def _value(self) -> tuple[Word, ...]:
        """What is assigned: the words of an array, or one word that is split where it is used."""
        if self.text[self.at : self.at + 1] != "(":
            pieces = self._pieces()
            words = [word for piece in pieces for word in piece.words]
            return (joined_words(words, self.line),) if words else (Word("", self.line),)
        self._take(self.at + 1)
        items: list[Word] = []
        while self.at < len(self.text) and self.text[self.at] != ")":
            if self.text[self.at] in "\n;&|({}":
                self._take(self.at + 1)
            elif not self._space():
                items += self._word()
        self._take(self.at + 1)
        return tuple(items)

    def _ends(self) -> bool:
        """Whether the command ends here; steps over spaces, comments and the end."""
        self._space()
        if self.at >= len(self.text):
            return True
        if found := _SEPARATES.match(self.text, self.at):
            self._take(found.end())
            if found[0] == "\n" and self.text_ends:
                self._skip_text()
            return True
        return False

    def _skip_text(self) -> None:
        """Step over the lines that are given to a command (`<<END`)."""
        end = re.compile(rf"^\t*{re.escape(self.text_ends)}[ \t]*$", re.MULTILINE).search(self.text, self.at)
        self._take(len(self.text) if end is None else end.end())
        self.text_ends = ""

    def _space(self) -> bool:
        start = self.at
        if found := _SPACE.match(self.text, self.at):
            self._take(found.end())
        if self.text[self.at : self.at + 1] == "#":
            end = self.text.find("\n", self.at)
            self._take(len(self.text) if end < 0 else end)
        return self.at > start

    def _take(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def _word(self) -> list[Word]:
        """The words that one word of the script becomes: none, one, or those of an array or a split variable."""
        made: list[list[Word]] = [[]]
        for piece in self._pieces():
            for index, word in enumerate(piece.words):
                for number, text in enumerate([word.marked] if piece.is_quoted else split_word(word.marked)):
                    if index or number:
                        made.append([])
                    if text or piece.is_quoted:
                        made[-1].append(Word(text, word.line, word.defaults))
        return [joined_words(parts, parts[0].line) for parts in made if parts]

    def _pieces(self) -> list[_Piece]:
        pieces: list[_Piece] = []
        start = self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t\r\n;&|()<>":
                break
            if self.text.startswith("\\\n", self.at):  # the line goes on, and with it the word
                self._take(self.at + 2)
                continue
            if char == "'":
                pieces.append(self._single())
            elif char == '"':
                pieces.append(self._double())
            elif char in "$`":
                pieces.append(_Piece(self._expanded(), is_quoted=False))
            else:
                pieces.append(self._plain())
        if self.at == start:  # a character that begins no word
            self._take(self.at + 1)
        return pieces

    def _plain(self) -> _Piece:
        end = self.at
        text = ""
        while end < len(self.text) and self.text[end] not in " \t\r\n;&|()<>'\"$`":
            if self.text[end] == "\\":
                if self.text.startswith("\\\n", end):
                    break
                end += 1
            text += self.text[end : end + 1]
            end += 1
        self._take(max(end, self.at + 1))
        return _Piece((Word(text, self.line),), is_quoted=True)

    def _single(self) -> _Piece:
        end = self.text.find("'", self.at + 1)
        end = len(self.text) if end < 0 else end
        piece = _Piece((Word(self.text[self.at + 1 : end], self.line),), is_quoted=True)
        self._take(end + 1)
        return piece

    def _double(self) -> _Piece:
        self._take(self.at + 1)
        parts: list[Word] = [Word("", self.line)]
        array: tuple[Word, ...] | None = None
        while self.at < len(self.text) and self.text[self.at] != '"':
            if self.text[self.at] in "$`":
                is_array = _ARRAY_OF.match(self.text, self.at) is not None
                found = self._expanded()
                if is_array and len(parts) == 1 and not parts[0].text:
                    array = found
                    continue
                parts += found
                continue
            step = 2 if self.text[self.at] == "\\" and self.text[self.at + 1 : self.at + 2] in '$`"\\\n' else 1
            piece = self.text[self.at : self.at + step]
            parts.append(Word("" if piece == "\\\n" else piece[-1:], self.line))
            self._take(self.at + step)
        self._take(self.at + 1)
        return _Piece(array if array is not None else (joined_words(parts, self.line),), is_quoted=True)

    def _expanded(self) -> tuple[Word, ...]:
        """What a `$…` stands for; as it stands where that is not known."""
        line = self.line
        for pattern in (_ARRAY_OF, _BRACED, _NAMED):
            if found := pattern.match(self.text, self.at):
                self._take(found.end())
                return self._variable(found, line)
        if found := _SUM.match(self.text, self.at):
            self._take(found.end())
            value = whole_sum(re.sub(r"\$?\{?([A-Za-z_]\w*)\}?", self._number, found["sum"]))
            return (unknown_word(found[0], line) if value is None else Word(str(value), line),)
        start = self.at
        self._take(self._end_of_unknown())
        return (unknown_word(self.text[start : self.at], line),)

    def _variable(self, found: re.Match[str], line: int) -> tuple[Word, ...]:
        value = self.known.get(found["name"])
        groups = found.groupdict()
        if value is None and groups.get("how"):
            return (Word(groups["other"] or "", line, defaults=(found["name"],)),)
        size = sum(len(word.marked) + 1 for word in value or ())
        if value is None or size > min(LONGEST_VALUE, self.left):
            return (unknown_word(found[0], line),)
        self.left -= size
        return tuple(value)  # with the lines of the assignment

    def _number(self, found: re.Match[str]) -> str:
        value = self.known.get(found[1])
        return value[0].text if value and value[0].is_known else "?"

    def _end_of_unknown(self) -> int:
        """The end of `$(…)`, of a `…` in backquotes, of `${…}` with more in it, or of `$1` and the like."""
        text, at = self.text, self.at
        if text[at] == "`":
            end = text.find("`", at + 1)
            return len(text) if end < 0 else end + 1
        opens = text[at + 1 : at + 2]
        if opens not in ("(", "{"):
            return min(at + 2, len(text))
        depth, closes = 0, {"(": ")", "{": "}"}[opens]
        for end in range(at + 1, len(text)):
            depth += (text[end] == opens) - (text[end] == closes)
            if not depth:
                return end + 1
        return len(text)

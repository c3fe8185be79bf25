"""JSON whose values know their line. The standard library's parser reports neither lines nor repeated keys."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from typing import Any, NoReturn

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import exact_number
from dist_epochs.settings.value import DEEPEST, Located, OnRepeat, RawValue, refuse_repeat, too_deep

__all__ = ["load_json", "parse_json"]

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
DEEP = f"it is nested too deeply: more than {DEEPEST} lists and objects are inside each other"
_DECODER = json.JSONDecoder()
_WORD = re.compile(r"-?[A-Za-z]+")
_WORDS: dict[str, RawValue] = {
    "true": True, "false": False, "null": None, "NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf,
}  # fmt: skip


def parse_json(text: str, name: str, on_repeat: OnRepeat = refuse_repeat) -> Located:
    r"""Parse JSON.

    Args:
        text: The text.
        name: The file, for messages.
        on_repeat: What to do about a key that stands twice in one object.

    Raises:
        InputError: If it is not JSON, or nested too deeply; or by `on_repeat`.

    Examples:
        >>> parse_json('{"a":\n [1, true]}', "x.json").value["a"].value[1].origin.line
        2
    """
    return _Parser(text, name, on_repeat).document()


def load_json(text: str, origin: Origin) -> Any:
    """Plain values of JSON, by the standard library's parser: for what programs write, at ten times the speed.

    Args:
        text: The text.
        origin: Where it stands, for messages; lines are counted from its own.

    Raises:
        InputError: If it is not JSON, is nested too deeply, or has a number of thousands of digits.
    """
    data, rule = None, ""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        line = (origin.line or 1) + error.lineno - 1
        raise InputError(f"not JSON: {error.msg} in column {error.colno}", origin=Origin(origin.name, line)) from None
    except RecursionError:
        rule = DEEP
    except ValueError:
        rule = "it has a number of thousands of digits, which counts nothing"
    if rule or _is_deeper(data, DEEPEST):
        raise InputError("not JSON that can be read", rule=rule or DEEP, origin=origin)
    return data


def _is_deeper(data: Any, most: int) -> bool:
    """Whether more than so many objects and lists are inside each other."""
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(most):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


class _Parser:
    """A cursor over the text."""

    def __init__(self, text: str, name: str, on_repeat: OnRepeat) -> None:
        self.text = text
        self.name = name
        self.on_repeat = on_repeat
        self.at = 0
        self.depth = 0
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def document(self) -> Located:
        self._skip()
        result = Located(self._value(), Origin(self.name, 1))
        self._skip()
        if self.at < len(self.text):
            self._fail("something stands after the end")
        return result

    def _value(self) -> RawValue:
        match self.text[self.at : self.at + 1]:
            case "{" | "[" as bracket:
                self.depth += 1
                if self.depth > DEEPEST:
                    raise too_deep(self._origin())
                value = self._object() if bracket == "{" else self._array()
                self.depth -= 1
                return value
            case '"':
                return self._string()
        if word := _WORD.match(self.text, self.at):
            if word.group() not in _WORDS:
                self._fail("a word without quotes")
            self.at = word.end()
            return _WORDS[word.group()]
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            self._fail("a value is missing")
        self.at = number.end()
        return exact_number(number.group())

    def _object(self) -> RawValue:
        result: dict[str, Located] = {}
        self._expect("{")
        while not self._closes("}", first=not result):
            origin = self._origin()
            if self.text[self.at : self.at + 1] != '"':
                self._fail("a key in double quotes is missing")
            key = self._string()
            self._skip()
            self._expect(":")
            found = Located(self._value(), origin)
            if key in result:
                self.on_repeat(key, result[key], found)
            result[key] = found
        return result

    def _array(self) -> RawValue:
        result: list[Located] = []
        self._expect("[")
        while not self._closes("]", first=not result):
            origin = self._origin()
            result.append(Located(self._value(), origin))
        return tuple(result)

    def _closes(self, end: str, *, first: bool) -> bool:
        """Whether the list ends here; if not, step over the comma before the next item."""
        self._skip()
        if self.text.startswith(end, self.at):
            self.at += 1
            return True
        if not first:
            self._expect(",")
            if self.text.startswith(end, self.at):
                self._fail("a comma after the last item")
        return False

    def _string(self) -> str:
        try:
            result, self.at = _DECODER.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = error.pos
            self._fail("a string with a line break, a control character, a wrong escape, or no end")
        assert isinstance(result, str)
        return result

    def _expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            self._fail(f"{mark!r} is missing")
        self.at += 1
        self._skip()

    def _skip(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        assert blank is not None
        self.at = blank.end()

    def _origin(self) -> Origin:
        return Origin(self.name, bisect_right(self.starts, self.at))

    def _fail(self, problem: str) -> NoReturn:
        rule = "JSON has no comments" if self.text[self.at : self.at + 1] in ("/", "#") else ""
        line = bisect_right(self.starts, self.at)
        origin = Origin(self.name, line, self.at - self.starts[line - 1] + 1)
        raise InputError(f"not JSON: {problem}", rule=rule, origin=origin)

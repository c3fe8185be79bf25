"""YAML whose values know their line. Nesting is bounded, and so is what a small file can become through aliases.

A key that stands twice is an error. So is the tag of another program in a file of our own; in a tool's file the value
is then unknown, and only whoever needs it stops.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import ScalarReader, UnknownText, exact_scalar
from dist_epochs.settings.value import DEEPEST, Located, OnRepeat, RawValue, key_name, refuse_repeat, too_deep

__all__ = ["MOST_VALUES", "parse_yaml"]

MOST_VALUES = 100_000
"""Values of a file with its aliases written out: nine levels of ten aliases would be a billion."""

_TAG = "tag:yaml.org,2002:"
_UNDERSTOOD_TAGS = {
    yaml.ScalarEvent: (None, f"{_TAG}str"),
    yaml.SequenceStartEvent: (None, f"{_TAG}seq"),
    yaml.MappingStartEvent: (None, f"{_TAG}map"),
}
_TYPES = {f"{_TAG}{name}" for name in ("int", "float", "bool", "null")}
_END_OF_NUMBER = re.compile(r"[0-9]{3}(?![0-9])")
"""The digits after a comma of a number: in `{a: 1,022}` YAML takes them for a key."""


def parse_yaml(
    text: str,
    name: str,
    plain: ScalarReader = exact_scalar,
    on_repeat: OnRepeat = refuse_repeat,
    *,
    tags: bool = False,
) -> Located:
    r"""Parse YAML.

    Args:
        text: The text.
        name: The file, for messages.
        plain: Reads an unquoted scalar.
        on_repeat: What to do about a key that stands twice in one mapping.
        tags: Whether tags of other programs may stand here; what they make is `UnknownText`.

    Returns:
        The value; None for a file that holds nothing.

    Raises:
        InputError: If it is not one document of YAML, or says something that only another program understands; if an
            alias has no end; if it is nested too deeply or too large; or by `on_repeat`.

    Examples:
        >>> parse_yaml("a: 1\nb: no", "x.yaml").value["b"]
        Located(value='no', origin=Origin(name='x.yaml', line=2, column=None))
    """
    try:
        return _Composer(text, name, plain, on_repeat, tags=tags).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(name, mark.line + 1, mark.column + 1) if mark else Origin(name)
        # An unquoted `!secret!x` reads as a tag, which PyYAML repeats.
        problem = re.sub(r"(tag handle) .*", r"\1", error.problem or error.context or "")
        raise InputError(f"not YAML: {problem}", origin=origin) from None
    except yaml.reader.ReaderError as error:
        origin = Origin(name, text.count("\n", 0, error.position) + 1)
        raise InputError("a control character, which YAML does not have", fixes="removing it", origin=origin) from None


def _is_typed(event: Any) -> bool:
    """Whether a scalar has one of YAML's own tags for what it would be without quotes."""
    return isinstance(event, yaml.ScalarEvent) and event.tag in _TYPES


@dataclass(frozen=True, slots=True)
class _Composed:
    """A value, the values that it holds with aliases written out, and how deep they are nested."""

    value: RawValue
    size: int = 1
    height: int = 0


class _Composer:
    """Turns the parser's events into values; an anchor's value is made once, however often it is repeated."""

    def __init__(self, text: str, name: str, plain: ScalarReader, on_repeat: OnRepeat, *, tags: bool) -> None:
        self.events = yaml.parse(text, Loader=yaml.SafeLoader)
        self.name = name
        self.plain = plain
        self.on_repeat = on_repeat
        self.tags = tags
        self.anchors: dict[str, _Composed | None] = {}
        self.values = 0

    def document(self) -> Located:
        next(self.events)  # the stream begins
        value: RawValue = None
        if not isinstance(next(self.events), yaml.StreamEndEvent):
            value = self._compose(next(self.events), 0).value
            next(self.events)  # the document ends
            following = next(self.events)
            if not isinstance(following, yaml.StreamEndEvent):
                raise InputError("a second document begins", fixes="keeping one", origin=self._origin(following))
        return Located(value, Origin(self.name, 1))

    def _compose(self, event: Any, depth: int) -> _Composed:
        """The value that begins with an event, inside so many others."""
        composed = self._alias(event) if isinstance(event, yaml.AliasEvent) else self._new(event, depth)
        if depth + composed.height > DEEPEST:
            raise too_deep(self._origin(event))
        return composed

    def _alias(self, event: Any) -> _Composed:
        if event.anchor not in self.anchors:  # not named: an unquoted `*secret` reads as an alias
            raise InputError("an alias of an anchor that is not there", origin=self._origin(event))
        composed = self.anchors[event.anchor]
        if composed is None:
            asked = "an alias stands within its own anchor, so it has no end"
            raise InputError(asked, fixes="removing it", origin=self._origin(event))
        return composed

    def _new(self, event: Any, depth: int) -> _Composed:
        is_foreign = event.tag not in _UNDERSTOOD_TAGS[type(event)] and not _is_typed(event)
        if is_foreign and not self.tags:
            asked = "a tag (!…) of another program, which is not read"
            raise InputError(asked, fixes="removing it", origin=self._origin(event))
        if depth > DEEPEST:
            raise too_deep(self._origin(event))
        self.values += 1
        if self.values > MOST_VALUES:  # keys count here, too: two seconds have passed
            raise self._too_many(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            is_plain = (event.style is None and event.tag is None) or _is_typed(event)
            composed = _Composed(self.plain(event.value) if is_plain else event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            composed = self._sequence(event, depth)
        else:
            composed = self._mapping(event, depth)
        if is_foreign:
            composed = _Composed(UnknownText("what a tag (!…) makes", "the program of its tag"))
        if event.anchor is not None:
            self.anchors[event.anchor] = composed
        return composed

    def _sequence(self, start: Any, depth: int) -> _Composed:
        items: list[Located] = []
        inner: list[_Composed] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            inner.append(self._compose(event, depth + 1))
            items.append(Located(inner[-1].value, self._origin(event)))
        return self._collection(start, tuple(items), inner)

    def _mapping(self, start: Any, depth: int) -> _Composed:
        result: dict[str, Located] = {}
        merged: list[Mapping[str, Located]] = []
        inner: list[_Composed] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            origin = self._origin(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise InputError("a key must be a word", origin=origin)
            key = event.value
            if key == "<<" and event.style is None:
                inner.append(self._compose(next(self.events), depth + 1))
                merged += self._merged(inner[-1].value, origin)
                continue
            self._new(event, depth)
            inner.append(self._compose(next(self.events), depth + 1))
            if start.flow_style and result and inner[-1].value is None and _END_OF_NUMBER.match(key):
                raise InputError(
                    f"{key_name(list(result)[-1])} is cut at a comma before {key_name(key)!r}",
                    rule="inside { } a comma begins another key",
                    fixes='quotes around the number, as in "1,022,362"',
                    origin=origin,
                )
            found = Located(inner[-1].value, origin)
            if key in result:
                self.on_repeat(key, result[key], found)
            result[key] = found
        for values in merged:  # what stands in the mapping itself wins, then what is merged first
            result = {**values, **result}
        return self._collection(start, result, inner)

    def _merged(self, value: RawValue, origin: Origin) -> list[Mapping[str, Located]]:
        """The mappings of a merge key; what an earlier one has wins."""
        found = [item.value for item in value] if isinstance(value, tuple) else [value]
        if not all(isinstance(each, Mapping) for each in found):
            raise InputError("a merge key (<<) of what is no mapping", fixes="keys and values there", origin=origin)
        return [each for each in found if isinstance(each, Mapping)]

    def _collection(self, start: Any, value: RawValue, inner: list[_Composed]) -> _Composed:
        size = 1 + sum(item.size for item in inner)
        if size > MOST_VALUES:
            raise self._too_many(start)
        return _Composed(value, size, 1 + max((item.height for item in inner), default=0))

    def _too_many(self, event: Any) -> InputError:
        asked = f"more than {MOST_VALUES:,} values, with aliases (*…) written out"
        return InputError(asked, fixes="writing out what is meant", origin=self._origin(event))

    def _origin(self, event: Any) -> Origin:
        return Origin(self.name, event.start_mark.line + 1)

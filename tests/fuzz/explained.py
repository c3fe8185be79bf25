"""Whether a mutation explains that a file which was accepted gives another result.

The criterion: both files are parsed by somebody else's parser (the standard library's JSON, PyYAML, or line by line),
and compared value by value. A result may differ only if at least one of the values that differ is one that the result
depends on, and is a value that can stand there: of the type that it had, finite, and not below zero. A file that the
other parser refuses, and a result that changes through a value that is not read, or through text where a number was,
are explained by nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

GONE = object()
"""In place of a value that is not there."""

CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_NUMBER = re.compile(r"[-+]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][-+]?\d{1,4})?")

SAID = {
    "from", "id", "moves", "name", "note", "notes", "path", "place", "title", "topic", "warnings", "where", "message",
    "citation", "source", "how", "follows", "text", "asked", "fix", "fixes", "file", "line",
}  # fmt: skip
"""Keys of results that repeat text and places."""


@dataclass(frozen=True, kw_only=True)
class Explains:
    """What a result depends on.

    Attributes:
        form: How the file is parsed: `json`, `lines` of JSON, `yaml`, or `text`, line by line.
        matters: A pattern of the places (`passes.*.4`; of lines of JSON `applied.step`), or of the lines, that count.
        optional: A pattern of the places whose values may be absent.
        is_typed: Whether values must keep their type, as in what programs write; people write numbers as text.
        signed: Whether numbers below zero mean something.
        leaves_out: Whether a value that cannot stand where it is counts as none: then the result must be that of the
            file without it.
    """

    form: str
    matters: str = ".*"
    optional: str = ".*"
    is_typed: bool = False
    signed: bool = False
    leaves_out: bool = False

    def explains(self, before: bytes, after: bytes) -> bool:
        """Whether a change from one file to the other may change the result."""
        try:
            changes = list(self._changes(before, after))
        except (ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError):
            return False
        return any(
            re.fullmatch(self.matters, place, re.DOTALL) is not None and self._can_stand(place, old, new)
            for place, old, new in changes
        )

    def _changes(self, before: bytes, after: bytes) -> Iterator[tuple[str, Any, Any]]:
        if self.form == "text":
            for line in _changed_lines(before.splitlines(), after.splitlines()):
                yield line.decode(errors="replace"), GONE, GONE
        elif self.form == "lines":
            yield from _changed_events(before.split(b"\n")[:-1], after.split(b"\n")[:-1])
        else:
            is_json = self.form == "json" or _is_no_yaml(after)  # as with a key that is too long for YAML
            parse = json.loads if is_json else _yaml
            yield from _compared(_leaves(parse(before)), _leaves(parse(after)))
            if not is_json and Counter(after.splitlines()) - Counter(before.splitlines()):
                yield from _repeated_keys(after)

    def _can_stand(self, place: str, old: Any, new: Any) -> bool:
        if new is GONE or new is None:
            return old is GONE or re.fullmatch(self.optional, place) is not None
        if old is GONE or old is None:
            return True  # a key that is read now
        if isinstance(new, float) and not math.isfinite(new):
            return False
        if _is_number(new) and _is_number(old):
            is_part = self.is_typed and isinstance(old, int) and isinstance(new, float) and not new.is_integer()
            return not is_part and abs(new) <= 10**40 and (new >= 0 or self.signed)
        if self.is_typed or isinstance(new, dict | list) or isinstance(old, dict | list):
            return type(new) is type(old)
        return True


def result_of(out: str) -> Any:
    """What a command printed as JSON, without what repeats text and places."""
    return _bare(json.loads(out))


def _bare(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _bare(value) for key, value in data.items() if key not in SAID}
    return [_bare(value) for value in data] if isinstance(data, list) else data


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _yaml(content: bytes) -> Any:
    """YAML whose scalars are numbers, null, true, false, or else text, with and without quotes."""
    return _typed(yaml.load(content.decode("utf-8-sig"), Loader=yaml.BaseLoader))


def _is_no_yaml(content: bytes) -> bool:
    try:
        _yaml(content)
    except yaml.YAMLError:
        return True
    return False


def _typed(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _typed(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_typed(value) for value in data]
    if data in CONSTANTS:
        return CONSTANTS[data]
    return float(data) if _NUMBER.fullmatch(data) else data


def _repeated_keys(content: bytes) -> Iterator[tuple[str, Any, Any]]:
    """Keys that stand twice in one mapping, of which PyYAML takes the last."""
    nodes = [yaml.compose(content.decode("utf-8-sig"), Loader=yaml.BaseLoader)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            yield from ((key, GONE, GONE) for key, times in keys.items() if times > 1)
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def without_what_differs(before: bytes, after: bytes) -> Iterator[bytes]:
    """A file of JSON with `null` in place of the value that was changed, and without it, if there is such a value."""
    try:
        old, new = json.loads(before), json.loads(after)
    except (ValueError, RecursionError):
        return
    place = _place_of_difference(old, new)
    above = new
    for part in place[:-1]:
        above = above[part]
    if not place or (isinstance(above, dict) and place[-1] not in above):
        return
    above[place[-1]] = None
    yield json.dumps(new).encode()
    del above[place[-1]]
    yield json.dumps(new).encode()


def _place_of_difference(old: Any, new: Any) -> tuple[Any, ...]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key, GONE) != new.get(key, GONE)]
        if len(keys) == 1:
            return (keys[0], *_place_of_difference(old.get(keys[0]), new.get(keys[0])))
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        places = [at for at, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
        if len(places) == 1:
            return (places[0], *_place_of_difference(old[places[0]], new[places[0]]))
    return ()


def _leaves(data: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    if not inner:
        yield place, data
    for key, value in inner:
        yield from _leaves(value, f"{place}.{key}" if place else str(key))


def _compared(before: Iterator[tuple[str, Any]], after: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any, Any]]:
    old, new = dict(before), dict(after)
    for place in dict.fromkeys([*old, *new]):
        was, is_now = old.get(place, GONE), new.get(place, GONE)
        if was is GONE or is_now is GONE or type(was) is not type(is_now) or was != is_now:
            yield re.sub(r"\b\d+\b", "*", place), was, is_now
    if list(old) != list(new):
        yield from ((re.sub(r"\b\d+\b", "*", place), GONE, GONE) for place in new)


def _changed_lines(before: list[bytes], after: list[bytes]) -> Iterator[bytes]:
    """Lines that are there more often in one, and those that stand in another order."""
    old, new = Counter(before), Counter(after)
    yield from (old - new)
    yield from (new - old)
    yield from (one for one, other in zip(before, after, strict=False) if one != other)


def _changed_events(before: list[bytes], after: list[bytes]) -> Iterator[tuple[str, Any, Any]]:
    old, new = Counter(before), Counter(after)
    gone, added = list((old - new).elements()), list((new - old).elements())
    if len(gone) == len(added) == 1:
        one, other = json.loads(gone[0]), json.loads(added[0])
        for place, was, is_now in _compared(_leaves(one), _leaves(other)):
            yield f"{other['event']}.{place}", was, is_now
        return
    changed = [*gone, *added] or [one for one, other in zip(before, after, strict=False) if one != other]
    for line in changed:
        yield json.loads(line)["event"], GONE, GONE

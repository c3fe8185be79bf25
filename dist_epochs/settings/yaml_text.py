"""YAML whose values know their line. Plain scalars follow YAML 1.2: `on` and `012` stay text, `1e-4` is a number."""

from __future__ import annotations

import re

import yaml

from dist_epochs.errors import InputError
from dist_epochs.settings.value import Located, PlainText, Value, exact_number, key_name

__all__ = ["parse_yaml"]

_WHOLE = r"(0|[1-9][0-9]*(_[0-9]+)*)"
_NUMBER = re.compile(rf"[-+]?(\.[0-9]+|{_WHOLE}(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_STANDARD_TAG = "tag:yaml.org,2002:"


def parse_yaml(text: str, name: str) -> Located:
    r"""Parse YAML.

    Args:
        text: The text.
        name: The file, for messages.

    Raises:
        InputError: If it is not one document of YAML, or says something that only another program understands: a tag,
            a merge key, an alias of itself. Where there is a line, with `name:line`.
        RecursionError: If it is nested too deeply.

    Examples:
        >>> parse_yaml("a: 1\nb: no", "x.yaml").value["b"]
        Located(value='no', line='x.yaml:2')
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise InputError(f"{where}: not YAML: {_without_names(error.problem or error.context or '')}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{name}:{line}: a control character, which YAML does not have. Remove it.") from None
    if node is None:
        raise InputError(f"{name}:1: holds nothing")
    return Located(_Nodes(name).value(node), f"{name}:1")


def _without_names(problem: str) -> str:
    """A message of PyYAML without the names it quotes: an unquoted `*secret` reads as an alias."""
    return re.sub(r"( (alias|tag handle|anchor|tag)) .*", r"\1", problem)


class _Nodes:
    """Turns nodes into values, each node once: aliases may multiply without end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: dict[yaml.Node, Value] = {}
        self.open: set[yaml.Node] = set()

    def value(self, node: yaml.Node) -> Value:
        if node in self.open:
            raise InputError(f"{self._line(node)}: an alias stands within its own anchor, so it has no end. Remove it.")
        if node not in self.made:
            if not node.tag.startswith(_STANDARD_TAG) or "python/" in node.tag:
                raise InputError(f"{self._line(node)}: a tag (!…) of another program, which is not read. Remove it.")
            self.open.add(node)
            self.made[node] = self._make(node)
            self.open.remove(node)
        return self.made[node]

    def _make(self, node: yaml.Node) -> Value:
        if isinstance(node, yaml.ScalarNode):
            return _plain(node.value) if node.style is None else str(node.value)
        if isinstance(node, yaml.SequenceNode):
            return tuple(Located(self.value(child), self._line(child)) for child in node.value)
        assert isinstance(node, yaml.MappingNode)
        result: dict[str, Located] = {}
        for key_node, child in node.value:
            line = self._line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(f"{line}: a key must be a word")
            key = key_node.value
            if key == "<<" and key_node.style is None:
                raise InputError(f"{line}: merge keys (<<) are not read. Write the merged keys out.")
            if key in result:
                raise InputError(f"{line}: {key_name(key)} stands twice, first at {result[key].line}; keep one")
            result[key] = Located(self.value(child), line)
        return result

    def _line(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"


def _plain(text: str) -> Value:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return exact_number(text) if _NUMBER.fullmatch(text) else PlainText(text)

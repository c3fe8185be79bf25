"""Simple assignments of a Python file as keys and values. The file is parsed, and nothing in it is executed."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import exact_number
from dist_epochs.settings.shell_sums import whole_sum
from dist_epochs.settings.value import Located, RawValue

__all__ = ["parse_assignments"]


def parse_assignments(text: str, name: str) -> Located:
    r"""Read `NAME = literal` and sums of whole numbers at the top of a file; everything else is left out.

    Args:
        text: The text.
        name: The file, for messages.

    Raises:
        InputError: If it is not Python.

    Examples:
        >>> found = parse_assignments("a = 5 * 8; b = 'x'\nc = open('secret')\n", "x.py").value
        >>> {key: item.value for key, item in found.items()}
        {'a': 40, 'b': 'x'}
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python finds odd about a file that is never executed
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise InputError("not Python", origin=Origin(name, line)) from None
    found: dict[str, Located] = {}
    lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n|$)", text.encode())  # as Python counts them
    for node in tree.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            continue
        key = node.targets[0].id
        found.pop(key, None)  # the last one holds, even where it is not understood
        source = _source(lines, node.value)
        value: RawValue = whole_sum(source)
        if value is None and isinstance(node.value, ast.Constant):
            value = node.value.value if isinstance(node.value.value, bool | str | int) else None
            value = exact_number(source) if isinstance(node.value.value, float) else value
        if value is not None:
            found[key] = Located(value, Origin(name, node.lineno))
    return Located(found, Origin(name, 1))


def _source(lines: Sequence[bytes], node: ast.expr) -> str:
    """The text of an expression. `ast.get_source_segment` splits the whole file for each."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    if first == last:
        return lines[first][node.col_offset : node.end_col_offset].decode()
    middle = b"".join(lines[first + 1 : last])
    return (lines[first][node.col_offset :] + middle + lines[last][: node.end_col_offset]).decode()

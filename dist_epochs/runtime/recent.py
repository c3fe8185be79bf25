"""A cache of what was used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A cache of the values that were used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, name: Hashable, make: Callable[[], Value]) -> Value:
        """The value of that name, made if it is not in the cache."""
        try:  # another thread, such as one that looks ahead, may remove it at any time
            value = self._values[name]
            self._values.move_to_end(name)
            return value
        except KeyError:
            pass  # made below, where an error of it does not name this one
        value = self._values[name] = make()
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value

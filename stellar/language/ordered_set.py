"""Sets with insertion order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class OrderedSet(set[Any]):
    """A set that iterates in insertion order."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._order: dict[Any, None] = dict.fromkeys(members)
        super().__init__(self._order)

    def __iter__(self) -> Iterator[Any]:
        if self._order.keys() != self:  # changed by a method that is not overridden, such as `update`
            remaining = [member for member in self._order if member in self]
            self._order = dict.fromkeys([*remaining, *super().__iter__()])
        return iter(self._order)

    def add(self, member: Any) -> None:
        self._order.setdefault(member)
        super().add(member)

    def discard(self, member: Any) -> None:
        self._order.pop(member, None)
        super().discard(member)

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedSet, (list(self),)

"""Sets that keep their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class OrderedSet(set[Any]):
    """A set that goes through its members in the order they were added."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._order: dict[Any, None] = dict.fromkeys(members)
        super().__init__(self._order)

    def __iter__(self) -> Iterator[Any]:
        if self._order.keys() != self:  # `update` and the like know nothing of the order
            kept = [member for member in self._order if member in self]
            self._order = dict.fromkeys([*kept, *super().__iter__()])
        return iter(self._order)

    def add(self, member: Any) -> None:
        self._order.setdefault(member)
        super().add(member)

    def discard(self, member: Any) -> None:
        self._order.pop(member, None)
        super().discard(member)

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedSet, (list(self),)

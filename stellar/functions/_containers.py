"""Sets that keep their order, and lists, maps and sets as members of sets and keys of maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class OrderedSet(set[Any]):
    """A set that goes through its members in the order they were added."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._order: dict[Any, None] = dict.fromkeys(members)
        super().__init__(self._order)

    def __iter__(self) -> Iterator[Any]:
        order: dict[Any, None] = self.__dict__.setdefault("_order", {})
        if order.keys() != self:  # `|`, `update` and the like know nothing of the order
            kept = [member for member in order if member in self]
            self._order = order = dict.fromkeys([*kept, *super().__iter__()])
        return iter(order)

    def add(self, member: Any) -> None:
        self._order.setdefault(member)
        super().add(member)

    def discard(self, member: Any) -> None:
        self._order.pop(member, None)
        super().discard(member)

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedSet, (list(self),)


class _ListKey(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(map(key, self)))


class _MapKey(dict[Any, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset((name, key(value)) for name, value in self.items()))


class _SetKey(OrderedSet):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


def key(value: Any) -> Any:
    """The value, or one equal to it that can be a key of a map and a member of a set."""
    if isinstance(value, list):
        return _ListKey(value)
    if isinstance(value, Mapping):
        return _MapKey(value)
    if isinstance(value, set):
        return _SetKey(value)
    try:
        hash(value)
    except TypeError:
        raise ValueError(f"a {type(value).__name__} cannot be a key or a member of a set") from None
    return value


class _Exactly:
    """Finds the key that is equal and of one kind with a value: 1, 1.0 and true are three."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(key(self.value))

    def __eq__(self, other: object) -> bool:
        return same(self.value, other)


def exactly(value: Any) -> Any:
    """What to look a value up with, in a map or a set, so that 1, 1.0 and true are told apart."""
    return value if value.__class__ is str or value is None else _Exactly(value)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of one kind, all through."""
    if isinstance(left, bool | int | float) or isinstance(right, bool | int | float):
        return _kind(left) is _kind(right) and (left == right or (left != left and right != right))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return len(left) == len(right) and all(
            exactly(name) in right and same(value, right[name]) for name, value in left.items()
        )
    if isinstance(left, set) and isinstance(right, set):
        return len(left) == len(right) and all(exactly(member) in right for member in left)
    return bool(left == right)


def _kind(value: object) -> type | None:
    return next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)

"""Lists, sets, multisets (maps of items to their counts) and maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from itertools import zip_longest as longest
from typing import Any

from stellar.language.inline import Inline
from stellar.language.library import stellar
from stellar.language.limits import SCALARS, check_items, measure
from stellar.language.ordered_set import OrderedSet
from stellar.language.python_values import from_python
from stellar.language.runtime import ABSENT, describe, hashable, member

# Default of arguments for which omitted and null differ
_MISSING: Any = object()
_SIZED = (str, list, dict, set, frozenset, tuple, Mapping)


@stellar("IS_EMPTY", pure=True)
def is_empty(input_: object = None) -> bool:
    """Test whether a string, list, set or map is empty. A string of whitespace is not empty.

    input: The string, list, set or map
    returns: True if it is empty or null; false for any other value

        IS_EMPTY('')  // true
        IS_EMPTY([])  // true
        IS_EMPTY(null)  // true
        IS_EMPTY(' ')  // false
        IS_EMPTY(0)  // false
    """
    if input_.__class__ is str or input_ is None:
        return not input_
    return isinstance(input_, _SIZED) and not input_


@stellar("LENGTH", pure=True, inline=[Inline("len(input_)", {"input_": (str, list, dict)}, result=int)])
def length(input_: object = None) -> int:
    """Return the number of characters of a string, of elements of a list or set, or of entries of a map.

    input: The string, list, set or map
    returns: The number; 0 for null and any other value

        LENGTH('apache')  // 6
        LENGTH([1, null])  // 2
        LENGTH({'a' : 1})  // 1
        LENGTH(null)  // 0
        LENGTH(42)  // 0
    """
    if input_.__class__ is str:
        return len(input_)
    return len(input_) if isinstance(input_, _SIZED) else 0


@stellar("LIST_ADD")
def list_add(list_: Any = None, element: Any = _MISSING) -> Any:
    """Append an element to a list. The list itself is changed.

    list: The list
    element: The element
    returns: The list; any other value unchanged

        LIST_ADD([1, 2], 3)  // [1, 2, 3]
        LIST_ADD([], null)  // [null]
        LIST_ADD('ab', 'c')  // 'ab'
        LIST_ADD(null, 1)  // null
    """
    list_ = from_python(list_)
    if element is not _MISSING and isinstance(list_, list):
        list_.append(element)
    return list_


@stellar("SET_INIT", pure=True)
def set_init(input_: object = None, *others: object) -> set[Any]:
    """Create a set of the elements of a list or set.

    input: List or set of the initial members
    others: Ignored, but the set is empty if there are any, as in Metron
    returns: The set, in the order of the elements; empty for null

        LENGTH(SET_INIT(['a', 'b', 'a']))  // 2
        JOIN(SET_INIT(['b', 'a', 'b']), ',')  // 'b,a'
        LENGTH(SET_INIT())  // 0
        SET_INIT('ab')  // error
    """
    input_ = from_python(input_)
    if input_ is None or others:
        return OrderedSet()
    if not isinstance(input_, list | set | frozenset | tuple):
        raise ValueError(f"SET_INIT expected a list or set as input, got {describe(input_)}")
    _measure_members(input_)
    return OrderedSet(map(_to_key, input_))


@stellar("SET_ADD")
def set_add(set_: set[Any] | None = _MISSING, *values: Any) -> set[Any] | None:
    """Add members to a set. The set itself is changed.

    set: The set; null creates one
    values: The members; nulls are ignored, and a list is a single member
    returns: The set; null if called without arguments

        JOIN(SET_ADD(SET_INIT(['a']), 'b', null, 'a'), ',')  // 'a,b'
        LENGTH(SET_ADD(null, 'a'))  // 1
        SET_ADD()  // null
        SET_ADD(['a'], 'b')  // error
    """
    if set_ is _MISSING:
        return None
    changed = OrderedSet() if set_ is None else set_
    for value in values:
        if value is not None:
            changed.add(_to_key(value))
    return changed


@stellar("SET_REMOVE")
def set_remove(set_: set[Any] | None = _MISSING, *values: Any) -> set[Any] | None:
    """Remove members from a set. The set itself is changed.

    set: The set; null creates one
    values: The members; those that the set does not contain are ignored
    returns: The set; null if called without arguments

        JOIN(SET_REMOVE(SET_INIT(['a', 'b']), 'a', 'x'), ',')  // 'b'
        LENGTH(SET_REMOVE(null, 'a'))  // 0
        SET_REMOVE()  // null
        SET_REMOVE(['a'], 'a')  // error
    """
    if set_ is _MISSING:
        return None
    changed = OrderedSet() if set_ is None else set_
    for value in values:
        if value is not None and (found := member(changed, value)) is not ABSENT:
            changed.discard(found)
    return changed


@stellar("SET_MERGE", pure=True)
def set_merge(sets: Iterable[Any] | None = _MISSING) -> set[Any] | None:
    """Return the union of several sets, as a new set.

    sets: List of sets or lists; nulls in it are ignored
    returns: The union; empty for null; null if called without arguments

        JOIN(SET_MERGE([SET_INIT(['a', 'b']), null, ['c', 'a']]), ',')  // 'a,b,c'
        LENGTH(SET_MERGE(null))  // 0
        SET_MERGE()  // null
        SET_MERGE([1, 2])  // error
    """
    if sets is _MISSING:
        return None
    _check_sum(sets)
    return OrderedSet(_to_key(member) for members in sets or () for member in _require_sequence(members))


@stellar("MULTISET_INIT", pure=True)
def multiset_init(input_: Iterable[Any] | None = None) -> dict[Any, int]:
    """Return a new multiset: a map of items to their counts.

    input: List or set of the items
    returns: The multiset; empty for null

        MULTISET_INIT(['a', 'b', 'a'])  // {'a' : 2, 'b' : 1}
        MULTISET_INIT([])  // {}
        MULTISET_INIT(null)  // {}
        MULTISET_INIT('ab')  // error
    """
    counts: dict[Any, int] = {}
    _measure_members(input_)
    for item in map(_to_key, input_ or ()):
        counts[item] = counts.get(item, 0) + 1
    return counts


@stellar("MULTISET_ADD")
def multiset_add(multiset: Mapping[Any, Any] | None = _MISSING, *values: Any) -> Mapping[Any, Any] | None:
    """Add items to a multiset. The multiset itself is changed.

    multiset: The multiset; null creates one
    values: The items; nulls are ignored
    returns: The multiset; null if called without arguments

        MULTISET_ADD(MULTISET_INIT(['a']), 'a', 'b')  // {'a' : 2, 'b' : 1}
        MULTISET_ADD(null, 'a', null)  // {'a' : 1}
        MULTISET_ADD()  // null
        MULTISET_ADD(['a'], 'b')  // error
    """
    if multiset is _MISSING:
        return None
    changed = _require_mutable(multiset)
    for value in values:
        if value is not None:
            changed[_to_key(value)] = _require_count(changed.get(_to_key(value), 0)) + 1
    return changed


@stellar("MULTISET_REMOVE")
def multiset_remove(multiset: Mapping[Any, Any] | None = _MISSING, *values: Any) -> Mapping[Any, Any] | None:
    """Remove items from a multiset, one occurrence of each. The multiset itself is changed.

    multiset: The multiset; null creates one
    values: The items; those that the multiset does not contain are ignored
    returns: The multiset; null if called without arguments

        MULTISET_REMOVE(MULTISET_INIT(['a', 'a', 'b']), 'a', 'b')  // {'a' : 1}
        MULTISET_REMOVE(null, 'a')  // {}
        MULTISET_REMOVE()  // null
        MULTISET_REMOVE(['a'], 'a')  // error
    """
    if multiset is _MISSING:
        return None
    changed = _require_mutable(multiset)
    for value in values:
        if value is None or (item := member(changed, value)) is ABSENT:
            continue
        if (count := _require_count(changed[item])) > 1:
            changed[item] = count - 1
        else:
            del changed[item]
    return changed


@stellar("MULTISET_MERGE", pure=True)
def multiset_merge(sets: Iterable[Any] = _MISSING) -> dict[Any, int] | None:
    """Return a new multiset with the items of several; counts are added.

    sets: List of multisets; nulls in it are ignored
    returns: The multiset; null if called without arguments

        MULTISET_MERGE([{'a' : 2}, null, {'a' : 1, 'b' : 1}])  // {'a' : 3, 'b' : 1}
        MULTISET_MERGE([])  // {}
        MULTISET_MERGE()  // null
        MULTISET_MERGE([1])  // error
    """
    if sets is _MISSING:
        return None
    _check_sum(sets)
    merged: dict[Any, int] = {}
    for multiset in sets:
        for item, count in _require_entries(multiset, "multisets"):
            merged[item] = merged.get(item, 0) + _require_count(count)
    return merged


@stellar("MULTISET_TO_SET", pure=True)
def multiset_to_set(multiset: object = _MISSING, *others: object) -> set[Any] | None:
    """Return the set of the distinct items of a multiset.

    multiset: The multiset
    others: Ignored, but the set is empty if there are any, as in Metron
    returns: The set; empty for null; null if called without arguments

        JOIN(MULTISET_TO_SET({'a' : 2, 'b' : 1}), ',')  // 'a,b'
        LENGTH(MULTISET_TO_SET(null))  // 0
        MULTISET_TO_SET()  // null
        MULTISET_TO_SET(['a'])  // error
    """
    if multiset is _MISSING:
        return None
    multiset = from_python(multiset)
    if multiset is None or others:
        return OrderedSet()
    if not isinstance(multiset, Mapping):
        raise ValueError(f"MULTISET_TO_SET expected a map as multiset, got {describe(multiset)}")
    return OrderedSet(multiset)


_MAP_GET = (
    Inline("map_.get(key)", {"key": str, "map_": dict}),
    Inline(
        "default if (value := map_.get(key)) is None else value",
        {"key": str, "map_": dict, "default": None},
    ),
)


@stellar("MAP_GET", pure=True, borrows=("map",), inline=_MAP_GET)
def map_get(key: Any, map_: Any, default: Any = None) -> Any:
    """Look up a key in a map.

    key: The key
    map: The map
    default: Returned if the key is missing or its value is null; null by default
    returns: The value, or the default

        MAP_GET('a', {'a' : 1})  // 1
        MAP_GET('b', {'a' : 1})  // null
        MAP_GET('b', {'a' : 1}, 0)  // 0
        MAP_GET('b', null, 0)  // 0
        MAP_GET('a', ['a'])  // error
    """
    if key is None or map_ is None:
        return default
    if map_.__class__ is not dict and not isinstance(map_, Mapping):
        raise ValueError(f"MAP_GET expected a map as map, got {describe(map_)}")
    value = map_.get(key if key.__class__ is str else member(map_, key))
    return default if value is None else value


@stellar("MAP_EXISTS", pure=True, inline=[Inline("key in map_", {"key": str, "map_": dict})])
def map_exists(key: Any = None, map_: object = None) -> bool:
    """Test whether a map contains a key, even with the value null.

    key: The key
    map: The map
    returns: True if it does; false if the key is null or the second argument is not a map

        MAP_EXISTS('a', {'a' : null})  // true
        MAP_EXISTS('b', {'a' : 1})  // false
        MAP_EXISTS('a', null)  // false
        MAP_EXISTS('a', 'a')  // false
    """
    if key is None or not isinstance(map_, dict | Mapping):
        return False
    return member(map_, key) is not ABSENT


@stellar("MAP_PUT")
def map_put(key: Any, value: Any, map_: Mapping[Any, Any] | None) -> Mapping[Any, Any]:
    """Set the value of a key in a map. The map itself is changed.

    key: The key
    value: The value
    map: The map; null creates one. `_`, the map of all fields, is read-only
    returns: The map

        MAP_PUT('a', 1, {'b' : 2})  // {'b' : 2, 'a' : 1}
        MAP_PUT('a', null, null)  // {'a' : null}
        MAP_PUT('a', 1, ['b'])  // error
    """
    changed = _require_mutable(map_)
    changed[_to_key(key)] = value
    return changed


@stellar("MAP_MERGE", pure=True)
def map_merge(maps: Iterable[Any] | None = _MISSING) -> Any:
    """Return a new map with the entries of several. The last value of a key takes precedence.

    maps: List of maps; nulls in it are ignored
    returns: The map; empty for null; the only element of a list of one; null if called without arguments

        MAP_MERGE([{'a' : 1}, null, {'b' : 2, 'a' : 3}])  // {'a' : 3, 'b' : 2}
        MAP_MERGE([])  // {}
        MAP_MERGE(null)  // {}
        MAP_MERGE({'a' : 1})  // error
    """
    if maps is _MISSING:
        return None
    members = list(maps or ())
    if len(members) == 1:
        return members[0]
    _check_sum(members)
    return {name: value for member in members for name, value in _require_entries(member, "maps")}


@stellar("ZIP", pure=True, borrows=("lists",))
def zip_(*lists: object) -> list[list[Any]]:
    """Combine lists element by element, up to the end of the shortest.

    lists: The lists; other values are ignored
    returns: List of lists: the first elements, the second elements, and so on

        ZIP([1, 2], ['a', 'b', 'c'])  // [[1, 'a'], [2, 'b']]
        ZIP([1], null)  // [[1]]
        ZIP()  // []
    """
    selected = _select_lists(lists)
    check_items(min(map(len, selected), default=0) * len(selected))
    return [list(row) for row in zip(*selected, strict=False)]


@stellar("ZIP_LONGEST", pure=True, borrows=("lists",))
def zip_longest(*lists: object) -> list[list[Any]]:
    """Combine lists element by element, up to the end of the longest. Missing elements are null.

    lists: The lists; other values are ignored
    returns: List of lists: the first elements, the second elements, and so on

        ZIP_LONGEST([1, 2], ['a', 'b', 'c'])  // [[1, 'a'], [2, 'b'], [null, 'c']]
        ZIP_LONGEST([], [1])  // [[null, 1]]
        ZIP_LONGEST()  // []
    """
    selected = _select_lists(lists)
    check_items(max(map(len, selected), default=0) * len(selected))
    return [list(row) for row in longest(*selected)]


def _to_key(value: Any) -> Any:
    """Return a value as a key of a map or a member of a set. Raises ValueError if it cannot be one."""
    value = hashable(value)
    try:
        hash(value)
    except TypeError:
        raise ValueError(f"{describe(value)} cannot be a key of a map or a member of a set") from None
    return value


def _measure_members(members: Iterable[Any] | None) -> None:
    """Raise LimitExceeded for members that are too large together. Scalars are never too many: they are not copied."""
    if members is not None and not SCALARS.issuperset(map(type, members)):
        measure(members)


def _check_sum(collections: Iterable[Any] | None) -> None:
    """Raise LimitExceeded if collections have too many items together."""
    check_items(sum(len(each) for each in collections or () if isinstance(each, _SIZED)))


def _require_sequence(collection: Any) -> Iterable[Any]:
    if not isinstance(collection, list | tuple | set | frozenset | None):
        raise ValueError(f"SET_MERGE expected sets or lists, got {describe(collection)}")
    return collection or ()


def _select_lists(values: tuple[object, ...]) -> list[list[Any]]:
    return [value for value in values if isinstance(value, list)]


def _require_mutable(map_: Mapping[Any, Any] | None) -> MutableMapping[Any, Any]:
    if map_ is None:
        return {}
    if not isinstance(map_, MutableMapping):
        raise ValueError("this map is read-only; use MAP_MERGE([_, {...}]) to create a map that can be changed")
    return map_


def _require_count(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError(f"expected integers as counts of a multiset, got {describe(count)}")
    return count


def _require_entries(map_: Any, noun: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(map_, Mapping | None):
        raise ValueError(f"expected {noun} to merge, got {describe(map_)}")
    return map_.items() if map_ else ()

"""Lists, sets, multisets (maps of how often each item is there) and maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from itertools import zip_longest as longest
from typing import Any

from stellar.language.library import stellar
from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import ABSENT, described, hashable, member

# An argument that was not given, where that is not the same as null
_MISSING: Any = object()
_SIZED = (str, list, dict, set, frozenset, tuple, Mapping)


@stellar("IS_EMPTY")
def is_empty(input_: object = None) -> bool:
    """Whether a text, list, set or map is empty. A text of blanks is not.

    input: The text, list, set or map
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


@stellar("LENGTH")
def length(input_: object = None) -> int:
    """How many characters a text has, how many elements a list or set, how many entries a map.

    input: The text, list, set or map
    returns: How many; 0 for null and any other value

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
    """Add an element to the end of a list. The list itself is changed.

    list: The list
    element: The element
    returns: The list; anything else unchanged

        LIST_ADD([1, 2], 3)  // [1, 2, 3]
        LIST_ADD([], null)  // [null]
        LIST_ADD('ab', 'c')  // 'ab'
        LIST_ADD(null, 1)  // null
    """
    if element is not _MISSING and isinstance(list_, list):
        list_.append(element)
    return list_


@stellar("SET_INIT")
def set_init(input_: Iterable[Any] | None = None, *others: object) -> set[Any]:
    """A new set.

    input: The list or set whose elements it shall have
    others: Nothing; with any of these the set is empty, as in Metron
    returns: The set, in the order of the elements; empty for null

        LENGTH(SET_INIT(['a', 'b', 'a']))  // 2
        JOIN(SET_INIT(['b', 'a', 'b']), ',')  // 'b,a'
        LENGTH(SET_INIT())  // 0
        SET_INIT('ab')  // error
    """
    return OrderedSet() if input_ is None or others else OrderedSet(map(_kept, input_))


@stellar("SET_ADD")
def set_add(set_: set[Any] | None = _MISSING, *values: Any) -> set[Any] | None:
    """Add members to a set. The set itself is changed.

    set: The set; null is a new one
    values: The members; nulls are left out, and a list is one member
    returns: The set; null without any argument

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
            changed.add(_kept(value))
    return changed


@stellar("SET_REMOVE")
def set_remove(set_: set[Any] | None = _MISSING, *values: Any) -> set[Any] | None:
    """Remove members from a set. The set itself is changed.

    set: The set; null is a new one
    values: The members; those that are not in it are nothing to worry about
    returns: The set; null without any argument

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


@stellar("SET_MERGE")
def set_merge(sets: Iterable[Any] | None = _MISSING) -> set[Any] | None:
    """A new set of all members of several.

    sets: The list of the sets, or of lists; nulls in it are left out
    returns: The set; empty for null; null without any argument

        JOIN(SET_MERGE([SET_INIT(['a', 'b']), null, ['c', 'a']]), ',')  // 'a,b,c'
        LENGTH(SET_MERGE(null))  // 0
        SET_MERGE()  // null
        SET_MERGE([1, 2])  // error
    """
    if sets is _MISSING:
        return None
    return OrderedSet(_kept(member) for members in sets or () for member in _members(members))


@stellar("MULTISET_INIT")
def multiset_init(input_: Iterable[Any] | None = None) -> dict[Any, int]:
    """A new multiset: a map of how often each item is there.

    input: The list or set of the items
    returns: The multiset; empty for null

        MULTISET_INIT(['a', 'b', 'a'])  // {'a' : 2, 'b' : 1}
        MULTISET_INIT([])  // {}
        MULTISET_INIT(null)  // {}
        MULTISET_INIT('ab')  // error
    """
    counts: dict[Any, int] = {}
    for item in map(_kept, input_ or ()):
        counts[item] = counts.get(item, 0) + 1
    return counts


@stellar("MULTISET_ADD")
def multiset_add(multiset: Mapping[Any, Any] | None = _MISSING, *values: Any) -> Mapping[Any, Any] | None:
    """Add items to a multiset. The multiset itself is changed.

    multiset: The multiset; null is a new one
    values: The items; nulls are left out
    returns: The multiset; null without any argument

        MULTISET_ADD(MULTISET_INIT(['a']), 'a', 'b')  // {'a' : 2, 'b' : 1}
        MULTISET_ADD(null, 'a', null)  // {'a' : 1}
        MULTISET_ADD()  // null
        MULTISET_ADD(['a'], 'b')  // error
    """
    if multiset is _MISSING:
        return None
    changed = _changeable(multiset)
    for value in values:
        if value is not None:
            changed[_kept(value)] = _count(changed.get(_kept(value), 0)) + 1
    return changed


@stellar("MULTISET_REMOVE")
def multiset_remove(multiset: Mapping[Any, Any] | None = _MISSING, *values: Any) -> Mapping[Any, Any] | None:
    """Remove items from a multiset, each once. The multiset itself is changed.

    multiset: The multiset; null is a new one
    values: The items; those that are not in it are nothing to worry about
    returns: The multiset; null without any argument

        MULTISET_REMOVE(MULTISET_INIT(['a', 'a', 'b']), 'a', 'b')  // {'a' : 1}
        MULTISET_REMOVE(null, 'a')  // {}
        MULTISET_REMOVE()  // null
        MULTISET_REMOVE(['a'], 'a')  // error
    """
    if multiset is _MISSING:
        return None
    changed = _changeable(multiset)
    for value in values:
        if value is None or (item := member(changed, value)) is ABSENT:
            continue
        if (count := _count(changed[item])) > 1:
            changed[item] = count - 1
        else:
            del changed[item]
    return changed


@stellar("MULTISET_MERGE")
def multiset_merge(sets: Iterable[Any] = _MISSING) -> dict[Any, int] | None:
    """A new multiset of all items of several.

    sets: The list of the multisets; nulls in it are left out
    returns: The multiset; null without any argument

        MULTISET_MERGE([{'a' : 2}, null, {'a' : 1, 'b' : 1}])  // {'a' : 3, 'b' : 1}
        MULTISET_MERGE([])  // {}
        MULTISET_MERGE()  // null
        MULTISET_MERGE([1])  // error
    """
    if sets is _MISSING:
        return None
    merged: dict[Any, int] = {}
    for multiset in sets:
        for item, count in _entries(multiset, "multisets"):
            merged[item] = merged.get(item, 0) + _count(count)
    return merged


@stellar("MULTISET_TO_SET")
def multiset_to_set(multiset: Mapping[Any, Any] | None = _MISSING, *others: object) -> set[Any] | None:
    """The set of the items of a multiset, each once.

    multiset: The multiset
    others: Nothing; with any of these the set is empty, as in Metron
    returns: The set; empty for null; null without any argument

        JOIN(MULTISET_TO_SET({'a' : 2, 'b' : 1}), ',')  // 'a,b'
        LENGTH(MULTISET_TO_SET(null))  // 0
        MULTISET_TO_SET()  // null
        MULTISET_TO_SET(['a'])  // error
    """
    if multiset is _MISSING:
        return None
    return OrderedSet() if multiset is None or others else OrderedSet(multiset)


@stellar("MAP_GET")
def map_get(key: Any, map_: Any, default: Any = None) -> Any:
    """What a map has for a key.

    key: The key
    map: The map
    default: What to give where the map has nothing, or null
    returns: What the map has, or the default

        MAP_GET('a', {'a' : 1})  // 1
        MAP_GET('b', {'a' : 1})  // null
        MAP_GET('b', {'a' : 1}, 0)  // 0
        MAP_GET('b', null, 0)  // 0
        MAP_GET('a', ['a'])  // error
    """
    if key is None or map_ is None:
        return default
    if map_.__class__ is not dict and not isinstance(map_, Mapping):
        raise ValueError(f"MAP_GET takes a map, not {described(map_)}")
    value = map_.get(key if key.__class__ is str else member(map_, key))
    return default if value is None else value


@stellar("MAP_EXISTS")
def map_exists(key: Any = None, map_: object = None) -> bool:
    """Whether a map has a key, be it for null.

    key: The key
    map: The map
    returns: True if it has; false if the key or the map is null, or the map is none

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
    """Put a value into a map. The map itself is changed.

    key: The key
    value: The value
    map: The map; null is a new one. All fields, `_`, cannot be changed
    returns: The map

        MAP_PUT('a', 1, {'b' : 2})  // {'b' : 2, 'a' : 1}
        MAP_PUT('a', null, null)  // {'a' : null}
        MAP_PUT('a', 1, ['b'])  // error
    """
    changed = _changeable(map_)
    changed[_kept(key)] = value
    return changed


@stellar("MAP_MERGE")
def map_merge(maps: Iterable[Any] | None = _MISSING) -> Any:
    """A new map of all entries of several. Of entries with one key the last is taken.

    maps: The list of the maps; nulls in it are left out
    returns: The map; empty for null; the only element of a list of one; null without any argument

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
    return {name: value for member in members for name, value in _entries(member, "maps")}


@stellar("ZIP")
def zip_(*lists: Any) -> list[list[Any]]:
    """The elements of several lists side by side, up to the end of the shortest.

    lists: The lists; what is no list is left out
    returns: A list of lists: first the first elements, and so on

        ZIP([1, 2], ['a', 'b', 'c'])  // [[1, 'a'], [2, 'b']]
        ZIP([1], null)  // [[1]]
        ZIP()  // []
    """
    return [list(row) for row in zip(*_lists(lists), strict=False)]


@stellar("ZIP_LONGEST")
def zip_longest(*lists: Any) -> list[list[Any]]:
    """The elements of several lists side by side, up to the end of the longest, with null where there is none.

    lists: The lists; what is no list is left out
    returns: A list of lists: first the first elements, and so on

        ZIP_LONGEST([1, 2], ['a', 'b', 'c'])  // [[1, 'a'], [2, 'b'], [null, 'c']]
        ZIP_LONGEST([], [1])  // [[null, 1]]
        ZIP_LONGEST()  // []
    """
    return [list(row) for row in longest(*_lists(lists))]


def _kept(value: Any) -> Any:
    """The value as a member of a set or a key of a map."""
    value = hashable(value)
    try:
        hash(value)
    except TypeError:
        raise ValueError(f"{described(value)} can be no key of a map and no member of a set") from None
    return value


def _members(collection: Any) -> Iterable[Any]:
    if not isinstance(collection, list | tuple | set | frozenset | None):
        raise ValueError(f"only sets and lists can be merged into a set, not {described(collection)}")
    return collection or ()


def _lists(values: tuple[Any, ...]) -> list[list[Any]]:
    return [value for value in values if isinstance(value, list)]


def _changeable(map_: Mapping[Any, Any] | None) -> MutableMapping[Any, Any]:
    if map_ is None:
        return {}
    if not isinstance(map_, MutableMapping):
        raise ValueError("this map can only be read; MAP_MERGE([_, {...}]) makes one that can be changed")
    return map_


def _count(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError(f"the values of a multiset are whole numbers, not {described(count)}")
    return count


def _entries(map_: Any, noun: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(map_, Mapping | None):
        raise ValueError(f"only {noun} can be merged, not {described(map_)}")
    return map_.items() if map_ else ()

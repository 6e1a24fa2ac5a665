"""Functions of Metron that accept other arguments, or treat them differently."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from compare import LIBRARY, AnyDigits, is_object
from metron_numbers import Character, Integer, Long
from metron_traits import Trait

from stellar.functions.network.suffixes import public_suffix
from stellar.functions.network.typosquat import typosquats
from stellar.java.charsets import UTF_8, find_charset
from stellar.language.library import Function


class LiteralMap(dict[Any, Any]):
    """The value of a map literal."""


def as_metron_takes_them(function: Function, arguments: list[Any], traits: frozenset[Trait]) -> list[Any]:
    """Convert arguments as Metron does. Raises ValueError if Metron rejects them."""
    for trait, change in _CHANGES.items():
        if trait in traits:
            arguments = change(function, arguments)
    return arguments


def _parse_ipv4_only(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name != "IN_SUBNET" or not isinstance(arguments[0], str):
        return arguments
    for index, subnet in enumerate(arguments[1:], 1):
        if isinstance(subnet, str) and ":" in arguments[0] + subnet:
            raise ValueError("IN_SUBNET takes IPv4 addresses and subnets")
        if function.implementation(*arguments[:1], subnet):
            return arguments[: index + 1]
    return arguments


def as_metron_answers(function: Function, arguments: list[Any], answer: Any, traits: frozenset[Trait]) -> Any:
    """Convert the result of a function as Metron does; for a digest of a value with another string, only its length."""
    if Trait.TRAILING_DOT in traits and function.name.startswith("DOMAIN_") and str(arguments[:1]).endswith(".']"):
        return _with_empty_label(function.name, arguments[0], answer)
    if Trait.EVERY_OCCURRENCE in traits and function.name == "DOMAIN_TYPOSQUAT" and arguments[0] is not None:
        return typosquats(arguments[0], most_at_once=len(arguments[0]))
    if function.name != "HASH" or not isinstance(answer, str):
        return answer
    options = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], Mapping) else {}
    is_decoded = Trait.DECODED_DIGESTS in traits and isinstance(options.get("charset"), str)
    charset = find_charset(options["charset"]) if is_decoded else UTF_8
    if Trait.HASHED_OBJECTS in traits and arguments[0] is not None and not isinstance(arguments[0], str):
        return AnyDigits(len(answer), charset.codec)
    return charset.decode(answer.encode())


def _with_empty_label(function: str, domain: str, answer: Any) -> Any:
    """Return the result for a domain whose trailing dot Metron counts like a character of the domain.

    answer: our result
    """
    if answer is None or function == "DOMAIN_TYPOSQUAT":
        return answer
    suffix = LIBRARY["DOMAIN_TO_TLD"].implementation(domain)
    known = public_suffix(domain[:-1].lower()) is not None
    suffix = suffix if known else ""
    if function == "DOMAIN_TO_TLD":
        return suffix
    labels = domain[: len(domain) - len(suffix)][:-1]
    return labels if function == "DOMAIN_REMOVE_TLD" else f"{labels.rpartition('.')[2]}.{suffix}"


def _characters(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name in ("MAP", "FILTER", "REDUCE") and arguments and isinstance(arguments[0], str):
        return [[Character(character) for character in arguments[0]], *arguments[1:]]
    return arguments


def _integers(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name == "GET" and len(arguments) > 1 and isinstance(arguments[1], Long):
        raise ValueError("GET takes an Integer, not a Long")
    if function.name == "IT_ENTROPY" and arguments and isinstance(arguments[0], Mapping):
        _reject_longs(function.name, arguments[0].values())
    if function.name in ("MAX", "MIN") and arguments and isinstance(arguments[0], list):
        for one, next_one in pairwise(item for item in arguments[0] if item is not None):
            if isinstance(next_one, Integer) and not -(2**31) <= _int_of_long(one) < 2**31:
                raise ValueError(f"{function.name} can't make an Integer of this Long")
    if function.name == "FORMAT":
        return _convert_format_arguments(arguments)
    if function.name in ("BLOOM_ADD", "BLOOM_EXISTS"):
        return [*arguments[:1], *(_with_class(argument) for argument in arguments[1:])]
    return arguments


def _convert_format_arguments(arguments: list[Any]) -> list[Any]:
    """Convert the arguments of FORMAT: a Long is not a character, and negative in base 8 and 16 has 64 bits."""
    pattern = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    if "%c" in pattern:
        _reject_longs("FORMAT", arguments)
    if not re.search("%[xXo]", pattern):
        return arguments
    return [argument % 2**64 if isinstance(argument, Long) else argument for argument in arguments]


def _reject_longs(function: str, values: Any) -> None:
    if any(isinstance(value, Long) for value in values):
        raise ValueError(f"{function} takes an Integer, not a Long")


def _int_of_long(value: Any) -> int:
    return int(value) if isinstance(value, Long) else 0


def _with_class(value: Any) -> Any:
    return f"{type(value).__name__} {value}" if isinstance(value, int) and not isinstance(value, bool) else value


def _narrow_classes(function: Function, arguments: list[Any]) -> list[Any]:
    if not arguments or not isinstance(arguments[0], LiteralMap):
        return arguments
    if function.name in ("MULTISET_ADD", "MULTISET_REMOVE"):
        raise ValueError(f"{function.name} does not accept a map literal")
    if function.name == "GEOHASH_FROM_LOC" and any(isinstance(value, int | float) for value in arguments[0].values()):
        raise ValueError("GEOHASH_FROM_LOC takes strings as coordinates")
    if function.name == "SHELL_MAP2TABLE" and None in arguments[0].values():
        raise ValueError("SHELL_MAP2TABLE can't show null")
    return arguments


def _dates(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name == "DATE_FORMAT" and len(arguments) > 2 and isinstance(arguments[1], Integer):
        raise ValueError("DATE_FORMAT takes a Long, not an Integer")
    return arguments


def _bloom_arguments(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name != "BLOOM_INIT":
        return arguments
    used = arguments[:-1][:2]
    if None in used:
        raise ValueError("BLOOM_INIT takes no null")
    return used


def _spelling(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name == "HASH" and len(arguments) > 1 and str(arguments[1]).upper() == "SHA":
        raise ValueError("in Java 17 the name of this hash is SHA-1")
    return arguments


def _objects(function: Function, arguments: list[Any]) -> list[Any]:
    if function.family in ("strings", "conversion"):
        return ["org.apache.metron.Object@1" if is_object(argument) else argument for argument in arguments]
    return arguments


_SYSTEM_V = {f"SystemV/{name}": name for name in ("EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT")}
_SYSTEM_V |= {"SystemV/AST4ADT": "America/Halifax", "SystemV/YST9YDT": "America/Anchorage"}


def _system_v_zones(function: Function, arguments: list[Any]) -> list[Any]:
    if function.name != "DATE_FORMAT" or not isinstance(arguments[-1], str):
        return arguments
    return [*arguments[:-1], _SYSTEM_V.get(arguments[-1], arguments[-1])]


_CHANGES: dict[Trait, Callable[[Function, list[Any]], list[Any]]] = {
    Trait.CHARACTERS: _characters,
    Trait.DISTINCT_TYPES: _integers,
    Trait.NARROW_CLASSES: _narrow_classes,
    Trait.DATES_ARE_LONG: _dates,
    Trait.HASH_SPELLING: _spelling,
    Trait.BLOOM_ARGUMENTS: _bloom_arguments,
    Trait.OBJECTS: _objects,
    Trait.IPV4_ONLY: _parse_ipv4_only,
    Trait.SYSTEM_V_ZONES: _system_v_zones,
}

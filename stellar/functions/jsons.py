"""Parsing of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from stellar.language.library import stellar
from stellar.language.limits import FEW_ITEMS, check_items
from stellar.util.abbreviate import quote

_WHITESPACE = " \t\r\n"
_LONGEST_NUMBER = 4000


@stellar("TO_JSON_OBJECT", pure=True)
def to_json_object(str_: str | None) -> Any:
    """Parse a JSON value. Characters after the value are ignored.

    str: The JSON document
    returns: The map, list, string, number, boolean or null; null for null, and the empty string for the empty string

        TO_JSON_OBJECT('{"a": [1, 2.5]}')  // {'a' : [1, 2.5]}
        TO_JSON_OBJECT('12345678901')  // 12345678901L
        TO_JSON_OBJECT('')  // ''
        TO_JSON_OBJECT(null)  // null
        TO_JSON_OBJECT('{a: 1}')  // error
    """
    return _parse(str_) if str_ else str_


@stellar("TO_JSON_MAP", pure=True)
def to_json_map(str_: str | None) -> Any:
    """Parse a JSON object. Characters after the object are ignored.

    str: The JSON document
    returns: The map; null for null and the document `null`; the empty string for the empty string

        TO_JSON_MAP('{"a": 1}')  // {'a' : 1}
        TO_JSON_MAP('null')  // null
        TO_JSON_MAP('[1]')  // error
    """
    value = to_json_object(str_)
    if str_ and not isinstance(value, Mapping | None):
        raise ValueError("TO_JSON_MAP expected a JSON object")
    return value


@stellar("TO_JSON_LIST", pure=True)
def to_json_list(str_: str | None) -> Any:
    """Parse a JSON array. Characters after the array are ignored.

    str: The JSON document
    returns: The list; null for null and the document `null`; the empty string for the empty string

        TO_JSON_LIST('[1, "a"]')  // [1, 'a']
        TO_JSON_LIST('null')  // null
        TO_JSON_LIST('{}')  // error
    """
    value = to_json_object(str_)
    if str_ and not isinstance(value, list | None):
        raise ValueError("TO_JSON_LIST expected a JSON array")
    return value


def _parse(document: str) -> Any:
    if len(document) > FEW_ITEMS:
        check_items(document.count(",") + document.count("[") + document.count("{"))
    start = len(document) - len(document.lstrip(_WHITESPACE))
    try:
        value, end = DECODER.raw_decode(document, start)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"invalid JSON: {error}") from error
    after = document[end : end + 1]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if after not in _WHITESPACE if number else document[end - 1].isalpha() and (after.isalnum() or after == "_"):
        raise ValueError(f"invalid JSON: unexpected {quote(document[start : end + 1])}")
    return value


def _reject_constant(word: str) -> NoReturn:
    raise ValueError(f"invalid JSON: unexpected {word}")


def _parse_integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"invalid JSON: a number has {len(digits)} digits, expected at most {_LONGEST_NUMBER}")
    return int(digits)


DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_int=_parse_integer)

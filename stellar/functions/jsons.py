"""JSON texts read into values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from stellar.language.library import stellar

_BLANKS = " \t\r\n"
_LONGEST_NUMBER = 4000


@stellar("TO_JSON_OBJECT")
def to_json_object(str_: str | None) -> Any:
    """The value that a JSON text stands for. What follows the value is not looked at.

    str: The JSON text
    returns: The map, list, text, number, true, false or null; null for null, and an empty text for an empty text

        TO_JSON_OBJECT('{"a": [1, 2.5]}')  // {'a' : [1, 2.5]}
        TO_JSON_OBJECT('12345678901')  // 12345678901L
        TO_JSON_OBJECT('')  // ''
        TO_JSON_OBJECT(null)  // null
        TO_JSON_OBJECT('{a: 1}')  // error
    """
    return _read(str_) if str_ else str_


@stellar("TO_JSON_MAP")
def to_json_map(str_: str | None) -> Any:
    """The map that a JSON text stands for. What follows it is not looked at.

    str: The JSON text of an object
    returns: The map; null for null and the text `null`, and an empty text for an empty text

        TO_JSON_MAP('{"a": 1}')  // {'a' : 1}
        TO_JSON_MAP('null')  // null
        TO_JSON_MAP('[1]')  // error
    """
    value = to_json_object(str_)
    if str_ and not isinstance(value, Mapping | None):
        raise ValueError("this is JSON, but no object")
    return value


@stellar("TO_JSON_LIST")
def to_json_list(str_: str | None) -> Any:
    """The list that a JSON text stands for. What follows it is not looked at.

    str: The JSON text of an array
    returns: The list; null for null and the text `null`, and an empty text for an empty text

        TO_JSON_LIST('[1, "a"]')  // [1, 'a']
        TO_JSON_LIST('null')  // null
        TO_JSON_LIST('{}')  // error
    """
    value = to_json_object(str_)
    if str_ and not isinstance(value, list | None):
        raise ValueError("this is JSON, but no array")
    return value


def _read(text: str) -> Any:
    start = len(text) - len(text.lstrip(_BLANKS))
    try:
        value, end = DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("this JSON is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    after = text[end : end + 1]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if after not in _BLANKS if number else text[end - 1].isalpha() and (after.isalnum() or after == "_"):
        raise ValueError(f"this is no JSON: {text[start : end + 1]!r} is neither a number nor a word of it")
    return value


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"this is no JSON: there is no {word} in it")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"this JSON has a number of {len(digits)} digits; {_LONGEST_NUMBER} is the most")
    return int(digits)


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_integer)

"""Encoders of compact JSON that are made once, instead of once for each value as those of the standard library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Literal, NoReturn

Encode = Callable[[Any], str]
EncodeShape = Callable[..., str | None]
# A string without characters that JSON escapes, another string, an integer, or a value of any type
Kind = Literal["plain", "text", "integer", "any"]
Record = dict[str, Any]

_REPEATS = 16  # of a shape, or of another type in it, before a function is generated
_MOST_FUNCTIONS = 64  # that are generated at all
_MOST_COUNTED = 1024  # shapes whose occurrences are counted
_MOST_FIELDS = 128
_quote: Encode = json.encoder.encode_basestring


def make_encoder(default: Callable[[Any], object] | None = None, *, ensure_ascii: bool) -> Callable[[Any], str]:
    """Return a function that returns the JSON of a value, without spaces.

    JSONEncoder makes a new encoder in C for each value, which costs as much as encoding a small map.

    default: returns the JSON value of a value that JSON does not have; by default that is an error
    ensure_ascii: True to escape characters outside of ASCII

    The function raises ValueError for NaN and infinite numbers, TypeError for a value without a JSON form, and
    RecursionError for a value that is nested too deeply or contains itself.
    """
    make: Callable[..., Callable[[Any, int], Iterable[str]]] | None = getattr(json.encoder, "c_make_encoder", None)
    convert = _reject if default is None else default
    if make is not None:
        quote: Callable[[str], str] = (
            json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
        )
        chunks = make(None, convert, quote, None, ":", ",", False, False, False)
        return lambda value: "".join(chunks(value, 0))
    return json.JSONEncoder(  # for a Python without the C encoder
        ensure_ascii=ensure_ascii, check_circular=False, allow_nan=False, separators=(",", ":"), default=convert
    ).encode


def _reject(value: object) -> NoReturn:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# -- Records ----------------------------------------------------------------------------------------------------------


def make_record_encoder(encode: Encode) -> Callable[[Record], str]:
    """Return a function that encodes records as `encode` does, but faster if they have the same fields as earlier ones.

    When a shape, which is the fields of a record in their order, has occurred a few times, a function is generated for
    it; see `stellar.util.json_shapes`.

    encode: returns the JSON of any value, without spaces and with characters outside of ASCII as they are
    """
    functions: dict[tuple[str, ...], EncodeShape] = {}
    find = functions.get
    table = _Shapes(encode, functions)

    def encode_record(record: Record) -> str:
        function = find(tuple(record))
        if function is not None and (text := function(*record.values())) is not None:
            return text
        table.count(record)
        return encode(record)

    return encode_record


class _Shapes:
    """Generates the functions of frequent shapes.

    Threads may share it: at worst, a record is not counted.
    """

    def __init__(self, encode: Encode, functions: dict[tuple[str, ...], EncodeShape]) -> None:
        self._encode = encode
        self._functions = functions
        self._counts: dict[tuple[str, ...], int] = {}
        self._kinds: dict[tuple[str, ...], list[Kind]] = {}
        self._generated = 0

    def count(self, record: Record) -> None:
        """Count a record that no function has encoded; generate one for its shape if it is frequent."""
        if self._generated >= _MOST_FUNCTIONS or not 0 < len(record) <= _MOST_FIELDS:
            return
        shape = tuple(record)
        if len(self._counts) >= _MOST_COUNTED:
            self._counts.clear()
        count = self._counts[shape] = self._counts.get(shape, 0) + 1
        if count >= _REPEATS and all(name.__class__ is str for name in shape):
            self._counts[shape] = 0
            self._generated += 1
            from stellar.util.json_shapes import generate_encoder  # not needed for few records

            kinds = self._kinds[shape] = self._join_kinds(shape, record)
            self._functions[shape] = generate_encoder(shape, kinds, self._encode)

    def _join_kinds(self, shape: tuple[str, ...], record: Record) -> list[Kind]:
        """Return the kinds of values for which a function is made: those of this record and of an earlier one."""
        current = [_find_kind(value) for value in record.values()]
        known = self._kinds.get(shape, current)
        return [_join_kind(kind, before) for kind, before in zip(current, known, strict=True)]


def _find_kind(value: object) -> Kind:
    if value.__class__ is int:
        return "integer"
    if value.__class__ is not str:
        return "any"
    return "plain" if len(_quote(value)) == len(value) + 2 else "text"


def _join_kind(kind: Kind, before: Kind) -> Kind:
    if kind == before:
        return kind
    return "text" if {kind, before} == {"plain", "text"} else "any"

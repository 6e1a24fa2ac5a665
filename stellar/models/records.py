"""Records of requests and results as JSON, alike for a model server and for calls within a process.

A query and the batches of the model client have strings. A string is read as the type that the model declares for the
field: of a double field `1e3` is a number. A value of another type is an error, also if the model does not need it for
this record. Only a model that declares invalid values to be missing or replaced receives such a value as it is.

    reader = RecordReader(model)
    model.score(reader.read_query("n_systems=157&tld=ru"))
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any
from urllib.parse import unquote_plus

from stellar.models.errors import NotScored
from stellar.models.evaluation.model import find_lists
from stellar.models.forms.fields import DataField
from stellar.models.scoring import ScoringModel
from stellar.models.values import find_conversion, parse_boolean, parse_double, parse_integer
from stellar.util.abbreviate import quote
from stellar.util.json_encoding import make_encoder
from stellar.util.suggestions import suggest_name

Record = dict[str, Any]
Read = Callable[[Any], Any]


class UnreadableRecord(NotScored):
    """A record with an unknown or repeated name, or with a value that is not of the type of its field."""


class RecordReader:
    """Reads the records of requests for one model."""

    def __init__(self, model: ScoringModel) -> None:
        lists = find_lists(model.document)
        tolerant = {use.name for use in model.document.model.fields if use.invalid in ("asMissing", "asValue")}
        inputs = {field.name: _InputReader(field, field.name in tolerant) for field in model.inputs()}
        self._strings: dict[str, Read] = {
            name: _read_items_of(each.read_string) if name in lists else _choose_string_reader(each)
            for name, each in inputs.items()
        }
        self._values: dict[str, Read] = {
            name: _read_each(each.read_value) if name in lists else each.read_value for name, each in inputs.items()
        }

    def read_query(self, query: str) -> Record:
        """Return the record of a form-encoded query; a name without a value is null.

        Raise UnreadableRecord for an unknown or repeated name, a value of another type, and an invalid encoding.
        """
        record: Record = {}
        readers = self._strings
        is_encoded = "%" in query or "+" in query
        for pair in query.split("&"):
            name, equals, string = pair.partition("=")
            if is_encoded:
                name, string = _decode(name), _decode(string)
            if (read := readers.get(name)) is None:
                if not pair:
                    continue
                raise self._unknown(name)
            if name in record:
                raise UnreadableRecord(f"repeated input {quote(name)}; give each name once")
            record[name] = read(string) if equals else None
        return record

    def read_object(self, values: Mapping[str, Any]) -> Record:
        """Return the record of a JSON object; null is a missing value.

        Raise UnreadableRecord for an unknown name, and a value of another type.
        """
        record: Record = {}
        for name, value in values.items():
            if name not in self._values:
                raise self._unknown(name)
            if value.__class__ is str:
                record[name] = self._strings[name](value)
            else:
                record[name] = None if value is None else self._values[name](value)
        return record

    def _unknown(self, name: str) -> UnreadableRecord:
        return UnreadableRecord(f"unknown input {quote(name)}; {suggest_name(name, self._strings)}")


_INVALID_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _decode(encoded: str) -> str:
    if _INVALID_ESCAPE.search(encoded):
        raise UnreadableRecord(f"invalid percent-encoding in {quote(encoded, 80)}")
    try:
        return unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        raise UnreadableRecord(f"{quote(encoded, 80)} is not UTF-8") from None


class _InputReader:
    """Reads the values of one input.

    is_tolerant: the model treats invalid values itself
    """

    def __init__(self, field: DataField, is_tolerant: bool) -> None:
        self.data_type = field.type.data
        self._name, self._is_tolerant = field.name, is_tolerant
        self._missing = frozenset(value.value for value in field.values if value.role == "missing")
        convert = find_conversion(self.data_type)
        assert convert is not None, "the model has compiled its fields"
        self._convert = convert
        self._parse = _PARSERS.get(self.data_type, convert)

    def read_string(self, string: str) -> Any:
        """Return the value of a string; a missing value such as N/A, which need not be of the type, stays as it is."""
        try:
            return self._parse(string)
        except ValueError:
            return string if string in self._missing else self._refuse(string)

    def read_value(self, value: Any) -> Any:
        """Return a value of JSON, which has a type already."""
        if value.__class__ is float and not math.isfinite(value):
            raise UnreadableRecord(f"input {quote(self._name)}: the number exceeds the range of 64 bits")
        try:
            self._convert(value)
        except (ValueError, TypeError):
            return self._refuse(value)
        return value

    def _refuse(self, value: Any) -> Any:
        if self._is_tolerant:
            return value
        raise UnreadableRecord(f"input {quote(self._name)}: expected {self.data_type}, got {quote(value, 80)}")


_PARSERS: dict[str, Read] = {
    "double": parse_double,
    "float": parse_double,  # the model rounds it
    "integer": parse_integer,
    "boolean": parse_boolean,
}


def _choose_string_reader(reader: _InputReader) -> Read:
    """Return the function that reads the strings of an input, with a shorter way for the usual ones."""
    if reader.data_type == "string":
        return str
    if reader.data_type not in ("double", "float"):
        return reader.read_string
    read_other = reader.read_string

    def read_number(string: str) -> Any:
        try:
            number = float(string)
        except ValueError:
            return read_other(string)
        # Python also reads underscores, digits and whitespace of other alphabets, and other names of infinity and NaN
        is_plain = number - number == 0 and "_" not in string and string.isascii() and string.isprintable()
        return number if is_plain else read_other(string)

    return read_number


def _read_items_of(read: Read) -> Read:
    """Return a reader of the strings of a list, which clients encode as compact JSON in a query."""

    def read_items(string: str) -> Any:
        if not string.startswith("["):
            return read(string)
        try:
            items = json.loads(string)
        except (ValueError, RecursionError):
            return read(string)
        return [read(item) if isinstance(item, str) else item for item in items]

    return read_items


def _read_each(read: Read) -> Read:
    return lambda value: (
        [None if item is None else read(item) for item in value] if type(value) is list else read(value)
    )


# -- Results ----------------------------------------------------------------------------------------------------------


def encode_result(result: Mapping[str, Any]) -> bytes:
    """Return a result as compact JSON in ASCII. NaN and infinite numbers, which JSON does not have, become null."""
    try:
        return _encode(result).encode("ascii")
    except ValueError:
        return _encode(_replace_infinite(result)).encode("ascii")


def encode_error(message: str, **more: int) -> bytes:
    """Return the JSON of the reason why a record has no result."""
    return _encode({"error": message, **more}).encode("ascii")


def _replace_infinite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: _replace_infinite(item) for key, item in value.items()}
        case list() | tuple():
            return [_replace_infinite(item) for item in value]
    return value


def _convert_value(value: object) -> object:
    """Return the JSON value of one that JSON does not have."""
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    raise TypeError(f"a result has a value that JSON does not have: {quote(value)}")


_encode = make_encoder(_convert_value, ensure_ascii=True)

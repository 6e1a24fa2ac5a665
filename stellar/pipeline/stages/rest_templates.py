"""Templates of REST enrichments: `${name}` is replaced by a property, or else by a field of the record.

`${name:-default}` has a default for a field that a record lacks, and `$${name}` is the string `${name}`.

Values of records are data: in a URL they are percent-encoded, in a JSON body they are JSON, and in the host of a URL
and in headers they are not accepted. Properties and defaults are the operator's, and are inserted as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from stellar.language.conversions import to_string
from stellar.util.abbreviate import quote as quote_value

# Instead of the names of sensors: all of them
ANY = "ANY"

_VARIABLE = re.compile(r"(\$?)\$\{([^{}$]*)\}")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^"]+', re.DOTALL)

Encode = Callable[[Any], str]
# A piece of a template: text, or a field: its name, the function that encodes its value, and its default, if any
Piece = str | tuple[str, Encode, str | None]


class MissingField(LookupError):
    """A record lacks a field of a template."""


@dataclass(frozen=True, slots=True)
class Template:
    """A string with fields of a record."""

    pieces: tuple[Piece, ...]

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields without a default."""
        return frozenset(piece[0] for piece in self.pieces if not isinstance(piece, str) and piece[2] is None)

    @property
    def start(self) -> str:
        """The text before the first field."""
        known = ""
        for piece in self.pieces:
            if not isinstance(piece, str):
                break
            known += piece
        return known

    def fill(self, record: Mapping[str, Any]) -> str:
        """Return the string for a record.

        Raises MissingField if the record lacks a field, or it is null, and ValueError if a value cannot be encoded.
        """
        return "".join(piece if isinstance(piece, str) else _encode(record, *piece) for piece in self.pieces)


def _encode(record: Mapping[str, Any], name: str, encode: Encode, default: str | None) -> str:
    value = record.get(name)
    if value is None and default is not None:
        return default  # of the operator, as properties are
    if value is None:
        raise MissingField(f"the record has no field {quote_value(name)}")
    try:
        return encode(value)
    except ValueError as error:
        raise ValueError(f"invalid value of the field {quote_value(name)}: {error}") from None


def fill_properties(text: str, properties: Mapping[str, str]) -> str:
    """Return a string with `${name}` replaced by properties. Raises ValueError for other names."""

    def find(match: re.Match[str]) -> str:
        name, separator, default = match[2].partition(":-")
        if match[1]:
            return match[0][1:]
        if name not in properties and not separator:
            raise ValueError(
                f"unknown property {quote_value(name)}: only properties can be used here, not fields of a record"
            )
        return properties.get(name, default)

    return _VARIABLE.sub(find, text)


def _split(text: str, properties: Mapping[str, str], encode: Encode) -> list[Piece]:
    """Return the pieces of a template, with properties replaced."""
    pieces: list[Piece] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        name, separator, default = match[2].partition(":-")
        pieces.append(text[end : match.start()])
        if match[1]:
            pieces.append(match[0][1:])
        elif name in properties:
            pieces.append(properties[name])
        else:
            pieces.append((name, encode, default if separator else None))
        end = match.end()
    return [*pieces, text[end:]]


def compile_url(text: str, properties: Mapping[str, str]) -> Template:
    """Return the template of a URL. Raises ValueError if it is invalid, or if its host comes from a record."""
    pieces = _split(text, properties, _encode_in_path)
    template = Template(tuple(_encode_query(pieces)))
    parts = urlsplit(template.start)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("expected http:// or https:// and a host, which a field of a record cannot name")
    has_fields = any(not isinstance(piece, str) for piece in pieces)
    if has_fields and not re.search(r"[/?#]", template.start.partition("://")[2]):
        raise ValueError("expected / after the host, so that a field of a record cannot change it")
    return template


def _encode_query(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces of a URL in which fields after `?` are encoded for a query."""
    found: list[Piece] = []
    is_query = False
    for piece in pieces:
        if isinstance(piece, str):
            is_query = is_query or "?" in piece
            found.append(piece)
        else:
            found.append((piece[0], _encode_in_query, piece[2]) if is_query else piece)
    return found


def has_dot_segment(url: str) -> bool:
    """Return True if the path of a URL has a segment `.` or `..`, by which a value would select another path."""
    return not {".", ".."}.isdisjoint(urlsplit(url).path.split("/"))


def _encode_in_path(value: Any) -> str:
    text = to_string(value)
    if not text:
        raise ValueError("an empty string cannot be a segment of a path")
    return quote(_require_utf8(text), safe="")


def _encode_in_query(value: Any) -> str:
    return quote(_require_utf8(to_string(value)), safe="")


def _require_utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it contains half of a surrogate pair") from None
    return text


def compile_body(text: str, properties: Mapping[str, str], content_type: str) -> Template:
    """Return the template of a body: JSON, a form, or any other text.

    Raises ValueError for a template of JSON that is not JSON.
    """
    if content_type == "application/x-www-form-urlencoded":
        return Template(tuple(_split(text, properties, lambda value: quote_plus(_require_utf8(to_string(value))))))
    if not re.fullmatch(r"application/(?:.+\+)?json", content_type):
        return Template(tuple(_split(text, properties, lambda value: _require_utf8(to_string(value)))))
    pieces: list[Piece] = []
    for token in _JSON_TOKEN.findall(text):
        pieces += _split(token, properties, _encode_in_json_string if token.startswith('"') else _encode_as_json)
    try:
        json.loads("".join(piece if isinstance(piece, str) else "0" for piece in pieces))
    except ValueError as error:
        raise ValueError(f"the template is not JSON: {error}") from None
    return Template(tuple(pieces))


def _encode_in_json_string(value: Any) -> str:
    return json.dumps(to_string(value))[1:-1]


def _encode_as_json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it has no JSON form: {error}") from None

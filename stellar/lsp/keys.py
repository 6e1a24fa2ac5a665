"""Keys of a configuration file: their meaning, and which ones may follow, by the JSON Schema of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stellar.language.source import Span
from stellar.pipeline.config.json_positions import Array, Object, Value, parse_json
from stellar.pipeline.config.json_schemas import Schema, find_subschema, list_keys, make_json_schema

# The start of a key that is being typed
_KEY = re.compile(r'[{,]\s*"([^"\\\r\n]*)\Z')
_REST = re.compile(r'[^"\\\r\n]*')


@dataclass(frozen=True, slots=True)
class KeyCompletion:
    """A key that may be written at a place in a file.

    span: the span of the key, without quotes
    """

    span: Span
    name: str
    description: str


def find_key_description(source: str, kind: str, offset: int) -> tuple[Span, str] | None:
    """Return the span and the description of the key at an offset, otherwise None."""
    found = _find_map(source, kind, offset)
    for key, _ in found[0].members if found is not None else ():
        if found is not None and key.inner.start <= offset <= key.inner.end:
            description = list_keys(found[1], make_json_schema(kind)).get(key.decoded)
            return (key.inner, description) if description else None
    return None


def complete_keys(source: str, kind: str, offset: int) -> list[KeyCompletion]:
    """Return the keys that may be written at an offset, without those that the map already has."""
    typed = _KEY.search(source, 0, offset)
    found = _find_map(source, kind, offset)
    if typed is None or found is None:
        return []
    rest = _REST.match(source, offset)
    span = Span(typed.start(1), offset if rest is None else rest.end())
    present = {key.decoded for key, _ in found[0].members if key.inner != span}
    keys = list_keys(found[1], make_json_schema(kind))
    return [KeyCompletion(span, name, text) for name, text in keys.items() if name not in present]


def _find_map(source: str, kind: str, offset: int) -> tuple[Object, Schema] | None:
    """Return the innermost map at an offset, with its schema."""
    root = make_json_schema(kind)
    value: Value | None = parse_json(source)
    schema, found = root, None
    while value is not None and _contains(value, offset):
        if isinstance(value, Object):
            found = value, schema
            key, value = next(((key, each) for key, each in value.members if _contains(each, offset)), (None, None))
            schema = schema if key is None else find_subschema(schema, root, key.decoded)
        elif isinstance(value, Array):
            schema = find_subschema(schema, root, 0)
            value = next((each for each in value.items if _contains(each, offset)), None)
        else:
            break
    return found


def _contains(value: Value, offset: int) -> bool:
    return isinstance(value, Object | Array) and value.span.start < offset <= value.span.end

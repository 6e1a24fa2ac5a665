"""The JSON of documents for sinks, by orjson if it is installed, otherwise by the standard library.

Both write the same values, though numbers may be spelled differently: `1e-7` and `1e-07`. What is hashed, or becomes
part of another document, is written by `to_json_bytes`, whether orjson is installed or not.

orjson writes values of some classes otherwise than the standard encoder, such as members of an Enum. So it gets
documents with values of a few exact classes only, and it raises TypeError for strings, integers and keys of which it
has no form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any

from stellar.pipeline.records import Record, to_json_bytes

_SCALARS = frozenset({str, int, float, bool, NoneType})
_are_scalars = _SCALARS.issuperset
_MOST_LEVELS = 100  # orjson accepts a few more


def make_document_encoder(dumps: Callable[[Any], bytes] | None) -> Callable[[Record], bytes]:
    """Return a function that encodes documents as JSON in UTF-8; it raises ValueError for a value without a JSON form.

    dumps: the function of orjson; None if that is not installed
    """
    if dumps is None:
        return to_json_bytes

    def encode(document: Record) -> bytes:
        if _are_scalars(map(type, document.values())) or _are_plain(document.values()):
            try:
                return dumps(document)
            except TypeError:
                pass
        return to_json_bytes(document)

    return encode


def _find_orjson() -> Callable[[Any], bytes] | None:
    try:
        from orjson import dumps
    except ImportError:  # the extra `fast` is not installed
        return None
    return dumps


encode_document = make_document_encoder(_find_orjson())


def _are_plain(values: Iterable[Any], levels: int = _MOST_LEVELS) -> bool:
    """Return True if values consist of scalars, lists and maps of exactly these classes."""
    for value in values:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if (kind is not list and kind is not dict) or not levels:
            return False
        members = value.values() if kind is dict else value
        if not _are_scalars(map(type, members)) and not _are_plain(members, levels - 1):
            return False
    return True

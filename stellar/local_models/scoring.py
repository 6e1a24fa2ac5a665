"""Records and results of a model in this process, as they would be over HTTP.

A request has its arguments as strings, which the instance reads by the types of its inputs. A response is JSON. Most
values are the same after both: a float of a double input, a string, a finite result. So it is decided once for a shape,
that is names and classes of arguments, how its values are converted; any other record takes the way of strings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stellar.maas.client.encoding import Arguments, to_strings
from stellar.maas.client.local import ToParameters
from stellar.maas.schema import read_json
from stellar.maas.transport.base import Response
from stellar.models.errors import NotScored
from stellar.models.evaluation.model import find_lists
from stellar.models.records import Record, RecordReader, UnreadableRecord, encode_error, encode_result
from stellar.models.scoring import ScoringModel

log = logging.getLogger(__name__)

MOST_SHAPES = 1000  # of arguments, which records may vary
MOST_INTEGER = 2**31 - 1  # of an integer input; a string beyond is not read as one

Conversion = Callable[[Any], Any]
# The conversions by name; empty if the arguments are the record, None if they must be strings first
Conversions = Mapping[str, Conversion] | None


class _Unusual(Exception):
    """A value that is not the same after its way through a request."""


class _KnownShape(NamedTuple):
    """A shape of arguments, and how they become a record."""

    names: tuple[str, ...]
    types: tuple[type, ...]
    conversions: Conversions


class LocalScorer:
    """A model, called as an instance of it would be. Thread-safe."""

    def __init__(self, model: ScoringModel) -> None:
        self._model = model
        self._reader = RecordReader(model)
        lists = find_lists(model.document)
        self._types = {field.name: field.type.data for field in model.inputs() if field.name not in lists}
        self._shapes: dict[tuple[Any, ...], _KnownShape] = {}
        self._last = _KnownShape((), (), None)  # most calls have the shape of the last one

    def __call__(self, arguments: Arguments, to_parameters: ToParameters | None) -> dict[str, Any] | Response:
        """Return the result for the arguments of a call, or the response without one."""
        try:
            result = self._model.score(self._read(arguments, to_parameters))
        except UnreadableRecord as error:
            return _respond(400, str(error))
        except NotScored as error:
            return _respond(422, str(error))
        except Exception:  # an error of the program must fail this record only, as in an instance
            log.exception("cannot score a record")
            return _respond(500, "internal error; the log of the model has the reason")
        for value in result.values():
            cls = value.__class__
            if not (cls in _EXACT or (cls is float and value - value == 0.0)):  # neither NaN nor infinite
                return _decode(encode_result(result))
        return result

    def _read(self, arguments: Arguments, to_parameters: ToParameters | None) -> Mapping[str, Any]:
        """Return the record that an instance would read. Raise UnreadableRecord as the instance would."""
        if to_parameters is not None:  # the values are of the language, whose strings have their exact values
            shape = self._last
            names, types = (*arguments,), (*map(type, arguments.values()),)
            if names != shape.names or types != shape.types:
                shape = self._last = self._shapes.get((names, types)) or self._prepare(names, types)
            conversions = shape.conversions
            if conversions is not None:
                if not conversions:
                    return arguments  # the model only reads them
                try:
                    return _convert(arguments, conversions)
                except _Unusual:
                    pass
            arguments = to_parameters(arguments)
        return self._reader.read_object(to_strings(arguments))

    def _prepare(self, names: tuple[str, ...], types: tuple[type, ...]) -> _KnownShape:
        """Decide how the arguments of a shape become a record."""
        found = {name: self._find_conversion(name, cls) for name, cls in zip(names, types, strict=True)}
        conversions = {name: convert for name, convert in found.items() if convert is not None and convert is not _same}
        shape = _KnownShape(names, types, None if None in found.values() else conversions)
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        self._shapes[names, types] = shape
        return shape

    def _find_conversion(self, name: str, cls: type) -> Conversion | None:
        """Return the conversion of values of a class for an input; None if they must be strings first."""
        if (data_type := self._types.get(name)) is None:
            return None
        return _same if cls is type(None) else _CONVERSIONS.get((data_type, cls))


def _convert(arguments: Arguments, conversions: Mapping[str, Conversion]) -> Record:
    record = dict(arguments)
    for name, convert in conversions.items():
        record[name] = convert(record[name])
    return record


def _same(value: Any) -> Any:
    return value


def _check_integer(value: int) -> int:
    if -MOST_INTEGER <= value <= MOST_INTEGER:
        return value
    raise _Unusual


def _to_float(value: int) -> float:
    """Return the number that the string of an integer denotes: both round to the nearest one."""
    try:
        return float(value)
    except OverflowError:
        raise _Unusual from None


def _check_string(value: str) -> str:
    """Return a string; one that is not ASCII may have no encoding."""
    if value.isascii():
        return value
    raise _Unusual


_CONVERSIONS: dict[tuple[str, type], Conversion] = {
    ("double", float): _same,
    ("float", float): _same,
    ("double", int): _to_float,
    ("float", int): _to_float,
    ("integer", int): _check_integer,
    ("boolean", bool): _same,
    ("string", str): _check_string,
}

_EXACT = frozenset({str, int, bool, type(None)})


def _decode(encoded: bytes) -> dict[str, Any]:
    result: dict[str, Any] = read_json(encoded)
    return result


def _respond(status: int, message: str) -> Response:
    return Response(status, encode_error(message), is_strict=True)

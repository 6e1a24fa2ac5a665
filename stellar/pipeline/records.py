"""The data of a pipeline: records, the outcomes of failed records, and error documents.

Drop         raised by a stage to drop the record, which is not an error
Forward      raised by a stage to pass the record on to another topic
Rejected     a raw message or record that failed, for the error sink
Report       a failure of a rule, enrichment or model call, after which the record continues, for the error sink
"""

from __future__ import annotations

import hashlib
import math
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from stellar.language.conversions import to_string
from stellar.language.python_values import from_python
from stellar.language.tagged_json import encode
from stellar.util.clock import now
from stellar.util.exception_format import format_exception
from stellar.util.guids import make_guid
from stellar.util.json_encoding import make_encoder, make_record_encoder

Record = dict[str, Any]
Stage = Callable[[Record], Record]


class Drop(Exception):
    """Raised by a stage to drop the record."""


class Forward(Exception):
    """Raised by a stage to pass the record on to another topic, where the parser of another sensor reads it."""

    def __init__(self, topic: str, record: Record) -> None:
        super().__init__(topic)
        self.topic = topic
        self.record = record


class Invalid(ValueError):
    """A record is invalid.

    fields: the invalid fields; empty if the record as a whole is invalid
    """

    def __init__(self, message: str, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


class TopicPosition(NamedTuple):
    """The position of a message in a partition of a topic.

    offset: the number of the message in the partition
    time: when it was produced, in ms since the epoch; None if that is unknown
    document_id: the identifier of its document, from its headers; otherwise None
    assignment: identifies the assignment of the partition to this process during which the message was read
    """

    topic: str
    partition: int
    offset: int
    time: int | None = None
    document_id: str | None = None
    assignment: int = 0


class Raw(NamedTuple):
    """A raw message, with its origin.

    content: the bytes
    origin: the name of the file or stream
    line: the line number, from 1; None if the source has no lines
    key: the key of the Kafka record, otherwise None
    topic: the Kafka topic; None for other sources
    error: the reason why the source could not be read any further; None for a message
    position: the position in the Kafka topic; None for other sources
    """

    content: bytes
    origin: str | None = None
    line: int | None = None
    key: bytes | None = None
    topic: str | None = None
    error: Exception | None = None
    position: TopicPosition | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of a stage or a model call.

    raw: the raw message or the record; None for the raw message that is being processed
    stage: parse, transform, filter, validate, enrich, threatIntel, triage or write; model for a model call, store for
        a look-up, read for the source, route for a topic
    error: the exception
    subject: the object in the stage that failed, such as a rule; empty for the stage itself
    metadata: fields to add to the error document
    sensor: the sensor, if it is not that of the run
    """

    raw: bytes | str | Record | None
    stage: str
    error: BaseException
    subject: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sensor: str = ""

    @property
    def reason(self) -> str:
        """The error message, in one or more lines."""
        return self.explain(str(self.error))

    def explain(self, text: str) -> str:
        """Return the error message; text is the string of the error."""
        return f"{self.subject}: {text}" if self.subject else text or type(self.error).__name__


class Rejected(Failure):
    """A raw message or record that failed and gets no further."""

    __slots__ = ()


class Report(Failure):
    """A failure after which the record continues."""

    __slots__ = ()


Reporter = Callable[[Report], None]

Outcome = Record | Rejected | Drop | Forward
RunStages = Callable[[Record, Raw, str, Record], Outcome]
# The outcome of one message with one record, or all outcomes with their reports
Processor = Callable[[Raw], Outcome | Iterator[tuple[Outcome, list[Report]]]]


def reject_message(content: bytes, error: Exception, metadata: Record) -> Rejected:
    """Return the rejection of a message that the parser cannot read."""
    return Rejected(content, "parse", explain_depth(error), metadata=metadata)


def explain_depth(error: Exception) -> Exception:
    """Return the error of a message whose values are nested deeper than Python's stack."""
    if not isinstance(error, RecursionError):
        return error
    explained = ValueError("message is nested too deeply")
    explained.__cause__ = error
    return explained


ERROR_TYPES = {
    "read": "parser_error",
    "parse": "parser_error",
    "transform": "parser_error",
    "filter": "parser_error",
    "validate": "parser_error",
    "enrich": "enrichments_error",
    "threatIntel": "threatintel_error",
    "triage": "threatintel_error",
    "store": "enrichments_error",
    "route": "parser_error",
    "write": "indexing_error",
}


# Fields of an error document that metadata does not replace
_IDENTITY = ("guid", "source.type", "error_type", "failed_sensor_type", "stage")


def make_error_document(failure: Failure, sensor: str, raw: Raw | None = None) -> Record:
    """Return the JSON document for a failure: Metron's fields, `stage`, `origin`, and `line` or `offset`."""
    text = str(failure.error)
    document: Record = {
        "guid": make_guid(),
        "source.type": "error",
        "error_type": ERROR_TYPES.get(failure.stage, "error"),
        "failed_sensor_type": failure.sensor or sensor,
        "stage": failure.stage,
        "message": failure.explain(text),
    }
    if raw is not None and raw.origin is not None:
        document["origin"] = raw.origin
    if raw is not None and raw.line is not None:
        document["line"] = raw.line
    if raw is not None and raw.position is not None:
        document["offset"] = raw.position.offset
    document |= _describe_exception(failure.error, text)
    document["timestamp"] = now()
    document["hostname"] = hostname()
    document |= _describe_message(failure, raw)
    if not failure.metadata:
        return document
    identity = {name: document[name] for name in _IDENTITY}
    return {**document, **failure.metadata, **identity}


def _describe_exception(error: BaseException, text: str) -> Record:
    if isinstance(error, Invalid):
        return {"error_type": "parser_invalid"}
    return {
        "exception": f"{_class_name(error)}: {text}",
        "stack": format_exception(error),
    }


def _describe_message(failure: Failure, raw: Raw | None) -> Record:
    content = raw.content if raw is not None else b""
    message = content if failure.raw is None else failure.raw
    fields = failure.error.fields if isinstance(failure.error, Invalid) else ()
    try:
        described = {"raw_message": format_raw(message), "error_hash": hash_error(message, fields)}
    except ValueError:  # JSON cannot represent the record, so take the raw message
        described = {"raw_message": format_raw(content), "error_hash": hash_error(content)}
    return {**described, "error_fields": ",".join(fields)} if fields else described


def hash_error(raw: bytes | str | Record, fields: Sequence[str] = ()) -> str:
    """Return the SHA-256 in hexadecimal that identifies equal failures.

    fields: the invalid fields, which are hashed; if empty, the raw message is hashed
    """
    if isinstance(raw, dict) and fields:
        content = "|".join(f"{name}-{to_string(raw.get(name))}" for name in fields).encode("utf-8", "replace")
    else:
        content = raw if isinstance(raw, bytes) else to_json_bytes(raw) if isinstance(raw, dict) else raw.encode()
    return hashlib.sha256(content).hexdigest()


def format_raw(raw: bytes | str | Record) -> str:
    """Return a raw message or record as a string; bytes are decoded as UTF-8."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "replace")
    return to_json(raw) if isinstance(raw, dict) else raw


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def to_json(record: Mapping[str, Any]) -> str:
    """Return a record as one line of JSON.

    Infinity and NaN become null, sets become lists, bytes strings, and sketches tagged JSON, such as
    `{"$stats": "…"}`, which OBJECT_GET and ENRICHMENT_GET read. Python's Decimal, UUID and IP addresses, and numpy's
    values and arrays, become numbers, strings and lists.

    Raises ValueError for a value without a JSON form, such as a lambda, and for a record that contains itself.
    """
    try:
        return _encode_record(record) if record.__class__ is dict else _encode_json(record)
    except (ValueError, TypeError, RecursionError):  # rare: a number, key or value that JSON cannot represent
        return _encode_fields(record)


def _encode_fields(record: Mapping[str, Any]) -> str:
    document = {}
    for name, value in record.items():
        try:
            document[to_string(name)] = _json_value(value)
        except RecursionError:
            raise ValueError("record is nested too deeply for JSON") from None
        except ValueError as error:
            raise ValueError(f"cannot write the field {to_string(name)}: {error}") from error
    return _encode_json(document)


def to_json_bytes(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON in UTF-8. A lone surrogate, which UTF-8 cannot encode, becomes its JSON escape."""
    return to_json(record).encode("utf-8", "backslashreplace")


def _json_default(value: Any) -> object:
    """Return the JSON value of a value that the encoder does not know. Raises ValueError if there is none."""
    value = from_python(value)
    if isinstance(value, set):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes):
        return to_string(value)
    return value if isinstance(value, str | int | float | list) else encode(value, opaque=False)


_encode_json = make_encoder(_json_default, ensure_ascii=False)
_encode_record = make_record_encoder(_encode_json)


def _json_value(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {to_string(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    return _json_value(_json_default(value))


@cache
def hostname() -> str:
    """Return the name of this host."""
    return socket.gethostname()

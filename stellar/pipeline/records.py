"""What flows through a pipeline: records, and what becomes of those that do not get through.

Drop         raised by a stage: this record is left out, and that is no error
Rejected     a raw message or record that cannot go on, for the error sink
Report       a rule or enrichment that failed while its record goes on, for the same sink
"""

from __future__ import annotations

import hashlib
import json
import math
import socket
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from stellar.language.conversions import to_text

Record = dict[str, Any]
Stage = Callable[[Record], Record]


class Drop(Exception):
    """This record is not wanted further on."""


class Invalid(ValueError):
    """A record that does not validate.

    fields: the fields that are to blame; empty where it is the record as a whole
    """

    def __init__(self, message: str, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it came: its bytes, and where they came from.

    line: counted from 1; None where there are no lines
    """

    content: bytes
    origin: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that went wrong on the way.

    raw: the raw message, or the record as it was; None for the raw message that was at hand
    stage: parse, transform, filter, validate, enrich, threatIntel, triage or write; model for a call to one
    error: what was raised there
    subject: what failed in the stage, such as a rule; empty for the stage itself
    """

    raw: bytes | str | Record | None
    stage: str
    error: BaseException
    subject: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """What went wrong, in a sentence or a few lines."""
        return f"{self.subject}: {self.error}" if self.subject else str(self.error) or type(self.error).__name__


class Rejected(Failure):
    """A raw message or record that cannot go on."""

    __slots__ = ()


class Report(Failure):
    """A failure beside a record that goes on."""

    __slots__ = ()


Reporter = Callable[[Report], None]

ERROR_TYPES = {
    "parse": "parser_error",
    "transform": "parser_error",
    "filter": "parser_error",
    "validate": "parser_error",
    "enrich": "enrichments_error",
    "threatIntel": "threatintel_error",
    "triage": "threatintel_error",
    "write": "indexing_error",
}


def error_document(failure: Failure, sensor: str, raw: Raw | None = None) -> Record:
    """The JSON document that tells of a failure, with Metron's fields, and `stage`, `origin` and `line` besides."""
    error = failure.error
    document: Record = {
        "guid": str(uuid.uuid4()),
        "source.type": "error",
        "error_type": ERROR_TYPES.get(failure.stage, "error"),
        "failed_sensor_type": sensor,
        "stage": failure.stage,
        "message": failure.reason,
    }
    if raw is not None and raw.origin is not None:
        document["origin"] = raw.origin
    if raw is not None and raw.line is not None:
        document["line"] = raw.line
    fields: tuple[str, ...] = ()
    if isinstance(error, Invalid):
        document["error_type"] = "parser_invalid"
        fields = error.fields
    else:
        document["exception"] = f"{_class_name(error)}: {error}"
        document["stack"] = "".join(traceback.format_exception(error))
    document["timestamp"] = now()
    document["hostname"] = hostname()
    content = raw.content if raw is not None else b""
    message = content if failure.raw is None else failure.raw
    try:
        document["raw_message"] = raw_text(message)
        document["error_hash"] = error_hash(message, fields)
    except ValueError:  # a record that has no text form: what it was made of has
        document["raw_message"] = raw_text(content)
        document["error_hash"] = error_hash(content)
    if fields:
        document["error_fields"] = ",".join(fields)
    return {**failure.metadata, **document}


def error_hash(raw: bytes | str | Record, fields: Sequence[str] = ()) -> str:
    """The SHA-256, in hex, by which equal failures are known.

    It is taken of the fields that are to blame, if there are any, else of the raw message.
    """
    if isinstance(raw, dict) and fields:
        content = "|".join(f"{name}-{to_text(raw.get(name))}" for name in fields).encode("utf-8", "replace")
    else:
        content = raw if isinstance(raw, bytes) else to_json_bytes(raw) if isinstance(raw, dict) else raw.encode()
    return hashlib.sha256(content).hexdigest()


def raw_text(raw: bytes | str | Record) -> str:
    """A raw message or record as text; bytes are read as UTF-8."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "replace")
    return to_json(raw) if isinstance(raw, dict) else raw


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def to_json(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON. What JSON has no form for gets the nearest: infinite and not-a-number become null,
    sets lists, bytes and other values their Stellar text.

    Raises ValueError for a record that holds itself.
    """
    try:
        return _plain.encode(record)
    except (ValueError, TypeError, RecursionError):  # rare: a number or key that JSON does not have
        try:
            return _plain.encode(_json_value(record))
        except RecursionError:
            raise ValueError("the record is nested too deep to be written as JSON") from None


def to_json_bytes(record: Mapping[str, Any]) -> bytes:
    """`to_json` as UTF-8. A lone surrogate, which UTF-8 has no form for, is written as its JSON escape."""
    return to_json(record).encode("utf-8", "backslashreplace")


def _json_default(value: object) -> object:
    return list(value) if isinstance(value, set | frozenset | tuple) else to_text(value)


_plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_json_default)


def _json_value(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {to_text(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(item) for item in value]
    return value


def now() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@cache
def hostname() -> str:
    """The name of this machine."""
    return socket.gethostname()

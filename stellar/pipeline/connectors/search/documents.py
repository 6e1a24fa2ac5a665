"""The form of documents in a search server: their index, identifier and type, and the names of their fields.

squid_index_2019.10.15.18    the index of Metron: the name, and the date by a pattern
source:type                  the field source.type, as Metron writes it
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from stellar.java.date_patterns import format_date
from stellar.java.timezones import DEFAULT, Zone
from stellar.language.conversions import to_string
from stellar.pipeline.records import Record, to_json_bytes
from stellar.util.abbreviate import quote
from stellar.util.guids import make_guid

DATE_PATTERN = "yyyy.MM.dd.HH"
TIMESTAMP = "@timestamp"  # of data streams
_VALID_NAME = re.compile(r"(?!\.{1,2}$)[^\x00-\x20A-Z\\/*?\"<>|,#:_+-][^\x00-\x20A-Z\\/*?\"<>|,#:]*")
_MAX_BYTES = 255
_MAX_ID_BYTES = 512
_encode_action = json.JSONEncoder(separators=(",", ":")).encode


class Writer(Protocol):
    """The settings of a writer for the documents of a sensor."""

    @property
    def index(self) -> str:
        """The name of the index, without its date; with `is_stream` the name of the data stream."""

    @property
    def is_stream(self) -> bool:
        """True for a data stream."""

    @property
    def batch_size(self) -> int:
        """The documents of a request."""

    @property
    def batch_seconds(self) -> float:
        """The time after which an incomplete batch is written."""

    @property
    def has_colons(self) -> bool:
        """True to replace dots in names of fields by colons."""

    @property
    def has_guid(self) -> bool:
        """True if the field `guid` is the identifier."""


@dataclass(slots=True)
class BulkItem:
    """A document in a request.

    sensor: its sensor, or `error`
    document: the document, for an error document
    id: its identifier
    index: the name of its index or data stream
    action, content: the two lines of the request, without their ends
    at: the time of its source in ms; None if that is unknown
    attempts: the number of requests that failed for this document only
    """

    sensor: str
    document: Record
    id: str
    index: str
    action: bytes
    content: bytes
    at: int | None = None
    attempts: int = 0

    @property
    def size(self) -> int:
        """The bytes of both lines."""
        return len(self.action) + len(self.content) + 2


@dataclass
class DocumentForm:
    """Makes the items of documents.

    find_writer: returns the settings for a sensor
    date_pattern: Java's pattern of the date in the names of indices
    has_types: True if each document needs a type
    get_time: returns the time of a document without one, in milliseconds since the epoch
    """

    find_writer: Callable[[str], Writer]
    date_pattern: str = DATE_PATTERN
    has_types: bool = False
    zone: Zone = DEFAULT
    get_time: Callable[[], int] = lambda: int(time.time() * 1000)
    _dates: dict[int, str] = field(default_factory=dict)

    def make(self, document: Record, id: str | None = None, at: int | None = None) -> BulkItem:
        """Return the item of a document. Raises ValueError if it cannot be stored.

        id: the identifier that the source has made; the same document is then stored once
        at: the time of the source, for the date of the index; None for the current time
        """
        sensor = _read_string(document, "source.type")
        if not sensor:
            raise ValueError("document has no source.type, which selects its index")
        writer = self.find_writer(sensor)
        # A random identifier, too, is made here, so that a request can be repeated without a second document
        guid = _read_string(document, "guid") if writer.has_guid and id is None else ""
        own, index = check_id(id or guid or make_guid()), self._name_index(writer, at)
        head = {"_index": index, "_id": own}
        if self.has_types:
            head["_type"] = f"{sensor}_doc"
        # Metron replaces the document with the same guid
        operation = "index" if guid and not writer.is_stream else "create"
        content = to_json_bytes(convert_names(document) if writer.has_colons else document)
        if writer.is_stream:
            content = _add_timestamp(content, document)
        action = _encode_action({operation: head}).encode()
        return BulkItem(sensor, document, own, index, action, content, at)

    def _name_index(self, writer: Writer, at: int | None) -> str:
        if writer.is_stream:
            return check_name(writer.index)
        seconds = (self.get_time() if at is None else at) // 1000
        date = self._dates.get(seconds)
        if date is None:
            if len(self._dates) >= _MAX_DATES:
                self._dates.clear()
            date = self._dates[seconds] = format_date(self.date_pattern, seconds * 1000, self.zone)
        return check_name(f"{writer.index}_index_{date}")


_MAX_DATES = 1000


def _read_string(document: Record, name: str) -> str:
    """Return the value of a field as a string; null and a missing field are the empty string."""
    value = document.get(name)
    return "" if value is None else to_string(value)


def convert_names(document: Record) -> Record:
    """Return a document with colons instead of dots in the names of its fields.

    Raises ValueError if two fields get the same name.
    """
    converted: Record = {}
    for name, value in document.items():
        new = to_string(name).replace(".", ":")
        if new in converted:
            raise ValueError(
                f"two fields have the name {quote(new)} in the index; rename one, or set fieldNameConverter to NOOP"
            )
        converted[new] = value
    return converted


def check_name(name: str) -> str:
    """Return the name of an index. Raises ValueError if no index can have it."""
    if not _VALID_NAME.fullmatch(name) or len(name.encode("utf-8", "replace")) > _MAX_BYTES:
        raise ValueError(
            f"invalid name of an index {quote(name)}: expected lowercase letters, digits, '.', '_' and '-', at most "
            f"{_MAX_BYTES} bytes; set index of the writer in the indexing configuration, and es.date.format"
        )
    return name


def check_id(id: str) -> str:
    """Return an identifier. Raises ValueError if it is too long."""
    if len(id.encode("utf-8", "backslashreplace")) > _MAX_ID_BYTES:
        raise ValueError(f"identifier {quote(id, 40)} is longer than {_MAX_ID_BYTES} bytes")
    return id


def _add_timestamp(content: bytes, document: Record) -> bytes:
    """Return the JSON of a document with the field that data streams require."""
    at = document.get("timestamp")
    if TIMESTAMP in document:
        return content
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise ValueError("document has no timestamp as a number, which a data stream needs")
    return b'{"%s":%d,' % (TIMESTAMP.encode(), at) + content[1:]

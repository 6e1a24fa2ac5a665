"""A search server as a target: batches of documents, which are repeated until the server has acknowledged them.

    document ──▶ batch of its sensor ──full or old──▶ bulk request ──▶ stored
                                             ▲             │ │
                                             └──back-off───┘ └──▶ at fault: an error document

While the server is away or busy, documents wait, and with them what reads the source. A document has its identifier
before it is sent for the first time. So one that is sent again, because the response was lost, is stored once.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stellar.language.conversions import to_string
from stellar.pipeline.connectors.directories import ERROR_TYPE
from stellar.pipeline.connectors.search.bulk import send_bulk
from stellar.pipeline.connectors.search.client import SearchClient, SearchFailure, SearchUnavailable
from stellar.pipeline.connectors.search.documents import BulkItem, DocumentForm
from stellar.pipeline.records import Record
from stellar.util.abbreviate import abbreviate

log = logging.getLogger(__name__)

Reject = Callable[[BulkItem, str], None]

_BYTES_AT_ONCE = 5 * 1024 * 1024
_DOCUMENTS_AT_ONCE = 2_000
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0
_SECONDS_BETWEEN_STAYS = 1.0
_ERROR_FIELDS = (
    "guid", "source.type", "error_type", "failed_sensor_type", "stage", "message", "raw_message", "error_hash",
    "timestamp", "hostname",
)  # fmt: skip
_SHOWN_CHARACTERS = 4096


def _end(item: BulkItem, reason: str) -> None:
    raise SearchFailure(f"a document is not stored: {reason}")


class _SensorBatch:
    """The documents of a sensor that were not sent yet.

    since: when the first one was added
    """

    def __init__(self, since: float) -> None:
        self.items: list[BulkItem] = []
        self.since = since


class SearchOutput:
    """Writes documents to a search server.

    reject: called with a document that the server does not accept, and the reason
    stay: called about every second while documents wait; it may raise OSError to end the wait
    """

    def __init__(
        self,
        client: SearchClient,
        form: DocumentForm,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._form = form
        self._clock = clock
        self._sleep = sleep
        self.reject: Reject = _end
        self.stay: Callable[[], None] = lambda: None
        self._batches: dict[str, _SensorBatch] = {}
        self._size = 0
        self._sent: list[BulkItem] = []  # and perhaps not stored
        self._shortened: set[str] = set()
        self._failure: SearchFailure | None = None
        self._is_away = False

    def __call__(self, document: Record) -> None:
        """Add a document. Raises ValueError if it cannot be stored, and OSError if no document can."""
        self.add(document)

    def add(self, document: Record, id: str | None = None, at: int | None = None) -> None:
        """Add a document, with the identifier and the time that its source has; see `DocumentForm.make`."""
        self._raise_failure()
        item = self._form.make(document, id, at)
        writer, now = self._form.find_writer(item.sensor), self._clock()
        batch = self._batches.get(item.sensor)
        if batch is None:
            batch = self._batches[item.sensor] = _SensorBatch(now)
        batch.items.append(item)
        self._size += item.size
        if self._size >= _BYTES_AT_ONCE:
            self.flush()
        elif len(batch.items) >= writer.batch_size or now - batch.since >= writer.batch_seconds:
            self._take(item.sensor)
            self._send()

    def flush(self) -> None:
        """Wait until all documents are acknowledged. Raises SearchFailure if the operator must act."""
        self._raise_failure()
        while self.has_pending:  # a rejected document may add an error document
            for sensor in list(self._batches):
                self._take(sensor)
            self._send()

    @property
    def has_pending(self) -> bool:
        """True if documents are not acknowledged yet."""
        return bool(self._batches or self._sent)

    def roll_back(self) -> None:
        """Discard the documents that are not acknowledged."""
        self._batches.clear()
        self._sent.clear()
        self._size = 0

    def close(self) -> None:
        """Close the connections. Documents that were not flushed are not stored."""
        self._client.close()

    def _take(self, sensor: str) -> None:
        """Move the batch of a sensor to the documents that are being sent."""
        self._sent += self._batches.pop(sensor).items
        self._size = sum(item.size for batch in self._batches.values() for item in batch.items)

    def _raise_failure(self) -> None:
        """Raise the failure that has ended the output, as documents that were sent then are not stored."""
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        """Send the documents that were taken, until all are acknowledged."""
        delay = _FIRST_DELAY
        while self._sent:
            chunk = _cut(self._sent)
            rest = self._sent[len(chunk) :]
            reason = self._send_chunk(chunk, rest)
            if reason is None:
                delay = _FIRST_DELAY
                continue
            self._note_unavailable(reason)
            self._wait(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _LONGEST_DELAY)

    def _send_chunk(self, chunk: list[BulkItem], rest: list[BulkItem]) -> str | None:
        """Send documents. Return None if all are stored or rejected, otherwise why some must be sent again."""
        with self._note_failure():
            try:
                result = send_bulk(self._client, chunk)
            except SearchUnavailable as error:
                return str(error)
        self._sent = result.repeat + rest  # before errors are written: an interrupt must not repeat them
        if not result.repeat:
            self._note_available()
        for item, reason in result.rejected:
            self._reject(item, reason)
        return f"{self._client.name} at {self._client.urls}: {result.reason}" if result.repeat else None

    @contextmanager
    def _note_failure(self) -> Iterator[None]:
        try:
            yield
        except SearchFailure as failure:
            self._failure = failure
            raise

    def _reject(self, item: BulkItem, reason: str) -> None:
        if item.sensor != ERROR_TYPE:
            self.reject(item, reason)
            return
        with self._note_failure():
            if item.id in self._shortened:
                raise SearchFailure(
                    f"the index {json.dumps(item.index)} accepts no error documents: {reason}; correct its mapping"
                )
        log.warning("an error document is stored without some of its fields: %s", reason)
        self._shortened.add(item.id)
        self.add(shorten_error(item.document), item.id, item.at)

    def _note_unavailable(self, reason: str) -> None:
        if not self._is_away:
            log.warning("%s; documents wait until it is available", reason)
        self._is_away = True

    def _note_available(self) -> None:
        if self._is_away:
            log.warning("%s at %s is available again", self._client.name, self._client.urls)
        self._is_away = False

    def _wait(self, seconds: float) -> None:
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, _SECONDS_BETWEEN_STAYS))
            self.stay()


def _cut(items: list[BulkItem]) -> list[BulkItem]:
    """Return the first documents, as many as one request may have."""
    size = 0
    for number, item in enumerate(items):
        size += item.size
        if number and (size > _BYTES_AT_ONCE or number >= _DOCUMENTS_AT_ONCE):
            return items[:number]
    return items[:]


def shorten_error(document: Record) -> Record:
    """Return an error document with few fields, and limited strings, which any mapping should accept."""
    return {
        name: value if name == "timestamp" else abbreviate(to_string(value), _SHOWN_CHARACTERS)
        for name in _ERROR_FIELDS
        if (value := document.get(name)) is not None
    }

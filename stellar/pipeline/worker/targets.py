"""The targets of a worker: topics, files and databases, acknowledged before offsets are committed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stellar.pipeline.connectors.directories import ERROR_TYPE
from stellar.pipeline.connectors.kafka.client import KafkaFailure, UnusableTopic
from stellar.pipeline.connectors.kafka.producer import MessageTooLarge, RejectedMessage, TopicWriter
from stellar.pipeline.connectors.kafka.values import to_topic_bytes
from stellar.pipeline.connectors.parquet import SUFFIX as PARQUET_SUFFIX
from stellar.pipeline.connectors.positions import RunState
from stellar.pipeline.connectors.search.documents import BulkItem
from stellar.pipeline.connectors.sinks import STANDARD_OUTPUT, Sink, Sinks, is_database, is_directory, is_search
from stellar.pipeline.records import Forward, Raw, Record, Rejected, TopicPosition
from stellar.pipeline.run import Counts, reject_stored
from stellar.pipeline.worker.document_ids import DocumentIds, MessageIds
from stellar.util.abbreviate import abbreviate, quote

log = logging.getLogger(__name__)

TOPIC_PREFIX = "topic:"
_SHOWN_CHARACTERS = (4096, 200)


def find_topic(target: str) -> str | None:
    """Return the topic of a target `topic:NAME`; None for another target."""
    return target.removeprefix(TOPIC_PREFIX) if target.startswith(TOPIC_PREFIX) else None


class Targets:
    """The targets of one worker.

    counts: the counts of the worker, corrected for messages that a broker rejects afterwards
    ids: makes reproducible identifiers; None if only those of messages are passed on
    """

    def __init__(self, sinks: Sinks, counts: Counts, ids: DocumentIds | None = None) -> None:
        self._ids = ids
        self._sinks = sinks
        self._counts = counts
        self._writer: TopicWriter | None = None
        self._errors: Sink | None = None
        self._state = RunState("")
        self._position: TopicPosition | None = None
        self._message: MessageIds | None = None

    def begin(self, position: TopicPosition) -> None:
        """Set the message whose documents are written from now on."""
        self._position = position
        if position.document_id is not None:
            self._message = MessageIds((position.document_id,))
        else:
            self._message = None if self._ids is None else self._ids.of(position)

    def finish_record(self) -> None:
        """Continue with the next record of the message."""
        if self._message is not None:
            self._message.finish_record()

    def use_topics(self, writer: TopicWriter) -> None:
        """Set the client that writes to topics."""
        self._writer = writer

    def open(self, target: str, table: str, choose: Callable[[Record], str]) -> Sink:
        """Return the sink for a target; a file is continued. Raises OSError or ValueError if it cannot be used."""
        topic = find_topic(target)
        if topic is not None:
            self.writer.check_topic(topic)
            return lambda document: self.write(topic, document)
        if is_search(target):
            return self._open_search(target)
        if target.endswith(PARQUET_SUFFIX):
            raise ValueError(f"a Parquet file cannot be continued; write {quote(target)} as JSON lines or SQLite")
        if target != STANDARD_OUTPUT and not is_database(target) and not is_directory(target):
            self._sinks.resume({str(Path(target).resolve()): _measure_lines(Path(target))})
        return self._sinks.open(target, table, choose)

    def _open_search(self, target: str) -> Sink:
        output = self._sinks.open_search(target)
        output.reject = self.reject_document

        def write(document: Record) -> None:
            id = self._identify(document)
            # The date of the index is then the same when the message is read again
            output.add(document, id, None if id is None or self._position is None else self._position.time)

        return write

    def open_errors(self, default: str, targets: Mapping[str, str], choose: Callable[[Record], str]) -> Sink:
        """Return the sink for error documents.

        default: the target
        targets: the targets of single sensors
        """
        opened = {name: self.open(name, "errors", choose) for name in {default, *targets.values()}}
        sinks = {sensor: opened[name] for sensor, name in targets.items()}

        def write(document: Record) -> None:
            sinks.get(document["failed_sensor_type"], opened[default])(document)

        self._errors = write
        return write

    def observe_errors(self, observe: Callable[[Sink], Sink]) -> Sink:
        """Replace the sink for error documents by one that observes them, and return it."""
        if self._errors is None:
            raise RuntimeError("no sink for error documents; call open_errors first")
        self._errors = observe(self._errors)
        return self._errors

    @property
    def writer(self) -> TopicWriter:
        if self._writer is None:
            raise ValueError("no Kafka brokers configured; pass --kafka HOST:PORT,...")
        return self._writer

    def write(self, topic: str, document: Record) -> None:
        """Write a document to a topic. Raises ValueError if that is impossible for this document, otherwise OSError."""
        position, id = self._position, self._identify(document)
        try:
            self.writer.write(topic, to_topic_bytes(document), position, id)
        except MessageTooLarge:
            if document.get("source.type") != ERROR_TYPE:
                raise
            self._write_shortened(topic, document)

    def _identify(self, document: Record) -> str | None:
        """Return the identifier of a document; that of an error document becomes its guid, too."""
        if self._message is None:
            return None
        if document.get("source.type") != ERROR_TYPE:
            return self._message.name_record()
        document["guid"] = id = self._message.name_error()
        return id

    def _write_shortened(self, topic: str, document: Record) -> None:
        """Write an error document without most of its message, which is too large for the topic."""
        for most in _SHOWN_CHARACTERS:
            with suppress(MessageTooLarge):
                self.writer.write(topic, to_topic_bytes(_shorten(document, most)))
                return
        raise KafkaFailure(f"the topic {quote(topic)} is too small for error documents; increase its max.message.bytes")

    def forward(self, outcome: Forward, raw: Raw) -> Rejected | None:
        """Write a record to the topic that it names. Return the reason if that is impossible for this record."""
        try:
            self.writer.require_topic(outcome.topic)
            self.write(outcome.topic, outcome.record)
        except UnusableTopic as error:
            return Rejected(raw.content, "route", ValueError(f"{error}, or correct the record's field with its name"))
        except ValueError as error:
            return Rejected(raw.content, "route", error)
        return None

    def reject(self, rejected: RejectedMessage) -> None:
        """Write an error document for a message that a broker has rejected; its identifier follows from that one."""
        record = json.loads(rejected.value)
        if record.get("source.type") == ERROR_TYPE:
            log.warning("an error document was not stored: %s", rejected.reason)
            return
        position = rejected.position
        with self._return_to(position, None if position.document_id is None else MessageIds((position.document_id,))):
            self._reject(record, rejected.reason)

    def reject_document(self, item: BulkItem, reason: str) -> None:
        """Write an error document for one that a search server has rejected; its identifier follows from that one."""
        position = None if self._position is None else self._position._replace(time=item.at)
        with self._return_to(position, None if self._message is None else MessageIds((item.id,))):
            self._reject(item.document, reason)

    def _reject(self, document: Record, reason: str) -> None:
        if self._errors is None:
            raise RuntimeError("no sink for error documents; call open_errors first")
        reject_stored(self._counts, self._errors, document, reason)

    @contextmanager
    def _return_to(self, position: TopicPosition | None, message: MessageIds | None) -> Iterator[None]:
        """Write documents of an earlier message, while another one is current."""
        before = self._position, self._message
        self._position, self._message = position, message
        try:
            yield
        finally:
            self._position, self._message = before

    def acknowledge(self) -> None:
        """Wait until all documents so far are stored. Raises OSError."""
        self._sinks.save(self._state)
        if self._writer is not None:
            self._writer.flush()


def _shorten(document: Record, most: int) -> Record:
    """Return a document with strings of limited length."""
    return {name: abbreviate(value, most) if isinstance(value, str) else value for name, value in document.items()}


def _measure_lines(path: Path) -> int:
    """Return the length of the complete lines of a file; the last line may lack its end after a crash."""
    if not path.is_file():
        return 0
    content = path.stat().st_size
    with path.open("rb") as file:
        end = content
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0

"""A run in several processes: one reads and writes, the others run the pipeline.

    source ─► blocks of lines ─► process: parser … triage, JSON ─► documents as bytes ─► sinks
                                 process: …                        in the order of the input

A block is a batch of the source. Its documents come back encoded for their sinks, in their order, so that they are only
appended. Then the batch is committed as in a run in one process, with the same positions. So a process that ends stops
the run at a block of which nothing was written.

A message is a line of JSON, and then the lines of the block, or the documents: nothing is decoded twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from itertools import chain
from typing import Any, Protocol

from stellar.java.match_timer import match_timer
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.sinks import Encoding, Sink
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, Rejected, make_error_document
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.run import Counts, DeliveryLoop, run_batches
from stellar.pipeline.warnings_relay import RelayedWarning, WarningCollector, WarningRelay
from stellar.util.workers import Workers

_RECORDS, _ERRORS = 0, 1  # the sinks


class Services(Protocol):
    """The services of a pipeline in one process."""

    def open(self, stack: ExitStack) -> None:
        """Connect the pipeline; the stack closes all connections. Raises OSError or ValueError."""

    def summarize(self) -> Any:
        """Return what the parent gets for JSON, after the services were closed."""


@dataclass(frozen=True)
class Encoded:
    """Documents that were encoded for a sink.

    sink: records or errors
    line: the index of their line in the block
    content: the bytes of one document, or of several ones if the sink can join them
    """

    sink: int
    line: int
    content: bytes


@dataclass
class BlockResult:
    """The results of a block: its documents in their order, counts and warnings."""

    counts: Counts
    documents: Sequence[Encoded]
    warnings: Sequence[RelayedWarning]

    def encode(self) -> bytes:
        """Return the result as a message."""
        lengths = [(each.sink, each.line, len(each.content)) for each in self.documents]
        header = json.dumps((astuple(self.counts), lengths, self.warnings), separators=(",", ":"))
        return b"".join((header.encode(), b"\n", *(each.content for each in self.documents)))

    @classmethod
    def decode(cls, message: bytes) -> BlockResult:
        """Return the result of a message."""
        at = message.index(b"\n") + 1
        counts, lengths, warnings = json.loads(message[:at])
        documents = []
        for sink, line, length in lengths:
            documents.append(Encoded(sink, line, message[at : at + length]))
            at += length
        return cls(Counts(*counts), documents, warnings)


def encode_block(batch: LineBatch) -> bytes | None:
    """Return the lines of a batch as a message; None for a batch that shows that the source has no more for now."""
    if not batch.lines and batch.failure is None and batch.source is None:
        return None
    header = json.dumps((batch.origin, batch.first, len(batch.lines)))
    return b"\n".join((header.encode(), *batch.lines))


def _decode_block(message: bytes) -> LineBatch:
    header, _, content = message.partition(b"\n")
    origin, first, count = json.loads(header)
    return LineBatch(origin, first, content.split(b"\n") if count else [])


# -- In the processes -------------------------------------------------------------------------------------------------


@dataclass
class _Collector:
    """Encodes the documents of a block for their sinks.

    counts: the counts of the block so far, which show the line that is being processed
    """

    encodings: Sequence[Encoding]
    counts: Counts
    documents: list[Encoded] = field(default_factory=list)
    _joined: list[bytes] = field(default_factory=list)
    _sink: int = _RECORDS

    def add_record(self, document: Record) -> None:
        self._add(_RECORDS, document)

    def add_error(self, document: Record) -> None:
        self._add(_ERRORS, document)

    def _add(self, sink: int, document: Record) -> None:
        content = self.encodings[sink].encode(document)
        if sink != self._sink:
            self.flush()
            self._sink = sink
        self._joined.append(content)
        if not self.encodings[sink].joins:
            self.flush()

    def flush(self) -> None:
        """Add the documents that were joined so far."""
        if self._joined:
            self.documents.append(Encoded(self._sink, self.counts.read - 1, b"".join(self._joined)))
            self._joined.clear()


@dataclass
class BlockWork:
    """Runs a pipeline on blocks of lines in a process of its own; see Workers.

    encodings: the forms for the sinks of records and errors
    observe_errors: returns a sink that also observes the error documents
    """

    pipeline: Pipeline | PipelineGroup
    encodings: Sequence[Encoding]
    services: Services
    in_flight: int | None = None
    topic: str | None = None
    observe_errors: Callable[[Sink], Sink] = lambda sink: sink

    def __post_init__(self) -> None:
        self._warnings = WarningCollector()
        self._warnings.install()
        self._stack = ExitStack()
        self._stack.enter_context(match_timer())
        self.services.open(self._stack)

    def do(self, message: bytes) -> bytes:
        """Return the BlockResult of a block."""
        counts = Counts()
        collector = _Collector(self.encodings, counts)
        blocks = (_decode_block(message),)
        errors = self.observe_errors(collector.add_error)
        run_batches(self.pipeline, blocks, collector.add_record, errors, counts, self.in_flight, self.topic)
        collector.flush()
        return BlockResult(counts, collector.documents, self._warnings.take()).encode()

    def finish(self) -> bytes:
        """Close the services. Return their summary, and the last warnings."""
        self._stack.close()
        return json.dumps((self.services.summarize(), self._warnings.take())).encode()


# -- In the parent ----------------------------------------------------------------------------------------------------


def run_in_workers(
    workers: Workers,
    pipeline: Pipeline | PipelineGroup,
    batches: Iterable[LineBatch],
    sink: Sink,
    errors: Sink,
    counts: Counts,
    topic: str | None = None,
    commit: Callable[[LineBatch], None] = lambda batch: None,
) -> list[Any]:
    """Process batches of lines in processes with a BlockWork each, as `run_batches` does in this one.

    pipeline: that of the processes; here it only names the sensor of failures to read or to write

    Return the summaries of the services. Raises WorkerEnded if a process has ended, after the blocks before were
    written.
    """
    writer = _BlockWriter(pipeline, sink, errors, counts, topic)
    for batch, message in workers.process(batches, encode_block):
        if message is not None:
            writer.write(batch, BlockResult.decode(message))
        commit(batch)
    summaries, warnings = zip(*map(json.loads, workers.finish()), strict=True)
    writer.relay.log(chain.from_iterable(warnings))
    return list(summaries)


class _BlockWriter:
    """Writes the documents of blocks, and counts them."""

    def __init__(
        self, pipeline: Pipeline | PipelineGroup, sink: Sink, errors: Sink, counts: Counts, topic: str | None
    ) -> None:
        self._sensor = pipeline.sensor
        self._errors = errors
        self._counts = counts
        self._topic = topic
        self._write = [_find_write(sink), _find_write(errors)]
        self._loop = DeliveryLoop(pipeline, sink, errors, counts)
        self.relay = WarningRelay()

    def write(self, batch: LineBatch, result: BlockResult) -> None:
        """Write the documents of a block, and an error document for unreadable content after it."""
        self.relay.log(result.warnings)
        for document in result.documents:
            self._write_document(document, batch, result.counts)
        self._counts.add(result.counts)
        if (failed := batch.make_failure(self._topic)) is not None:
            self._loop.deliver(failed, self._loop.pipeline.processed(failed))

    def _write_document(self, document: Encoded, batch: LineBatch, counts: Counts) -> None:
        try:
            self._write[document.sink](document.content)
        except ValueError as error:  # such as a directory that cannot be created
            if document.sink == _ERRORS:
                raise
            raw = Raw(batch.lines[document.line], batch.origin, batch.first + document.line, topic=self._topic)
            self._errors(make_error_document(Rejected(raw.content, "write", error), self._sensor, raw))
            counts.out -= 1
            counts.rejected += 1


def _find_write(sink: Any) -> Callable[[bytes], None]:
    """Return the method for encoded documents; a sink without one takes JSON objects."""
    write: Callable[[bytes], None] | None = getattr(sink, "write", None)
    return (lambda content: sink(json.loads(content))) if write is None else write

"""The loop from a source to the sinks, with counts of the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from stellar.language.conversions import to_string
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.live import LivePipeline
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext
from stellar.pipeline.pipeline import MessageProcessor
from stellar.pipeline.records import (
    Drop,
    Failure,
    Forward,
    Outcome,
    Raw,
    Record,
    Rejected,
    Report,
    make_error_document,
)
from stellar.pipeline.routing import unread_topic
from stellar.util.windowed import IN_FLIGHT, check_in_flight, in_order


@dataclass
class Counts:
    """Counts of a run. `parsed == out + dropped + rejected` holds at any time.

    read: raw messages
    parsed: records and unreadable messages that the parser returned
    out: records written to the sink
    dropped: records removed by a filter
    rejected: records and messages for which an error document was written instead
    reports: error documents of failures that did not stop the record
    """

    read: int = 0
    parsed: int = 0
    out: int = 0
    dropped: int = 0
    rejected: int = 0
    reports: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of a section of the run."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)

    def __str__(self) -> str:
        return (
            f"{self.read:,} lines read, {self.parsed:,} parsed = "
            f"{self.out:,} out + {self.dropped:,} dropped + {self.rejected:,} rejected; {self.reports:,} reports"
        )


def run_pipeline(
    pipeline: MessageProcessor,
    source: Iterable[Raw],
    sink: Callable[[Record], None],
    errors: Callable[[Record], None],
    counts: Counts | None = None,
    in_flight: int | None = None,
) -> Counts:
    """Process all raw messages of a source, and return the counts.

    sink: receives the finished records
    errors: receives an error document for each failure
    counts: updated during the run, for progress displays
    in_flight: raw messages processed concurrently; by default 64 if expressions call models, which is mostly waiting,
        otherwise 1. Both sinks are called in the order of the source, from the calling thread.

    Raises OSError if a sink cannot store a document; no other failure stops the loop.
    """
    counts = counts or Counts()
    loop = DeliveryLoop(pipeline, sink, errors, counts)
    loop.run(source, in_flight)
    return counts


def run_batches(
    pipeline: MessageProcessor,
    batches: Iterable[LineBatch],
    sink: Callable[[Record], None],
    errors: Callable[[Record], None],
    counts: Counts,
    in_flight: int | None = None,
    topic: str | None = None,
    commit: Callable[[LineBatch], None] = lambda batch: None,
) -> None:
    """Process batches of lines, as `run_pipeline` does.

    topic: the topic of the lines; None for that of the first sensor
    commit: called after a batch when all its documents have been passed to the sinks, and none of later batches

    Raises OSError if a sink cannot store a document.
    """
    loop = DeliveryLoop(pipeline, sink, errors, counts, commit)
    loop.run(_flatten(batches, topic), in_flight)


def _flatten(batches: Iterable[LineBatch], topic: str | None) -> Iterable[Raw | LineBatch]:
    """Return the messages of each batch, and then the batch."""
    return chain.from_iterable(chain(batch.messages(topic), (batch,)) for batch in batches)


def _until_replaced(
    group: MessageProcessor, pipeline: LivePipeline[Any], first: list[Any], others: Iterator[Any]
) -> Iterator[Any]:
    """Yield items until another group is current.

    first: holds the first item; afterwards the one that another group must process, if there is one
    """
    yield first.pop()
    for item in others:
        if pipeline.current is not group:
            first.append(item)
            return
        yield item


_Processed = tuple[Any, Iterable[tuple[Outcome, list[Report]]]]


@dataclass(frozen=True)
class DeliveryLoop:
    """The loop over messages, and its targets.

    commit: called with each item that is not a message, when the outcomes of all earlier messages were delivered
    """

    pipeline: MessageProcessor
    sink: Callable[[Record], None]
    errors: Callable[[Record], None]
    counts: Counts
    commit: Callable[[Any], None] = lambda item: None

    def run(self, items: Iterable[Any], in_flight: int | None) -> None:
        """Process all items, of which up to `in_flight` are processed concurrently. Raises OSError.

        in_flight: None for 64 if expressions call models, otherwise 1
        """
        if not isinstance(self.pipeline, LivePipeline):
            self._run(items, in_flight)
            return
        source = iter(items)
        for item in source:
            first = [item]
            while first:  # anew for each new group, which may call models when the old one did not
                group = self.pipeline.current
                replace(self, pipeline=group)._run(_until_replaced(group, self.pipeline, first, source), in_flight)

    def _run(self, items: Iterable[Any], in_flight: int | None) -> None:
        if in_flight is None:
            in_flight = IN_FLIGHT if self.pipeline.calls_models else 1
        if check_in_flight(in_flight) == 1:
            self._run_one_by_one(items)
            return
        with closing(in_order(self._work, items, in_flight, blocks=self.pipeline.blocks)) as results:
            for item, processed in results:
                self._finish(item, processed)

    def _run_one_by_one(self, items: Iterable[Any]) -> None:
        """Process messages in the calling thread, with one record context for all of them."""
        context, counts, sink = RecordContext(), self.counts, self.sink
        process = self.pipeline.make_processor(context)
        before = RECORD_CONTEXT.set(context)
        try:
            for item in items:
                if item.__class__ is not Raw:
                    self.commit(item)
                    continue
                result = process(item)
                if result.__class__ is dict and not context.reports:
                    # What `deliver` does for the only record of a message, without its calls
                    counts.read += 1
                    try:
                        sink(result)
                    except ValueError as error:
                        self._deliver_one(Rejected(item.content, "write", error), item)
                    else:
                        counts.parsed += 1
                        counts.out += 1
                    continue
                if result.__class__ is not dict and isinstance(result, Iterator):
                    self.deliver(item, result)
                    continue
                reports, context.reports = context.reports, []
                self.deliver(item, ((result, reports),))
        finally:
            RECORD_CONTEXT.reset(before)

    def _work(self, item: Any) -> _Processed:
        """Process a message completely before its outcomes are delivered, because others are processed concurrently."""
        return item, list(self.pipeline.processed(item)) if isinstance(item, Raw) else ()

    def _finish(self, item: Any, processed: Iterable[tuple[Outcome, list[Report]]]) -> None:
        """Deliver a message that was processed while others were, or commit another item. Raises OSError."""
        if isinstance(item, Raw):
            self.deliver(item, processed)
        else:
            self.commit(item)

    def deliver(self, raw: Raw, processed: Iterable[tuple[Outcome, list[Report]]]) -> None:
        """Pass the outcomes of a message to the targets, and count them. Raises OSError."""
        self.counts.read += 1
        for outcome, reports in processed:
            self._deliver_one(outcome, raw)
            if reports:
                self._report(reports, raw)

    def _report(self, reports: list[Report], raw: Raw) -> None:
        for report in reports:
            self._write_error(report, raw)
        self.counts.reports += len(reports)

    def _deliver_one(self, outcome: Outcome, raw: Raw) -> None:
        counts = self.counts
        counts.parsed += 1
        if isinstance(outcome, dict):
            try:
                self.sink(outcome)
            except ValueError as error:  # the record cannot be written as JSON
                outcome = Rejected(raw.content, "write", error)
            else:
                counts.out += 1
                return
        if isinstance(outcome, Forward):
            rejected = self.forward(outcome, raw)
            if rejected is None:
                counts.out += 1
                return
            outcome = rejected
        if isinstance(outcome, Drop):
            counts.dropped += 1
        else:
            self._write_error(outcome, raw)
            counts.rejected += 1

    def forward(self, outcome: Forward, raw: Raw) -> Rejected | None:
        """Pass a record on to a topic that no pipeline of this process reads. Return the reason if that fails."""
        return Rejected(raw.content, "route", unread_topic(outcome.topic))

    def _write_error(self, failure: Failure, raw: Raw) -> None:
        self.errors(make_error_document(failure, self.pipeline.sensor, raw))


def reject_stored(counts: Counts, errors: Callable[[Record], None], document: Record, reason: str) -> None:
    """Write an error document for one that was counted as written, but that its target has rejected afterwards."""
    counts.out -= 1
    counts.rejected += 1
    errors(make_error_document(Failure(document, "write", ValueError(reason)), to_string(document.get("source.type"))))


run = run_pipeline  # the name in this module that existing programs import

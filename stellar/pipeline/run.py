"""The loop from a source to the sinks, with counts of the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from stellar.pipeline.pipeline import Outcome, Pipeline
from stellar.pipeline.records import Drop, Failure, Forward, Raw, Record, Rejected, Report, make_error_document
from stellar.pipeline.routing import PipelineGroup, unread_topic
from stellar.util.windowed import IN_FLIGHT, in_order


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

    def __str__(self) -> str:
        return (
            f"{self.read:,} lines read, {self.parsed:,} parsed = "
            f"{self.out:,} out + {self.dropped:,} dropped + {self.rejected:,} rejected; {self.reports:,} reports"
        )


def run_pipeline(
    pipeline: Pipeline | PipelineGroup,
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
    if in_flight is None:
        in_flight = IN_FLIGHT if pipeline.calls_models else 1

    def write_error(failure: Failure, raw: Raw) -> None:
        errors(make_error_document(failure, pipeline.sensor, raw))

    def work(raw: Raw) -> tuple[Raw, Iterable[tuple[Outcome, list[Report]]]]:
        processed = pipeline.processed(raw)
        return raw, processed if in_flight == 1 else list(processed)

    with closing(in_order(work, source, in_flight, blocks=pipeline.blocks)) as results:
        for raw, processed in results:
            counts.read += 1
            for outcome, reports in processed:
                _deliver(outcome, raw, sink, write_error, counts)
                for report in reports:
                    write_error(report, raw)
                counts.reports += len(reports)
    return counts


run = run_pipeline  # the name in this module that existing programs import


def _deliver(
    outcome: Outcome,
    raw: Raw,
    sink: Callable[[Record], None],
    write_error: Callable[[Failure, Raw], None],
    counts: Counts,
) -> None:
    counts.parsed += 1
    if isinstance(outcome, dict):
        try:
            sink(outcome)
        except ValueError as error:  # the record cannot be written as JSON
            outcome = Rejected(raw.content, "write", error)
        else:
            counts.out += 1
            return
    if isinstance(outcome, Forward):
        outcome = Rejected(raw.content, "route", unread_topic(outcome.topic))
    if isinstance(outcome, Drop):
        counts.dropped += 1
    else:
        write_error(outcome, raw)
        counts.rejected += 1

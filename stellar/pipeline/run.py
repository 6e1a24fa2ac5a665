"""The loop from a source to the sinks, and what it counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from stellar.pipeline.pipeline import Outcome, Pipeline
from stellar.pipeline.records import Drop, Failure, Raw, Record, Rejected, Report, error_document
from stellar.util.windowed import IN_FLIGHT, in_order


@dataclass
class Counts:
    """What became of everything; `parsed == out + dropped + rejected` at any time.

    read: raw messages
    parsed: what was found in them: records, and parts or messages that could not be read
    out: records that reached the end
    dropped: records that a filter left out
    rejected: what went to the error sink in place of the record
    reports: what went to the error sink while its record went on
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


def run(
    pipeline: Pipeline,
    source: Iterable[Raw],
    sink: Callable[[Record], None],
    errors: Callable[[Record], None],
    counts: Counts | None = None,
    in_flight: int | None = None,
) -> Counts:
    """Send every raw message through a pipeline: records to the sink, documents of what went wrong to `errors`.

    counts: kept up to date on the way, for whoever wants to watch
    in_flight: how many raw messages are worked on at once; by default 64 where expressions ask models, which is
        waiting for the most part, else 1. Everything comes out in the order in which it came in, from this thread.

    Raises OSError when a sink cannot store what it is given; nothing else stops the loop.
    """
    counts = counts or Counts()
    if in_flight is None:
        in_flight = IN_FLIGHT if pipeline.asks_models else 1

    def tell(failure: Failure, raw: Raw) -> None:
        errors(error_document(failure, pipeline.sensor, raw))

    def work(raw: Raw) -> tuple[Raw, Iterable[tuple[Outcome, list[Report]]]]:
        processed = pipeline.processed(raw)
        return raw, processed if in_flight == 1 else list(processed)

    with closing(in_order(work, source, in_flight, blocks=pipeline.blocks)) as results:
        for raw, processed in results:
            counts.read += 1
            for outcome, reports in processed:
                _deliver(outcome, raw, sink, tell, counts)
                for report in reports:
                    tell(report, raw)
                counts.reports += len(reports)
    return counts


def _deliver(
    outcome: Outcome, raw: Raw, sink: Callable[[Record], None], tell: Callable[[Failure, Raw], None], counts: Counts
) -> None:
    counts.parsed += 1
    if isinstance(outcome, dict):
        try:
            sink(outcome)
        except ValueError as error:  # it has no JSON form
            outcome = Rejected(raw.content, "write", error)
        else:
            counts.out += 1
            return
    if isinstance(outcome, Drop):
        counts.dropped += 1
    else:
        tell(outcome, raw)
        counts.rejected += 1

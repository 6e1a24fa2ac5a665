"""The processing of raw messages one after the other, without objects and generators for each message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from stellar.pipeline.models import RecordContext
from stellar.pipeline.parsers import Unreadable
from stellar.pipeline.records import Outcome, Processor, Raw, Record, Rejected, Report, RunStages, reject_message

if TYPE_CHECKING:
    from stellar.pipeline.pipeline import Pipeline


def make_processor(pipeline: Pipeline, run_stages: RunStages, context: RecordContext) -> Processor:
    """Return the function of `Pipeline.make_processor`."""
    strategy = pipeline.strategy
    parse, charset = pipeline.parser, pipeline.charset
    codec = None if charset.table or charset.marks else charset.codec  # its own method decodes the others
    has_metadata = strategy.is_read or strategy.message_field is not None
    no_metadata: Record = {}

    def process(raw: Raw) -> Outcome | Iterator[tuple[Outcome, list[Report]]]:
        if raw[5] is not None:  # the error: by position, as names take longer
            return Rejected(raw.content, "read", raw[5])
        content, metadata = raw[0], no_metadata
        if has_metadata:
            try:
                content, metadata = strategy.extract(raw)
            except ValueError as error:
                return Rejected(raw.content, "parse", error)
            context.metadata = strategy.select_variables(metadata)
        text = charset.decode(content) if codec is None else content.decode(codec, "replace")
        try:
            parsed = parse(text)
        except Exception as error:  # noqa: BLE001 (a message that fails must not stop the others)
            return reject_message(content, error, metadata)
        if parsed.__class__ is tuple and len(parsed) == 1 and (record := parsed[0]).__class__ is dict:
            if context.model_failures:
                context.model_failures = []
            return run_stages(record, raw, text, metadata)
        if parsed.__class__ is tuple and len(parsed) == 1 and parsed[0].__class__ is Unreadable:
            return Rejected(parsed[0].text, "parse", parsed[0].error, metadata=metadata)
        return process_all(parsed, raw, content, text, metadata)

    def process_all(
        parsed: Iterable[Record | Unreadable], raw: Raw, content: bytes, text: str, metadata: Record
    ) -> Iterator[tuple[Outcome, list[Report]]]:
        try:
            for each in parsed:
                if isinstance(each, Unreadable):
                    yield Rejected(each.text, "parse", each.error, metadata=metadata), []
                    continue
                context.model_failures = []
                outcome = run_stages(each, raw, text, metadata)
                reports, context.reports = context.reports, []
                yield outcome, reports
        except Exception as error:  # noqa: BLE001 (as above)
            yield reject_message(content, error, metadata), []

    return process

"""Pipelines of records that were parsed before: each message is JSON, and names its sensor in `source.type`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stellar.language.conversions import to_string
from stellar.pipeline.config.schema import WriterConfig
from stellar.pipeline.models import RecordContext
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Drop, Outcome, Processor, Raw, Record, Rejected, Report
from stellar.pipeline.routing import TopicPattern
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.maas import ModelClient, Registry

SOURCE_TYPE = "source.type"
_Processed = tuple[Outcome, list[Report]]


def read_record(content: bytes) -> Record:
    """Return the record in a message. Raises ValueError if it is not a JSON object."""
    try:
        record = json.loads(content)
    except RecursionError:
        raise ValueError("message is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"message is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {quote(record, 60)}")
    return record


class EnrichmentGroup:
    """The enrichment, threat intelligence and triage of all sensors; a record passes those of its sensor.

    pipelines: the pipelines by sensor
    default: the pipeline of records of other sensors and of none, whose configuration is empty
    """

    def __init__(self, pipelines: Mapping[str, Pipeline], default: Pipeline) -> None:
        self._pipelines = dict(pipelines)
        self._default = default
        self.sensor = "enrichments"

    @property
    def members(self) -> tuple[tuple[TopicPattern, Pipeline], ...]:
        """The pipelines, as those of a PipelineGroup."""
        return tuple((TopicPattern(sensor), each) for sensor, each in self._pipelines.items())

    @property
    def calls_models(self) -> bool:
        """True if an expression of any sensor calls models."""
        return any(each.calls_models for each in self._pipelines.values())

    @property
    def blocks(self) -> bool:
        """True if any pipeline may block its thread other than in model calls."""
        return any(each.blocks for each in self._pipelines.values())

    def use_models(self, registry: Registry, client: ModelClient) -> None:
        """Set the registry and the client for the model calls of all sensors."""
        for each in self._pipelines.values():
            each.use_models(registry, client)

    def make_processor(self, context: RecordContext) -> Processor:
        """Return `processed`, as each pipeline makes its own context."""
        return self.processed

    def processed(self, raw: Raw) -> Iterator[_Processed]:
        """Yield the outcome for the record in a message, with the failures that were reported for it."""
        try:
            record = _extract(raw)
        except ValueError as error:
            yield Rejected(raw.content, "enrich", error), []
            return
        sensor = to_string(record.get(SOURCE_TYPE, ""))
        pipeline = self._pipelines.get(sensor, self._default)
        outcome, reports = pipeline.process_record(record, raw, "", {})
        yield _name(outcome, sensor), [_name(report, sensor) for report in reports]


class IndexingGroup:
    """The last phase: documents pass to their target as they are, unless their writer is disabled.

    read_writer: returns the settings of the writer for a sensor
    """

    calls_models = False
    blocks = False
    members: tuple[tuple[TopicPattern, Pipeline], ...] = ()

    def __init__(self, read_writer: Callable[[str], WriterConfig]) -> None:
        self._read_writer = read_writer
        self.sensor = "indexing"

    def use_models(self, registry: Registry, client: ModelClient) -> None:
        """Do nothing, as no expression calls models."""

    def make_processor(self, context: RecordContext) -> Processor:
        """Return `processed`, as no expression needs the context."""
        return self.processed

    def processed(self, raw: Raw) -> Iterator[_Processed]:
        """Yield the document in a message, or Drop, or its rejection."""
        try:
            document = _extract(raw)
            sensor = document.get(SOURCE_TYPE)
            if not isinstance(sensor, str) or not sensor:
                raise ValueError(f"Sensor type is not specified for message {raw.content.decode('utf-8', 'replace')}")
        except ValueError as error:
            yield Rejected(raw.content, "write", error), []
            return
        yield document if self._read_writer(sensor).enabled else Drop(), []


def _extract(raw: Raw) -> Record:
    if raw.error is not None:
        raise raw.error
    return read_record(raw.content)


def _name(outcome: Any, sensor: str) -> Any:
    """Return a failure with its sensor."""
    return replace(outcome, sensor=sensor) if isinstance(outcome, Rejected | Report) and sensor else outcome

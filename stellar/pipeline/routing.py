"""Routing of parsed records: to the enrichment, or by topic to the parser of another sensor in the same process.

    lines ─► parser of the first sensor ─► route ─► enrichment of that sensor ─► sink
                                             │
                                             └─ topic ─► parser of the sensor that reads it ─► route ─► …

A record that is passed on is a raw message again, as in Kafka: its JSON is the content, and the topic is metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from stellar.java.regex import TIMEOUT_MS, InvalidPattern, compile_pattern, is_full_match
from stellar.language.conversions import to_string
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.models import RecordContext
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Drop, Forward, Outcome, Processor, Raw, Record, Rejected, Report, to_json_bytes
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.maas import ModelClient, Registry
    from stellar.pipeline.config.schema import ParserConfig

log = logging.getLogger(__name__)

ENRICHMENTS = "enrichments"
TOPIC_FIELD, TOPIC = "kafka.topicField", "kafka.topic"
# Parsers that pass on to each other forever end here
MOST_HOPS = 16


@dataclass(frozen=True)
class TopicPattern:
    """The topics that a sensor reads: one name, or a regular expression between slashes."""

    text: str
    pattern: Any = field(default=None, compare=False)  # equal expressions are compiled to unequal objects

    def matches(self, topic: str) -> bool:
        """Return True if a topic is read. One for which the pattern takes too long is not read, with a warning."""
        if self.pattern is None:
            return topic == self.text
        try:
            return is_full_match(self.pattern, topic)
        except TimeoutError:
            log.warning(
                "sensorTopic %s took longer than %s ms for %s; simplify it", self.text, TIMEOUT_MS, quote(topic)
            )
            return False


def read_topic_pattern(config: SensorConfig) -> TopicPattern:
    """Return the topics that a sensor reads. Raises ConfigError for an invalid regular expression."""
    text = config.parser.sensor_topic or config.sensor
    if len(text) < 2 or not (text.startswith("/") and text.endswith("/")):
        return TopicPattern(text)
    try:
        return TopicPattern(text, compile_pattern(text[1:-1]))
    except InvalidPattern as error:
        location = config.parser_location / "sensorTopic"
        raise location.error(f"invalid regular expression: {error.problem}") from error


@dataclass(frozen=True)
class RouteByField:
    """Pass a record on to the topic that one of its fields names; drop it if it has no such field, as Metron does."""

    field: str

    def __call__(self, record: Record) -> Record:
        if (topic := record.get(self.field)) is None:
            raise Drop
        if topic == ENRICHMENTS:
            return record
        raise Forward(to_string(topic), record)


@dataclass(frozen=True)
class RouteAll:
    """Pass all records on to a topic."""

    topic: str

    def __call__(self, record: Record) -> Record:
        raise Forward(self.topic, record)


def build_route(
    config: ParserConfig, location: SourceLocation, topics: Sequence[TopicPattern]
) -> RouteByField | RouteAll | None:
    """Build the stage that routes the records of a parser; None if all of them go to the enrichment.

    location: the source location of the configuration
    topics: the topics that the sensors of this process read. An output topic that none of them reads has no effect.

    Raises ConfigError for an option that is not a string.
    """
    if (field := _read_option(config, TOPIC_FIELD, location)) is not None:
        return RouteByField(field)
    topic = config.output_topic or _read_option(config, TOPIC, location)
    if topic is not None and any(pattern.matches(topic) for pattern in topics):
        return RouteAll(topic)
    return None


@dataclass(frozen=True)
class RouteToTopics:
    """Pass all records of a parser on, as Metron's writer does; drop one without the field that names its topic.

    topic: the topic, if there is no such field
    """

    topic: str
    field: str | None = None

    def __call__(self, record: Record) -> Record:
        topic = self.topic if self.field is None else record.get(self.field)
        if topic is None:
            raise Drop
        raise Forward(to_string(topic), record)


def build_topic_route(config: ParserConfig, location: SourceLocation, output: str | None) -> RouteToTopics:
    """Build the last stage of a parser that writes to topics.

    location: the source location of the configuration
    output: a topic that takes precedence over the `outputTopic` of the configuration

    Raises ConfigError for an option that is not a string.
    """
    return RouteToTopics(
        output or config.output_topic or _read_option(config, TOPIC, location) or ENRICHMENTS,
        _read_option(config, TOPIC_FIELD, location),
    )


def _read_option(config: ParserConfig, name: str, location: SourceLocation) -> str | None:
    """Return an option of `parserConfig`; None if it is missing, null or blank. Raises ConfigError for another type."""
    value = config.parser_config.get(name)
    if value is not None and not isinstance(value, str):
        raise (location / "parserConfig" / name).error(f"expected a string, got {quote(value)}")
    return value if value and value.strip() else None


class PipelineGroup:
    """The pipelines of several sensors in one process, which pass records on to each other by topic.

    members: the pipelines with the topics that they read; raw messages without a topic go to the first
    passed_on: the records that are returned as `Forward`: `none`, so that those for a topic that no member reads are
        rejected; those `unread` topics; or `all`, also those for a topic that a member reads
    """

    def __init__(
        self,
        members: Sequence[tuple[TopicPattern, Pipeline]],
        passed_on: Literal["none", "unread", "all"] = "none",
    ) -> None:
        self.members = tuple(members)
        self._passed_on: Literal["none", "unread", "all"] = passed_on
        self.sensor = "__".join(pipeline.sensor for _, pipeline in members)
        self._is_single = len(members) == 1 and not any(name == "route" for name, _ in members[0][1].stages)

    def map_pipelines(self, change: Callable[[Pipeline], Pipeline]) -> PipelineGroup:
        """Return the group with changed pipelines."""
        return PipelineGroup([(topic, change(pipeline)) for topic, pipeline in self.members], self._passed_on)

    @property
    def calls_models(self) -> bool:
        """True if an expression of any sensor calls models."""
        return any(pipeline.calls_models for _, pipeline in self.members)

    @property
    def blocks(self) -> bool:
        """True if any pipeline may block its thread other than in model calls."""
        return any(pipeline.blocks for _, pipeline in self.members)

    def use_models(self, registry: Registry, client: ModelClient) -> None:
        """Set the registry and the client for the model calls of all sensors."""
        for _, pipeline in self.members:
            pipeline.use_models(registry, client)

    def processed(self, raw: Raw) -> Iterator[tuple[Outcome, list[Report]]]:
        """Yield the outcome for each record, with the failures that were reported for it in all sensors."""
        first = self.members[0][1] if raw.topic is None else self._find(raw.topic)
        if first is None:
            return iter([(_reject_topic(raw, raw.topic or ""), [])])
        if self._is_single:
            return first.processed(raw)
        return self._process(first, raw, MOST_HOPS)

    def make_processor(self, context: RecordContext) -> Processor:
        """Return a function that does what `processed` does; see `Pipeline.make_processor`."""
        if not self._is_single:
            return self.processed
        pattern, pipeline = self.members[0]
        process = pipeline.make_processor(context)

        def process_topic(raw: Raw) -> Outcome | Iterator[tuple[Outcome, list[Report]]]:
            topic = raw[4]  # by position, as names take longer
            return process(raw) if topic is None or pattern.matches(topic) else _reject_topic(raw, topic)

        return process_topic

    def _process(self, pipeline: Pipeline, raw: Raw, hops: int) -> Iterator[tuple[Outcome, list[Report]]]:
        for outcome, reports in pipeline.processed(raw):
            named = [_name(report, pipeline.sensor, raw) for report in reports]
            if isinstance(outcome, Forward):
                yield from self._forward(outcome, named, pipeline, raw, hops)
            elif isinstance(outcome, Rejected):
                yield _name(outcome, pipeline.sensor, raw), named
            else:
                yield outcome, named

    def _forward(
        self, forward: Forward, reports: list[Report], pipeline: Pipeline, raw: Raw, hops: int
    ) -> Iterator[tuple[Outcome, list[Report]]]:
        target = None if self._passed_on == "all" else self._find(forward.topic)
        if target is None and self._passed_on != "none":
            yield forward, reports
            return
        try:
            content = to_json_bytes(forward.record)
        except ValueError as failure:  # the record cannot be written as JSON
            yield Rejected(raw.content, "route", failure, sensor=pipeline.sensor), reports
            return
        message = Raw(content, raw.origin, raw.line, topic=forward.topic, position=raw.position)
        if target is None:
            yield replace(_reject_topic(message, forward.topic), sensor=pipeline.sensor), reports
            return
        if not hops:
            error = ValueError(f"record is passed on more than {MOST_HOPS} times; the parsers form a loop")
            yield Rejected(message.content, "route", error, sensor=pipeline.sensor), reports
            return
        for outcome, more in self._process(target, message, hops - 1):
            yield outcome, reports + more
            reports = []
        if reports:  # the next parser found no record
            yield Drop(), reports

    def _find(self, topic: str) -> Pipeline | None:
        return next((pipeline for pattern, pipeline in self.members if pattern.matches(topic)), None)


def _name(failure: Any, sensor: str, raw: Raw) -> Any:
    """Return a failure with its sensor and its raw message, which differ from those of the run."""
    if failure.sensor:
        return failure
    return replace(failure, sensor=sensor, raw=raw.content if failure.raw is None else failure.raw)


def _reject_topic(raw: Raw, topic: str) -> Rejected:
    return Rejected(raw.content, "route", unread_topic(topic))


def unread_topic(topic: str) -> ValueError:
    """Return the error for a topic that no sensor of the process reads."""
    return ValueError(f"no sensor of this run reads the topic {quote(topic)}; add the sensor to --sensor")


def expand_groups(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of sensors, each once, with the names of groups replaced by their sensors."""
    return list(dict.fromkeys(sensor for name in names for sensor in groups.get(name, (name,))))

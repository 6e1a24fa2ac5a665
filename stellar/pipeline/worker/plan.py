"""The plan of a worker: its pipelines, and the topics and consumer groups that it reads, named as Metron names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from stellar.pipeline.build import build_group, build_pipeline
from stellar.pipeline.config.loading import (
    SensorConfig,
    default_parser,
    load_stored,
    load_stored_enrichment,
    load_stored_global,
)
from stellar.pipeline.config.locations import ErrorCollector
from stellar.pipeline.config.schema import WriterConfig
from stellar.pipeline.connectors.kafka.settings import translate
from stellar.pipeline.connectors.search.target import list_writer_names
from stellar.pipeline.output_paths import find_writer
from stellar.pipeline.phases import Phase
from stellar.pipeline.routing import ENRICHMENTS, PipelineGroup, TopicPattern, expand_groups, read_topic_pattern
from stellar.pipeline.worker.document_ids import DocumentIds, IdentifyingGroup
from stellar.pipeline.worker.groups import EnrichmentGroup, IndexingGroup
from stellar.pipeline.worker.spout import translate_spout
from stellar.pipeline.worker.targets import TOPIC_PREFIX, find_topic
from stellar.stores.configurations import ReadableConfigurations

INDEXING = "indexing"
FILE_WRITER = "hdfs"
ERROR_TOPIC, PRODUCER = "parser.error.topic", "kafka.producerConfigs"

Group = PipelineGroup | IdentifyingGroup | EnrichmentGroup | IndexingGroup


class WorkerPhase(Enum):
    """What a worker does: all stages, or those of one of Metron's topologies."""

    ALL = "all"
    PARSE = "parse"
    ENRICH = "enrich"
    INDEX = "index"


@dataclass(frozen=True)
class Subscription:
    """Topics that are read as a member of a consumer group.

    properties: properties of the consumer
    """

    group: str
    topic: TopicPattern
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerPlan:
    """The topics that a worker reads, and its targets.

    output: the target of records
    errors: the target of error documents
    errors_of_sensors: that of single sensors
    producer: properties of the producer
    """

    subscriptions: tuple[Subscription, ...]
    output: str
    errors: str
    errors_of_sensors: Mapping[str, str] = field(default_factory=dict)
    producer: Mapping[str, Any] = field(default_factory=dict)

    def with_targets(self, output: str | None, errors: str | None) -> WorkerPlan:
        """Return the plan with other targets, unless they are None."""
        plan = self if output is None else replace(self, output=output)
        return plan if errors is None else replace(plan, errors=errors, errors_of_sensors={})

    def with_source(self, topic: str | None, group: str | None) -> WorkerPlan:
        """Return the plan with another topic or consumer group, unless they are None."""
        subscriptions = self.subscriptions
        if topic is not None:
            subscriptions = tuple(replace(each, topic=TopicPattern(topic)) for each in subscriptions)
        if group is not None:
            subscriptions = tuple(replace(each, group=group) for each in subscriptions)
        return replace(self, subscriptions=subscriptions)

    @property
    def topics(self) -> list[str]:
        """The topics that are written, as far as they are known before the first message."""
        targets = (self.output, self.errors, *self.errors_of_sensors.values())
        return sorted({topic for target in targets if (topic := find_topic(target)) is not None})


@dataclass(frozen=True)
class WorkerLoader:
    """Loads what a worker runs from configurations, again after each change.

    names: sensors, and groups of `parser.groups`, for the phases ALL and PARSE
    input: the topic of the sensor, instead of that of the configuration
    output: the topic of parsed records, instead of that of the configuration
    directory: the directory in which pattern files are searched first
    writer: the name of the writer in `indexing/<sensor>.json`, for INDEX
    ids: makes reproducible identifiers of records; otherwise they are random
    """

    phase: WorkerPhase
    names: Sequence[str] = ()
    input: str | None = None
    output: str | None = None
    directory: Path | None = None
    writer: str = FILE_WRITER
    ids: DocumentIds | None = None

    def load(self, store: ReadableConfigurations) -> tuple[list[SensorConfig], Group]:
        """Return configurations and pipelines. Raises ConfigErrors with all errors of all configurations."""
        problems = ErrorCollector([])
        build = {WorkerPhase.ENRICH: self._build_enrichment, WorkerPhase.INDEX: self._build_indexing}
        configs, group = build.get(self.phase, self._build_sensors)(store, problems)
        problems.raise_found()
        return configs, group

    def _build_sensors(
        self, store: ReadableConfigurations, problems: ErrorCollector
    ) -> tuple[list[SensorConfig], Group]:
        parser_groups = problems.attempt(lambda: load_stored_global(store).parser_groups, [])
        sensors = expand_groups(self.names, {group.name: group.sensors for group in parser_groups})
        configs = [load_stored(store, sensor, problems, self.directory) for sensor in sensors]
        phase = Phase.PARSE if self.phase is WorkerPhase.PARSE else Phase.ALL
        routed = configs if self.input is None else [_with_topic(config, self.input) for config in configs]
        group = build_group(routed, problems=problems, phase=phase, has_topics=True, output=self.output)
        return configs, group if self.ids is None else IdentifyingGroup(group, self.ids)

    def _build_enrichment(
        self, store: ReadableConfigurations, problems: ErrorCollector
    ) -> tuple[list[SensorConfig], Group]:
        loaded = [
            load_stored_enrichment(store, sensor, problems, self.directory)
            for sensor in store.list_sensors("ENRICHMENT")
        ]
        configs = [config for config in loaded if config is not None]
        empty = self._make_empty(store, problems)
        pipelines = {each.sensor: build_pipeline(each, problems=problems, phase=Phase.ENRICH) for each in configs}
        group = EnrichmentGroup(pipelines, build_pipeline(empty, problems=problems, phase=Phase.ENRICH))
        return [empty, *configs], group

    def _build_indexing(
        self, store: ReadableConfigurations, problems: ErrorCollector
    ) -> tuple[list[SensorConfig], Group]:
        empty = self._make_empty(store, problems)
        names = (self.writer,) if self.writer == FILE_WRITER else list_writer_names(self.writer)
        writers = {sensor: find_writer(text, location, names)[1] for sensor, (text, location) in empty.read_indexing()}
        return [empty], IndexingGroup(lambda sensor: writers.get(sensor, WriterConfig()))

    def _make_empty(self, store: ReadableConfigurations, problems: ErrorCollector) -> SensorConfig:
        """Return the configuration of records of no sensor."""
        settings = load_stored_global(store, problems)
        return SensorConfig("default", default_parser(), globals=settings, directory=self.directory, store=store)

    def plan(self, configs: Sequence[SensorConfig], spout: Mapping[str, Any] | None = None) -> WorkerPlan:
        """Return the topics and targets, by the configurations at the start.

        spout: Metron's options of consumers, which take precedence over `spoutConfig`

        Raises ConfigError or ValueError for invalid properties of clients.
        """
        if self.phase is WorkerPhase.ENRICH:
            return _plan_topic(ENRICHMENTS, ENRICHMENTS)
        if self.phase is WorkerPhase.INDEX:
            return _plan_topic(INDEXING, "indexing-batch" if self.writer == FILE_WRITER else "indexing-ra")
        is_parsing = self.phase is WorkerPhase.PARSE
        first = configs[0]
        return WorkerPlan(
            tuple(_subscribe(config, spout or {}) for config in configs),
            TOPIC_PREFIX + (self.output or (ENRICHMENTS if is_parsing else INDEXING)),
            TOPIC_PREFIX + _read_error_topic(first),
            {config.sensor: TOPIC_PREFIX + _read_error_topic(config) for config in configs},
            translate(first.parser.parser_config.get(PRODUCER) or {}),
        )


def _with_topic(config: SensorConfig, topic: str) -> SensorConfig:
    """Return the configuration of a sensor that reads another topic."""
    return replace(config, parser=config.parser.model_copy(update={"sensor_topic": topic}))


def _plan_topic(topic: str, group: str) -> WorkerPlan:
    target = TOPIC_PREFIX + INDEXING
    return WorkerPlan((Subscription(group, TopicPattern(topic)),), target, target)


def _subscribe(config: SensorConfig, spout: Mapping[str, Any]) -> Subscription:
    topic = read_topic_pattern(config)
    try:
        properties = translate_spout({**config.parser.spout_config, **spout})
    except ValueError as error:
        raise (config.parser_location / "spoutConfig").error(str(error)) from error
    return Subscription(f"{topic.text}_parser", topic, properties)


def _read_error_topic(config: SensorConfig) -> str:
    topic = config.parser.error_topic or config.globals.settings.get(ERROR_TOPIC)
    return topic if isinstance(topic, str) and topic else INDEXING

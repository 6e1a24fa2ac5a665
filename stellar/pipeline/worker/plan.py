"""The plan of a worker: its pipelines, and the topics and consumer groups that it reads, named as Metron names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group, build_pipeline
from stellar.pipeline.config.loading import (
    SensorConfig,
    default_parser,
    load_config,
    load_enrichment,
    load_groups,
    read_global,
)
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector, SourceLocation, read_text
from stellar.pipeline.config.schema import GlobalConfig, WriterConfig
from stellar.pipeline.output_paths import parse_writer
from stellar.pipeline.phases import Phase
from stellar.pipeline.routing import ENRICHMENTS, PipelineGroup, expand_groups
from stellar.pipeline.worker.groups import EnrichmentGroup, IndexingGroup
from stellar.pipeline.worker.targets import TOPIC_PREFIX, find_topic

INDEXING = "indexing"
_ERROR_TOPIC_KEY = "parser.error.topic"


class WorkerPhase(Enum):
    """What a worker does: all stages, or those of one of Metron's topologies."""

    ALL = "all"
    PARSE = "parse"
    ENRICH = "enrich"
    INDEX = "index"


@dataclass(frozen=True)
class Subscription:
    """Topics that are read as a member of a consumer group.

    pattern: True if `topic` is a regular expression between slashes
    properties: properties of the consumer
    """

    group: str
    topic: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker runs.

    config: a configuration of the worker, for the global settings
    output: the target of records
    errors: the targets of error documents by sensor
    """

    pipeline: PipelineGroup | EnrichmentGroup | IndexingGroup
    config: SensorConfig
    subscriptions: tuple[Subscription, ...]
    output: str
    errors: str
    errors_of_sensors: Mapping[str, str] = field(default_factory=dict)
    producer: Mapping[str, Any] = field(default_factory=dict)

    def with_targets(self, output: str | None, errors: str | None) -> WorkerPlan:
        """Return the plan with other targets, unless they are None."""
        plan = self if output is None else replace(self, output=output)
        return plan if errors is None else replace(plan, errors=errors, errors_of_sensors={})

    @property
    def topics(self) -> list[str]:
        """The topics that are written, as far as they are known before the first message."""
        targets = (self.output, self.errors, *self.errors_of_sensors.values())
        return sorted({topic for target in targets if (topic := find_topic(target)) is not None})


def plan_sensors(directory: Path, names: Sequence[str], phase: WorkerPhase, output: str | None) -> WorkerPlan:
    """Return the plan of a worker for the topics of sensors. Raises ConfigErrors with all errors of all files.

    names: sensors, and groups of `parser.groups`
    output: the topic of records, instead of that of the configuration
    """
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    groups: dict[str, list[str]] = problems.attempt(lambda: load_groups(directory), {})
    configs = [load_config(directory, sensor, problems) for sensor in expand_groups(names, groups)]
    stages = Phase.PARSE if phase is WorkerPhase.PARSE else Phase.ALL
    pipeline = build_group(configs, problems=problems, phase=stages, has_topics=True, output=output)
    _raise_all(errors)
    return WorkerPlan(
        pipeline,
        configs[0],
        tuple(_subscribe(config) for config in configs),
        TOPIC_PREFIX + (output or (ENRICHMENTS if stages is Phase.PARSE else INDEXING)),
        TOPIC_PREFIX + _read_error_topic(configs[0]),
        {config.sensor: TOPIC_PREFIX + _read_error_topic(config) for config in configs},
    )


def _subscribe(config: SensorConfig) -> Subscription:
    topic = config.parser.sensor_topic or config.sensor
    return Subscription(f"{topic}_parser", topic)


def _read_error_topic(config: SensorConfig) -> str:
    topic = config.parser.error_topic or config.globals.settings.get(_ERROR_TOPIC_KEY)
    return topic if isinstance(topic, str) and topic else INDEXING


def plan_enrichment(directory: Path) -> WorkerPlan:
    """Return the plan of a worker that enriches the records of all sensors. Raises ConfigErrors."""
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    files = sorted((directory / "enrichments").glob("*.json"))
    configs = [load_enrichment(directory, file.stem, problems) for file in files]
    empty = SensorConfig("", default_parser(), globals=_load_global(directory, problems), directory=directory)
    pipelines = {config.sensor: build_pipeline(config, problems=problems, phase=Phase.ENRICH) for config in configs}
    default = build_pipeline(empty, problems=problems, phase=Phase.ENRICH)
    _raise_all(errors)
    group = EnrichmentGroup(pipelines, default)
    subscriptions = (Subscription(ENRICHMENTS, ENRICHMENTS),)
    return WorkerPlan(group, empty, subscriptions, TOPIC_PREFIX + INDEXING, TOPIC_PREFIX + INDEXING)


def plan_indexing(directory: Path, output: str, writer: str, group: str) -> WorkerPlan:
    """Return the plan of a worker that stores documents. Raises ConfigError.

    output: the target
    writer: the name of the writer in `indexing/<sensor>.json`
    """
    config = SensorConfig("", default_parser(), globals=_load_global(directory), directory=directory)
    writers = {file.stem: _read_writer(file, writer) for file in sorted((directory / "indexing").glob("*.json"))}
    pipeline = IndexingGroup(lambda sensor: writers.get(sensor, WriterConfig()))
    return WorkerPlan(pipeline, config, (Subscription(group, INDEXING),), output, TOPIC_PREFIX + INDEXING)


def _read_writer(file: Path, name: str) -> WriterConfig:
    return parse_writer(read_text(file), SourceLocation(str(file)), name)


def _load_global(directory: Path, problems: ErrorCollector | None = None) -> GlobalConfig:
    path = directory / "global.json"
    if not path.exists():
        return GlobalConfig()
    return read_global(path) if problems is None else problems.attempt(lambda: read_global(path), GlobalConfig())


def _raise_all(errors: list[ConfigError]) -> None:
    if errors:
        raise ConfigErrors(list({str(error): error for error in errors}.values()))  # sensors share global.json

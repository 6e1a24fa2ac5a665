"""A pipeline as it is sent to executors: the JSON of its configuration, and settings.

Compiled code is not sent, as it would have to be unpickled, and would depend on the versions of both sides. Each Python
process of an executor compiles the configuration once.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from stellar.language.errors import ConfigError
from stellar.pipeline.config.cluster import ZooKeeperLocation, read_location
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.connectors.kafka.settings import NO_PROPERTIES, KafkaSettings, make_settings
from stellar.pipeline.group_loading import Loaded, load_stored_pipelines
from stellar.pipeline.routing import PipelineGroup, read_topic_pattern
from stellar.pipeline.services import NO_REGISTRY
from stellar.stores.configurations import RecordingSnapshot, is_configuration, locate
from stellar.util.abbreviate import quote
from stellar.util.version import __version__

_COMMON_PATTERNS = "patterns/common"


@dataclass(frozen=True)
class ShippedPipeline:
    """The pipelines of one or more sensors, as they are sent to executors.

    origin: the location of the configuration, for messages
    sensors: the sensors, of which the first reads lines without a topic
    configurations: the bytes of each configuration by its path, such as parsers/squid
    suffix: the extension of configurations in messages: that of files, or none in ZooKeeper
    files: the bytes of pattern files by their paths
    registry: the directory of the model registry, or `none`; None if it is in ZooKeeper, or no models are called
    zookeeper: the ZooKeeper servers with the model registry, otherwise None
    in_flight: lines processed concurrently by each task; None for 64 if expressions call models, otherwise 1
    idempotent: True to make identifiers from the positions of messages in Kafka; otherwise they are random
    topic_ids: the UUIDs of the topics that the sensors read, for identifiers; None to make these of names
    version: the version of this package on the driver
    """

    origin: str
    sensors: tuple[str, ...]
    configurations: Mapping[str, bytes]
    suffix: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    registry: str | None = None
    zookeeper: str | None = None
    in_flight: int | None = None
    idempotent: bool = False
    topic_ids: Mapping[str, str] | None = None
    version: str = __version__

    def encode(self) -> str:
        """Return the pipeline as JSON."""
        fields = asdict(self)
        for name in ("configurations", "files"):
            fields[name] = {path: b64encode(content).decode() for path, content in fields[name].items()}
        return json.dumps(fields)

    @classmethod
    def decode(cls, text: str) -> ShippedPipeline:
        """Return the pipeline of JSON."""
        fields = json.loads(text)
        for name in ("configurations", "files"):
            fields[name] = {path: b64decode(content) for path, content in fields[name].items()}
        return cls(**{**fields, "sensors": tuple(fields["sensors"])})

    def load(self) -> Loaded:
        """Return the configurations of the sensors and their pipelines. Raises ConfigErrors."""
        snapshot = _FileSnapshot(self.origin, self.configurations, suffix=self.suffix)
        with TemporaryDirectory(prefix="stellar-") as folder:  # pattern files are read while pipelines are built
            for path, content in self.files.items():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            return load_stored_pipelines(snapshot, ",".join(self.sensors), Path(folder))


def read_pipeline(
    config: str | Path,
    sensors: str | Sequence[str],
    *,
    patterns: str | Path | None = None,
    registry: str | Path | None = None,
    zookeeper: str | None = None,
    in_flight: int | None = None,
    idempotent: bool = False,
    kafka: str | None = None,
    kafka_properties: Mapping[str, Any] = NO_PROPERTIES,
) -> ShippedPipeline:
    """Read and check the configuration of sensors, for `transform`.

    config: a directory, or `zookeeper:HOST:PORT,…/metron`. Later changes have no effect.
    sensors: names of sensors and groups, or a string of them with commas
    patterns: with a configuration in ZooKeeper, the directory in which pattern files are searched first
    registry: the directory of the model registry, which all executors can read; `none` to run with null for all results
        of models
    zookeeper: the ZooKeeper servers with the model registry; by default those of the configuration
    in_flight: lines processed concurrently by each task; by default 64 if expressions call models, otherwise 1
    idempotent: for frames of Kafka, make the `guid` of a record that brings none, and those of error documents, from
        topic, partition and offset. So a batch that is repeated has the same documents.
    kafka: with idempotent, the brokers as `HOST:PORT,…`. The UUID of a topic is then used instead of its name: a topic
        that is deleted and created again has other documents, and identifiers are those of a worker.
    kafka_properties: further properties of the client, such as those of SASL and TLS, in the names of librdkafka

    Raises ConfigErrors with all errors of all configurations, ValueError for invalid arguments, and OSError if the
    configuration cannot be read.
    """
    if registry is not None and zookeeper is not None:
        raise ValueError("registry and zookeeper exclude each other; pass one of them")
    if in_flight is not None and in_flight < 1:
        raise ValueError(f"invalid in_flight: expected 1 or more, got {in_flight}")
    if kafka is not None and not idempotent:
        raise ValueError("kafka has no effect without idempotent; pass idempotent=True, or remove it")
    names = sensors if isinstance(sensors, str) else ",".join(sensors)
    location = read_location(str(config))
    if isinstance(location, ZooKeeperLocation):
        snapshot, directory, suffix = _read_zookeeper(location), None if patterns is None else Path(patterns), ""
        if registry is None and zookeeper is None and location.has_models:
            zookeeper = location.hosts
    elif patterns is not None:
        raise ValueError(f"patterns has no effect with a directory; move the files to {location}/patterns")
    else:
        snapshot, directory, suffix = _read_directory(location), location, ".json"
    configs, group = load_stored_pipelines(snapshot, names, directory)
    _check_order(group)
    if not group.calls_models:
        registry = zookeeper = None
    elif registry is None and zookeeper is None:
        raise _no_registry(configs[0])
    return ShippedPipeline(
        snapshot.origin,
        tuple(each.sensor for each in configs),
        {path: content for path, content in snapshot.contents.items() if snapshot.has_read(path)},
        suffix,
        _read_pattern_files(configs, directory, searches_local_files=suffix != ""),
        None if registry is None else str(registry),
        zookeeper,
        in_flight,
        idempotent,
        None if kafka is None else _read_topic_ids(configs, make_settings(kafka, [kafka_properties])),
    )


def _read_topic_ids(configs: Sequence[SensorConfig], settings: KafkaSettings) -> dict[str, str]:
    """Return the UUIDs of the topics that sensors read. Raises OSError or ValueError."""
    from stellar.pipeline.connectors.kafka.topics import TopicAdmin  # loads the client of Kafka

    admin, patterns = TopicAdmin(settings), [read_topic_pattern(config) for config in configs]
    topics = [topic for topic in admin.list_partitions() if any(pattern.matches(topic) for pattern in patterns)]
    if not topics:
        raise ValueError(f"no topic matches {', '.join(each.text for each in patterns)}; check kafka and sensorTopic")
    return {topic: admin.find_id(topic) for topic in topics}


@dataclass(frozen=True)
class _FileSnapshot(RecordingSnapshot):
    """Configurations as they were at one time, with the names of files.

    suffix: the extension of the files
    """

    suffix: str = ""

    def describe(self, kind: str, sensor: str | None = None) -> str:
        """Return the name of a file."""
        return f"{self.origin}/{locate(kind, sensor)}{self.suffix}"

    def texts(self) -> dict[str, str]:
        """Return the configurations by their names; bytes that are not UTF-8 are replaced."""
        return {f"{name}{self.suffix}": text for name, text in super().texts().items()}


def read_configurations(config: str | Path) -> RecordingSnapshot:
    """Return the configurations of a directory or of ZooKeeper.

    Raises ConfigError or OSError if they cannot be read, and ValueError for an invalid location.
    """
    location = read_location(str(config))
    return _read_zookeeper(location) if isinstance(location, ZooKeeperLocation) else _read_directory(location)


def _read_directory(directory: Path) -> RecordingSnapshot:
    if not directory.is_dir():
        raise ConfigError(str(directory), "", "not a directory; create it, or check the path")
    files = {str(file.relative_to(directory).with_suffix("")): file for file in directory.rglob("*.json")}
    contents = {path: file.read_bytes() for path, file in sorted(files.items()) if is_configuration(path)}
    return _FileSnapshot(str(directory), contents, suffix=".json")


def _read_zookeeper(location: ZooKeeperLocation) -> RecordingSnapshot:
    from stellar.pipeline.cluster_tools import read_cluster  # loads kazoo

    snapshot = read_cluster(location)
    return _FileSnapshot(snapshot.origin, snapshot.contents)


def _check_order(group: PipelineGroup) -> None:
    """Raise ValueError if one process must see all records, in their order."""
    if stateful := sorted({name for _, member in group.members for name in member.list_stateful_steps()}):
        raise ValueError(
            f"{', '.join(stateful)}: the result for a record depends on the records before, which other tasks may "
            "have; run the sensor with `stellar-pipeline run`, or change its parser"
        )


def _no_registry(config: SensorConfig) -> ConfigError:
    return config.enrichment_location.error(
        "no model registry configured, but expressions call models; pass registry=DIR or zookeeper='HOST:PORT,...' to "
        f"read_pipeline, or registry={quote(NO_REGISTRY)} to run with null for all model results"
    )


def _read_pattern_files(
    configs: Sequence[SensorConfig], directory: Path | None, *, searches_local_files: bool
) -> dict[str, bytes]:
    """Return the pattern files of parsers that are not shipped with this package.

    searches_local_files: True to read a file of the driver that is not in the directory
    """
    files: dict[str, bytes] = {}
    for config in configs:
        options = config.parser.parser_config
        for path in (options.get("grokPath"), _COMMON_PATTERNS):
            if isinstance(path, str):
                files |= _read_pattern_file(path, config, directory, searches_local_files)
    return files


def _read_pattern_file(path: str, config: SensorConfig, directory: Path | None, searches: bool) -> dict[str, bytes]:
    relative = path.lstrip("/")
    candidates: list[Any] = [] if directory is None else [directory / relative]
    candidates += [Path(path)] if searches and path != _COMMON_PATTERNS else []
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        return {}
    if ".." in PurePosixPath(relative).parts:
        location = config.parser_location / "parserConfig" / "grokPath"
        raise location.error(f"{quote(path)} is outside of the configuration; move the file into its directory")
    return {relative: found.read_bytes()}

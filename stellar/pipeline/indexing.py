"""The indexing configuration of search servers: the writers in `indexing/<sensor>.json`, and global settings."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stellar.java.date_patterns import parse_pattern
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import WriterConfig
from stellar.pipeline.connectors.directories import ERROR_TYPE
from stellar.pipeline.connectors.search.client import SearchClient
from stellar.pipeline.connectors.search.documents import DATE_PATTERN, DocumentForm, check_name
from stellar.pipeline.connectors.search.output import SearchOutput
from stellar.pipeline.connectors.search.settings import SearchSettingError, make_search_settings
from stellar.pipeline.connectors.search.streams import require_stream
from stellar.pipeline.connectors.search.target import list_writer_names, parse_search_target
from stellar.pipeline.output_paths import find_writer
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

DATE_FORMAT, DOCUMENT_ID = "es.date.format", "indexing.writer.elasticsearch.setDocumentId"
_BATCH_SIZE, _BATCH_SECONDS = 500, 5.0
_COLONS, _AS_THEY_ARE = "DEDOT", "NOOP"


@dataclass(frozen=True)
class SearchWriter:
    """The settings of the writer for a sensor; see `connectors.search.documents.Writer`."""

    index: str
    is_stream: bool = False
    batch_size: int = _BATCH_SIZE
    batch_seconds: float = _BATCH_SECONDS
    has_colons: bool = True
    has_guid: bool = False


class SearchWriters:
    """The settings of the writers for all sensors, by the configuration that is in force.

    kind: `opensearch` or `elasticsearch`
    """

    def __init__(self, kind: str) -> None:
        self._names = list_writer_names(kind)
        self._writers: Mapping[str, SearchWriter] = {}
        self._has_guid = False

    def use(self, config: SensorConfig, enabled: Collection[str]) -> None:
        """Use another configuration.

        enabled: sensors whose documents are written, so that their writers must be enabled

        Raises ConfigError.
        """
        has_guid = _read_boolean(config, DOCUMENT_ID)
        writers = {}
        for sensor, (text, location) in config.read_indexing():
            name, writer = find_writer(text, location, self._names)
            if not writer.enabled and sensor in enabled:
                raise (location / name / "enabled").error(
                    "the writer is disabled, so documents have no index; enable it, or use another --output"
                )
            writers[sensor] = _make_writer(sensor, writer, location / name, has_guid)
        self._writers, self._has_guid = writers, has_guid

    def find(self, sensor: str) -> SearchWriter:
        """Return the settings for a sensor; the defaults if it has no configuration."""
        return self._writers.get(sensor) or SearchWriter(sensor, has_guid=self._has_guid)

    def list_streams(self) -> list[str]:
        """Return the data streams that are configured."""
        return sorted({writer.index for writer in self._writers.values() if writer.is_stream})


def _make_writer(sensor: str, writer: WriterConfig, location: SourceLocation, has_guid: bool) -> SearchWriter:
    index = writer.index or sensor
    try:
        check_name(index)
    except ValueError as error:
        raise (location / "index").error(str(error)) from error
    converter = writer.field_name_converter or _COLONS
    if converter not in (_COLONS, _AS_THEY_ARE):
        log.warning("%s: unknown fieldNameConverter %s; %s is used", location, quote(converter), _COLONS)
    given = writer.model_fields_set
    return SearchWriter(
        index,
        writer.data_stream,
        writer.batch_size if "batch_size" in given else _BATCH_SIZE,
        writer.batch_timeout or _BATCH_SECONDS,
        converter != _AS_THEY_ARE,
        has_guid if writer.set_document_id is None else writer.set_document_id,
    )


def _read_boolean(config: SensorConfig, key: str) -> bool:
    value = config.globals.settings.get(key, False)
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise (config.global_location / key).error(f"expected true or false, got {quote(value, 60)}")
    return value


class SearchIndexing:
    """Opens search servers by the configuration that is in force, which may change while they are open.

    drops_disabled: True if documents for a writer that is disabled were dropped before
    """

    def __init__(self, *, drops_disabled: bool = False) -> None:
        self._drops_disabled = drops_disabled
        self._enabled: frozenset[str] = frozenset()
        self._writers: dict[str, SearchWriters] = {}
        self._config: SensorConfig | None = None

    def use(self, configs: Sequence[SensorConfig]) -> None:
        """Use other configurations; hosts and credentials remain those of the first. Raises ConfigError.

        configs: those of the sensors whose documents are written
        """
        if not self._drops_disabled:
            self._enabled = frozenset((*(config.sensor for config in configs), ERROR_TYPE))
        for writers in self._writers.values():
            writers.use(configs[0], self._enabled)
        self._config = self._config or configs[0]

    def open(self, target: str) -> SearchOutput:
        """Open a search server. Raises ConfigError or ValueError for invalid settings, and OSError."""
        if self._config is None:
            raise RuntimeError("no configuration; call use first")
        writers = self._writers[target] = SearchWriters(parse_search_target(target).kind)
        writers.use(self._config, self._enabled)
        pattern = _read_date_pattern(self._config)
        client = connect_search(target, self._config)
        try:
            version = client.read_version()
            for stream in writers.list_streams():
                require_stream(client, stream, version)
        except BaseException:
            client.close()
            raise
        return SearchOutput(client, DocumentForm(writers.find, pattern, version.has_types))


def connect_search(target: str, config: SensorConfig) -> SearchClient:
    """Return a client for a target, by global settings. Raises ConfigError or ValueError."""
    try:
        return SearchClient(make_search_settings(parse_search_target(target), config.globals.settings))
    except SearchSettingError as error:
        raise _locate(config.global_location, error.keys).error(str(error)) from error


def _locate(location: SourceLocation, keys: Collection[str]) -> SourceLocation:
    for key in keys:
        location /= key
    return location


def _read_date_pattern(config: SensorConfig) -> str:
    """Return the pattern of dates in names of indices. Raises ConfigError if it is invalid."""
    pattern: Any = config.globals.settings.get(DATE_FORMAT, DATE_PATTERN)
    location = config.global_location / DATE_FORMAT
    if not isinstance(pattern, str):
        raise location.error(f"expected a pattern of dates, got {quote(pattern, 60)}")
    try:
        parse_pattern(pattern)
    except ValueError as error:
        raise location.error(str(error)) from error
    return pattern

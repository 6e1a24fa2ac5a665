"""Pipelines in the Python processes of executors: lines in, documents and errors out, in batches of Arrow.

    task ─► slices of lines ─► pipeline ─► a row for each slice: counts, outcomes
                                  ▲
                                  └─ compiled once in each process, with one client of models

So counts are data: a task that is repeated is counted once. And Spark adds them once for each slice; once for each
document takes a microsecond.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field, fields
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from stellar.java.match_timer import match_timer
from stellar.language.conversions import to_string
from stellar.language.errors import ConfigError
from stellar.pipeline.encoding import encode_document
from stellar.pipeline.records import (
    Failure,
    Outcome,
    Raw,
    Record,
    Report,
    TopicPosition,
    hostname,
    make_error_document,
)
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.run import Counts, DeliveryLoop
from stellar.pipeline.services import ServiceConnector, make_model_options
from stellar.pipeline.worker.document_ids import DocumentIds, IdentifyingGroup, MessageIds
from stellar.spark.shipping import ShippedPipeline
from stellar.spark.versions import check_version
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = import_optional("pyarrow", "spark")

DOCUMENT, ERROR = "document", "error"
OUTCOMES = "outcomes"
COUNT_NAMES = tuple(each.name for each in fields(Counts))
# The columns of lines: that of the message, and those of Kafka
VALUE, ORIGIN, KEY, TOPIC, PARTITION, OFFSET, TIMESTAMP = (
    "value", "origin", "key", "topic", "partition", "offset", "timestamp",
)  # fmt: skip
SCHEMA = (
    f"{', '.join(f'{name} bigint' for name in COUNT_NAMES)}, "
    f"{OUTCOMES} array<struct<kind: string, sensor: string, value: string>>"
)
_MOST_BYTES = 8 * 1024 * 1024  # of the documents in one row
_ROWS, _ROWS_WITH_MODELS = 1_000, 10_000
_MOST_OPEN = 4  # pipelines of one process


def run_task(shipped: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the outcomes of the lines in batches.

    shipped: the pipeline, as ShippedPipeline encodes it

    Raises RuntimeError if the pipeline cannot be used on this host.
    """
    opened = _OPENED.find(shipped)
    for batch in batches:
        for start in range(0, batch.num_rows, opened.rows):
            yield from opened.process(batch.slice(start, opened.rows))


@dataclass(frozen=True)
class _Opened:
    """A pipeline that is connected to its services."""

    group: PipelineGroup | IdentifyingGroup
    in_flight: int | None
    stack: ExitStack
    ids: DocumentIds | None

    @property
    def rows(self) -> int:
        """The lines that are processed before their outcomes are returned.

        Few take a fifth less time, as their memory is reused; but all calls of models end before the next lines begin.
        """
        return _ROWS_WITH_MODELS if self.group.calls_models else _ROWS

    def process(self, batch: pa.RecordBatch) -> Sequence[pa.RecordBatch]:
        """Return the outcomes of the lines in a batch."""
        counts = Counts()
        outcomes = _Outcomes(counts)
        make_loop = DeliveryLoop if self.ids is None else partial(_IdentifyingLoop, ids=self.ids)
        loop = make_loop(self.group, outcomes.add_document, outcomes.add_error, counts)
        with match_timer():
            loop.run(_read_messages(batch), self.in_flight)
        return outcomes.finish()


@dataclass(frozen=True)
class _IdentifyingLoop(DeliveryLoop):
    """A loop whose error documents have identifiers that are made from positions.

    current: the identifiers of the message that is delivered
    """

    ids: DocumentIds = field(kw_only=True)
    current: list[MessageIds] = field(default_factory=list, kw_only=True)

    def deliver(self, raw: Raw, processed: Iterable[tuple[Outcome, list[Report]]]) -> None:
        """Deliver the outcomes of a message, which has a position."""
        assert raw.position is not None
        self.current[:] = [self.ids.of(raw.position)]
        super().deliver(raw, processed)

    def _write_error(self, failure: Failure, raw: Raw) -> None:
        document = make_error_document(failure, self.pipeline.sensor, raw)
        self.errors({**document, "guid": self.current[0].name_error()})


class _OpenedPipelines:
    """The pipelines of this process, by their JSON. Spark uses a process for many tasks, one after the other."""

    def __init__(self) -> None:
        self._opened: OrderedDict[str, _Opened] = OrderedDict()

    def find(self, shipped: str) -> _Opened:
        """Return an opened pipeline; the one that was not used for the longest time is closed if there are too many."""
        if shipped not in self._opened:
            while len(self._opened) >= _MOST_OPEN:
                self._opened.popitem(last=False)[1].stack.close()
            self._opened[shipped] = _open(ShippedPipeline.decode(shipped))
        self._opened.move_to_end(shipped)
        return self._opened[shipped]


# A task has no other way to find what earlier tasks of its process have opened
_OPENED = _OpenedPipelines()


def _open(shipped: ShippedPipeline) -> _Opened:
    check_version(shipped.version)
    stack = ExitStack()
    try:
        configs, group = shipped.load()
        connector = ServiceConnector(make_model_options(shipped.registry, shipped.zookeeper))
        stack.enter_context(connector).connect(group, configs[0])
        ids = DocumentIds(partial(_identify_topic, shipped.topic_ids)) if shipped.idempotent else None
        identified = group if ids is None else IdentifyingGroup(group, ids)
    except (ConfigError, OSError, ValueError, LookupError) as error:
        stack.close()
        names = ", ".join(shipped.sensors)
        raise RuntimeError(f"cannot open the pipeline of {names} on the executor {hostname()}: {error}") from error
    return _Opened(identified, shipped.in_flight, stack, ids)


def _identify_topic(ids: Mapping[str, str] | None, topic: str) -> str:
    """Return the UUID of a topic, or its name if no UUIDs were shipped. Raises RuntimeError for an unknown topic."""
    if ids is None:
        return topic
    if topic not in ids:
        raise RuntimeError(
            f"no UUID of the topic {quote(topic)}, which no sensor read when read_pipeline was called; call it again, "
            "or load a frame of the sensors' topics"
        )
    return ids[topic]


# -- Lines ------------------------------------------------------------------------------------------------------------


def _read_messages(batch: pa.RecordBatch) -> Iterator[Raw]:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    values = _list_bytes(columns[VALUE])
    if TOPIC in columns:
        return _read_topic(values, columns)
    if ORIGIN not in columns and not columns[VALUE].null_count:
        return map(_make_message, zip(values, *map(repeat, _REST), strict=False))
    origins: Iterable[str | None] = columns[ORIGIN].to_pylist() if ORIGIN in columns else repeat(None, len(values))
    return map(_make_raw, values, origins)


# Without a call of Python code for each line
_make_message: Callable[[tuple[Any, ...]], Raw] = partial(tuple.__new__, Raw)
_REST = (None,) * (len(Raw._fields) - 1)


def _make_raw(value: bytes | None, origin: str | None) -> Raw:
    return Raw(b"", origin, error=_NO_VALUE) if value is None else Raw(value, origin)


def _read_topic(values: Sequence[bytes | None], columns: dict[str, pa.Array]) -> Iterator[Raw]:
    """Yield messages of Kafka."""
    times = columns[TIMESTAMP].cast(pa.timestamp("ms", columns[TIMESTAMP].type.tz), safe=False).cast(pa.int64())
    others = (columns[name].to_pylist() for name in (KEY, TOPIC, PARTITION, OFFSET))
    for value, key, topic, partition, offset, time in zip(values, *others, times.to_pylist(), strict=True):
        position = TopicPosition(topic, partition, offset, time)
        error = _NO_VALUE if value is None else None
        yield Raw(value or b"", topic, None, key, topic, error, position)


_NO_VALUE = ValueError("message has no value")


def _list_bytes(column: pa.Array) -> list[bytes | None]:
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())
    elif pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    values: list[bytes | None] = column.to_pylist()
    return values


# -- Outcomes ---------------------------------------------------------------------------------------------------------


class _Outcomes:
    """Collects documents and errors in their order."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._counted = Counts()  # in the rows so far
        self._batches: list[pa.RecordBatch] = []
        self._start()

    def _start(self) -> None:
        """Start the next row."""
        self._errors: list[int] = []  # the indexes of errors
        self._sensors: list[Any] = []
        self._values: list[bytes] = []
        self._size = 0

    def add_document(self, document: Record) -> None:
        """Add a record. Raises ValueError if JSON cannot represent it."""
        value = encode_document(document)
        self._values.append(value)
        self._sensors.append(document.get("source.type"))
        self._size += len(value)
        if self._size > _MOST_BYTES:
            self._flush()

    def add_error(self, document: Record) -> None:
        """Add an error document."""
        value = encode_document(document)
        self._errors.append(len(self._values))
        self._values.append(value)
        self._sensors.append(document.get("failed_sensor_type"))
        self._size += len(value)
        if self._size > _MOST_BYTES:
            self._flush()

    def finish(self) -> list[pa.RecordBatch]:
        """Return all rows."""
        self._flush()
        return self._batches

    def _flush(self) -> None:
        """Add a row with the outcomes since the last one, and with the counts since then."""
        kinds = [DOCUMENT] * len(self._values)
        for index in self._errors:
            kinds[index] = ERROR
        # JSON is UTF-8, so it need not be decoded
        values = pa.array(self._values, pa.binary()).view(pa.string())
        columns = [pa.array(kinds, pa.string()), _make_names(self._sensors), values]
        outcomes = pa.StructArray.from_arrays(columns, ["kind", "sensor", "value"])
        now = astuple(self._counts)
        new = [pa.array([count - before]) for count, before in zip(now, astuple(self._counted), strict=True)]
        self._counted = Counts(*now)
        row = [*new, pa.ListArray.from_arrays(pa.array([0, len(kinds)], pa.int32()), outcomes)]
        self._batches.append(pa.RecordBatch.from_arrays(row, [*COUNT_NAMES, OUTCOMES]))
        self._start()


def _make_names(names: Sequence[Any]) -> pa.Array:
    """Return a column of strings; records may have other values in the field of the sensor."""
    try:
        return pa.array(names, pa.string())
    except (pa.ArrowException, UnicodeEncodeError):
        encoded = (None if name is None else to_string(name).encode("utf-8", "backslashreplace") for name in names)
        return pa.array(encoded, pa.binary()).view(pa.string())

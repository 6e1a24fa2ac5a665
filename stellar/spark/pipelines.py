"""Pipelines on data frames: lines in, documents and errors out, in batches and in streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from stellar.pipeline.run import Counts
from stellar.spark.executor import (
    COUNT_NAMES,
    DOCUMENT,
    ERROR,
    KEY,
    OFFSET,
    ORIGIN,
    OUTCOMES,
    PARTITION,
    SCHEMA,
    TIMESTAMP,
    TOPIC,
    VALUE,
)
from stellar.spark.shipping import ShippedPipeline
from stellar.spark.tasks import make_task
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation
    from pyspark.sql import functions as sql
    from pyspark.sql.streaming.listener import (
        QueryProgressEvent,
        QueryStartedEvent,
        QueryTerminatedEvent,
        StreamingQueryListener,
    )
else:
    import_optional("pyspark", "spark")
    from pyspark.sql import Observation
    from pyspark.sql import functions as sql
    from pyspark.sql.streaming.listener import StreamingQueryListener

# The columns of Spark's source for Kafka, by which messages of topics are recognized
_KAFKA = {KEY: "binary", TOPIC: "string", PARTITION: "int", OFFSET: "bigint", TIMESTAMP: "timestamp"}
_METRICS = "stellar:"  # before the names of sensors


@dataclass(frozen=True)
class Transformed:
    """The outcomes of a pipeline on a data frame: `documents, errors = transform(…)`.

    Spark runs the pipeline for each action on a data frame that is not persisted. So write `outcomes`, whose column
    `kind` separates documents and errors, to run it once for both.

    outcomes: `kind` (document or error), `sensor`, and `value`, the JSON of a document; in the order of the lines of
        each partition
    observation: receives the counts of a batch; None for a stream
    """

    outcomes: DataFrame
    observation: Observation | None

    @property
    def documents(self) -> DataFrame:
        """The finished records: `sensor` and `value`."""
        return self.outcomes.filter(sql.col("kind") == DOCUMENT).select("sensor", "value")

    @property
    def errors(self) -> DataFrame:
        """The error documents: `sensor` and `value`."""
        return self.outcomes.filter(sql.col("kind") == ERROR).select("sensor", "value")

    def __iter__(self) -> Iterator[DataFrame]:
        yield self.documents
        yield self.errors

    def read_counts(self, seconds: float = 60.0) -> Counts:
        """Return the counts of the first action on the outcomes; see `Counts`.

        seconds: the time to wait for the end of an action in another thread

        Raises ValueError for a stream, and TimeoutError if no action has ended in time.
        """
        if self.observation is None:
            raise ValueError("a stream has counts for each of its batches; add a StreamCounts to spark.streams")
        found: Queue[Any] = Queue()
        # Spark waits without a limit
        Thread(target=_put_metrics, args=(self.observation, found), name="counts", daemon=True).start()
        try:
            metrics = found.get(timeout=seconds)
        except Empty:
            raise TimeoutError(
                f"no action on the outcomes has ended within {seconds:g} s; run one before, such as outcomes.write"
            ) from None
        if isinstance(metrics, Exception):
            raise metrics
        return _make_counts(metrics)


def _put_metrics(observation: Observation, found: Queue[Any]) -> None:
    """Put the metrics of an observation, or the exception, into a queue."""
    try:
        found.put(observation.get)
    except Exception as error:  # noqa: BLE001 (raised by the thread that waits)
        found.put(error)


def transform(
    frame: DataFrame,
    pipeline: ShippedPipeline,
    input: str = VALUE,
    *,
    origin: str | None = None,
) -> Transformed:
    """Return the outcomes of a pipeline for the messages in a data frame, of a batch or a stream.

    A frame with the columns of Spark's source for Kafka has the keys, topics and positions of messages, too: as in a
    worker, a message is processed by the sensor that reads its topic, and its key is metadata.

    pipeline: that of `read_pipeline`
    input: the column of the raw messages: strings or bytes
    origin: a column with the names of files or streams, for error documents

    Raises ValueError for a column that does not exist or has another type.
    """
    columns = [find_column(frame, input, ("string", "binary")).alias(VALUE)]
    if origin is not None:
        columns.append(find_column(frame, origin, ("string",)).alias(ORIGIN))
    types = dict(frame.dtypes)
    if all(types.get(name) == kind for name, kind in _KAFKA.items()):
        columns += [sql.col(name) for name in _KAFKA]
    elif pipeline.idempotent:
        raise ValueError(
            f"no positions in the data frame, which idempotent needs: expected the columns {', '.join(_KAFKA)} of "
            "Spark's source for Kafka; pass the frame as it is loaded"
        )
    outcomes = frame.select(columns).mapInArrow(
        make_task("stellar.spark.executor", "run_task", pipeline.encode()), SCHEMA
    )
    sums = [sql.coalesce(sql.sum(name), sql.lit(0)).alias(name) for name in COUNT_NAMES]
    observation = None if frame.isStreaming else Observation()
    name = f"{_METRICS}{'__'.join(pipeline.sensors)}"
    observed = outcomes.observe(name if observation is None else observation, *sums)
    return Transformed(observed.select(sql.inline(OUTCOMES)), observation)


def find_column(frame: DataFrame, name: str, kinds: tuple[str, ...]) -> Column:
    """Return a column of one of some types. Raises ValueError."""
    types = dict(frame.dtypes)
    if name not in types:
        raise ValueError(f"no column {quote(name)} in the data frame; {suggest_name(name, list(types))}")
    if types[name] not in kinds:
        raise ValueError(
            f"column {quote(name)} has the type {types[name]}; expected {' or '.join(kinds)}: cast it, or make JSON of "
            "columns by to_json(struct(...))"
        )
    return sql.col(f"`{name.replace('`', '``')}`")


def _make_counts(metrics: Any) -> Counts:
    found = metrics if isinstance(metrics, dict) else metrics.asDict()
    return Counts(**{name: found[name] or 0 for name in COUNT_NAMES})


class StreamCounts(StreamingQueryListener):
    """The counts of the batches of streams; added by `spark.streams.addListener(counts)`.

    total: the counts of all batches so far, of all streams of the session
    failures: the messages of streams that ended by an error
    """

    def __init__(self) -> None:
        self.total = Counts()
        self.failures: list[str] = []

    def onQueryStarted(self, event: QueryStartedEvent) -> None:
        """Ignore the start of a stream."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:
        """Add the counts of a batch."""
        for name, metrics in event.progress.observedMetrics.items():
            if name.startswith(_METRICS):
                self.total.add(_make_counts(metrics))

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:
        """Note the failure of a stream."""
        if event.exception is not None:
            self.failures.append(event.exception)

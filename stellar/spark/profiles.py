"""Profiles of data frames, as aggregates that are merged across partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.language.context import GlobalSettings
from stellar.language.errors import ConfigError
from stellar.language.tagged_json import deserialize
from stellar.pipeline.config.loading import load_stored_global, read_stored
from stellar.pipeline.pipeline import MODEL_FUNCTIONS
from stellar.profiles.builder import Measurement
from stellar.profiles.periods import Period
from stellar.profiles.store import open_profile_store
from stellar.spark.pipelines import find_column
from stellar.spark.profiling import KEYS, SCHEMA, ShippedProfiles
from stellar.spark.shipping import read_configurations
from stellar.spark.tasks import make_task

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PROFILING = "stellar.spark.profiling"
_STORED_AT_ONCE = 2_000


def compute_profiles(frame: DataFrame, config: str | Path, input: str = "value") -> DataFrame:
    """Return the values of profiles for the messages in a data frame: a row for each entity, period and groups.

    The columns are `profile`, `entity`, `period` (its number), `groups` and `value`, which are tagged JSON, and
    `error`: the message of a failure, otherwise null. Each partition makes values of its messages, which are then
    merged. So the result of a profile must be a summary, such as STATS, HLLP or BLOOM, or the frame must have one
    partition.

    config: a directory with `profiler.json`, or `zookeeper:HOST:PORT,…/metron`
    input: the column of the messages, which are JSON, such as the documents of `transform`

    Raises ConfigError for an invalid configuration, ValueError for an invalid column, and OSError if the configuration
    cannot be read.
    """
    shipped = read_profiles(config).encode()
    messages = frame.select(find_column(frame, input, ("string", "binary")))
    values = messages.mapInArrow(make_task(_PROFILING, "measure_batches", shipped), SCHEMA)
    adjacent = values.repartition(*KEYS).sortWithinPartitions(*KEYS)
    return adjacent.mapInArrow(make_task(_PROFILING, "merge_batches", ""), SCHEMA)


def read_profiles(config: str | Path) -> ShippedProfiles:
    """Read and check the definitions of profiles; see `compute_profiles`."""
    snapshot = read_configurations(config)
    found = read_stored(snapshot, "PROFILER")
    if found is None:
        raise ConfigError(snapshot.describe("PROFILER"), "", "no profiles are defined; add this configuration")
    settings = dict(load_stored_global(snapshot).settings)
    shipped = ShippedProfiles(found.text, found.location.file, settings, snapshot.describe("GLOBAL"))
    definition, _ = shipped.load()
    if definition.timestamp_field is None:
        raise found.location.error("no timestampField; add the name of the field with the time of a message")
    if any(not each.functions.isdisjoint(MODEL_FUNCTIONS) for each in definition.expressions()):
        raise found.location.error("models cannot be called by profiles; call them in the enrichment of a sensor")
    return shipped


def store_profiles(values: DataFrame, config: str | Path) -> int:
    """Store the values of `compute_profiles` in `profiler.store` of the global configuration; return their number.

    They replace those of the same entities, periods and groups. The driver writes them, so the store can be a file.

    Raises ConfigError or LookupError for an invalid configuration, ValueError for a value that cannot be stored, and
    StoreError.
    """
    profiles = read_profiles(config)
    store = open_profile_store(GlobalSettings(profiles.settings))
    try:
        store.prepare()
        measurements = _read_measurements(values, profiles)
        count = 0
        while some := list(islice(measurements, _STORED_AT_ONCE)):
            store.write(some)
            count += len(some)
        return count
    finally:
        store.close()


def _read_measurements(values: DataFrame, profiles: ShippedProfiles) -> Iterator[Measurement]:
    definition, duration = profiles.load()
    named = {each.name: each for each in definition.profiles}
    rows: Iterable[tuple[str, str, int, str, str]] = (
        values.filter("error IS NULL").select(*KEYS, "value").toLocalIterator()
    )
    for name, entity, period, groups, value in rows:
        found = tuple(deserialize(groups))
        yield Measurement(named[name], entity, Period(period, duration), deserialize(value), found)

"""Profiles in the Python processes of executors: messages in, values of each partition out, which are then merged.

    messages of a partition ─► a value for each profile, entity and period ─► shuffle by these ─► merged values

A value is tagged JSON, so that summaries such as STATS and HLLP can be merged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from stellar.java.match_timer import match_timer
from stellar.language.context import Context, GlobalSettings
from stellar.language.tagged_json import deserialize, serialize
from stellar.pipeline.build import load_library
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.profiler.loading import parse_definitions
from stellar.profiles.builder import ProfileBuilder, ProfileError
from stellar.profiles.definitions import ProfilerDefinition
from stellar.profiles.periods import PROFILER, read_duration
from stellar.profiles.routing import MessageRouter
from stellar.profiles.store import NotMergeable, merge_values
from stellar.profiles.stream import MAX_ENTITIES
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = import_optional("pyarrow", "spark")

SCHEMA = "profile string, entity string, period bigint, groups string, value string, error string"
KEYS = ("profile", "entity", "period", "groups")
_COLUMNS = (*KEYS, "value", "error")
_ROWS = 1_000  # of one batch
_NOT_MERGEABLE = "use a summary such as STATS, HLLP or BLOOM as the result, or a frame with one partition: coalesce(1)"


class ProfileRow(NamedTuple):
    """A value, or a failure.

    profile, entity, period: None for a failure that concerns none
    groups, value: tagged JSON
    error: the message of a failure; None for a value
    """

    profile: str | None
    entity: str | None
    period: int | None
    groups: str | None
    value: str | None
    error: str | None = None


@dataclass(frozen=True)
class ShippedProfiles:
    """The definitions of profiles, and their settings, as they are sent to executors.

    text, file: the JSON of the definitions, and their location for messages
    settings, global_file: the global configuration, and its location
    """

    text: str
    file: str
    settings: dict[str, Any]
    global_file: str

    def encode(self) -> str:
        """Return the profiles as JSON."""
        return json.dumps((self.text, self.file, self.settings, self.global_file))

    def load(self) -> tuple[ProfilerDefinition, int]:
        """Return the definitions, and the duration of a period in milliseconds. Raises ConfigError or ValueError."""
        library = load_library(self.settings, SourceLocation(self.global_file))
        definition = parse_definitions(self.text, SourceLocation(self.file), library)
        return definition, read_duration(GlobalSettings(self.settings), PROFILER)


@lru_cache(4)
def _load(shipped: str) -> tuple[ProfilerDefinition, int, Context]:
    profiles = ShippedProfiles(*json.loads(shipped))
    return *profiles.load(), Context({GlobalSettings: GlobalSettings(profiles.settings)})


def measure_batches(shipped: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the values of the messages in a partition, which are JSON in the only column."""
    measuring = _Measuring(*_load(shipped))
    for batch in batches:
        with match_timer():
            for text in batch.column(0).to_pylist():
                measuring.apply(text)
        if len(measuring.builders) >= MAX_ENTITIES:
            yield from _make_batches(measuring.finish())
    yield from _make_batches(measuring.finish())


class _Measuring:
    """Applies messages to profiles.

    builders: by the number of the profile, the entity and the period
    """

    def __init__(self, definition: ProfilerDefinition, duration: int, context: Context) -> None:
        self.builders: dict[tuple[int, str, int], ProfileBuilder] = {}
        self._definition, self._duration, self._context = definition, duration, context
        self._rows: list[ProfileRow] = []
        self._router = MessageRouter(definition, context, self._report)

    def apply(self, text: str | bytes | None) -> None:
        """Apply a message to the profiles that it counts for."""
        try:
            message = json.loads(text or "null")
        except (ValueError, RecursionError) as error:
            self._report(ValueError(f"invalid JSON: {error}"))
            return
        if not isinstance(message, dict):
            self._report(ValueError("expected a JSON object in each message"))
            return
        untimed = self._router.untimed
        for number, entity, time in self._router.route(message):
            key = number, entity, time // self._duration
            if key not in self.builders:
                self.builders[key] = ProfileBuilder(self._definition.profiles[number], entity)
            try:
                self.builders[key].apply(message, time, self._context)
            except ProfileError as error:
                self._report(error)
        if self._router.untimed > untimed:
            self._report(
                ValueError(f"message without the field {self._definition.timestamp_field}, which has its time")
            )

    def finish(self) -> list[ProfileRow]:
        """Return the values and failures so far, and begin again."""
        for (_, entity, _), builder in self.builders.items():
            if builder.is_started:
                self._measure(entity, builder)
        rows, self._rows = self._rows, []
        self.builders.clear()
        return rows

    def _measure(self, entity: str, builder: ProfileBuilder) -> None:
        try:
            measured = builder.measure(self._duration, self._context)
            groups, value = serialize(list(measured.groups)), serialize(measured.value)
        except ValueError as error:
            self._report(error, builder.definition.name, entity)
        else:
            self._rows.append(ProfileRow(measured.profile, entity, measured.period.id, groups, value))

    def _report(self, error: Exception, profile: str | None = None, entity: str | None = None) -> None:
        name = getattr(error, "profile", profile)
        self._rows.append(ProfileRow(name, entity, None, None, None, str(error)))


def merge_batches(_: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the values of each profile, entity, period and groups, merged. Rows of one are adjacent."""
    rows = (ProfileRow(*row.values()) for batch in batches for row in batch.to_pylist())
    merged = _merge_all(rows)
    while some := list(islice(merged, _ROWS)):
        yield from _make_batches(some)


def _merge_all(rows: Iterable[ProfileRow]) -> Iterator[ProfileRow]:
    for (*_, groups), same in groupby(rows, lambda row: row[: len(KEYS)]):
        if groups is None:  # failures
            yield from same
        else:
            yield _merge(list(same))


def _merge(rows: Sequence[ProfileRow]) -> ProfileRow:
    first, *others = rows
    if not others:
        return first
    value = deserialize(first.value or "")
    try:
        for each in others:
            value = merge_values(value, deserialize(each.value or ""))
    except NotMergeable as error:
        problem = ProfileError(first.profile or "", f"{error} across partitions; {_NOT_MERGEABLE}", first.entity)
        return first._replace(value=None, error=str(problem))
    return first._replace(value=serialize(value))


def _make_batches(rows: Sequence[ProfileRow]) -> Iterator[pa.RecordBatch]:
    types = [pa.int64() if name == "period" else pa.string() for name in _COLUMNS]
    for start in range(0, len(rows), _ROWS):
        columns = zip(*rows[start : start + _ROWS], strict=True)
        arrays = [_make_array(column, kind) for column, kind in zip(columns, types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, _COLUMNS)


def _make_array(values: Sequence[Any], kind: Any) -> pa.Array:
    """Return a column; entities are strings of messages, which may have lone surrogates."""
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        texts = (None if text is None else text.encode("utf-8", "backslashreplace").decode() for text in values)
        return pa.array(texts, kind)

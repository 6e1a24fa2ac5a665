"""A profiler of a stream of messages, which stores a value for each entity and period.

Time is that of the messages: a period is stored when messages are later than its end by `lag`. A message that comes
later still, or after its entity was removed to save memory, continues the variables that were saved with the value, so
the value is the same in any order of the messages. A single message with a wrong time does not move the clock: a jump
back, or forward by more than a day, needs ten messages. Periods that it leaves are stored, and continued on return.

    message ──▶ builder of (profile, entity, period) ──▶ value ──▶ store
                      ▲                                     │
                      └──── saved variables ◀───────────────┘
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stellar.language.context import Context
from stellar.profiles.builder import Measurement, ProfileBuilder, ProfileError
from stellar.profiles.definitions import ProfilerDefinition
from stellar.profiles.periods import Period
from stellar.profiles.routing import MessageRouter, Report
from stellar.profiles.store import NotMergeable, ProfileStore, SavedState, merge_values

MAX_ENTITIES = 100_000  # whose variables are in memory
_REMOVED_AT_ONCE = 1_000
_STORED_AT_ONCE = 2_000
_SAVED_SECONDS = 86_400
_MAX_JUMP = 86_400_000  # milliseconds by which one message may advance the time
_CONFIRMATIONS = 10  # consecutive messages that agree on an earlier time, or on a later one by more than that


@dataclass
class ProfileCounts:
    """Counts of a profiler.

    messages: messages that were applied
    untimed: of these, messages without the timestamp field, which are ignored
    routes: pairs of a message and a profile that it counts for
    values: values that were stored
    late: routes to a period that had been stored before
    removed: entities whose values were stored early, because there were too many
    failures: failures that were reported
    """

    messages: int = 0
    untimed: int = 0
    routes: int = 0
    values: int = 0
    late: int = 0
    removed: int = 0
    failures: int = 0

    def __str__(self) -> str:
        return (
            f"{self.messages:,} messages, {self.untimed:,} of them without time, {self.routes:,} routes, "
            f"{self.values:,} values stored; {self.late:,} late, {self.removed:,} stored early, "
            f"{self.failures:,} failures"
        )


class _Key(NamedTuple):
    profile: int
    entity: str
    period: int


class StreamProfiler:
    """Applies messages to profiles, and stores their values.

    duration: of a period in milliseconds
    store: receives the values
    report: receives failures, and a warning when entities are removed
    owner: a name; variables saved by a process of the same name are continued. None for a run from the beginning: the
        values of earlier runs are replaced
    run: a name that no other run has
    lag: milliseconds after the end of a period in which messages are expected
    max_entities: the number of entities whose variables are in memory; then those that are idle longest are removed
    emit: receives each value that was stored

    Not thread-safe.
    """

    def __init__(
        self,
        definition: ProfilerDefinition,
        duration: int,
        store: ProfileStore,
        context: Context,
        report: Report,
        *,
        run: str,
        owner: str | None = None,
        lag: int = 60_000,
        max_entities: int = MAX_ENTITIES,
        clock: Callable[[], int] | None = None,
        emit: Callable[[Measurement], None] = lambda measurement: None,
    ) -> None:
        self.counts = ProfileCounts()
        self._definition, self._duration, self._store = definition, duration, store
        self._context, self._lag, self._max_entities, self._emit = context, lag, max_entities, emit
        self._owner, self._continues = owner or run, owner is not None
        self._report_to = report
        self._router = MessageRouter(definition, context, self._report, clock)
        self._builders: OrderedDict[_Key, ProfileBuilder] = OrderedDict()
        self._continued: set[_Key] = set()  # keys whose value in the store must be merged
        self._stored: set[int] = set()  # periods of which values were stored
        self._unsaved: set[str] = set()  # profiles whose variables cannot be stored
        self._latest = -1  # time; -1 before the first message
        self._oldest = -1  # period in memory
        self._strays = 0  # consecutive messages far from the latest time

    def apply(self, message: Mapping[str, Any]) -> None:
        """Apply a message to the profiles that it counts for. Raises StoreError if the store is not available."""
        self.counts.messages += 1
        for number, entity, time in self._router.route(message):
            self.counts.routes += 1
            try:
                self._apply(number, entity, time, message)
            except ProfileError as error:
                self._report(error)
        self.counts.untimed = self._router.untimed

    def _apply(self, number: int, entity: str, time: int, message: Mapping[str, Any]) -> None:
        if time < 0:
            raise ProfileError(self._definition.profiles[number].name, f"the time {time} is before 1970", entity)
        self._watch(time)
        key = _Key(number, entity, time // self._duration)
        builder = self._builders.get(key)
        if builder is None:
            self._remove_idle()
            builder = self._builders[key] = self._open(key)
        else:
            self._builders.move_to_end(key)
        builder.apply(message, time, self._context)

    def _watch(self, time: int) -> None:
        """Store the periods that have ended when time enters a new one."""
        ended = self._latest - self._lag - self._duration
        if self._latest >= 0 and not ended <= time <= self._latest + _MAX_JUMP:
            self._strays += 1
            if self._strays < _CONFIRMATIONS:
                return
            self._latest = time
        self._strays, self._latest = 0, max(self._latest, time)
        oldest = max(self._latest - self._lag, 0) // self._duration
        if oldest != self._oldest:
            self._oldest = oldest
            current = range(oldest, self._latest // self._duration + 1)
            self._flush([key for key in self._builders if key.period not in current])

    def _open(self, key: _Key) -> ProfileBuilder:
        definition = self._definition.profiles[key.profile]
        builder = ProfileBuilder(definition, key.entity)
        was_stored = key.period in self._stored
        if was_stored or self._continues:
            self.counts.late += was_stored
            saved = self._store.load(definition.name, key.entity, self._period(key))
            if saved is None or saved.owner != self._owner:
                self._continued.add(key)
            else:
                builder.state, builder.latest, builder.is_started = saved.variables, saved.latest, True
        return builder

    def _period(self, key: _Key) -> Period:
        return Period(key.period, self._duration)

    def _remove_idle(self) -> None:
        if len(self._builders) < self._max_entities:
            return
        idle = [key for key, _ in zip(self._builders, range(_REMOVED_AT_ONCE), strict=False)]
        if not self.counts.removed:
            name = self._definition.profiles[idle[0].profile].name
            problem = (
                f"more than {self._max_entities:,} entities in memory; the values of those idle longest are stored "
                "early, which is slow: restrict them by onlyif or foreach, or raise profiler.max.routes.per.bolt"
            )
            self._report(ProfileError(name, problem))
        self.counts.removed += len(idle)
        self._flush(idle)

    def flush(self) -> None:
        """Store the values of all entities. Raises StoreError if the store is not available."""
        self._flush(tuple(self._builders))

    def _flush(self, keys: Sequence[_Key]) -> None:
        for start in range(0, len(keys), _STORED_AT_ONCE):  # bounds the memory for values in transit
            self._flush_some(keys[start : start + _STORED_AT_ONCE])

    def _flush_some(self, keys: Sequence[_Key]) -> None:
        started = {key: each for key in keys if (each := self._builders[key]).is_started}  # else init failed
        for number, definition in enumerate(self._definition.profiles):
            builders = {key: each for key, each in started.items() if key.profile == number and not each.is_full}
            if builders:
                self._save(definition.name, builders)
        measured = [self._measure(key) for key in started]
        self._write([each for each in measured if each is not None])
        for key in keys:
            self._stored.add(key.period)
            del self._builders[key]
            self._continued.discard(key)

    def _measure(self, key: _Key) -> Measurement | None:
        try:
            measurement = self._builders[key].measure(self._duration, self._context)
            return self._merge(measurement) if key in self._continued else measurement
        except ProfileError as error:
            self._report(error)
            return None

    def _merge(self, measurement: Measurement) -> Measurement:
        """Merge a value with the one that is stored, of which there are no variables."""
        key = (measurement.profile, measurement.entity, [measurement.period], measurement.groups)
        for earlier in self._store.read(*key).values():
            try:
                value = merge_values(earlier, measurement.value)
            except NotMergeable as error:
                problem = f"the value of period {measurement.period.id} that another run stored is replaced: {error}"
                self._report(ProfileError(measurement.profile, problem, measurement.entity))
            else:
                return Measurement(
                    measurement.definition, measurement.entity, measurement.period, value, measurement.groups,
                    measurement.triage,
                )  # fmt: skip
        return measurement

    def _save(self, profile: str, builders: Mapping[_Key, ProfileBuilder]) -> None:
        states = {
            (key.entity, self._period(key)): SavedState(self._owner, builder.state, builder.latest)
            for key, builder in builders.items()
        }
        try:
            self._store.save(profile, states, _SAVED_SECONDS)
        except ValueError as error:
            if profile not in self._unsaved:
                self._unsaved.add(profile)
                problem = f"variables are not saved, so late messages replace values: {error}"
                self._report(ProfileError(profile, problem))

    def _write(self, measured: Sequence[Measurement]) -> None:
        try:
            self._store.write(measured)
            stored = list(measured)
        except ValueError:  # one of them
            stored = [each for each in measured if self._write_one(each)]
        self.counts.values += len(stored)
        for each in stored:
            self._emit(each)

    def _write_one(self, measurement: Measurement) -> bool:
        try:
            self._store.write([measurement])
        except ValueError as error:
            self._report(ProfileError(measurement.profile, f"the value is not stored: {error}", measurement.entity))
            return False
        return True

    def _report(self, error: Exception) -> None:
        self.counts.failures += 1
        self._report_to(error)

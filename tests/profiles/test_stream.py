"""A profiler of a stream stores the same values in any order of messages, and in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stellar.functions import LIBRARY
from stellar.language.context import NOTHING
from stellar.profiles.definitions import compile_with, read_definitions
from stellar.profiles.periods import Period
from stellar.profiles.store import ProfileStore
from stellar.profiles.stream import StreamProfiler
from stellar.stores.sqlite import SqliteStore

MINUTE, DAY = 60_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
HELLO = {"profile": "hello", "foreach": "ip", "init": {"n": 0}, "update": {"n": "n + 1"}, "result": "n"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProfileStore]:
    profiles = ProfileStore(SqliteStore(str(tmp_path / "profiles.db")))
    profiles.prepare()
    yield profiles
    profiles.close()


class Run:
    """A profiler with periods of a minute, and what it reports and emits."""

    def __init__(self, store: ProfileStore, *profiles: dict[str, Any], run: str = "run", **options: Any) -> None:
        document = {"profiles": list(profiles or [HELLO]), "timestampField": "t"}
        self.store = store
        self.errors: list[str] = []
        self.emitted: list[Any] = []
        self.profiler = StreamProfiler(
            read_definitions(document, compile_with(LIBRARY)),
            MINUTE,
            store,
            NOTHING,
            lambda error: self.errors.append(str(error)),
            run=run,
            emit=self.emitted.append,
            **options,
        )

    def apply(self, *times: float, **fields: Any) -> None:
        """Apply messages at times in minutes after START."""
        for time in times:
            self.profiler.apply({"ip": "a", "t": START + int(time * MINUTE), **fields})

    def values(self, entity: str = "a", profile: str = "hello", count: int = 10) -> dict[int, Any]:
        """Return the stored values by minute after START."""
        first = START // MINUTE
        periods = [Period(first + n, MINUTE) for n in range(count)]
        return {each.id - first: value for each, value in self.store.read(profile, entity, periods, []).items()}


def test_a_period_is_stored_when_time_has_passed_its_end_and_the_lag(store: ProfileStore) -> None:
    run = Run(store)
    run.apply(0, 0.5, 1, 1.9)
    assert run.values() == {}
    run.apply(2)
    assert run.values() == {0: 2}
    run.profiler.flush()
    assert run.values() == {0: 2, 1: 2, 2: 1}
    assert (run.profiler.counts.values, run.profiler.counts.late, run.errors) == (3, 0, [])


def test_the_values_are_the_same_in_any_order(store: ProfileStore) -> None:
    times = [n / 7 for n in range(70)]
    random.Random(5).shuffle(times)
    run = Run(store, max_entities=3)
    run.apply(*times)
    run.apply(*times, ip="b")
    run.profiler.flush()
    assert run.values("a") == run.values("b") == dict.fromkeys(range(10), 7)
    assert run.profiler.counts.late > 0


def test_summaries_are_stored_and_continued(store: ProfileStore) -> None:
    mean = {"profile": "mean", "foreach": "ip", "update": {"s": "STATS_ADD(s, x)"}, "result": "STATS_MEAN(s)"}
    summary = {**mean, "profile": "summary", "result": "s"}
    run = Run(store, mean, summary)
    for time, number in ((0.1, 1), (2.1, 100), (0.2, 3), (4.1, 200), (0.3, 8)):
        run.apply(time, x=number)
    run.profiler.flush()
    assert (run.values(profile="mean"), run.errors) == ({0: 4.0, 2: 100.0, 4: 200.0}, [])
    assert run.values(profile="summary")[0].maximum == 8


def test_a_message_with_a_wrong_time_does_not_move_the_clock(store: ProfileStore) -> None:
    run = Run(store)
    run.apply(0.1, 50_000, 0.2, 500_000, 0.3)
    assert run.emitted == []
    run.apply(2.1)
    assert run.values() == {0: 3}


@pytest.mark.parametrize("offset", [-100, 100_000])
def test_a_clock_that_jumps_is_followed(store: ProfileStore, offset: int) -> None:
    run = Run(store)
    run.apply(0.1)
    run.apply(*(offset + n / 100 for n in range(10)))
    assert run.values() == {0: 1}
    run.apply(0.2, *(0.3 for _ in range(10)))
    run.profiler.flush()
    assert run.values() == {0: 12}


def test_entities_in_memory_are_limited_and_the_values_exact(store: ProfileStore) -> None:
    run = Run(store, max_entities=100)
    for _ in range(2):
        for number in range(250):
            run.apply(0.1, ip=f"host{number}")
    run.profiler.flush()
    assert [run.values(f"host{number}") for number in (0, 100, 249)] == [{0: 2}] * 3
    assert run.profiler.counts.removed >= 300
    (error,) = run.errors
    assert (
        "profile 'hello': more than 100 entities in memory; the values of those idle longest are stored early" in error
    )


def test_a_run_from_the_beginning_replaces_values(store: ProfileStore) -> None:
    for name in ("first", "second"):
        run = Run(store, run=name)
        run.apply(0.1, 0.2)
        run.profiler.flush()
    assert run.values() == {0: 2}


def test_a_process_of_the_same_name_continues_a_period(store: ProfileStore) -> None:
    for name in ("first", "second"):
        run = Run(store, run=name, owner="worker")
        run.apply(0.1, 0.2)
        run.profiler.flush()
    assert (run.values(), run.errors) == ({0: 4}, [])


def test_values_of_another_process_are_merged_or_reported(store: ProfileStore) -> None:
    seen = {"profile": "seen", "foreach": "ip", "update": {"s": "SET_ADD(s, x)"}, "result": "s"}
    for number in (1, 2):
        run = Run(store, HELLO, seen, run="run", owner=f"worker{number}")
        run.apply(0.1, x=number)
        run.profiler.flush()
    assert run.values(profile="seen") == {0: {1, 2}}
    assert run.values() == {0: 1}
    (error,) = run.errors
    assert "profile 'hello' of 'a': the value of period" in error
    assert "that another run stored is replaced: the integer 1 and the integer 1 cannot be merged" in error


def test_a_failing_profile_is_reported_and_counted(store: ProfileStore) -> None:
    failing = {**HELLO, "profile": "failing", "update": {"n": "1/0"}}
    nothing = {**HELLO, "profile": "nothing", "result": "null"}
    opaque = {**HELLO, "profile": "opaque", "init": {"f": "x -> x"}, "update": {}, "result": "f"}
    run = Run(store, failing, nothing, opaque, HELLO)
    run.apply(0.1, -1e12, 0.2)
    run.profiler.flush()
    assert run.values() == {0: 2}
    assert run.profiler.counts.failures == len(run.errors)
    for part in (
        "profile 'failing' of 'a': update of 'n' failed: ",
        "profile 'nothing' of 'a': result is null",
        "profile 'opaque': variables are not saved, so late messages replace values: no JSON form for a lambda",
        "profile 'opaque' of 'a': the value is not stored: no JSON form for a lambda",
        "profile 'hello' of 'a': the time ",
    ):
        assert any(part in error for error in run.errors), part


def test_a_message_without_time_is_counted(store: ProfileStore) -> None:
    run = Run(store)
    run.profiler.apply({"ip": "a"})
    assert str(run.profiler.counts) == (
        "1 messages, 1 of them without time, 0 routes, 0 values stored; 0 late, 0 stored early, 0 failures"
    )

"""PROFILE_GET and PROFILE_VERBOSE on a store, and the periods that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.context import Context, GlobalSettings
from stellar.profiles.builder import Measurement
from stellar.profiles.definitions import ProfileDefinition
from stellar.profiles.periods import Period
from stellar.profiles.store import NotMergeable, ProfileStore, SavedState, merge_values, open_profile_store
from stellar.stores.sqlite import SqliteStore

QUARTER = 900_000
NULL = stellar.compile("null")
DAY_OF_HITS = ProfileDefinition("hits", NULL, NULL, expires=1)


class Clock:
    seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def profiles(tmp_path: Path, clock: Clock) -> Iterator[ProfileStore]:
    store = ProfileStore(SqliteStore(str(tmp_path / "profiles.db"), clock))
    store.write(
        [
            Measurement(DAY_OF_HITS, "a", Period(1, QUARTER), 10),
            Measurement(DAY_OF_HITS, "a", Period(3, QUARTER), {"x": 1}),
            Measurement(DAY_OF_HITS, "a", Period(3, QUARTER), 30.5, (1, "b")),
            Measurement(DAY_OF_HITS, "a1", Period(1, QUARTER), 99),
        ]
    )
    yield store
    store.close()


def value(profiles: ProfileStore, expression: str, **settings: Any) -> Any:
    services = {ProfileStore: profiles, GlobalSettings: GlobalSettings(settings.pop("settings", {}))}
    periods = [Period(number, QUARTER) for number in (1, 2, 3)]
    return stellar.evaluate(expression, {"periods": periods, **settings}, Context(services))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("PROFILE_GET('hits', 'a', periods)", [10, {"x": 1}]),
        ("PROFILE_GET('hits', 'a', periods, [])", [10, {"x": 1}]),
        ("PROFILE_GET('hits', 'a', periods, [1, 'b'])", [30.5]),
        ("PROFILE_GET('hits', 'a', periods, ['1', 'b'])", [30.5]),
        ("PROFILE_GET('hits', 'a', periods, 1, 'b')", [30.5]),
        ("PROFILE_GET('hits', 'a', periods, [1])", []),
        ("PROFILE_GET('hits', 'a1', periods)", [99]),
        ("PROFILE_GET('hits', 'other', periods)", []),
        ("PROFILE_GET('other', 'a', periods)", []),
        ("PROFILE_GET('hits', 'a', [])", []),
        ("PROFILE_GET('hits', 'a', null)", []),
        ("PROFILE_GET('hits', 'a', periods, [], {'profiler.default.value' : 0})", [10, 0, {"x": 1}]),
        ("PROFILE_GET('hits', 'a', periods, [], {'profiler.client.hbase.table' : 'other'})", []),
        ("MAP(PROFILE_VERBOSE('hits', 'a', periods), m -> MAP_GET('value', m))", [10, {"x": 1}]),
    ],
)
def test_values_are_found_by_profile_entity_period_and_groups(
    profiles: ProfileStore, expression: str, expected: list[Any]
) -> None:
    assert value(profiles, expression) == expected


def test_missing_values_are_replaced_by_the_default(profiles: ProfileStore) -> None:
    found = value(profiles, "PROFILE_GET('hits', 'a', periods)", settings={"profiler.default.value": -1})
    assert found == [10, -1, {"x": 1}]


def test_a_verbose_value_has_its_period_and_groups(profiles: ProfileStore) -> None:
    assert value(profiles, "PROFILE_VERBOSE('hits', 'a', periods, ['1', 'b'])") == [
        {
            "profile": "hits",
            "entity": "a",
            "period": 3,
            "period.start": 3 * QUARTER,
            "period.end": 4 * QUARTER,
            "value": 30.5,
            "groups": ["1", "b"],
        }
    ]


def test_periods_of_another_duration_have_no_value(profiles: ProfileStore) -> None:
    assert value(profiles, "PROFILE_GET('hits', 'a', p)", p=[Period(1, 60_000)]) == []


def test_a_value_expires(profiles: ProfileStore, clock: Clock) -> None:
    clock.seconds += 86_399
    assert value(profiles, "LENGTH(PROFILE_GET('hits', 'a', periods))") == 2
    clock.seconds += 1
    assert value(profiles, "PROFILE_GET('hits', 'a', periods)") == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("PROFILE_GET('hits', null, periods)", "expected the name of an entity, got null"),
        ("PROFILE_GET('hits', 'a', [1])", "expected periods as PROFILE_FIXED and PROFILE_WINDOW return them, got the"),
        ("PROFILE_GET('hits', 'a', periods, [], 1)", "PROFILE_GET expected a map as config, got the integer 1"),
    ],
)
def test_invalid_arguments_are_errors(profiles: ProfileStore, expression: str, message: str) -> None:
    with pytest.raises(stellar.EvaluationError, match=message):
        value(profiles, expression)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no store of profiles configured; set profiler.store in the global configuration"),
        ({"profiler.store": "nosuch:x"}, "unknown store 'nosuch' in profiler.store"),
        ({"profiler.store": "p.db"}, "invalid store 'p.db' in profiler.store"),
        ({"profiler.store": "sqlite:"}, "expected a file after sqlite: in profiler.store"),
        ({"enrichment.store": "nosuch:x"}, "unknown store 'nosuch' in enrichment.store"),
    ],
)
def test_a_store_that_is_not_configured_is_an_error(settings: dict[str, str], message: str) -> None:
    context = Context({GlobalSettings: GlobalSettings(settings)})
    with pytest.raises(stellar.EvaluationError, match=message):
        stellar.evaluate("PROFILE_GET('hits', 'a', PROFILE_FIXED(1, 'HOURS'))", {}, context)


def test_a_store_that_cannot_be_read_is_an_error_not_an_empty_list(tmp_path: Path) -> None:
    settings = GlobalSettings({"enrichment.store": f"sqlite:{tmp_path / 'missing.db'}"})
    with pytest.raises(stellar.EvaluationError, match=r"cannot read the store of profiles .*the file does not exist"):
        stellar.evaluate("PROFILE_GET('hits', 'a', PROFILE_FIXED(1, 'HOURS'))", {}, Context({GlobalSettings: settings}))


def test_an_unreadable_value_is_an_error(profiles: ProfileStore, tmp_path: Path) -> None:
    raw = SqliteStore(str(tmp_path / "profiles.db"), Clock())
    raw.put("profiler", "P", "hits", '["a", [], 2, 900000]', {"value": '{"$nan": 3}'})
    raw.close()
    with pytest.raises(stellar.EvaluationError, match=r'the value of \["a", \[\], 2, 900000\] is not readable'):
        value(profiles, "PROFILE_GET('hits', 'a', periods)")


def test_a_value_that_cannot_be_stored_is_an_error(profiles: ProfileStore) -> None:
    with pytest.raises(ValueError, match="no JSON form for an object of type object"):
        profiles.write([Measurement(DAY_OF_HITS, "a", Period(1, QUARTER), [object()])])


def test_variables_are_saved_for_a_time(profiles: ProfileStore, clock: Clock) -> None:
    key = ("a", Period(1, QUARTER))
    state = SavedState("me", {"s": {1, 2}, "n": 1.5}, 1000)
    profiles.save("hits", {key: state}, ttl=60)
    assert profiles.load("hits", *key) == state
    assert profiles.load("hits", "b", key[1]) is None
    clock.seconds += 61
    assert profiles.load("hits", *key) is None


def test_summaries_of_one_type_are_merged() -> None:
    parts = [stellar.evaluate(f"STATS_ADD(null, {numbers})", {}) for numbers in ("1, 2", "6")]
    assert stellar.evaluate("STATS_MEAN(s)", {"s": merge_values(*parts)}) == 3
    assert merge_values({1}, {2}) == {1, 2}


@pytest.mark.parametrize(("earlier", "later"), [(1, 2), ({"a": 1}, {"a": 2}), ({1}, 2)])
def test_other_values_are_not_merged(earlier: Any, later: Any) -> None:
    with pytest.raises(NotMergeable, match="cannot be merged"):
        merge_values(earlier, later)


def test_the_store_of_profiles_takes_precedence(tmp_path: Path) -> None:
    store = open_profile_store({"enrichment.store": "nosuch:x", "profiler.store": f"sqlite:{tmp_path / 'p.db'}"})
    store.prepare()
    assert store.read("p", "e", [Period(1, 1)], []) == {}
    store.close()

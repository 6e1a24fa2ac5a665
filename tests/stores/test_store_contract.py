"""The promises of Store, by each implementation."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stellar.stores.base import MAX_BATCH_CHARACTERS, EncodedMap, Row, Store, StoreError, batch_rows, encode_value
from stellar.stores.opening import look_up
from stellar.stores.redis import RedisStore
from stellar.stores.sqlite import BATCH, SqliteStore


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = time.time() + 1e6  # in the future, as servers delete rows by their own clock

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.engine)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Store]]:
    stores: list[Store] = []
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None

    def open_another() -> Store:
        if server is None:
            stores.append(SqliteStore(str(tmp_path / "store.db"), clock))
        else:
            stores.append(RedisStore(server.url, clock))
        return stores[-1]

    yield open_another
    for each in stores:
        each.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    store = open_store()
    store.put_many("t", [])
    return store


def rows(*indicators: str, kind: str = "k", is_interval: bool = False, **value: Any) -> list[Row]:
    return [Row("f", kind, each, value or {"of": each}, is_interval) for each in indicators]


@pytest.mark.parametrize(
    "value",
    [{}, {"a": "", "b": None}, {"n": 5, "f": 1.5, "l": [1, {"x": True}]}, {"ü": "\U0001f600", "k.l": "\x00\ud800"}],
)
def test_a_map_is_returned_as_it_was_stored(store: Store, value: dict[str, Any]) -> None:
    assert store.put_many("t", [Row("f", "k", "i", value)]) == 1
    assert store.get("t", "f", "k", "i") == store.find("t", "f", "k", "i") == value


@pytest.mark.parametrize(
    "key",
    [
        ("u", "f", "k", "i"),
        ("t", "g", "k", "i"),
        ("t", "f", "l", "i"),
        ("t", "f", "k", "j"),
        ("", "", "", ""),
        ("t", "f", "k", "\ud800"),
    ],
)
def test_another_table_family_type_or_indicator_has_no_map(store: Store, key: tuple[str, str, str, str]) -> None:
    store.put_many("t", rows("i"))
    assert store.get(*key) is None
    assert store.find(*key) is None
    assert store.get_many(*key[:3], [key[3]]) == {}


@pytest.mark.parametrize("indicator", ["", " ", "ü\U0001f600", "a:b", "a\x00b", "*", "x" * 10_000])
def test_any_string_can_be_an_indicator(store: Store, indicator: str) -> None:
    store.put_many("t", rows(indicator, "other"))
    assert store.find("t", "f", "k", indicator) == {"of": indicator}
    assert sorted(row.indicator for row in store.scan("t")) == sorted((indicator, "other"))


def test_parts_of_a_key_are_not_mixed_up(store: Store) -> None:
    store.put_many(
        "t", [Row("a:b", "c", "d", {"n": 1}), Row("a", "b:c", "d", {"n": 2}), Row("a", "b", "c:d", {"n": 3})]
    )
    assert store.get("t", "a:b", "c", "d") == {"n": 1}
    assert store.get("t", "a", "b:c", "d") == {"n": 2}
    assert store.get("t", "a", "b", "c:d") == {"n": 3}


def test_a_row_replaces_the_one_with_the_same_indicator(store: Store) -> None:
    store.put_many("t", [*rows("i", n=1), *rows("i", n=2)])
    assert store.get("t", "f", "k", "i") == {"n": 2}
    store.put_many("t", rows("i", n=3))
    assert store.get("t", "f", "k", "i") == {"n": 3}


def test_many_maps_are_found_by_their_indicators(store: Store) -> None:
    store.put_many("t", rows("a", "b", "c"))
    assert store.get_many("t", "f", "k", ["c", "x", "a"]) == {"a": {"of": "a"}, "c": {"of": "c"}}
    assert store.get_many("t", "f", "k", []) == {}


NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "2001:db8:1::/48", "0.0.0.0/0")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.4", "10.1.0.0/16"),
        ("10.2.0.1", "10.0.0.0/8"),
        ("11.0.0.1", "0.0.0.0/0"),
        ("::ffff:10.2.0.1", "10.0.0.0/8"),
        ("2001:db8:1::5", "2001:db8:1::/48"),
        ("2001:DB8:2::5", "2001:db8::/32"),
        ("2001:db9::", None),
        ("10.1.2.300", None),
        ("x", None),
        ("", None),
        ("5", None),
    ],
)
def test_of_the_networks_of_an_address_the_longest_prefix_is_found(
    store: Store, address: str, network: str | None
) -> None:
    store.put_many("t", rows(*NETWORKS, is_interval=True))
    assert store.find("t", "f", "k", address) == (None if network is None else {"of": network})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("5999", None),
        ("6000", "6000-6063"),
        ("6010", "6010-6012"),
        ("6013", "6000-6063"),
        ("6064", None),
        ("-3", "-5--1"),
    ],
)
def test_of_the_ranges_of_an_integer_the_smallest_is_found(store: Store, value: str, found: str | None) -> None:
    store.put_many("t", rows("6000-6063", "6010-6012", "-5--1", is_interval=True))
    assert store.find("t", "f", "k", value) == (None if found is None else {"of": found})


def test_the_smallest_of_overlapping_ranges_is_found_whatever_their_blocks(store: Store) -> None:
    store.put_many("t", rows("10.0.0.0-10.0.0.255", "10.0.0.3-10.0.1.200", is_interval=True))
    assert store.find("t", "f", "k", "10.0.0.3") == {"of": "10.0.0.0-10.0.0.255"}
    assert store.find("t", "f", "k", "10.0.1.3") == {"of": "10.0.0.3-10.0.1.200"}


def test_only_intervals_are_searched(store: Store) -> None:
    store.put_many("t", [*rows("10.0.0.0/8"), *rows("11.0.0.0/8", is_interval=True)])
    assert store.find("t", "f", "k", "10.0.0.1") is None
    assert store.find("t", "f", "k", "10.0.0.0/8") == {"of": "10.0.0.0/8"}
    assert store.get("t", "f", "k", "11.0.0.1") is None
    store.put_many("t", rows("11.0.0.0/8"))
    assert store.find("t", "f", "k", "11.0.0.1") is None


def test_intervals_that_are_deleted_or_replaced_are_not_found(store: Store) -> None:
    store.put_many("t", rows(*NETWORKS, is_interval=True))
    assert store.delete("t", "f", "k", ["10.1.0.0/16", "10.9.0.0/16"]) == 1
    assert store.find("t", "f", "k", "10.1.2.4") == {"of": "10.0.0.0/8"}
    store.replace("t", rows("10.1.0.0/16", is_interval=True))
    assert store.find("t", "f", "k", "10.1.2.4") == {"of": "10.1.0.0/16"}
    assert store.find("t", "f", "k", "10.2.2.4") is None


@pytest.mark.parametrize("write", ["put_many", "replace"])
def test_a_row_expires_at_the_end_of_its_time_to_live(store: Store, clock: Clock, write: str) -> None:
    getattr(store, write)("t", [*rows("a"), *rows("10.0.0.0/8", is_interval=True)], ttl=60)
    store.put_many("t", rows("c"))
    clock.now += 59
    assert store.get("t", "f", "k", "a") == {"of": "a"}
    assert store.find("t", "f", "k", "10.1.1.1") == {"of": "10.0.0.0/8"}
    clock.now += 1
    assert store.get("t", "f", "k", "a") is None
    assert store.get_many("t", "f", "k", ["a", "c"]) == {"c": {"of": "c"}}
    assert store.find("t", "f", "k", "10.1.1.1") is None
    assert [row.indicator for row in store.scan("t")] == ["c"]


def test_a_row_that_is_stored_again_lives_on(store: Store, clock: Clock) -> None:
    store.put_many("t", rows("a"), ttl=60)
    clock.now += 50
    store.put_many("t", rows("a"), ttl=60)
    clock.now += 50
    assert store.get("t", "f", "k", "a") == {"of": "a"}
    store.put_many("t", rows("a"))
    clock.now += 1e9
    assert store.get("t", "f", "k", "a") == {"of": "a"}


@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [
        (None, None, ["a", "b", "c", "d"]),
        ("f", None, ["a", "b", "c"]),
        ("f", "l", ["c"]),
        (None, "k", ["a", "b", "d"]),
        ("x", None, []),
    ],
)
def test_a_scan_yields_the_rows_of_a_family_or_type(
    store: Store, family: str | None, kind: str | None, expected: list[str]
) -> None:
    store.put_many("t", [*rows("a", "b"), *rows("c", kind="l"), Row("g", "k", "d", {})])
    store.put_many("u", rows("e"))
    found = list(store.scan("t", family, kind))
    assert sorted(row.indicator for row in found) == expected
    assert not expected or "a" not in expected or Row("f", "k", "a", {"of": "a"}) in found


def test_a_scanned_table_can_be_stored_again(store: Store) -> None:
    before = [*rows("a"), *rows("10.0.0.0/8", "11.0.0.0-11.0.0.3", is_interval=True)]
    store.put_many("t", before)
    store.replace("u", store.scan("t"))
    assert sorted(store.scan("u")) == sorted(before)
    assert store.find("u", "f", "k", "11.0.0.2") == {"of": "11.0.0.0-11.0.0.3"}


def test_a_scan_can_be_abandoned(store: Store) -> None:
    store.put_many("t", rows(*map(str, range(3000))))
    scan = store.scan("t")
    next(scan)
    del scan
    store.replace("t", rows("a"))
    assert [row.indicator for row in store.scan("t")] == ["a"]


def test_replacing_a_table_leaves_others(store: Store) -> None:
    store.put_many("t", [*rows("a"), *rows("b", kind="l")])
    store.put_many("u", rows("a"))
    assert store.replace("t", rows("c")) == 1
    assert [row.indicator for row in store.scan("t")] == ["c"]
    assert [row.indicator for row in store.scan("u")] == ["a"]
    assert store.replace("t", []) == 0
    assert list(store.scan("t")) == []


def test_readers_see_the_previous_rows_until_all_are_stored(open_store: Callable[[], Store], store: Store) -> None:
    reader = open_store()
    store.put_many("t", rows("a"))
    seen = []

    def produce() -> Iterator[Row]:
        for number in range(2 * BATCH + 5):
            if number % BATCH == 1:
                seen.append((reader.get("t", "f", "k", "a"), reader.get("t", "f", "k", "0")))
            yield from rows(str(number))

    assert store.replace("t", produce()) == 2 * BATCH + 5
    assert seen == [({"of": "a"}, None)] * 3
    assert reader.get("t", "f", "k", "a") is None
    assert reader.get("t", "f", "k", "0") == {"of": "0"}
    assert sum(1 for _ in reader.scan("t")) == 2 * BATCH + 5


def test_a_replacement_that_fails_changes_nothing(open_store: Callable[[], Store], store: Store) -> None:
    store.put_many("t", rows("a"))
    before = store.generation("t")

    def fail() -> Iterator[Row]:
        yield from rows(*map(str, range(BATCH + 1)), kind="broken")
        raise OSError("the feed broke off")

    with pytest.raises(OSError, match="broke off"):
        store.replace("t", fail())
    assert [row.indicator for row in store.scan("t")] == ["a"]
    assert store.generation("t") == before
    assert store.types("t") == {("f", "k")}
    store.replace("t", rows("b", kind="new"))
    assert store.types("t") >= {("f", "new")}
    assert [row.indicator for row in open_store().scan("t")] == ["b"]


@pytest.mark.parametrize("write", ["put_many", "replace"])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("f", "k", "i", {"a": object()}), "cannot store the value of 'i' of the type 'k': Object of type object"),
        (Row("f", "k", "i", {"a": float("nan")}), "cannot store the value of 'i'"),
        (Row("f", "k", "\ud800", {}), "cannot store the indicator .* half of a surrogate pair"),
        (Row("f", "k", "x", {}, True), "invalid interval 'x': expected a network"),
    ],
)
def test_an_invalid_row_is_rejected_with_all_others(store: Store, write: str, row: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(store, write)("t", [*rows("a"), row])
    assert store.get("t", "f", "k", "a") is None


def test_each_change_of_a_table_changes_its_generation(open_store: Callable[[], Store], store: Store) -> None:
    reader = open_store()
    other = reader.generation("u")
    before = reader.generation()
    generations = [reader.generation("t")]
    for change in (
        lambda: store.put_many("t", rows("a")),
        lambda: store.replace("t", rows("b")),
        lambda: store.delete("t", "f", "k", ["b"]),
        lambda: store.replace("t", []),
    ):
        change()
        generations.append(reader.generation("t"))
    assert generations == sorted(set(generations))
    assert reader.generation("u") == other
    assert reader.generation() > before


def test_rows_of_many_threads_are_all_stored(store: Store) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for each in range(10):
                store.put_many("t", rows(f"{number}-{each}"))
                assert store.get("t", "f", "k", f"{number}-{each}") == {"of": f"{number}-{each}"}
        except Exception as error:  # noqa: BLE001 (asserted below, in the thread of the test)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(1 for _ in store.scan("t")) == 40


def test_a_closed_store_opens_again(store: Store) -> None:
    store.put_many("t", rows("a"))
    store.close()
    assert store.get("t", "f", "k", "a") == {"of": "a"}


def test_expired_rows_are_deleted_with_their_blocks(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(str(tmp_path / "x.db"), clock)
    store.put_many("t", rows("10.0.0.0/8", "a", is_interval=False), ttl=1)
    store.put_many("t", rows("11.0.0.0/8", is_interval=True), ttl=1)
    clock.now += 2
    store.put_many("t", rows("b"))
    with store._readers.lend() as connection:
        assert connection.execute("SELECT indicator FROM entries").fetchall() == [("b",)]
        assert connection.execute("SELECT count(*) FROM blocks").fetchone() == (0,)
    assert store.delete_expired() == 0
    store.close()


def test_a_replacement_of_types_leaves_the_others_as_they_are(store: Store, clock: Clock) -> None:
    store.put_many("t", [*rows("a", "b"), *rows("10.0.0.0/8", kind="net", is_interval=True)])
    store.put_many("t", rows("short", kind="net"), ttl=60)
    store.put_many("t", [Row("g", "k", "a", {"of": "another family"})])
    before = store.generation("t")
    assert store.replace("t", rows("c"), others_stay=True) == 1
    assert store.generation("t") > before
    assert [row.indicator for row in store.scan("t", "f", "k")] == ["c"]
    assert store.find("t", "f", "net", "10.1.2.3") == {"of": "10.0.0.0/8"}
    assert store.get("t", "g", "k", "a") == {"of": "another family"}
    assert store.get("t", "f", "net", "short") == {"of": "short"}
    clock.now += 61
    assert store.get("t", "f", "net", "short") is None
    store.replace("t", rows("11.0.0.0/8", kind="net", is_interval=True), others_stay=True)
    assert store.find("t", "f", "net", "10.1.2.3") is None
    assert store.find("t", "f", "net", "11.1.2.3") == {"of": "11.0.0.0/8"}
    assert [row.indicator for row in store.scan("t", "f", "k")] == ["c"]


def test_a_replacement_of_types_has_the_changes_of_others_in_the_meantime(
    open_store: Callable[[], Store], store: Store
) -> None:
    store.put_many("t", rows("a", "b", kind="other"))
    another = open_store()

    def change() -> Iterator[Row]:
        yield from rows("new")
        another.put_many("t", rows("c", kind="other"))
        another.delete("t", "f", "other", ["a"])

    store.replace("t", change(), others_stay=True)
    assert sorted(row.indicator for row in store.scan("t")) == ["b", "c", "new"]


def test_rows_that_a_process_staged_before_it_ended_are_deleted_by_a_later_replacement(
    tmp_path: Path, clock: Clock
) -> None:
    store = SqliteStore(str(tmp_path / "x.db"), clock)
    ended = SqliteStore(str(tmp_path / "x.db"), clock)
    ended._discard = lambda spaces: None  # type: ignore[method-assign]

    def end() -> Iterator[Row]:
        yield from rows(*map(str, range(BATCH)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ended.replace("t", end())
    count = "SELECT count(*) FROM entries"
    for seconds, expected in ((60, BATCH + 1), (86_400, 1)):
        clock.now += seconds
        store.replace("t", rows("a"))
        with store._readers.lend() as connection:
            assert connection.execute(count).fetchone() == (expected,)
    store.close()
    ended.close()


def test_the_change_of_a_writer_that_was_killed_is_undone_by_the_next_reader(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = SqliteStore(str(path))
    store.put_many("t", rows("a"))
    store.close()
    program = (
        "import os, signal, sqlite3, sys; connection = sqlite3.connect(sys.argv[1]); "
        "connection.execute('PRAGMA cache_size = 1'); connection.execute('BEGIN IMMEDIATE'); "
        "connection.execute('UPDATE entries SET value = ?', ('{}',)); "
        "connection.executemany('INSERT INTO entries VALUES (1, ?, ?, NULL, NULL)', "
        "((str(each), '{}') for each in range(10_000))); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert (killed.returncode, Path(f"{path}-journal").exists()) == (-signal.SIGKILL, True)
    assert [row.indicator for row in store.scan("t")] == ["a"]
    assert store.get("t", "f", "k", "a") == {"of": "a"}
    store.close()


def test_a_reader_can_not_change_a_store(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "x.db"))
    store.put_many("t", rows("a"))
    with store._readers.lend() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM entries")
    store.close()


def test_a_store_that_is_locked_or_of_another_format_is_an_error(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "x.db"))
    store.put_many("t", rows("a"))
    with store._writers.lend() as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.commit()
    other = SqliteStore(str(tmp_path / "x.db"))
    for use in (lambda: other.get("t", "f", "k", "a"), lambda: other.put_many("t", [])):
        with pytest.raises(StoreError, match=r"x\.db: the file has the format 7; this version reads format 1"):
            use()
    with store._writers.lend() as connection:
        connection.execute("PRAGMA busy_timeout = 1")
        connection.execute("BEGIN EXCLUSIVE")
        locked = SqliteStore(str(tmp_path / "x.db"))
        locked._readers._prepare = lambda each: each.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(StoreError, match="locked"):
            locked.get("t", "f", "k", "a")
        connection.rollback()
    store.close()


def test_a_reader_never_finds_a_file_without_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "store.db", os.link

    def link_after_check(source: str, target: str) -> None:
        assert not path.exists()
        link(source, target)
        reader = SqliteStore(str(path))
        assert reader.get("t", "f", "k", "a") is None
        reader.close()

    monkeypatch.setattr(os, "link", link_after_check)
    store = SqliteStore(str(path))
    store.put_many("t", rows("a"))
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["store.db"]


def test_a_store_is_created_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError("the file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    store = SqliteStore(str(tmp_path / "store.db"))
    store.put_many("t", rows("a"))
    assert store.get("t", "f", "k", "a") == {"of": "a"}
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["store.db"]


def test_many_writers_create_one_store(tmp_path: Path) -> None:
    stores = [SqliteStore(str(tmp_path / "store.db")) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: stores[number].put_many("t", rows(str(number))), range(8)))
    assert len(list(stores[0].scan("t"))) == 8
    for each in stores:
        each.close()


def test_batches_are_bounded_by_number_and_by_size() -> None:
    assert [len(batch) for batch in batch_rows(rows(*"abcde"), 2)] == [2, 2, 1]
    large = rows(*"abcde", text="x" * (MAX_BATCH_CHARACTERS // 2))
    assert [len(batch) for batch in batch_rows(large, 50_000)] == [2, 2, 1]
    assert list(batch_rows([], 2)) == []


def test_a_map_that_is_encoded_is_stored_as_it_is(store: Store) -> None:
    value = EncodedMap('{"n": 1,  "of": "a"}')
    assert (dict(value), len(value), value["n"]) == ({"n": 1, "of": "a"}, 2, 1)
    row = Row("f", "k", "a", value)
    assert encode_value(row) == value.text
    store.put_many("t", [row])
    store.replace("u", [row])
    assert store.get("t", "f", "k", "a") == store.get("u", "f", "k", "a") == {"n": 1, "of": "a"}


def test_the_types_that_were_ever_stored_in_a_table_are_listed(store: Store) -> None:
    assert store.types("t") == store.types("\ud800") == set()
    store.put_many("t", rows("a"))
    store.put_many("t", [Row("ü", 'k",]', "b", {})])
    store.put_many("other", rows("a", kind="other"))
    assert store.types("t") == {("f", "k"), ("ü", 'k",]')}
    store.replace("t", rows("a", kind="new"), others_stay=True)
    store.delete("t", "f", "k", ["a"])
    assert store.types("t") == {("f", "k"), ("ü", 'k",]'), ("f", "new")}


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        (("tt", "f", "k"), "nothing was ever stored in the table 'tt' of the enrichment store; check its name"),
        (("t", "f", "kk"), "nothing of the type 'kk' in the family 'f' was ever stored in the table 't'"),
        (("t", "g", "k"), "did you mean k in the family f?"),
    ],
)
def test_a_look_up_under_names_that_were_never_stored_warns_once(
    store: Store, names: tuple[str, str, str], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.put_many("t", rows("a"))
    for indicator in ("a", "b"):
        assert look_up(store, *names, indicator) is None
    assert look_up(store, "t", "f", "k", "missing") is None  # an ordinary miss
    assert [record.getMessage() for record in caplog.records if warning in record.getMessage()] == caplog.messages
    assert len(caplog.messages) == 1

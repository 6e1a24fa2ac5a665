"""What only a store in a server can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from stellar.stores.base import Row, StoreError
from stellar.stores.opening import open_store
from stellar.stores.redis import RedisStore

from .conftest import RedisServer, start_redis

ROW = Row("f", "k", "a", {"n": 1})


@pytest.mark.engine
def test_a_server_that_stops_is_an_error_and_is_used_again_after_its_restart(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    store = RedisStore(server.url)
    store.put_many("t", [ROW])
    server.stop()
    for use in (
        lambda: store.get("t", "f", "k", "a"),
        lambda: store.find("t", "f", "k", "a"),
        lambda: store.generation("t"),
        lambda: store.put_many("t", [ROW]),
        lambda: store.replace("t", [ROW]),
        lambda: list(store.scan("t")),
    ):
        with pytest.raises(StoreError, match=rf"redis://127.0.0.1:{server.port}/0: .*refused"):
            use()
    again = start_redis(tmp_path, port=server.port)
    store.put_many("t", [ROW])
    assert store.get("t", "f", "k", "a") == {"n": 1}
    store.close()
    again.stop()


@pytest.mark.engine
def test_messages_do_not_contain_the_password(tmp_path: Path) -> None:
    server = start_redis(tmp_path, "--requirepass", "right")
    store = RedisStore(server.url.replace("redis://", "redis://:wrong@"))
    with pytest.raises(StoreError) as refused:
        store.get("t", "f", "k", "a")
    assert "wrong" not in str(refused.value)
    store.close()
    with_password = RedisStore(server.url.replace("redis://", "redis://:right@"))
    assert with_password.get("t", "f", "k", "a") is None
    with_password.close()
    server.stop()


@pytest.mark.engine
def test_the_setting_opens_the_store(redis_server: RedisServer) -> None:
    store = open_store({"enrichment.store": redis_server.url})
    assert isinstance(store, RedisStore)
    store.put_many("t", [ROW])
    assert store.get("t", "f", "k", "a") == {"n": 1}
    store.close()


@pytest.mark.engine
def test_of_two_replacements_at_once_one_is_refused(redis_server: RedisServer) -> None:
    store, other = RedisStore(redis_server.url), RedisStore(redis_server.url)

    def rows() -> list[Row]:
        other.replace("t", [Row("f", "k", "b", {})])
        return [ROW]

    with pytest.raises(StoreError, match="another process has replaced t in the meantime"):
        store.replace("t", (row for each in [rows] for row in each()))
    assert [row.indicator for row in store.scan("t")] == ["b"]
    store.close()
    other.close()


@pytest.mark.engine
def test_a_value_that_another_program_has_written_is_an_error(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url)
    store.put_many("t", [ROW])
    (key,) = store._client.keys("*row*")
    for value in ("0::[1]", "x", "0::{"):
        store._client.set(key, value)
        with pytest.raises(StoreError, match="unreadable value"):
            store.get("t", "f", "k", "a")
    store.close()


@pytest.mark.parametrize("url", ["redis://[::1", "redis://x:99999x/0"])
def test_an_invalid_address_is_an_error(url: str) -> None:
    with pytest.raises((LookupError, ValueError)):
        RedisStore(url)


@pytest.mark.engine
@pytest.mark.parametrize("changes", [1, 100])
def test_rows_that_stay_are_copied_again_if_others_change_them(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    store, another = RedisStore(redis_server.url), RedisStore(redis_server.url)
    another.put_many("t", [Row("f", "other", "a", {}), Row("f", "k", "old", {})])
    copy, copied = store._copy_others, []

    def copy_and_change(table: str, epoch: int, replaced: set[str]) -> None:
        copy(table, epoch, replaced)
        if len(copied) < changes:
            another.delete("t", "f", "other", ["a"])
            another.put_many("t", [Row("f", "other", "b", {})])
        copied.append(epoch)

    monkeypatch.setattr(store, "_copy_others", copy_and_change)
    if changes == 1:
        store.replace("t", [ROW], others_stay=True)
        assert sorted(row.indicator for row in another.scan("t")) == ["a", "b"]
        assert another.get("t", "f", "other", "a") is None
    else:
        with pytest.raises(StoreError, match="t is changed too often by other processes"):
            store.replace("t", [ROW], others_stay=True)
        assert sorted(row.indicator for row in another.scan("t")) == ["b", "old"]
    store.close()
    another.close()

"""The promises of ConfigurationStore, by the directory and by ZooKeeper."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stellar.maas.zookeeper import ZooKeeper
from stellar.stores.configurations import (
    KINDS,
    ROOT,
    ConfigurationStore,
    DirectoryConfigurations,
    RecordingSnapshot,
    ZooKeeperConfigurations,
    has_sensors,
    read_snapshot,
)

# Stores the data of a configuration as another program would
PutBytes = Callable[[str, bytes], Any]


@pytest.fixture(params=["directory", pytest.param("zookeeper", marks=pytest.mark.engine)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ConfigurationStore, PutBytes]]:
    if request.param == "directory":

        def put(location: str, data: bytes) -> None:
            Path(location).parent.mkdir(parents=True, exist_ok=True)
            Path(location).write_bytes(data)

        yield DirectoryConfigurations(tmp_path / "config"), put
        return
    with ZooKeeper(request.getfixturevalue("quorum")) as zookeeper:
        yield ZooKeeperConfigurations(zookeeper), zookeeper.write


@pytest.fixture
def store(opened: tuple[ConfigurationStore, PutBytes]) -> ConfigurationStore:
    return opened[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_is_stored_as_it_is(store: ConfigurationStore, kind: str) -> None:
    sensor = "squid" if has_sensors(kind) else None
    assert store.read(kind, sensor) is None
    for text in ('{"é": 1} // comment', "{\r\n}\n"):
        store.write(kind, text, sensor)
        assert store.read(kind, sensor) == text
    assert [other for other in KINDS if store.read(other, "squid") is not None] == [kind]


@pytest.mark.parametrize("sensor", [None, "", ".", "..", "../global", "a/b", "a\\b", "a\0", "a\n"])
def test_an_invalid_name_is_rejected(store: ConfigurationStore, sensor: str | None) -> None:
    for use in (
        lambda: store.read("PARSER", sensor),
        lambda: store.write("PARSER", "{}", sensor),
        lambda: store.describe("PARSER", sensor),
    ):
        with pytest.raises(ValueError, match="name of a sensor"):
            use()


def test_an_unknown_kind_is_rejected(store: ConfigurationStore) -> None:
    with pytest.raises(ValueError, match="unknown kind of configuration 'parser'; expected one of GLOBAL, PROFILER"):
        store.read("parser", "squid")


def test_invalid_utf8_is_an_error_that_names_the_location(opened: tuple[ConfigurationStore, PutBytes]) -> None:
    store, put = opened
    location = store.describe("INDEXING", "squid")
    put(location, b"{}\xff")
    with pytest.raises(ValueError, match="is not valid UTF-8 at byte 2") as refused:
        store.read("INDEXING", "squid")
    assert str(refused.value).startswith(location)


def test_a_text_that_utf8_cannot_encode_is_an_error(store: ConfigurationStore) -> None:
    with pytest.raises(ValueError, match="contains half of a surrogate pair at character 7") as refused:
        store.write("GLOBAL", '{"a": "\ud800"}')
    assert not isinstance(refused.value, UnicodeError)
    assert store.read("GLOBAL") is None


def test_a_byte_order_mark_is_not_part_of_the_text(opened: tuple[ConfigurationStore, PutBytes]) -> None:
    store, put = opened
    put(store.describe("GLOBAL"), b"\xef\xbb\xbf{}")
    assert store.read("GLOBAL") == "{}"


def test_a_file_is_replaced_and_retains_its_permissions(tmp_path: Path) -> None:
    store = DirectoryConfigurations(tmp_path)
    store.write("GLOBAL", "{}")
    file = tmp_path / "global.json"
    assert file.stat().st_mode & 0o777 == 0o644
    file.chmod(0o640)
    os.link(file, tmp_path / "earlier")
    store.write("GLOBAL", '{"a": 1}')
    assert file.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "earlier").read_text() == "{}"  # a reader of the earlier file is not disturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "global.json"]


def test_a_write_that_fails_leaves_the_earlier_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryConfigurations(tmp_path)
    store.write("GLOBAL", "{}")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        store.write("GLOBAL", '{"a": 1}')
    assert store.read("GLOBAL") == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["global.json"]


def test_a_file_in_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "parsers").write_text("")
    with pytest.raises(OSError, match="parsers"):
        DirectoryConfigurations(tmp_path).write("PARSER", "{}", "squid")


def test_the_sensors_of_a_kind_are_listed(opened: tuple[ConfigurationStore, PutBytes]) -> None:
    store, _ = opened
    assert store.list_sensors("PARSER") == []
    for sensor in ("b.2", "a"):
        store.write("PARSER", "{}", sensor)
    store.write("ENRICHMENT", "{}", "c")
    assert store.list_sensors("PARSER") == ["a", "b.2"]
    assert store.list_sensors("INDEXING") == []


@pytest.mark.engine
def test_a_snapshot_has_the_configurations_of_a_cluster(quorum: str) -> None:
    with ZooKeeper(quorum) as zookeeper:
        store = ZooKeeperConfigurations(zookeeper)
        assert read_snapshot(zookeeper, ROOT, "here").contents == {}
        store.write("GLOBAL", "{}")
        store.write("PARSER", '{"a": 1}', "squid")
        zookeeper.write(store.describe("INDEXING", "squid"), b"\xff")
        snapshot = read_snapshot(zookeeper, ROOT, "here")
        store.write("PARSER", '{"a": 2}', "squid")
    assert snapshot.read("GLOBAL") == "{}"
    assert snapshot.read("PARSER", "squid") == '{"a": 1}'
    assert snapshot.read("PROFILER") is None
    assert (snapshot.list_sensors("PARSER"), snapshot.list_sensors("ENRICHMENT")) == (["squid"], [])
    with pytest.raises(ValueError, match="here/indexing/squid is not valid UTF-8 at byte 0"):
        snapshot.read("INDEXING", "squid")


def test_a_snapshot_records_what_is_read() -> None:
    snapshot = RecordingSnapshot("here", {"parsers/a": b"{}", "enrichments/a": b"{}", "indexing/a": b"{}"})
    snapshot.read("PARSER", "a")
    snapshot.read("GLOBAL")
    snapshot.list_sensors("INDEXING")
    read = ["parsers/a", "global", "indexing/a", "indexing/new"]
    assert [path for path in (*read, "parsers/b", "enrichments/a", "profiler") if snapshot.has_read(path)] == read
    assert snapshot == RecordingSnapshot("here", snapshot.contents)

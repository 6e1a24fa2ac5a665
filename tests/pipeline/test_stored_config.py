"""The configuration of a sensor that is not in files: loading, and the locations in its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.loading import SensorConfig, load_stored
from stellar.pipeline.config.locations import ErrorCollector
from stellar.pipeline.output_paths import make_path_function
from stellar.stores.configurations import ConfigurationSnapshot

ORIGIN = "zookeeper:node1:2181/metron/topology"


def snapshot(**contents: Any) -> ConfigurationSnapshot:
    """Return the configurations with these paths, in which _ stands for /."""
    encoded = {
        name.replace("_", "/"): value if isinstance(value, bytes) else json.dumps(value).encode()
        for name, value in contents.items()
    }
    return ConfigurationSnapshot(ORIGIN, encoded)


def fail(store: ConfigurationSnapshot, sensor: str = "web") -> str:
    """Return the only error of loading a sensor."""
    found: list[ConfigError] = []
    ErrorCollector(found).attempt(lambda: load_stored(store, sensor, ErrorCollector(found)), None)
    (error,) = found
    return str(error)


def test_a_sensor_is_loaded_with_its_enrichment_and_the_global_configuration() -> None:
    config = load_stored(
        snapshot(
            parsers_web={"parserClassName": "CSV", "sensorTopic": "topic"},
            enrichments_web={"enrichment": {"fieldMap": {"geo": ["ip"]}}},
            **{"global": {"a": 1}},
        ),
        "web",
    )
    assert config.parser.sensor_topic == "topic"
    assert config.enrichment.enrichment.field_map["geo"].config == ["ip"]
    assert config.globals.settings["a"] == 1
    assert str(config.parser_location) == f"{ORIGIN}/parsers/web"
    assert str(config.enrichment_location) == f"{ORIGIN}/enrichments/web"
    assert str(config.global_location) == f"{ORIGIN}/global"


def test_only_the_parser_is_required() -> None:
    config = load_stored(snapshot(parsers_web={"parserClassName": "CSV"}), "web")
    default = SensorConfig("web", config.parser)
    assert (config.enrichment, config.globals) == (default.enrichment, default.globals)
    assert (config.profiler_location, config.read_profiler()) == (None, None)
    assert list(config.read_indexing()) == []


def test_an_unknown_sensor_is_an_error_with_the_nearest_name() -> None:
    parser = {"parserClassName": "CSV"}
    assert fail(snapshot(parsers_wep=parser)) == f"{ORIGIN}/parsers/web: unknown sensor 'web'; did you mean wep?"
    assert "no parser is configured; push a directory" in fail(snapshot())
    assert "invalid name of a sensor '../x'" in fail(snapshot(), "../x")


def test_invalid_content_is_an_error_at_its_node() -> None:
    assert fail(snapshot(parsers_web={"colour": 1, "parserClassName": "CSV"})).startswith(
        f"{ORIGIN}/parsers/web: colour: unknown key 'colour'"
    )
    parser = {"parserClassName": "CSV"}
    broken = snapshot(parsers_web=parser, enrichments_web=b"{\xff}")
    assert fail(broken) == f"{ORIGIN}/enrichments/web: is not valid UTF-8 at byte 1"
    assert f"{ORIGIN}/global: invalid JSON" in fail(snapshot(parsers_web=parser, **{"global": b"{,}"}))


def test_directories_of_documents_are_those_of_indexing() -> None:
    store = snapshot(parsers_web={"parserClassName": "CSV"}, indexing_web={"hdfs": {"outputPathFunction": "'x'"}})
    choose = make_path_function(load_stored(store, "web"))
    assert choose({"source.type": "web"}) == "x"
    invalid = snapshot(parsers_web={"parserClassName": "CSV"}, indexing_web={"hdfs": {"outputPathFunction": "'"}})
    with pytest.raises(ConfigError) as refused:
        make_path_function(load_stored(invalid, "web"))
    assert str(refused.value).startswith(f"{ORIGIN}/indexing/web: hdfs.outputPathFunction: ")


def test_profiles_and_other_enrichments_are_those_of_the_same_store() -> None:
    store = snapshot(
        parsers_web={"parserClassName": "CSV"}, profiler={"profiles": []}, enrichments_profiler={}, **{"global": {}}
    )
    config = load_stored(store, "web", directory=Path("patterns"))
    found = config.read_profiler()
    assert found is not None
    assert str(found.location) == str(config.profiler_location) == f"{ORIGIN}/profiler"
    sibling = config.load_sibling("profiler")
    assert sibling is not None
    assert (sibling.sensor, sibling.directory) == ("profiler", Path("patterns"))
    assert config.load_sibling("other") is None


def test_profiles_that_cannot_be_read_are_an_error_when_they_are_read() -> None:
    config = load_stored(snapshot(parsers_web={"parserClassName": "CSV"}, profiler=b"\xff"), "web")
    assert str(config.profiler_location) == f"{ORIGIN}/profiler"
    with pytest.raises(ConfigError, match="profiler: is not valid UTF-8 at byte 0"):
        config.read_profiler()

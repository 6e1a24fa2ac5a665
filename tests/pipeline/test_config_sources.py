"""The promises of ConfigSource, by a directory and by configurations in a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.locations import ErrorCollector
from stellar.pipeline.config.sources import ConfigSource, DirectorySource, StoredSource
from stellar.stores.configurations import ConfigurationSnapshot

Make = Callable[[dict[str, Any]], ConfigSource]


@pytest.fixture(params=["directory", "store"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A function that returns the source of some configurations."""

    def make_directory(configurations: dict[str, Any]) -> ConfigSource:
        for path, value in configurations.items():
            file = tmp_path / f"{path}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value))
        return DirectorySource(tmp_path)

    def make_store(configurations: dict[str, Any]) -> ConfigSource:
        contents = {path: json.dumps(value).encode() for path, value in configurations.items()}
        return StoredSource(ConfigurationSnapshot("zookeeper:a:1/topology", contents), tmp_path)

    return make_directory if request.param == "directory" else make_store


def test_a_sensor_is_loaded(make: Make) -> None:
    config = make({"parsers/web": {"parserClassName": "CSV"}, "global": {"a": 1}}).load("web")
    assert (config.parser.parser_class_name, config.globals.settings["a"]) == ("CSV", 1)
    assert "parsers/web" in str(config.parser_location)


def test_an_enrichment_needs_no_parser(make: Make) -> None:
    enrichment = {"enrichment": {"fieldMap": {"geo": ["ip"]}}}
    config = make({"enrichments/web": enrichment, "global": {"a": 1}}).load_enrichment("web")
    assert (config.sensor, config.globals.settings["a"]) == ("web", 1)
    assert config.enrichment.enrichment.field_map["geo"].config == ["ip"]


def test_an_empty_configuration_can_be_built(make: Make) -> None:
    config = make({"global": {"a": 1}}).load_empty()
    assert (config.sensor, config.globals.settings["a"]) == ("", 1)
    assert build_pipeline(config).sensor == ""


def test_groups_and_sensors_are_listed(make: Make) -> None:
    settings = {"parser.groups": [{"name": "all", "sensors": ["a", "b"]}]}
    source = make({"global": settings, "parsers/b": {}, "parsers/a": {}, "enrichments/c": {}})
    assert source.load_groups() == {"all": ["a", "b"]}
    assert (source.list_sensors("PARSER"), source.list_sensors("ENRICHMENT")) == (["a", "b"], ["c"])
    assert source.list_sensors("INDEXING") == []


def test_errors_are_collected_or_raised(make: Make) -> None:
    source = make({"parsers/web": {"colour": 1}, "enrichments/web": {"shape": 1}, "global": {"fieldValidations": 1}})
    for load in (source.load, source.load_enrichment):
        found: list[ConfigError] = []
        assert load("web", ErrorCollector(found)).sensor == "web"
        assert len(found) >= 2
        with pytest.raises(ConfigError):
            load("web")
    found = []
    assert source.load_empty(ErrorCollector(found)).sensor == ""
    assert len(found) == 1
    with pytest.raises(ConfigError):
        source.load_groups()

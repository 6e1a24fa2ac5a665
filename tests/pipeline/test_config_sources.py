"""The promises of ConfigSource, by a directory and by configurations in a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.language.errors import ConfigError
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


def test_groups_are_loaded(make: Make) -> None:
    settings = {"parser.groups": [{"name": "all", "sensors": ["a", "b"]}]}
    assert make({"global": settings}).load_groups() == {"all": ["a", "b"]}


def test_without_a_global_configuration_there_are_no_groups(make: Make) -> None:
    assert make({}).load_groups() == {}


def test_errors_are_collected_or_raised(make: Make) -> None:
    source = make({"parsers/web": {"colour": 1}, "enrichments/web": {"shape": 1}, "global": {"fieldValidations": 1}})
    found: list[ConfigError] = []
    assert source.load("web", ErrorCollector(found)).sensor == "web"
    assert len(found) >= 3
    with pytest.raises(ConfigError, match="unknown key 'colour'"):
        source.load("web")
    with pytest.raises(ConfigError, match="fieldValidations"):
        source.load_groups()


def test_an_unknown_sensor_is_an_error_with_the_nearest_name(make: Make) -> None:
    source = make({"parsers/web": {"parserClassName": "CSV"}})
    with pytest.raises(ConfigError, match="unknown sensor 'wep'; did you mean web"):
        source.load("wep", ErrorCollector([]))

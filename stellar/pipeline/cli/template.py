"""`stellar-pipeline template`: creates the index templates of sensors in a search server."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from stellar.pipeline.cli.common import add_config
from stellar.pipeline.command_line import OK, OptionError
from stellar.pipeline.config.loading import SensorConfig, default_parser, load_stored_global
from stellar.pipeline.connectors.directories import ERROR_TYPE
from stellar.pipeline.connectors.search.target import parse_search_target
from stellar.pipeline.connectors.search.templates import IndexTemplate, make_template, put_template
from stellar.pipeline.connectors.sinks import is_search
from stellar.pipeline.indexing import SearchWriters, connect_search
from stellar.stores.configurations import DirectoryConfigurations
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

DESCRIPTION = (
    "Create the index templates of sensors in OpenSearch or Elasticsearch: the types of the fields that the pipeline "
    "adds. They apply to indices that are created afterwards; a template of the same name is replaced."
)
EXIT_STATUS = "exit status: 0 for success; 1 if a request failed; 2 for invalid options"
_SENSOR_HELP = "the sensors; by default all of the configuration, and error"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("target", metavar="TARGET", help="opensearch:URL,... or elasticsearch:URL,..., as for --output")
    parser.add_argument("--sensor", metavar="NAME,...", help=_SENSOR_HELP)
    parser.add_argument("--print", action="store_true", help="print the requests instead of sending them")
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if not is_search(options.target):
        raise OptionError("expected a search server, such as opensearch:http://node1:9200")
    config = _load(options.config)
    writers = SearchWriters(parse_search_target(options.target).kind)
    writers.use(config, ())
    sensors = _select(options.sensor, options.config)
    client = connect_search(options.target, config)
    try:
        version = client.read_version()
        for sensor in sensors:
            template = make_template(sensor, writers.find(sensor), version)
            if options.print:
                print("\n".join(_describe(template)))
            else:
                put_template(client, template)
                print(f"{sensor}: {template.path.rpartition('/')[2]}")
    finally:
        client.close()
    return OK


def _load(directory: Path) -> SensorConfig:
    settings = load_stored_global(DirectoryConfigurations(directory))
    return SensorConfig("default", default_parser(), globals=settings, directory=directory)


def _select(names: str | None, directory: Path) -> list[str]:
    known = {file.stem for kind in ("parsers", "indexing") for file in (directory / kind).glob("*.json")} | {ERROR_TYPE}
    if names is None:
        return sorted(known)
    return list(_check(map(str.strip, names.split(",")), known))


def _check(sensors: Iterable[str], known: set[str]) -> Iterator[str]:
    for sensor in sensors:
        if sensor not in known:
            raise OptionError(f"unknown sensor {quote(sensor)}; {suggest_name(sensor, known)}")
        yield sensor


def _describe(template: IndexTemplate) -> Iterator[str]:
    yield f"PUT {template.path}"
    yield json.dumps(template.body, indent=2)

"""Metron's commands start_parser_topology.sh, start_enrichment_topology.sh, and those of indexing topologies.

Each runs a worker in the foreground, with its configuration in ZooKeeper, until Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stellar.monitoring.options import add_log_format_option, add_metrics_option
from stellar.pipeline.cli import worker
from stellar.pipeline.cli.kafka_options import KAFKA_CONFIG_HELP
from stellar.pipeline.command_line import MAX_SHOWN, OptionError, run_parsed
from stellar.pipeline.config.cluster import ZooKeeperLocation
from stellar.pipeline.connectors.sinks import is_search
from stellar.pipeline.options import positive_integer
from stellar.pipeline.worker.brokers import find_brokers
from stellar.util.abbreviate import quote
from stellar.util.version import add_version

_TEST_SECONDS = 300  # as in Metron
_NO_STORM = "accepted without effect: there is no Storm"
_PARALLELISM = "number of processes; the largest of -nw, -sp and -pp counts"
_COUNTS = {
    "-sp": ("--spout_p", _PARALLELISM),
    "-pp": ("--parser_p", _PARALLELISM),
    "-nw": ("--num_workers", _PARALLELISM),
    "-iwp": ("--invalid_writer_p", _NO_STORM),
    "-ewp": ("--error_writer_p", _NO_STORM),
    "-snt": ("--spout_num_tasks", _NO_STORM),
    "-pnt": ("--parser_num_tasks", _NO_STORM),
    "-iwnt": ("--invalid_writer_num_tasks", _NO_STORM),
    "-ewnt": ("--error_writer_num_tasks", _NO_STORM),
    "-na": ("--num_ackers", _NO_STORM),
    "-mtp": ("--max_task_parallelism", _NO_STORM),
    "-mt": ("--message_timeout", _NO_STORM),
}
_SEARCH_HELP = (
    "elasticsearch:URL,... or opensearch:URL,...; by default elasticsearch: with the hosts of es.ip in the global "
    "configuration"
)
_DIRECTORY_HELP = "directory, whose name ends in a slash or is a URL, such as hdfs://node1:8020/out"
_SPOUT_HELP = "JSON file with options of the consumer: spout.firstPollOffsetStrategy, and properties of Kafka"


def start_parser_topology(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `start_parser_topology.sh` and return its exit status."""
    parser = _make_parser("start_parser_topology.sh", "Parse the messages of sensors.", "parse")
    add = parser.add_argument
    add("-s", "--sensor", required=True, metavar="NAME,...", help="the sensors, or groups of parser.groups")
    add("-ot", "--output_topic", metavar="TOPIC", help="the topic of records, instead of that of the configuration")
    for short, (long, text) in _COUNTS.items():
        add(short, long, metavar="N", type=positive_integer, help=text)
    add("-e", "--extra_topology_options", metavar="FILE", help=_NO_STORM)
    add("-esc", "--extra_kafka_spout_config", metavar="FILE", type=Path, help=_SPOUT_HELP)
    add("-t", "--test", metavar="X", help=f"stop after {_TEST_SECONDS} seconds")
    return _run(parser, arguments, _prepare_parser)


def start_enrichment_topology(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `start_enrichment_topology.sh` and return its exit status."""
    return _run(_make_parser("start_enrichment_topology.sh", "Enrich parsed messages.", "enrich"), arguments)


def start_hdfs_topology(arguments: Sequence[str] | None = None) -> int:
    """Run the command `start_hdfs_topology.sh`, which writes documents to a directory, and return its exit status."""
    parser = _make_parser(
        "start_hdfs_topology.sh", "Write documents to files of JSON lines, by sensor and day.", "index"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help=_DIRECTORY_HELP)
    return _run(parser, arguments)


def start_elasticsearch_topology(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `start_elasticsearch_topology.sh`, which indexes documents, and return its exit status."""
    parser = _make_parser("start_elasticsearch_topology.sh", "Write documents to Elasticsearch or OpenSearch.", "index")
    parser.add_argument("-o", "--output", metavar="TARGET", default="elasticsearch:", help=_SEARCH_HELP)
    return _run(parser, arguments, _check_search)


def _check_search(options: argparse.Namespace) -> None:
    if not is_search(options.output):
        raise OptionError(
            f"invalid target {quote(options.output)}: expected elasticsearch:URL,... or opensearch:URL,...; "
            "start_hdfs_topology.sh writes files"
        )


def _make_parser(name: str, description: str, stage: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name, description=description, allow_abbrev=False)
    add_version(parser)
    add = parser.add_argument
    add("-z", "--zk", dest="quorum", required=True, metavar="HOST:PORT,...", help="ZooKeeper with the configuration")
    add("-k", "--kafka", metavar="HOST:PORT,...", help="brokers of Kafka; by default those that ZooKeeper lists")
    add("-ksp", "--kafka_security_protocol", dest="protocol", metavar="NAME", help="PLAINTEXT, SSL, SASL_PLAINTEXT …")
    add("--kafka-config", metavar="FILE", type=Path, help=KAFKA_CONFIG_HELP)
    add("--patterns", metavar="DIR", type=Path, help="directory in which the files of grokPath are searched first")
    add_metrics_option(parser)
    add_log_format_option(parser)
    parser.set_defaults(
        stage=stage, sensor=None, output=None, errors=None, input=None, group=None, spread=False, kafka_property=[],
        registry=None, zookeeper=None, processes=1, in_flight=None, quiet=False, idempotent=False,
        spout={}, seconds=None,
        run=worker.run, prog=name, max_warnings=MAX_SHOWN, debug=False,
    )  # fmt: skip
    return parser


def _run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    prepare: Callable[[argparse.Namespace], None] = lambda options: None,
) -> int:
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)

    def run(options: argparse.Namespace) -> int:
        options.config = ZooKeeperLocation(options.quorum)
        prepare(options)
        if options.kafka is None:
            options.kafka = find_brokers(options.quorum)
        return worker.run(options)

    options.run = run
    return run_parsed(parser.prog, options)


def _prepare_parser(options: argparse.Namespace) -> None:
    options.output = None if options.output_topic is None else f"topic:{options.output_topic}"
    options.processes = max(filter(None, (options.num_workers, options.spout_p, options.parser_p)), default=1)
    if options.extra_kafka_spout_config is not None:
        options.spout = _read_object(options.extra_kafka_spout_config)
    if options.test is not None:
        options.seconds = _TEST_SECONDS


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a map of options, got {quote(value, 60)}")
    return value

"""Metron's commands flatfile_loader.sh and flatfile_summarizer.sh."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.pipeline.command_line import MAX_SHOWN, OK, run_parsed
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.cli.common import (
    PROCESSES_HELP,
    add_settings_options,
    open_zookeeper,
    read_name,
    read_processes,
)
from stellar.pipeline.loaders.load import BATCH_ROWS, RejectedLimit
from stellar.pipeline.options import positive_integer
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.loaders.sensors import EnrichmentConfigs, SensorFields

_NOT_NEEDED = "accepted without effect: batches have a fixed size"
_FIELDS_HELP = (
    "fields of sensors that look the types up. They are added, after the load, to the enrichment configurations of "
    "-z or --config, or else to those of zkQuorum in this file"
)
_MODE_HELP = "LOCAL, the only mode: Hadoop is not used"
_INPUT_HELP = "files, directories and URLs, with commas between them"


def flatfile_loader(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `flatfile_loader.sh`: `stellar-enrichment load` with its options."""
    parser = _make_parser("flatfile_loader.sh", "Load files into the enrichment store.")
    add = parser.add_argument
    add("-t", "--hbase_table", dest="table", required=True, metavar="TABLE", type=read_name, help="table of the store")
    add(
        "-c",
        "--hbase_cf",
        dest="family",
        required=True,
        metavar="CF",
        type=read_name,
        help="column family of the table",
    )
    add("-n", "--enrichment_config", metavar="JSON_FILE", type=Path, help=_FIELDS_HELP)
    add("-b", "--batchSize", dest="batch_of_metron", metavar="SIZE", type=positive_integer, help=_NOT_NEEDED)
    # Many small transactions would be slow, and would block the look-ups of running pipelines
    parser.set_defaults(run=_load, replace=False, ttl=None, batch=BATCH_ROWS)
    return _run(parser, arguments)


def flatfile_summarizer(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `flatfile_summarizer.sh`: `stellar-enrichment summarize` with its options."""
    parser = _make_parser("flatfile_summarizer.sh", "Summarize files in one object.")
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="the file to write")
    add("-om", "--output_mode", metavar="MODE", type=_read_output_mode, default="LOCAL", help="LOCAL, HDFS or CONSOLE")
    add("-b", "--batchSize", metavar="SIZE", type=positive_integer, help=_NOT_NEEDED)
    parser.set_defaults(run=_summarize)
    return _run(parser, arguments)


def _make_parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name, description=description, allow_abbrev=False, add_help=False)
    add = parser.add_argument
    add("-h", "-help", "--help", action="help", help="show this help and exit")
    add(
        "-e",
        "--extractor_config",
        dest="extractor",
        required=True,
        metavar="JSON_FILE",
        type=Path,
        help="the extractor",
    )
    add("-i", "--input", dest="files", required=True, metavar="FILE", type=_read_inputs, help=_INPUT_HELP)
    add("-m", "--import_mode", metavar="MODE", type=_read_import_mode, default="LOCAL", help=_MODE_HELP)
    add(
        "-p",
        "--threads",
        dest="processes",
        metavar="NUM_THREADS",
        type=read_processes,
        default=1,
        help=PROCESSES_HELP,
    )
    add("-l", "--log4j", metavar="FILE", type=Path, help="Log4j properties with the levels of loggers")
    add("-q", "--quiet", action="store_true", help="print neither progress nor counts")
    # Not of Metron, whose store is HBase and whose configuration is in ZooKeeper
    add_settings_options(parser, "directory with global.json and enrichments/")
    add("--store", metavar="STORE", help="the store, as in sqlite:enrichments.db")
    add("--rejected", metavar="TARGET", help="target for rejected lines")
    parser.set_defaults(prog=name, max_rejected=RejectedLimit(), max_warnings=MAX_SHOWN, debug=False)
    return parser


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    return run_parsed(parser.prog, parser.parse_args(sys.argv[1:] if arguments is None else arguments))


def _read_inputs(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _read_import_mode(text: str) -> str:
    if text.strip().upper() != "LOCAL":
        raise argparse.ArgumentTypeError(f"expected LOCAL, got {quote(text)}; MapReduce is not supported")
    return "LOCAL"


def _read_output_mode(text: str) -> str:
    mode = text.strip().upper()
    if mode not in ("LOCAL", "HDFS", "CONSOLE"):
        raise argparse.ArgumentTypeError(f"expected LOCAL, HDFS or CONSOLE, got {quote(text)}")
    return mode


def _configure_logging(options: argparse.Namespace) -> None:
    if options.log4j is not None:
        from stellar.java.log4j import configure

        for note in configure(options.log4j):
            print(f"{options.prog}: {note}", file=sys.stderr)


def _load(options: argparse.Namespace) -> int:
    from stellar.pipeline.loaders.cli.load import run
    from stellar.pipeline.loaders.sensors import add_fields, find_changes, read_sensor_fields

    _configure_logging(options)
    if options.enrichment_config is None:
        return run(options)
    fields = read_sensor_fields(options.enrichment_config)
    with _open_configs(options, fields) as configs:
        find_changes(configs, fields)  # raises an error before anything is loaded
    if (status := run(options)) == OK:  # not connected to ZooKeeper, whose threads other processes must not inherit
        with _open_configs(options, fields) as configs:
            for name in add_fields(configs, fields):
                print(f"{options.prog}: fields added to {name}", file=sys.stderr)
    return status


@contextmanager
def _open_configs(options: argparse.Namespace, fields: SensorFields) -> Iterator[EnrichmentConfigs]:
    """Open the configurations that fields are added to: those of options, or of the ZooKeeper that the file names."""
    from stellar.pipeline.loaders.sensors import EnrichmentFiles, EnrichmentNodes

    hosts = options.zookeeper or fields.zookeeper
    if options.config is not None:
        yield EnrichmentFiles(options.config)
    elif hosts:
        with open_zookeeper(hosts) as zookeeper:
            yield EnrichmentNodes(zookeeper)
    else:
        raise SourceLocation(str(options.enrichment_config)).error(
            "no configuration to add the fields to; pass -z HOST:PORT or --config DIR, or add zkQuorum"
        )


def _summarize(options: argparse.Namespace) -> int:
    from stellar.pipeline.loaders.cli.summarize import run

    _configure_logging(options)
    return run(options)

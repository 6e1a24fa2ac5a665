"""Metron's commands flatfile_loader.sh and flatfile_summarizer.sh."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stellar.pipeline.cli.common import positive_integer
from stellar.pipeline.command_line import MAX_SHOWN, run_parsed
from stellar.pipeline.loaders.load import BATCH_ROWS, RejectedLimit

_NOT_NEEDED = "accepted without effect: rows are extracted in one process"
_MODE_HELP = "LOCAL, the only mode: Hadoop is not used"
_INPUT_HELP = "files, directories and URLs, with commas between them"


def flatfile_loader(arguments: Sequence[str] | None = None) -> int:
    """Run Metron's command `flatfile_loader.sh`: `stellar-enrichment load` with its options."""
    parser = _make_parser("flatfile_loader.sh", "Load files into the enrichment store.")
    add = parser.add_argument
    add("-t", "--hbase_table", dest="table", required=True, metavar="TABLE", help="table of the store")
    add("-c", "--hbase_cf", dest="family", required=True, metavar="CF", help="column family of the table")
    add("-n", "--enrichment_config", metavar="JSON_FILE", type=Path, help="fields of sensors that look the types up")
    add(
        "-b",
        "--batchSize",
        dest="batch",
        metavar="SIZE",
        type=positive_integer,
        default=BATCH_ROWS,
        help="rows a batch",
    )
    parser.set_defaults(run=_load, replace=False, ttl=None)
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
    add("-p", "--threads", metavar="NUM_THREADS", type=positive_integer, help=_NOT_NEEDED)
    add("-l", "--log4j", metavar="FILE", type=Path, help="Log4j properties with the levels of loggers")
    add("-q", "--quiet", action="store_true", help="print neither progress nor counts")
    # Not of Metron, whose store is HBase and whose global configuration is in ZooKeeper
    add("--config", metavar="DIR", type=Path, help="directory with global.json and enrichments/")
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
        raise argparse.ArgumentTypeError(f"expected LOCAL, got {text!r}; MapReduce is not supported")
    return "LOCAL"


def _read_output_mode(text: str) -> str:
    mode = text.strip().upper()
    if mode not in ("LOCAL", "HDFS", "CONSOLE"):
        raise argparse.ArgumentTypeError(f"expected LOCAL, HDFS or CONSOLE, got {text!r}")
    return mode


def _configure_logging(options: argparse.Namespace) -> None:
    if options.log4j is not None:
        from stellar.java.log4j import configure

        for note in configure(options.log4j):
            print(f"{options.prog}: {note}", file=sys.stderr)


def _load(options: argparse.Namespace) -> int:
    from stellar.pipeline.loaders.cli.load import run
    from stellar.pipeline.loaders.sensors import add_fields, read_sensor_fields

    _configure_logging(options)
    if options.enrichment_config is not None:
        fields = read_sensor_fields(options.enrichment_config)
        if options.config is None:
            raise ValueError(
                f"{options.enrichment_config}: the fields of sensors are added to files; pass --config DIR, and upload "
                "enrichments/ with Metron's zk_load_configs.sh if the configuration is in ZooKeeper"
            )
        for path in add_fields(options.config, fields):
            print(f"{options.prog}: fields added to {path}", file=sys.stderr)
    return run(options)


def _summarize(options: argparse.Namespace) -> int:
    from stellar.pipeline.loaders.cli.summarize import run

    _configure_logging(options)
    return run(options)

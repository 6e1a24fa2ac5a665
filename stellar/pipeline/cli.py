"""The command stellar-pipeline: runs the pipeline of a sensor on lines, and checks configurations."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group
from stellar.pipeline.config.loading import SensorConfig, load_config, load_groups
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector
from stellar.pipeline.config.positions import describe_error
from stellar.pipeline.connectors.sinks import STANDARD_OUTPUT, STANDARD_OUTPUT_NAME, Sinks
from stellar.pipeline.connectors.sources import STANDARD_INPUT, check_readable, read_lines, total_size
from stellar.pipeline.directory_check import check_directory
from stellar.pipeline.explain import draw_explanation, explain_message
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.progress import Display, display, escape
from stellar.pipeline.records import Record
from stellar.pipeline.routing import PipelineGroup, expand_groups
from stellar.pipeline.run import Counts, run_pipeline
from stellar.pipeline.services import add_registry_options, connect_services, find_missing_services
from stellar.tooling.diagnostics import FORMATS
from stellar.util.version import add_version

log = logging.getLogger(__name__)

OK, FAILED, INTERRUPTED = 0, 1, 130
# Failures and warnings printed on a terminal; all failures are counted, and written to the target of --errors
MAX_SHOWN = 20

_EXIT_STATUS = """\
exit status: 0 if the run completed, even if single records failed;
1 for an error in the configuration, the options or a file"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    with _log_to_stderr(None if options.command is _check else MAX_SHOWN):
        try:
            return int(options.command(options))
        except BrokenPipeError:  # the reader of our output has closed it
            _drop_output()
            return OK
        except (ConfigError, OSError, ValueError) as error:
            if options.debug:
                raise
            if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT_NAME:
                _drop_output()
            for each in error.errors if isinstance(error, ConfigErrors) else (error,):
                print(f"stellar-pipeline: {_format_error(each)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED


def _drop_output() -> None:
    """Discard pending standard output, about which Python would otherwise print an error when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _format_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return describe_error(error) if isinstance(error, ConfigError) else str(error)


class _Parser(argparse.ArgumentParser):
    """Exits with 1 for invalid options, as for all other errors of the command; argparse exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("stellar-pipeline", description="Run and check pipelines configured by Metron's JSON files.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    _add_run(commands.add_parser("run", help="process lines with the pipeline of a sensor"))
    _add_check(commands.add_parser("check", help="check configurations and compile all their expressions"))
    _add_explain(commands.add_parser("explain", help="show the effect of each stage on each record"))
    _add_schema(commands.add_parser("schema", help="print the JSON Schema of a kind of configuration, for editors"))
    for name, command in commands.choices.items():
        if name == "schema":
            continue
        command.add_argument("--config", metavar="DIR", type=Path, required=True, help=_CONFIG_HELP)
        command.add_argument("--debug", action="store_true", help="print the Python traceback of an error")
    return parser


def _add_schema(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the JSON Schema of a kind of configuration, for editors and other tools."
    parser.add_argument("kind", choices=("parsers", "enrichments", "indexing", "profiler", "global"))
    parser.set_defaults(command=_print_schema, debug=False)


def _print_schema(options: argparse.Namespace) -> int:
    from stellar.pipeline.config.json_schemas import make_json_schema  # builds the schemas of all models

    print(json.dumps(make_json_schema(options.kind), indent=2))
    return OK


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Process the lines of files with the pipeline of a sensor: parser, field transformations, filter, validation, "
        "enrichment, threat intelligence, triage."
    )
    parser.epilog, parser.formatter_class = _EXIT_STATUS, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    _add_input(parser)
    add("--output", default=STANDARD_OUTPUT, metavar="TARGET", help=_OUTPUT_HELP)
    add("--errors", metavar="TARGET", help=_ERRORS_HELP)
    add_registry_options(parser)
    add("--in-flight", metavar="N", type=_positive_integer, help=_IN_FLIGHT_HELP)
    add("--quiet", action="store_true", help="print neither progress nor counts")
    parser.set_defaults(command=_run)


def _add_input(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="file to read, .gz is decompressed; - or no file is standard input")
    add("--sensor", required=True, metavar="NAME,...", help=_SENSOR_HELP)
    add("--topic", metavar="TOPIC", help="the topic of the input, by default that of the first sensor")


def _positive_integer(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, got {text!r}")
    return int(text)


_IN_FLIGHT_HELP = (
    "lines processed concurrently; by default 64 if expressions call models, otherwise 1. The output has the order of "
    "the input"
)
_SENSOR_HELP = (
    "the sensors, or groups of parser.groups: parsers/NAME.json, enrichments/NAME.json. The first one reads the input, "
    "the others what it passes on to their topics"
)
_CONFIG_HELP = "directory of the configuration, with global.json, parsers/, enrichments/ and patterns/"
_OUTPUT_HELP = (
    "target for records: a file of JSON lines, which is overwritten; a SQLite file (.db, .sqlite, .sqlite3), which is "
    "appended to; or - for standard output (the default)"
)
_ERRORS_HELP = (
    "target for error documents, likewise; "
    f"by default the first {MAX_SHOWN} failures are summarized on standard error, and the others only counted"
)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read all files of a configuration directory, check all keys, compile all expressions, check what they need "
        "from outside, and warn of probable mistakes. The exit status is 1 if there are errors; warnings do not count, "
        "unless --strict is passed."
    )
    add = parser.add_argument
    add("--sensor", metavar="NAME", help="check this sensor only; by default the whole directory is checked")
    add("--format", choices=FORMATS, default="text", help="format of the findings (default %(default)s)")
    add("--offline", action="store_true", help="do not check stores, files and registries outside the directory")
    add("--strict", action="store_true", help="the exit status is 1 for warnings, too")
    add_registry_options(parser)
    parser.set_defaults(command=_check)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Process lines with the pipeline of a sensor, and show each record as a tree: the expressions that each stage "
        "evaluated, the fields that it added (+), changed (~) and removed (-), and what became of the record."
    )
    add = parser.add_argument
    _add_input(parser)
    add("--limit", metavar="N", type=_positive_integer, default=10, help="number of lines to explain; by default 10")
    add_registry_options(parser)
    parser.set_defaults(command=_explain, quiet=True)


def _explain(options: argparse.Namespace) -> int:
    files = options.files or [STANDARD_INPUT]
    check_readable(files, ())
    configs, pipeline = _load(options.config, options.sensor)
    with ExitStack() as stack:
        connect_services(pipeline, configs[0], options, stack)
        for number, raw in enumerate(read_lines(files, options.topic)):
            if number == options.limit:
                print(f"stellar-pipeline: stopped after {number} lines; use --limit for more", file=sys.stderr)
                break
            for explanation in explain_message(pipeline, raw):
                print(draw_explanation(explanation, raw))
    return OK


def _run(options: argparse.Namespace) -> int:
    configs, pipeline = _load(options.config, options.sensor)
    counts, files = Counts(), options.files or [STANDARD_INPUT]
    check_readable(files, (options.output, options.errors))
    with ExitStack() as stack:
        connect_services(pipeline, configs[0], options, stack)
        sinks = stack.enter_context(Sinks())
        sink = sinks.open(options.output, "records")
        screen = stack.enter_context(display(counts, total_size(files), _is_progress_shown(options)))
        errors = sinks.open(options.errors, "errors") if options.errors else _FailureSummary(screen)
        try:
            source = screen.track(read_lines(files, options.topic))
            run_pipeline(pipeline, source, sink, errors, counts, options.in_flight)
        except KeyboardInterrupt:
            screen.print_message("stellar-pipeline: interrupted; the records so far are stored")
            return INTERRUPTED
        finally:
            if not options.quiet:
                screen.print_message(f"stellar-pipeline: {pipeline.sensor}: {counts}")
    return OK


def _load(directory: Path, names: str) -> tuple[list[SensorConfig], PipelineGroup]:
    """Load and build the configurations of sensors and groups. Raises ConfigErrors with all errors of all files."""
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    groups: dict[str, list[str]] = problems.attempt(partial(load_groups, directory), {})
    sensors = expand_groups([name.strip() for name in names.split(",")], groups)
    configs = [load_config(directory, sensor, problems) for sensor in sensors]
    pipeline = build_group(configs, problems=problems)
    if errors:
        raise ConfigErrors(list({str(error): error for error in errors}.values()))  # all sensors share global.json
    return configs, pipeline


def _is_progress_shown(options: argparse.Namespace) -> bool:
    is_output_shown = options.output == STANDARD_OUTPUT and sys.stdout.isatty()
    return sys.stderr.isatty() and not options.quiet and not is_output_shown


class _FailureSummary:
    """Prints one line for each of the first failures."""

    def __init__(self, screen: Display) -> None:
        self._screen = screen
        self._seen = 0

    def __call__(self, document: Record) -> None:
        self._seen += 1
        if self._seen <= MAX_SHOWN:
            location = f"{document.get('origin', 'a message')}:{document.get('line', '')}"
            first, *_ = str(document["message"]).splitlines()
            self._screen.print_message(escape(f"{location}: {document['stage']}: {first}"))
        elif self._seen == MAX_SHOWN + 1:
            self._screen.print_message("further failures are only counted; use --errors FILE to store all of them")


def _check(options: argparse.Namespace) -> int:
    result = check_directory(options.config, options.sensor, partial(_find_missing, options))
    print(FORMATS[options.format](result.reports), end="")
    if options.format == "text":
        for name, functions in result.sensors.items():
            print(f"{name}: valid; functions called: {', '.join(sorted(functions)) or 'none'}")
    return FAILED if result.has_errors or (options.strict and result.reports) else OK


def _find_missing(options: argparse.Namespace, pipeline: Pipeline) -> list[ConfigError]:
    return [] if options.offline else find_missing_services(pipeline, options)


class _WarningFormatter(logging.Formatter):
    """Formats a warning as one line, with unprintable characters of a record escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return f"stellar-pipeline: warning: {escape(record.getMessage())}"


class _UniqueWarnings(logging.Filter):
    """Passes each warning once, up to a limit.

    limit: number of different warnings; None for no limit
    """

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self._limit = limit
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text in self._seen or len(self._seen) == self._limit:
            return False
        self._seen.add(text)
        return True


@contextmanager
def _log_to_stderr(limit: int | None) -> Iterator[None]:
    """Print the warnings of the package on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_WarningFormatter())
    handler.addFilter(_UniqueWarnings(limit))
    logger = logging.getLogger("stellar")
    logger.addHandler(handler)
    logger.propagate, propagates = False, logger.propagate
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates

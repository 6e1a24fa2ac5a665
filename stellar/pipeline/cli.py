"""The command stellar-pipeline: run a sensor's pipeline over lines, and check configurations."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build
from stellar.pipeline.check import Remark, checked
from stellar.pipeline.config.schema import SensorConfig, load, load_enrichment, sensors
from stellar.pipeline.connectors.sinks import STANDARD_OUTPUT, STANDARD_OUTPUT_NAME, Sinks
from stellar.pipeline.connectors.sources import STANDARD_INPUT, check_readable, lines, size
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.progress import Display, display, shown
from stellar.pipeline.records import Record
from stellar.pipeline.run import Counts, run
from stellar.util.version import add_version

if TYPE_CHECKING:
    from stellar.maas import ClientSettings, ModelClient, Registry

log = logging.getLogger(__name__)

FINE, UNUSABLE, INTERRUPTED = 0, 1, 130
# So many failures and warnings are shown on a terminal; all failures are counted, and in the file of --errors
SHOWN = 20

_EXIT_STATUS = """\
exit status: 0 when the run came to its end, whatever became of single records;
1 for a problem with the configuration, the options or a file"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the result is its exit status."""
    options = _parser().parse_args(arguments)
    with _warnings_shown(None if options.command is _check else SHOWN):
        try:
            return int(options.command(options))
        except BrokenPipeError:  # whoever read our output has seen enough
            _drop_output()
            return FINE
        except (ConfigError, OSError, ValueError) as error:
            if options.debug:
                raise
            if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT_NAME:
                _drop_output()
            print(f"stellar-pipeline: {_sentence(error)}", file=sys.stderr)
            return UNUSABLE
        except KeyboardInterrupt:
            return INTERRUPTED


def _drop_output() -> None:
    """Lose what standard output has not taken, of which Python would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class _Parser(argparse.ArgumentParser):
    """Ends with 1, as every problem of ours does, where argparse would end with 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(UNUSABLE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("stellar-pipeline", description="Records through a pipeline that is configured the Metron way.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    _add_run(commands.add_parser("run", help="send lines through the pipeline of a sensor"))
    _add_check(commands.add_parser("check", help="read configurations and compile every expression in them"))
    for command in commands.choices.values():
        command.add_argument("--config", metavar="DIR", type=Path, required=True, help=_CONFIG_HELP)
        command.add_argument("--debug", action="store_true", help="show Python's traceback of what ends the command")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send the lines of files through a sensor's pipeline: parser, field transformations, filter, validation, "
        "enrichment, threat intelligence, triage."
    )
    parser.epilog, parser.formatter_class = _EXIT_STATUS, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="what to read; - or nothing is standard input, .gz is unpacked")
    add("--sensor", required=True, metavar="NAME", help="the sensor: parsers/NAME.json, enrichments/NAME.json")
    add("--output", default=STANDARD_OUTPUT, metavar="TARGET", help=_OUTPUT_HELP)
    add("--errors", metavar="TARGET", help=_ERRORS_HELP)
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--registry", metavar="DIR", type=Path, help=_REGISTRY_HELP)
    models.add_argument("-z", "--zookeeper", metavar="HOST:PORT,...", help="the ZooKeeper where models are registered")
    add("--in-flight", metavar="N", type=_whole, help=_IN_FLIGHT_HELP)
    add("--quiet", action="store_true", help="no progress, and no counts at the end")
    parser.set_defaults(command=_run)


def _whole(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is wanted, not {text!r}")
    return int(text)


_IN_FLIGHT_HELP = (
    "how many lines are worked on at once; by default 64 where the expressions ask models, else 1. Whatever it is, "
    "what comes out keeps its order"
)
_REGISTRY_HELP = (
    "where models are registered; by default $MAAS_HOME, or ~/.maas, if there is such a directory, and else there are "
    "no models"
)
_CONFIG_HELP = "the configurations: global.json, parsers/, enrichments/ and patterns/ in it"
_OUTPUT_HELP = (
    "where the records go: a file of JSON lines, begun anew; a SQLite file (.db, .sqlite, .sqlite3), added to; "
    "or - for standard output (the default)"
)
_ERRORS_HELP = (
    "where the documents of what went wrong go, likewise; "
    f"by default the first {SHOWN} are summed up on standard error, and the others only counted"
)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read configurations, check every key, and compile every expression; warn of what is allowed but seldom meant. "
        "Exit status 1 if there is a problem; warnings do not count."
    )
    parser.add_argument("--sensor", metavar="NAME", help="check this sensor alone; without it every one is checked")
    parser.set_defaults(command=_check)


def _run(options: argparse.Namespace) -> int:
    config = load(options.config, options.sensor)
    counts, files = Counts(), options.files or [STANDARD_INPUT]
    check_readable(files, (options.output, options.errors))
    with ExitStack() as stack:
        pipeline = _pipeline(config, options, stack)
        sinks = stack.enter_context(Sinks())
        sink = sinks.open(options.output, "records")
        shows = (
            sys.stderr.isatty()
            and not options.quiet
            and not (options.output == STANDARD_OUTPUT and sys.stdout.isatty())
        )
        screen = stack.enter_context(display(counts, size(files), shows))
        errors = sinks.open(options.errors, "errors") if options.errors else _Summing(screen)
        try:
            run(pipeline, screen.watched(lines(files)), sink, errors, counts, options.in_flight)
        except KeyboardInterrupt:
            screen.say("stellar-pipeline: interrupted; what came before is stored")
            return INTERRUPTED
        finally:
            if not options.quiet:
                screen.say(f"stellar-pipeline: {config.sensor}: {counts}")
    return FINE


class _Summing:
    """Says the first failures in a line each."""

    def __init__(self, screen: Display) -> None:
        self._screen = screen
        self._seen = 0

    def __call__(self, document: Record) -> None:
        self._seen += 1
        if self._seen <= SHOWN:
            place = f"{document.get('origin', 'a message')}:{document.get('line', '')}"
            first, *_ = str(document["message"]).splitlines()
            self._screen.say(shown(f"{place}: {document['stage']}: {first}"))
        elif self._seen == SHOWN + 1:
            self._screen.say("further failures are only counted; --errors FILE keeps them all")


def _pipeline(config: SensorConfig, options: argparse.Namespace, stack: ExitStack) -> Pipeline:
    """The pipeline, with models to ask only where its expressions ask any: that loads an HTTP client."""
    pipeline = build(config)
    if pipeline.asks_models:
        _add_models(pipeline, config, options, stack)
    return pipeline


def _add_models(pipeline: Pipeline, config: SensorConfig, options: argparse.Namespace, stack: ExitStack) -> None:
    from stellar.maas import ClientSettings, ModelClient, home

    if options.registry is None and options.zookeeper is None:
        if home().is_dir():
            options.registry = home()
        else:
            log.warning("the expressions ask models, and there is no --registry: every answer is null")
    try:
        settings = ClientSettings.from_global(config.globals.settings)
    except ValueError as error:
        raise config.global_place.error(str(error)) from error
    registry = _registry(options, settings)
    stack.callback(registry.close)
    client = ModelClient(registry, settings)
    if not options.quiet:
        stack.callback(_tell_of_shadows, client)  # when it is closed, and all is compared
    pipeline.use_models(registry, stack.enter_context(client))


def _tell_of_shadows(client: ModelClient) -> None:
    counted = client.counters()
    if counted.compared or counted.shadow_failed or counted.shadow_dropped:
        print(
            f"stellar-pipeline: shadows: {counted.compared} compared, {counted.disagreed} disagreed, "
            f"{counted.shadow_failed} failed, {counted.shadow_dropped} dropped",
            file=sys.stderr,
        )


def _registry(options: argparse.Namespace, settings: ClientSettings) -> Registry:
    if options.zookeeper is None and options.registry is None:
        from stellar.maas import MemoryRegistry

        return MemoryRegistry()
    from stellar.maas.registries.open import open_registry

    return open_registry(options.registry, options.zookeeper, settings)


def _check(options: argparse.Namespace) -> int:
    parsed = sensors(options.config)
    enriched = [path.stem for path in (options.config / "enrichments").glob("*.json")]
    names = [options.sensor] if options.sensor else sorted({*parsed, *enriched})
    problems, said = 0, set[Remark]()
    for name in names:
        # What is parsed elsewhere may be enriched here
        read = load_enrichment if name in enriched and name not in parsed else load
        verdict = checked(read, options.config, name)
        if verdict.problems and options.debug:
            raise verdict.problems[0]
        problems += len(verdict.problems)
        for problem in verdict.problems:
            print(f"{name}: {problem}", file=sys.stderr)
        for warning in verdict.warnings:
            if warning not in said:  # global.json is every sensor's
                print(f"{name}: warning: {warning}", file=sys.stderr)
        said.update(verdict.warnings)
        if not verdict.problems:
            print(f"{name}: fine; its expressions call {', '.join(sorted(verdict.functions)) or 'no function'}")
    return UNUSABLE if problems else FINE


class _Formatter(logging.Formatter):
    """One line, whatever a record has put into the message."""

    def format(self, record: logging.LogRecord) -> str:
        return f"stellar-pipeline: warning: {shown(record.getMessage())}"


class _Once(logging.Filter):
    """Lets every warning through once, and not too many of them.

    most: how many; None for all
    """

    def __init__(self, most: int | None) -> None:
        super().__init__()
        self._most = most
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text in self._seen or len(self._seen) == self._most:
            return False
        self._seen.add(text)
        return True


@contextmanager
def _warnings_shown(most: int | None) -> Iterator[None]:
    """What the package logs, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    handler.addFilter(_Once(most))
    logger = logging.getLogger("stellar")
    logger.addHandler(handler)
    logger.propagate, before = False, logger.propagate
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before

"""What the subcommands of stellar-enrichment have in common: options, the store, and the reader of rows."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stellar.language.context import GlobalSettings
from stellar.language.errors import ConfigError
from stellar.pipeline.build import load_library
from stellar.pipeline.command_line import MAX_SHOWN
from stellar.pipeline.config.loading import load_globals
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector, SourceLocation
from stellar.pipeline.connectors.sinks import Sinks
from stellar.pipeline.loaders.batches import can_batch, extracts_lines
from stellar.pipeline.loaders.building import ExtractorFile, Loading, compile_extractor, read_extractor_file
from stellar.pipeline.loaders.load import BatchWork, RejectedLimit, RowReader
from stellar.pipeline.loaders.rows import RejectedRow
from stellar.pipeline.loaders.sources import Source, total_bytes
from stellar.pipeline.loaders.summarize import SummaryExpressions
from stellar.pipeline.loaders.transforms import SummaryState
from stellar.pipeline.options import positive_integer
from stellar.pipeline.progress import SECONDS_BETWEEN, Display, display
from stellar.stores.base import STORE_KEY, Store, StoreError
from stellar.stores.opening import open_store
from stellar.util.abbreviate import escape, quote
from stellar.util.workers import Workers

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper

log = logging.getLogger(__name__)

_MAX_PROCESSES = 256
_ROWS_BETWEEN = 256  # after which the clock is read for the display

_REJECTED_HELP = (
    "target for rejected lines: a file of JSON lines, or a SQLite file (.db); "
    f"by default the first {MAX_SHOWN} are summarized on standard error, and the others only counted"
)
PROCESSES_HELP = "number of processes that extract and transform rows (default %(default)s)"
_FILES_HELP = (
    "file, directory, pattern such as 'feeds/*.csv', or URL, compressed or not; - is standard input (the default)"
)


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the store."""
    add_settings_options(parser, "directory with global.json, whose members are variables")
    add = parser.add_argument
    add(
        "--store",
        metavar="STORE",
        help=f"the store, as in sqlite:enrichments.db; by default {STORE_KEY} in global.json",
    )
    add("--debug", action="store_true", help="print the Python traceback of an error")


def add_settings_options(parser: argparse.ArgumentParser, directory_help: str) -> None:
    """Add the options that select the global configuration."""
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument("--config", metavar="DIR", type=Path, help=directory_help)
    sources.add_argument(
        "-z",
        "--zookeeper",
        metavar="HOST:PORT,...",
        help="ZooKeeper servers with Metron's configuration, instead of a directory",
    )


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a table."""
    add = parser.add_argument
    table_help = "table of the store: enrichment, threatintel or another"
    add("-t", "--table", required=True, metavar="TABLE", type=read_name, help=table_help)
    family_help = "column family of the table (default %(default)s)"
    add("-c", "--family", default="t", metavar="FAMILY", type=read_name, help=family_help)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the extractor and its input."""
    add = parser.add_argument
    add("files", nargs="*", default=["-"], metavar="FILE", help=_FILES_HELP)
    add("-e", "--extractor", required=True, metavar="FILE", type=Path, help="JSON file that describes the input")
    add("--rejected", metavar="TARGET", help=_REJECTED_HELP)
    add("--max-rejected", metavar="N", type=read_limit, default=RejectedLimit(), help="fail above this number, or N%%")
    add("-p", "--processes", metavar="N", type=read_processes, default=1, help=PROCESSES_HELP)
    add("-q", "--quiet", action="store_true", help="print neither progress nor counts")


def read_name(text: str) -> str:
    """Return the name in an option. Raises ArgumentTypeError if it is empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, got an empty one")
    return text


def read_processes(text: str) -> int:
    """Return the number of processes of an option. Raises ArgumentTypeError if it is not from 1 to 256."""
    if (count := positive_integer(text)) > _MAX_PROCESSES:
        raise argparse.ArgumentTypeError(f"expected at most {_MAX_PROCESSES} processes, got {count}")
    return count


def read_limit(text: str) -> RejectedLimit:
    """Return the limit of an option. Raises ArgumentTypeError if it is neither a number nor a percentage."""
    if text.isdecimal():
        return RejectedLimit(count=int(text))
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text)) and float(match[1]) <= 100:
        return RejectedLimit(percent=float(match[1]))
    raise argparse.ArgumentTypeError(f"expected a number such as 100, or a percentage such as 1%, got {quote(text)}")


@contextmanager
def convert_errors() -> Iterator[None]:
    """Raise ValueError for errors of the store and of missing packages, which the command prints."""
    try:
        yield
    except StoreError as error:
        raise ValueError(f"cannot use the enrichment store {error}") from error
    except LookupError as error:
        raise ValueError(str(error.args[0]) if error.args else str(error)) from error


def read_settings(options: argparse.Namespace, file: ExtractorFile | None = None) -> GlobalSettings:
    """Return the global configuration that options select, or else that of the ZooKeeper that an extractor names.

    Raises ConfigError or ValueError if it cannot be read.
    """
    settings = GlobalSettings()
    if options.zookeeper is not None:
        settings = _read_from_zookeeper(options.zookeeper)
    elif options.config is not None:
        settings = GlobalSettings(load_globals(options.config).settings)
    elif file is not None and file.config is not None and file.config.config.zk_quorum:
        try:
            settings = _read_from_zookeeper(file.config.config.zk_quorum)
        except (OSError, ValueError) as error:
            raise (file.location / "config" / "zk_quorum").error(
                f"{error}; pass --config DIR to use global.json of a directory"
            ) from error
    if options.store is not None:
        settings[STORE_KEY] = options.store
    return settings


@contextmanager
def open_zookeeper(hosts: str) -> Iterator[ZooKeeper]:
    """Connect to ZooKeeper. Raises OSError if it is not available, and ValueError for invalid hosts."""
    from stellar.repl.models import connect_zookeeper  # loads kazoo

    zookeeper = connect_zookeeper(hosts)
    try:
        yield zookeeper
    finally:
        zookeeper.close()


def _read_from_zookeeper(hosts: str) -> GlobalSettings:
    from stellar.repl.startup import read_global_configuration

    try:
        with open_zookeeper(hosts) as zookeeper:
            return read_global_configuration(zookeeper)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the global configuration: {error}") from error


def open_writable_store(settings: GlobalSettings) -> Store:
    """Open the store that the settings name. Raises LookupError if it does not exist or cannot be written."""
    if STORE_KEY not in settings:
        raise LookupError(
            f"no enrichment store configured; pass --store sqlite:PATH, or --config DIR with {STORE_KEY} in global.json"
        )
    store: Any = open_store(settings)
    if not hasattr(store, "put_many"):
        raise LookupError(
            f"the store {quote(settings[STORE_KEY])} can only be read; use one such as sqlite:enrichments.db"
        )
    return cast(Store, store)


def prepare(
    options: argparse.Namespace, *, needs_type: bool
) -> tuple[Loading, SummaryExpressions | None, GlobalSettings]:
    """Compile an extractor, and return it with the expressions of its summary and the global configuration.

    Raises ConfigErrors with all errors.
    """
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    file = read_extractor_file(options.extractor, problems)
    settings = read_settings(options, file)
    library = load_library(settings, SourceLocation(str((options.config or Path()) / "global.json")))
    loading, summary = compile_extractor(file, settings, library, problems, needs_type=needs_type)
    if loading is None or errors:
        raise ConfigErrors(errors)
    return loading, summary, settings


@dataclass
class RejectedSummary:
    """Prints one line for each of the first rejected rows."""

    screen: Display
    seen: int = 0

    def __call__(self, file: str, row: RejectedRow) -> None:
        self.seen += 1
        if self.seen <= MAX_SHOWN:
            first, *_ = row.reason.splitlines()
            self.screen.print_message(escape(f"{file}:{row.line}: {first}"))
        elif self.seen == MAX_SHOWN + 1:
            self.screen.print_message("further rejected lines are only counted; use --rejected FILE to store all")


@dataclass
class Progress:
    """Shows the progress of a reader, which calls it for each source and row."""

    screen: Display
    rows: int = 0
    done: int = 0
    next_time: float = 0.0
    source: Source | None = field(default=None)

    def __call__(self, source: Source | None) -> None:
        if source is not None:
            self.done += 0 if self.source is None else total_bytes([self.source.name]) or 0
            self.source = source
        self.rows += 1
        if self.rows % _ROWS_BETWEEN == 0 and (now := time.monotonic()) >= self.next_time and self.source is not None:
            self.screen.show(self.done + self.source.position)
            self.next_time = now + SECONDS_BETWEEN


def open_reader(
    loading: Loading,
    files: Sequence[str],
    options: argparse.Namespace,
    stack: ExitStack,
    summary: SummaryState | None = None,
) -> tuple[RowReader, Display]:
    """Return the reader of rows, which shows the progress on a terminal and reports rejected lines.

    summary: the state that rows update, instead of being stored
    """
    reader = RowReader(loading.extractor, loading.transform, limit=options.max_rejected, summary=summary)
    reader.intervals = loading.config.config.intervals
    workers = _start_workers(reader, options, stack)  # before there are other threads
    counts = reader.counts
    is_shown = sys.stderr.isatty() and not options.quiet
    screen = stack.enter_context(display(lambda: f"{counts.total:,} lines: {counts}", total_bytes(files), is_shown))
    reader.workers, reader.reject = workers, RejectedSummary(screen)
    reader.track = Progress(screen) if is_shown else None
    if options.rejected is not None:
        store_rejected = stack.enter_context(Sinks()).open(options.rejected, "rejected")

        def reject(file: str, row: RejectedRow) -> None:
            store_rejected({"file": file, "line": row.line, "reason": row.reason, "raw": row.raw})

        reader.reject = reject
    return reader, screen


def _start_workers(reader: RowReader, options: argparse.Namespace, stack: ExitStack) -> Workers | None:
    if options.processes == 1:
        return None
    if not can_batch(reader.extractor):
        log.warning("%s: one process reads the files; extractors in Python cannot use several", options.extractor)
        return None
    if not extracts_lines(reader.extractor) and reader.transform.is_empty and reader.summary is None:
        log.warning(
            "%s: one process reads the files; without expressions, others have nothing to do", options.extractor
        )
        return None
    return stack.enter_context(Workers(options.processes, lambda: BatchWork(reader)))

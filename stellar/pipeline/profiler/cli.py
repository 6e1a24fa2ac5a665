"""The command stellar-profiler: computes the values of profiles from files of messages."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.language.context import Context, GlobalSettings
from stellar.language.errors import ConfigError
from stellar.pipeline.build import load_library
from stellar.pipeline.command_line import FAILED, INTERRUPTED, MAX_SHOWN, OK, USAGE, OptionError, print_error
from stellar.pipeline.config.loading import empty_globals, load_globals, read_global
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.connectors.sinks import STANDARD_OUTPUT, Sinks
from stellar.pipeline.connectors.sources import STANDARD_INPUT, check_readable, expand_names, read_lines
from stellar.pipeline.options import add_line_limit
from stellar.pipeline.profiler.loading import load_definitions
from stellar.pipeline.profiler.output import SENSOR, ProfilerOutput
from stellar.pipeline.profiler.settings import make_profiler
from stellar.pipeline.records import Raw, Record, Rejected, make_error_document
from stellar.profiles.definitions import ProfilerDefinition
from stellar.profiles.store import PROFILE_STORE_KEY, ProfileStore, open_profile_store
from stellar.profiles.stream import StreamProfiler
from stellar.stores.base import StoreError
from stellar.util.abbreviate import escape
from stellar.util.program_cache import command_cache
from stellar.util.subcommands import select_command
from stellar.util.version import add_version

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import GlobalConfig

_RUN = (
    "Apply the messages of files, one JSON object a line, to the profiles of a configuration, and store their values. "
    "Time is that of the messages. A run replaces the values of earlier runs, so it can be repeated; with --continue "
    "it adds to them."
)
_FILES_HELP = "file to read, or glob; compressed files are decompressed; - or no file is standard input"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 if it completed, 1 for an error, 2 for invalid options."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    select_command(parser, words, ("run",))
    options = parser.parse_args(words)
    try:
        with command_cache("stellar-profiler", options.config):
            return run(options)
    except (ConfigError, OSError, ValueError, LookupError, StoreError) as error:
        print_error("stellar-profiler", error)
        return USAGE if isinstance(error, OptionError) else FAILED
    except KeyboardInterrupt:
        print("stellar-profiler: interrupted; the values of periods that have ended are stored", file=sys.stderr)
        return INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser("stellar-profiler", description="Compute profiles of entities.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    command = commands.add_parser("run", help="compute the values of profiles from files", description=_RUN)
    add = command.add_argument
    add("files", nargs="*", metavar="FILE", help=_FILES_HELP)
    add("--config", metavar="DIR", type=Path, help="directory with profiler.json and global.json")
    add("-p", "--profiles", metavar="FILE", type=Path, help="definitions, by default profiler.json in the directory")
    add("-g", "--globals", metavar="FILE", type=Path, help="settings, by default global.json in the directory")
    add("-t", "--timestampfield", metavar="FIELD", help="field with the time of a message in milliseconds since 1970")
    add("--store", metavar="STORE", help=f"where values are stored, as in sqlite:profiles.db ({PROFILE_STORE_KEY})")
    add("--continue", dest="owner", metavar="NAME", help="continue the periods that runs of this name have begun")
    add("--output", default=STANDARD_OUTPUT, metavar="TARGET", help="target for messages of triage expressions (-)")
    add("--errors", metavar="TARGET", help=f"target for error documents; by default {MAX_SHOWN} are summarized")
    add("--quiet", action="store_true", help="do not print counts")
    add_line_limit(command)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compute the values, and return the exit status."""
    settings, definition = _load(options)
    files = expand_names(options.files or [STANDARD_INPUT])
    check_readable(files, (options.output, options.errors))
    with ExitStack() as stack:
        store = open_profile_store(settings)
        stack.callback(store.close)
        store.prepare()
        sinks = stack.enter_context(Sinks())
        errors = sinks.open(options.errors, "errors") if options.errors else _ErrorSummary()
        output = ProfilerOutput(sinks.open(options.output, "records"), errors)
        context = Context({GlobalSettings: settings, ProfileStore: store})
        profiler = make_profiler(
            definition, settings, store, context, output, run=str(uuid.uuid4()), owner=options.owner
        )
        unreadable = _apply(profiler, read_lines(files, most=options.max_line_bytes), errors)
        profiler.flush()
        if not options.quiet:
            text = f"{profiler.counts}, {unreadable:,} lines unreadable, {output.messages:,} messages for triage"
            print(f"stellar-profiler: {text}", file=sys.stderr)
    return OK


def _load(options: argparse.Namespace) -> tuple[GlobalSettings, ProfilerDefinition]:
    """Load the configuration. Raises ConfigError, OptionError and ValueError for what is missing or invalid."""
    directory: Path | None = options.config
    profiles: Path | None = options.profiles or (directory and directory / "profiler.json")
    if profiles is None:
        raise OptionError("no profiles selected; pass --profiles FILE, or --config DIR with profiler.json")
    global_file, config = _read_globals(options.globals, directory)
    settings = GlobalSettings(config.settings)
    if options.store is not None:
        settings[PROFILE_STORE_KEY] = options.store
    definition = load_definitions(profiles, load_library(settings, SourceLocation(str(global_file))))
    if options.timestampfield is not None:
        definition = replace(definition, timestamp_field=options.timestampfield)
    if definition.timestamp_field is None:
        raise ValueError(f"{profiles}: no timestampField; add it, or pass --timestampfield, as in -t timestamp")
    return settings, definition


def _read_globals(file: Path | None, directory: Path | None) -> tuple[Path, GlobalConfig]:
    """Return the global configuration of a file, or else of a directory, and the name of its file."""
    if file is not None:
        return file, read_global(file)
    return (directory or Path()) / "global.json", empty_globals() if directory is None else load_globals(directory)


def _apply(profiler: StreamProfiler, lines: Iterable[Raw], errors: Any) -> int:
    """Apply the messages in lines, and return the number of unreadable ones."""
    unreadable = 0
    for raw, message in _read_messages(lines):
        if isinstance(message, dict):
            profiler.apply(message)
        else:
            unreadable += 1
            errors(make_error_document(Rejected(raw.content, "parse", message), SENSOR, raw))
    return unreadable


def _read_messages(lines: Iterable[Raw]) -> Iterator[tuple[Raw, Record | Exception]]:
    for raw in lines:
        if raw.error is not None:
            yield raw, raw.error
        elif raw.content.strip():
            yield raw, _parse(raw.content)


def _parse(line: bytes) -> Record | Exception:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return ValueError(f"invalid JSON: {error}")
    return value if isinstance(value, dict) else ValueError("expected a JSON object in each line")


class _ErrorSummary:
    """Prints one line for each of the first errors."""

    def __init__(self) -> None:
        self._seen = 0

    def __call__(self, document: Record) -> None:
        self._seen += 1
        if self._seen <= MAX_SHOWN:
            origin = f"{document['origin']}:{document.get('line', '')}: " if "origin" in document else ""
            first, *_ = str(document["message"]).splitlines()
            print(escape(f"stellar-profiler: {origin}{first}"), file=sys.stderr)
        elif self._seen == MAX_SHOWN + 1:
            print("stellar-profiler: further errors are only counted; use --errors FILE to store them", file=sys.stderr)

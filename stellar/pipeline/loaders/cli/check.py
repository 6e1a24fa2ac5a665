"""`stellar-enrichment check`: checks the files of extractors."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from stellar.language.context import GlobalSettings
from stellar.language.errors import ConfigError, StellarError
from stellar.language.library import Library
from stellar.pipeline.build import load_library
from stellar.pipeline.command_line import OK
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector, SourceLocation
from stellar.pipeline.config.positions import Positions
from stellar.pipeline.loaders.building import Loading, compile_extractor, read_extractor_file
from stellar.pipeline.loaders.cli.common import add_store_options, read_settings
from stellar.pipeline.loaders.summarize import compile_summary
from stellar.tooling.lints import lint

DESCRIPTION = (
    "Check the files of extractors without reading any input: all keys and expressions, and what the expressions need "
    "from outside. Errors name file, line and column; probable mistakes are warnings."
)
EXIT_STATUS = "exit status: 0 if there are no errors; 1 for errors; 2 for invalid options"

log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add(
        "-e",
        "--extractor",
        dest="extractors",
        action="append",
        required=True,
        metavar="FILE",
        type=Path,
        help="JSON file of an extractor; may be repeated",
    )
    add("--offline", action="store_true", help="do not check stores and files that expressions need")
    add_store_options(parser)
    parser.set_defaults(max_warnings=None)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status. Raises ConfigErrors with the errors of all files."""
    settings = read_settings(options)
    library = load_library(settings, SourceLocation(str((options.config or Path()) / "global.json")))
    errors: list[ConfigError] = []
    positions = Positions()
    for path in options.extractors:
        found = _check(path, settings, library, is_offline=options.offline)
        errors += sorted(found, key=lambda error: positions.find_error(error) or (0, 0))
    if errors:
        raise ConfigErrors(errors)
    return OK


def _check(path: Path, settings: GlobalSettings, library: Library, *, is_offline: bool) -> list[ConfigError]:
    """Return the errors of a file. If there are none, print its functions, and log its lints as warnings."""
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    file = problems.attempt(lambda: read_extractor_file(path, problems), None)
    if file is None:
        return errors
    options = None if file.config is None else file.config.config
    is_summary = options is not None and bool(options.state_init or options.state_update)
    loading = compile_extractor(file, settings, library, problems, needs_type=not is_summary)
    if loading is None:
        return errors
    if is_summary:
        compile_summary(loading.config.config, loading.location, loading.builder)
    if not errors and not is_offline:
        loading.find_missing()
    _log_lints(loading)
    if not errors:
        names = ", ".join(sorted(loading.builder.functions)) or "none"
        print(f"{path}: valid; functions called: {names}")
    return errors


def _log_lints(loading: Loading) -> None:
    positions = Positions()
    for location, expression in loading.builder.expressions:
        for finding in lint(expression.tree, expression.source, expression.library):
            error = StellarError(finding.message, expression.source, finding.span)
            line, column = positions.find(location.file, location.path, error) or (0, 0)
            hint = f"; {finding.hint}" if finding.hint else ""
            log.warning(
                "%s:%d:%d: %s: %s: %s%s",
                location.file,
                line,
                column,
                location.path,
                finding.name,
                finding.message,
                hint,
            )

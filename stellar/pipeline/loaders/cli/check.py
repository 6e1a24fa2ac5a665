"""`stellar-enrichment check`: checks the files of extractors."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from stellar.language.context import GlobalSettings
from stellar.language.errors import ConfigError
from stellar.language.library import Library
from stellar.pipeline.build import load_library
from stellar.pipeline.check import collect_warnings
from stellar.pipeline.config.diagnostics import ConfigDescriber
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.loaders.building import Loading, compile_extractor, read_extractor_file
from stellar.pipeline.loaders.cli.common import add_store_options, read_settings
from stellar.tooling.check_command import CHECK_EXIT_STATUS, add_report_options, run_check
from stellar.tooling.diagnostics import Diagnostic, DiagnosticReport
from stellar.tooling.lints import lint

DESCRIPTION = (
    "Check the files of extractors without reading any input: all keys and expressions, and what the expressions need "
    "from outside; and warn of probable mistakes. docs/lints.md describes the lints."
)
EXIT_STATUS = CHECK_EXIT_STATUS


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
    add_report_options(parser)
    add_store_options(parser)
    parser.set_defaults(max_warnings=None)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    settings = read_settings(options)
    library = load_library(settings, SourceLocation(str((options.config or Path()) / "global.json")))
    valid: dict[str, frozenset[str]] = {}
    return run_check(partial(_check_all, options, settings, library, valid), options, valid)


def _check_all(
    options: argparse.Namespace, settings: GlobalSettings, library: Library, valid: dict[str, frozenset[str]]
) -> DiagnosticReport:
    """Check the files; `valid` becomes those without errors, with the functions that their expressions call."""
    report, describer = DiagnosticReport(), ConfigDescriber()
    valid.clear()
    for path in options.extractors:
        errors: list[ConfigError] = []
        with collect_warnings() as warnings:
            loading = _compile(path, settings, library, ErrorCollector(errors), is_offline=options.offline)
        found = [describer.describe_error(error) for error in errors]
        found += [describer.describe_setting(warning.location, warning.message) for warning in warnings]
        if loading is not None:
            found += _find_lints(loading, describer)
            if not errors:
                valid[str(path)] = frozenset(loading.builder.functions)
        report.add(sorted(found, key=lambda each: (each.line, each.column)))
    return report


def _compile(
    path: Path, settings: GlobalSettings, library: Library, problems: ErrorCollector, *, is_offline: bool
) -> Loading | None:
    """Compile an extractor, and check what it needs. The errors go to `problems`."""
    file = problems.attempt(lambda: read_extractor_file(path, problems), None)
    if file is None:
        return None
    loading, _ = compile_extractor(
        file, settings, library, problems, needs_type=not file.is_summary, is_offline=is_offline
    )
    return loading


def _find_lints(loading: Loading, describer: ConfigDescriber) -> list[Diagnostic]:
    return [
        describer.describe_finding(location, finding, expression.source)
        for location, expression in loading.builder.expressions
        for finding in lint(expression.tree, expression.source, expression.library)
    ]

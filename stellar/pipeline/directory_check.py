"""Checks all files of a configuration directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stellar.language.errors import ConfigError, StellarError
from stellar.language.expression import default_library
from stellar.language.source import snippet
from stellar.pipeline.check import CheckResult, ConfigWarning, check_sensor
from stellar.pipeline.config.embedded_expressions import find_texts
from stellar.pipeline.config.loading import (
    load_config,
    load_enrichment,
    parse_indexing,
    parse_profiler,
)
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation, read_text
from stellar.pipeline.config.positions import Positions
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.profiler.loading import load_definitions
from stellar.tooling.checks import ERROR as EXPRESSION_ERROR
from stellar.tooling.checks import find_problems
from stellar.tooling.diagnostics import ERROR, WARNING, Diagnostic
from stellar.tooling.lints import Finding
from stellar.util.suggestions import find_nearest

FOLDERS = ("parsers", "enrichments", "indexing", "patterns", "tests")
FILES = ("global.json", "profiler.json")
CONFIGURATION = "configuration"


@dataclass(frozen=True)
class DirectoryCheck:
    """The result of checking a directory.

    reports: errors and warnings, each once, in the order of the sensors
    sensors: for each sensor without errors, the names of the functions that its expressions call
    """

    reports: tuple[Diagnostic, ...]
    sensors: dict[str, frozenset[str]]

    @property
    def has_errors(self) -> bool:
        return any(report.severity == ERROR for report in self.reports)


FindMissing = Callable[[Pipeline], list[ConfigError]]


def check_directory(directory: Path, sensor: str | None, find_missing: FindMissing) -> DirectoryCheck:
    """Check the files of a directory, and return all errors and warnings.

    sensor: check the files of this sensor only; None for all files
    find_missing: returns the errors of what expressions need from outside

    Raises ConfigError if the directory configures nothing, or the sensor is unknown.
    """
    reports = _Reports()
    sensors: dict[str, frozenset[str]] = {}
    names = [sensor] if sensor is not None else list_configured(directory)
    if sensor is None:
        reports.add_all(_check_layout(directory))
    for name in names:
        result = _check_one(directory, name)
        missing = () if result.pipeline is None or result.problems else tuple(find_missing(result.pipeline))
        for error in (*result.problems, *missing):
            reports.add_error(error)
        for warning in result.warnings:
            reports.add_warning(warning)
        if not result.problems and not missing:
            sensors[name] = result.functions
    for file in sorted((directory / "indexing").glob("*.json")) if sensor is None else ():
        reports.attempt(partial(_read_indexing, file))
    if sensor is None and (directory / "profiler.json").is_file():
        _check_profiler(directory / "profiler.json", reports)
    return DirectoryCheck(tuple(reports.found), sensors)


def _read_indexing(file: Path) -> None:
    parse_indexing(read_text(file), SourceLocation(str(file)))


def list_configured(directory: Path) -> list[str]:
    """Return the names of the sensors that a directory parses or enriches.

    Raises ConfigError if there are none, and no other configuration.
    """
    names = {path.stem for kind in ("parsers", "enrichments") for path in (directory / kind).glob("*.json")}
    if names or (directory / "profiler.json").is_file() or any((directory / "indexing").glob("*.json")):
        return sorted(names)
    raise ConfigError(str(directory), "", "no parsers/<sensor>.json in this directory; check the path")


def _check_one(directory: Path, sensor: str) -> CheckResult:
    """Check a sensor, which may be parsed elsewhere and only enriched here."""
    is_parsed = (directory / "parsers" / f"{sensor}.json").is_file()
    is_enriched = (directory / "enrichments" / f"{sensor}.json").is_file()
    return check_sensor(load_enrichment if is_enriched and not is_parsed else load_config, directory, sensor)


def _check_layout(directory: Path) -> Iterator[Diagnostic]:
    """Yield the findings about names of files and folders."""
    for path in sorted(directory.iterdir()):
        known = FOLDERS if path.is_dir() else FILES
        if path.name in known or path.name.startswith("."):
            continue
        slash = "/" if path.is_dir() else ""
        if (near := find_nearest(path.name, known)) is not None:
            yield _about_file(path, ERROR, f"unknown {_kind(path)} {path.name}{slash}; did you mean {near}{slash}?")
        elif path.suffix == ".json" or any(path.glob("*.json")):
            yield _about_file(path, WARNING, f"unknown {_kind(path)} {path.name}{slash}; it is not read")
    for folder in ("parsers", "enrichments", "indexing"):
        for path in sorted((directory / folder).glob("*")):
            if path.suffix != ".json":
                yield _about_file(path, WARNING, "not read: its name does not end in .json")


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "file"


def _about_file(path: Path, severity: str, message: str) -> Diagnostic:
    return Diagnostic(str(path), 0, 0, severity, CONFIGURATION, "", message)


def _check_profiler(file: Path, reports: _Reports) -> None:
    location = SourceLocation(str(file))
    reports.attempt(lambda: parse_profiler(read_text(file), location))
    if reports.has_error_in(str(file)):
        return
    for text in find_texts(read_text(file), "profiler"):
        for finding in find_problems(text.source, default_library()) if text.source.strip() else ():
            reports.add_finding(location / "", text.path, finding, text.source)
    if not reports.has_error_in(str(file)):
        reports.attempt(lambda: load_definitions(file, default_library()))


class _Reports:
    """Findings, each of which is added once."""

    def __init__(self) -> None:
        self.found: dict[Diagnostic, None] = {}
        self._positions = Positions()

    def add_all(self, reports: Iterator[Diagnostic]) -> None:
        self.found.update(dict.fromkeys(reports))

    def attempt(self, read: Callable[[], object]) -> None:
        """Add the errors of a function that reads a file."""
        errors: list[ConfigError] = []
        ErrorCollector(errors).attempt(read, None)
        for error in errors:
            self.add_error(error)

    def has_error_in(self, file: str) -> bool:
        return any(report.file == file and report.severity == ERROR for report in self.found)

    def add_error(self, error: ConfigError) -> None:
        line, column = self._positions.find_error(error) or (0, 0)
        name = EXPRESSION_ERROR if isinstance(error.__cause__, StellarError) else CONFIGURATION
        message, _, detail = error.message.partition("\n")
        self.found[Diagnostic(error.file, line, column, ERROR, name, error.path, message, detail)] = None

    def add_warning(self, warning: ConfigWarning) -> None:
        if warning.finding is not None:
            self.add_finding(warning.location, warning.location.path, warning.finding, warning.source)
            return
        location = warning.location
        line, column = self._positions.find(location.file, location.path, is_key=True) or (0, 0)
        message, _, detail = warning.message.partition("\n")
        self.found[Diagnostic(location.file, line, column, WARNING, CONFIGURATION, location.path, message, detail)] = (
            None
        )

    def add_finding(self, location: SourceLocation, path: str, finding: Finding, source: str) -> None:
        """Add an error or a lint of an expression."""
        error = StellarError(finding.message, source, finding.span)
        line, column = self._positions.find(location.file, path, error) or (0, 0)
        severity = ERROR if finding.name == EXPRESSION_ERROR else WARNING
        detail = snippet(source, finding.span) + (f"\nhint: {finding.hint}" if finding.hint else "")
        self.found[Diagnostic(location.file, line, column, severity, finding.name, path, finding.message, detail)] = (
            None
        )
